//! A Redis server of a test's own: on a free port, in a folder that goes with it, and a raw client to look into it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::support::{DEADLINE, Folder, Signal, send, skip, wait_for, within};

/// How often another port is tried when somebody took the free one.
const ATTEMPTS: usize = 5;

/// A running redis-server. Dropping it kills it.
pub(super) struct Redis {
    folder: Folder,
    port: u16,
    args: Vec<String>,
    child: Child,
}

impl Redis {
    /// `None`, said aloud, when this machine has no redis-server.
    pub(super) fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[])
    }

    /// As [`Self::start`], with further arguments.
    pub(super) fn start_with(test: &str, args: &[&str]) -> Option<Self> {
        let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            skip(&format!("redis::{test}"), "no redis-server; install Debian's package of that name");
            return None;
        }
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        for _ in 0..ATTEMPTS {
            let folder = Folder::new();
            let port = free_port();
            let child = spawn(&folder, port, &args);
            let mut redis = Self { folder, port, args: args.clone(), child };
            if redis.is_up() {
                return Some(redis);
            }
        }
        panic!("redis-server does not start");
    }

    /// Waits until it answers; false when it has ended.
    fn is_up(&mut self) -> bool {
        let up = within(DEADLINE, || {
            if self.child.try_wait().expect("wait").is_some() {
                return Some(false);
            }
            let reply = self.try_ask(&["PING"]).ok()?;
            (reply == "+PONG" || reply.starts_with("-NOAUTH")).then_some(true)
        });
        up.is_some_and(|(up, _)| up)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`
    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it and waits for its end.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Starts it again after [`Self::kill`], empty, on the same port.
    pub(super) fn start_again(&mut self) {
        self.child = spawn(&self.folder, self.port, &self.args);
        assert!(self.is_up(), "redis-server does not come back on port {}", self.port);
    }

    /// Stops or continues the process.
    pub(super) fn signal(&self, signal: Signal) {
        send(i32::try_from(self.child.id()).expect("a pid"), signal);
    }

    /// Sends command lines on a connection of their own. Gives the reply to the last: a value as it is, anything else
    /// with the character that tells its kind; `$-1` is no value.
    #[track_caller]
    pub(super) fn ask(&self, lines: &[&str]) -> String {
        self.try_ask(lines).expect("redis-server answers")
    }

    fn try_ask(&self, lines: &[&str]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut reply = String::new();
        for line in lines {
            stream.write_all(format!("{line}\r\n").as_bytes())?;
            reply.clear();
            reader.read_line(&mut reply)?;
            reply.truncate(reply.trim_end().len());
            let Some(length) = reply.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) else {
                continue;
            };
            let mut value = vec![0; length + 2];
            reader.read_exact(&mut value)?;
            value.truncate(length);
            reply = value.escape_ascii().to_string();
        }
        Ok(reply)
    }

    /// Whether something lies in one of its connections that it has not read.
    pub(super) fn has_unread(&self) -> bool {
        let (local, connected) = (format!(":{:04X}", self.port), "01");
        std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp").lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_ours = fields.get(1).is_some_and(|address| address.ends_with(&local));
            let unread = fields.get(4).and_then(|queues| queues.split(':').nth(1));
            is_ours && fields.get(3) == Some(&connected) && unread.is_some_and(|bytes| bytes != "00000000")
        })
    }

    /// Waits until it has `count` clients, our own question not counted.
    #[track_caller]
    pub(super) fn wait_for_clients(&self, count: usize) {
        wait_for(&format!("{count} clients of redis-server"), || {
            let list = self.ask(&["CLIENT LIST"]);
            (list.matches("addr=").count() - list.matches("laddr=").count() == count + 1).then_some(())
        });
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A TCP port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free TCP port");
    listener.local_addr().expect("the address just bound").port()
}

fn spawn(folder: &Folder, port: u16, args: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("redis.log")).expect("redis.log");
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
    command.arg("--dir").arg(folder.path()).args(args).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
    command.spawn().expect("redis-server")
}
