//! The reply of `ps`, parsed.

/// One line of `ps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) pid: i32,
    pub(crate) kind: String,
}

impl Process {
    /// Whether it answers datagrams.
    pub(crate) fn is_worker(&self) -> bool {
        self.kind == "MI Datagram"
    }
}

/// Parses `Process::  ID=0 PID=1 Type=attendant` lines; `None` if this is not a reply of `ps`.
pub(crate) fn parse_ps(reply: &[u8]) -> Option<Vec<Process>> {
    let text = std::str::from_utf8(reply).ok()?.strip_prefix("200 OK\n")?;
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Process> {
    let (id, rest) = line.strip_prefix("Process::  ID=")?.split_once(" PID=")?;
    let (pid, kind) = rest.split_once(" Type=")?;
    Some(Process { id: id.parse().ok()?, pid: pid.parse().ok()?, kind: kind.to_owned() })
}

#[test]
fn a_ps_reply_is_parsed_and_nothing_else_is() {
    let reply = b"200 OK\nProcess::  ID=0 PID=7 Type=attendant\nProcess::  ID=1 PID=9 Type=MI Datagram\n";
    let processes = parse_ps(reply).unwrap();
    assert_eq!(
        processes.iter().map(|process| (process.id, process.pid)).collect::<Vec<_>>(),
        [(0, 7), (1, 9)]
    );
    assert!(!processes[0].is_worker() && processes[1].is_worker());
    assert_eq!(parse_ps(b"500 command not available\n"), None);
    assert_eq!(parse_ps(b"200 OK\nServer:: OpenSIPS (x)\n"), None);
}
