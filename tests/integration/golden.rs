//! Plays the recorded rows of tests/golden and compares the replies. The numbers of rows go to the terminal.
//!
//! Against the original (`MI_SERVER`, see support/setup.rs) the `differ` rows are compared with what the original
//! answers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{DEADLINE, HELP_REPLY, Server, Setup, shown};

/// The commands that change nothing. Cases of these alone share a server; every other case has a fresh one.
const READ_ONLY: [&str; 8] = ["version", "uptime", "pwd", "arg", "which", "ps", "help", "get_statistics"];

struct Row {
    case: String,
    step: u64,
    request: Vec<u8>,
    /// What is wanted, or the pattern.
    reply: Vec<u8>,
    /// What the original answers, in `differ` rows.
    reference: Option<Vec<u8>>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Regex,
    Differ,
    Sent,
}

/// Modules of the recorded server.
const MODULES: [&str; 3] = ["cachedb_local", "usrloc", "event_datagram"];

#[derive(Default)]
struct Tally {
    compared: usize,
    answered: usize,
    failures: Vec<String>,
}

#[test]
fn datagram_rows_of_1_11() {
    let rows = rows("1.11-datagram.jsonl");
    let reference = is_reference();
    let mut shared = start();
    let mut tally = Tally::default();
    for case in rows.chunk_by(|left, right| left.case == right.case) {
        let mut fresh = (!case.iter().all(only_reads)).then(start);
        let server = fresh.as_mut().unwrap_or(&mut shared);
        play(server, case, reference, &mut tally);
    }

    let Tally { compared, answered, failures } = tally;
    let total = rows.len();
    let _ = writeln!(
        std::io::stderr(),
        "golden 1.11-datagram: {total} rows: {compared} the same, {answered} only to be answered, {} failed",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(compared + answered, total, "a row was left out");
}

/// The set-up of the recording, as far as a datagram sees it.
fn start() -> Server {
    start_with(Setup::unix())
}

/// The same with a transport more.
fn start_with(setup: Setup) -> Server {
    MODULES.into_iter().fold(setup, Setup::module).start()
}

/// `{R}` is a reply FIFO that the client has open; behind each request another client asks, so that no reply means
/// that none comes.
#[test]
fn fifo_rows_of_1_11() {
    let server = start_with(Setup::unix().fifo());
    let start = Instant::now();
    let mut failures = Vec::new();
    let (mut compared, mut answered) = (0, 0);
    let rows = objects("1.11-fifo.jsonl");
    for (number, row) in rows.iter().enumerate() {
        let case = row["case"].as_str().expect("case");
        let request = String::from_utf8(bytes(&row["request"]).expect("request")).expect("text");
        let wanted = bytes(&row["reply"]).unwrap_or_default();
        let client = server.fifo_client(&format!("reply{number}"));
        // What such a request does stands in fifo.rs: it goes on into the next one.
        let is_open = row["match"] == "sent" && row["reply"].is_null();
        client.send(&if is_open { format!("{request}\n") } else { request.clone() });
        let mut fence = server.fifo_client(&format!("fence{number}"));
        let behind = fence.ask(server.setup.folder.path(), ":help:{R}\nps\n\n");
        assert_eq!(behind, [HELP_REPLY, b"\n"].concat(), "{case}: the stream is not in step");
        // A reply that takes several time slices may come behind that to the fence.
        let limit = if row["reply"].is_null() { Duration::ZERO } else { DEADLINE };
        let found = client.try_receive(limit).unwrap_or_default();
        let same = match row["match"].as_str().expect("match") {
            "sent" => found.starts_with(b"200 OK\n") || case == "fifo-02",
            "regex" => matches(&wanted, &found),
            "exact" | "differ" => equal_but_for_expiry(&wanted, &found, start.elapsed()),
            other => panic!("unknown kind of match {other:?}"),
        };
        match (same, row["match"] == "sent") {
            (true, true) => answered += 1,
            (true, false) => compared += 1,
            (false, _) => failures.push(format!(
                "{case}\n-- request\n{}-- wanted\n{}-- found\n{}",
                shown(request.as_bytes()),
                shown(&wanted),
                shown(&found)
            )),
        }
    }
    let _ = writeln!(
        std::io::stderr(),
        "golden 1.11-fifo: {} rows: {compared} the same, {answered} only to be answered, {} failed",
        rows.len(),
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(compared + answered, rows.len(), "a row was left out");
    server.stop_clean(&[]);
}

/// Whether the server under test is the original: it does not call itself `opensips-mi`.
fn is_reference() -> bool {
    let version = Setup::unix().run(&["-V"]);
    assert!(version.status.success(), "{version:#?}");
    !version.stdout.contains("opensips-mi")
}

fn play(server: &Server, case: &[Row], reference: bool, tally: &mut Tally) {
    let client = server.client();
    let start = Instant::now();
    for row in case {
        let found = client.ask(&row.request);
        let wanted = row.reference.as_ref().filter(|_| reference).unwrap_or(&row.reply);
        let same = match row.kind {
            Kind::Sent => true,
            Kind::Regex => matches(wanted, &found),
            Kind::Exact | Kind::Differ if varies(reference, row) => found.starts_with(b"200 OK\n"),
            Kind::Exact | Kind::Differ => equal_but_for_expiry(wanted, &found, start.elapsed()),
        };
        match same {
            true if row.kind == Kind::Sent => tally.answered += 1,
            true => tally.compared += 1,
            false => tally.failures.push(report(row, wanted, &found)),
        }
    }
}

/// Whether the original's recorded reply holds the moment of the recording: a negative expiry from its boot clock.
fn varies(reference: bool, row: &Row) -> bool {
    reference && row.reference.as_ref().is_some_and(|reply| reply.windows(9).any(|part| part == b"expires=-"))
}

/// Whether both are the same bytes, where the seconds to expiry of a found contact may be fewer by those that have
/// passed since the case began.
fn equal_but_for_expiry(wanted: &[u8], found: &[u8], elapsed: Duration) -> bool {
    const MEMBER: &str = ";expires=";
    let (wanted, found) = (text(wanted), text(found));
    // The clock of the contacts counts whole seconds, so a second may end right after the case began.
    let elapsed = elapsed.as_secs() + 1;
    let mut pairs = wanted.split(MEMBER).zip(found.split(MEMBER));
    wanted.matches(MEMBER).count() == found.matches(MEMBER).count()
        && pairs.next().is_some_and(|(wanted, found)| wanted == found)
        && pairs.all(|pair| match (seconds_and_rest(pair.0), seconds_and_rest(pair.1)) {
            (Some((wanted, wanted_rest)), Some((found, found_rest))) => {
                wanted_rest == found_rest && (wanted.saturating_sub(elapsed)..=wanted).contains(&found)
            }
            _ => pair.0 == pair.1,
        })
}

/// The number at the beginning of a text, and what follows it.
fn seconds_and_rest(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[test]
fn only_the_seconds_to_expiry_may_be_fewer() {
    let second = Duration::from_secs(1);
    let same = |wanted: &str, found: &str| equal_but_for_expiry(wanted.as_bytes(), found.as_bytes(), second);
    assert!(same("a;expires=60;b", "a;expires=60;b"));
    assert!(same("a;expires=60;b", "a;expires=58;b"));
    assert!(same("a;expires=-1;b", "a;expires=-1;b"));
    for (wanted, found) in [
        ("a;expires=60;b", "a;expires=57;b"),
        ("a;expires=60;b", "a;expires=61;b"),
        ("a;expires=60;b", "a;expires=60;c"),
        ("a;expires=60;b", "c;expires=60;b"),
        ("a;expires=60;b", "a;expires=60;b;expires=1;"),
        ("a;expires=0;b", "a;expires=deleted;b"),
        ("a", "b"),
    ] {
        assert!(!same(wanted, found), "{wanted} {found}");
    }
}

fn report(row: &Row, wanted: &[u8], found: &[u8]) -> String {
    format!(
        "{} step {}\n-- request\n{}-- wanted{}\n{}-- found\n{}",
        row.case,
        row.step,
        shown(&row.request),
        if row.kind == Kind::Regex { " (pattern)" } else { "" },
        shown(wanted),
        shown(found)
    )
}

fn only_reads(row: &Row) -> bool {
    let first = row.request.split(|&byte| byte == b'\n').next().unwrap_or_default();
    match first.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b":")) {
        Some(command) => !command.is_ascii() || READ_ONLY.iter().any(|name| name.as_bytes() == command),
        // No command at all.
        None => true,
    }
}

/// Whether a reply matches a pattern; one character of the pattern is one byte.
fn matches(pattern: &[u8], reply: &[u8]) -> bool {
    // The recording escapes a newline by a backslash before it, which is not an escape sequence everywhere.
    let pattern = text(pattern).replace("\\\n", "\n");
    regex_lite::Regex::new(&pattern).expect("a pattern").is_match(&text(reply))
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn rows(name: &str) -> Vec<Row> {
    let rows: Vec<Row> = objects(name).iter().map(row).collect();
    for pair in rows.windows(2) {
        let follows = pair[0].case != pair[1].case || pair[0].step < pair[1].step;
        assert!(follows, "{}: step {} is out of order", pair[1].case, pair[1].step);
    }
    rows
}

fn row(value: &Value) -> Row {
    let kind = match value["match"].as_str() {
        Some("exact") => Kind::Exact,
        Some("regex") => Kind::Regex,
        Some("differ") => Kind::Differ,
        Some("sent") => Kind::Sent,
        other => panic!("unknown kind of match {other:?}"),
    };
    Row {
        case: value["case"].as_str().expect("case").to_owned(),
        step: value["step"].as_u64().expect("step"),
        request: bytes(&value["request"]).expect("request"),
        reply: bytes(&value["reply"]).expect("reply"),
        reference: bytes(&value["reference"]),
        kind,
    }
}

/// A string of the recording: one byte per character.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    let byte = |char| u8::try_from(char).expect("a byte per character");
    Some(value.as_str()?.chars().map(byte).collect())
}

fn objects(name: &str) -> Vec<Value> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}")))
        .collect()
}

#[test]
fn a_pattern_with_an_escaped_newline_matches_bytes() {
    assert!(matches(b"^200 OK\\\nx:: \\d+\\\n$", b"200 OK\nx:: 12\n"));
    assert!(matches(b"^caf\xe9\\n$", b"caf\xe9\n"));
    assert!(!matches(b"^200 OK\\\nx:: \\d+\\\n$", b"200 OK\nx:: 12\nmore\n"));
}
