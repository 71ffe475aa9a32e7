//! The log of a server whose standard error nobody reads.

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{self, FlowArg, SetArg};

use crate::support::{Client, HELP, HELP_REPLY, Setup, assert_same, wait_for};

/// Requests that make a line each at level 4, more than are written of one cause.
const REQUESTS: usize = 30;

fn ask_all(client: &Client) {
    for _ in 0..REQUESTS {
        assert_same("junk", b"500 command not available\n", &client.ask(b"junk"));
        assert_same("help", HELP_REPLY, &client.ask(HELP));
    }
}

/// A pipe that takes no more, as its reader does not read.
fn full_pipe() -> (PipeReader, OwnedFd) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let flags = OFlag::from_bits_retain(fcntl(&writer, FcntlArg::F_GETFL).unwrap());
    fcntl(&writer, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'-'; 64]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(flags)).unwrap();
    (reader, writer.into())
}

/// Reads what lies there, which is something.
fn read_some(file: &mut impl Read) -> String {
    let mut bytes = [0; 65536];
    let length = file.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_nobody_and_the_next_line_says_how_many_were_lost() {
    let (mut reader, writer) = full_pipe();
    let server = Setup::unix().global("debug=4").stderr(writer.try_clone().unwrap()).start();
    let flags = OFlag::from_bits_retain(fcntl(&writer, FcntlArg::F_GETFL).unwrap());
    assert!(!flags.contains(OFlag::O_NONBLOCK), "others that write to it would lose what they write");
    let client = server.client();
    ask_all(&client);
    assert_eq!(read_some(&mut reader).trim_matches('-'), "");
    let line = wait_for("a line", || {
        client.ask(b":help:\n\"broken\n");
        nix::poll::poll(
            &mut [nix::poll::PollFd::new(reader.as_fd(), nix::poll::PollFlags::POLLIN)],
            nix::poll::PollTimeout::ZERO,
        )
        .is_ok_and(|count| count > 0)
        .then(|| read_some(&mut reader))
    });
    assert!(line.contains("help by ") && line.contains(" lines before could not be written)\n"), "{line}");
    drop(writer);
    server.stop_clean(&[]);
}

/// As after ^S.
#[test]
fn a_terminal_whose_output_is_stopped_holds_up_nobody() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut settings = termios::tcgetattr(&pty.slave).unwrap();
    termios::cfmakeraw(&mut settings);
    termios::tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).unwrap();
    let server = Setup::unix().global("debug=4").stderr(pty.slave.try_clone().unwrap()).start();
    let client = server.client();
    let mut screen = File::from(pty.master);
    client.ask(b"junk");
    wait_for("a line on the screen", || read_some(&mut screen).contains("500 command not").then_some(()));
    termios::tcflow(&pty.slave, FlowArg::TCOOFF).unwrap();
    ask_all(&client);
    termios::tcflow(&pty.slave, FlowArg::TCOON).unwrap();
    client.ask(b":help:\n\"broken\n");
    let mut seen = String::new();
    wait_for("the number of lost lines", || {
        seen += &read_some(&mut screen);
        seen.contains(" lines before could not be written)").then_some(())
    });
    server.stop_clean(&[]);
}
