//! A running server and its end. Whatever happens to the test, no process of it stays behind.

use std::path::Path;
use std::process::{Child, ExitStatus};

use super::{
    Client, DEADLINE, Endpoint, FifoClient, Kind, Outcome, Process, Setup, Signal, VERSION, is_alive,
    parse_ps, send, wait_for, within,
};

/// A server that answers. Dropping it stops it: SIGTERM, after a deadline SIGKILL to all its processes.
pub(crate) struct Server {
    pub(crate) setup: Setup,
    /// The process that was started; `None` for a daemon, whose starter has ended.
    child: Option<Child>,
    attendant: i32,
}

impl Server {
    #[track_caller]
    pub(super) fn foreground(setup: Setup, meanwhile: impl FnOnce(i32)) -> Self {
        let child = setup.spawn();
        let attendant = i32::try_from(child.id()).expect("a pid");
        let mut server = Self { setup, child: Some(child), attendant };
        meanwhile(attendant);
        server.wait_ready();
        server
    }

    #[track_caller]
    pub(super) fn daemon(setup: Setup) -> (Outcome, Self) {
        let child =
            setup.program().arg("-f").arg(setup.config_path()).spawn().expect("the program under test");
        let mut server = Self { setup, child: None, attendant: 0 };
        let outcome = server.setup.wait(child);
        if outcome.status.success() {
            server.attendant = server.ps().iter().find(|process| process.id == 0).expect("process 0").pid;
        }
        (outcome, server)
    }

    /// Waits until the server answers, or fails the test at once when it has ended.
    #[track_caller]
    fn wait_ready(&mut self) {
        let ready = within(self.setup.deadline, || {
            if self.status().is_some() {
                return Some(false);
            }
            let client = self.try_client(Kind::Bound)?;
            client.try_ask(VERSION, DEADLINE / 10).ok().map(|_| true)
        });
        let stderr = self.stderr();
        assert!(ready.is_some_and(|(answers, _)| answers), "the server does not answer; it said:\n{stderr}");
    }

    /// The attendant's PID.
    pub(crate) fn pid(&self) -> i32 {
        self.attendant
    }

    /// What it wrote to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.setup.read("stderr")
    }

    /// The path of its UNIX socket.
    #[track_caller]
    pub(crate) fn socket(&self) -> &Path {
        self.setup.socket()
    }

    /// A new client with a name of its own.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        self.client_of(Kind::Bound)
    }

    #[track_caller]
    pub(crate) fn client_of(&self, kind: Kind) -> Client {
        let Setup { endpoint, folder, .. } = &self.setup;
        Client::new(endpoint, folder.path(), kind).expect("a client")
    }

    /// A new client of mi_fifo, with a reply FIFO of that name.
    pub(crate) fn fifo_client(&self, name: &str) -> FifoClient {
        FifoClient::new(&self.setup.fifo_path(), self.setup.folder.path(), name)
    }

    fn try_client(&self, kind: Kind) -> Option<Client> {
        Client::new(&self.setup.endpoint, self.setup.folder.path(), kind).ok()
    }

    /// Asks with a client of its own.
    #[track_caller]
    pub(crate) fn ask(&self, request: &[u8]) -> Vec<u8> {
        self.client().ask(request)
    }

    /// Its processes by `ps`. Asks again when no reply comes, as when the worker that took the request was killed.
    #[track_caller]
    pub(crate) fn ps(&self) -> Vec<Process> {
        wait_for("a reply of ps", || {
            let (reply, _) = self.try_client(Kind::Bound)?.try_ask(b":ps:\n", DEADLINE / 10).ok()?;
            parse_ps(&reply)
        })
    }

    /// Its datagram workers by `ps`.
    #[track_caller]
    pub(crate) fn workers(&self) -> Vec<Process> {
        self.ps().into_iter().filter(Process::is_worker).collect()
    }

    /// Waits until `ps` lists `count` living workers and returns them.
    #[track_caller]
    pub(crate) fn wait_for_workers(&self, count: usize) -> Vec<Process> {
        wait_for(&format!("{count} living workers"), || {
            let workers = self.workers();
            (workers.len() == count && workers.iter().all(|worker| is_alive(worker.pid))).then_some(workers)
        })
    }

    /// All living processes of this server.
    pub(crate) fn processes(&self) -> Vec<i32> {
        self.setup.processes()
    }

    /// Sends a signal to the attendant and waits for its end. A daemon's status cannot be had: `None`.
    #[track_caller]
    pub(crate) fn stop(&mut self, signal: Signal) -> Option<ExitStatus> {
        send(self.attendant, signal);
        self.wait_end()
    }

    /// Waits for the end of the attendant.
    #[track_caller]
    pub(crate) fn wait_end(&mut self) -> Option<ExitStatus> {
        let limit = self.setup.deadline;
        let ended = within(limit, || match &mut self.child {
            Some(child) => child.try_wait().expect("wait").map(Some),
            None => (!is_alive(self.attendant)).then_some(None),
        });
        ended.unwrap_or_else(|| panic!("the server has not ended within {limit:?}")).0
    }

    /// Stops with SIGTERM and fails the test unless that went well and nothing is left: status 0, no process, no
    /// socket, none of `files`.
    #[track_caller]
    pub(crate) fn stop_clean(mut self, files: &[&Path]) {
        // The first worker answers while the last process is not forked yet, or is being replaced; a process that is
        // not found at all would be a leftover that goes unseen.
        wait_for("all processes of ps among those found", || {
            let (listed, found) = (self.ps(), self.processes());
            listed.iter().all(|process| process.pid > 0 && found.contains(&process.pid)).then_some(())
        });
        let status = self.stop(Signal::SIGTERM);
        assert!(status.is_none_or(|status| status.success()), "{status:?}; stderr:\n{}", self.stderr());
        self.assert_gone(files);
    }

    /// Fails the test unless nothing of an ended server is left.
    #[track_caller]
    pub(crate) fn assert_gone(&self, files: &[&Path]) {
        let left = self.processes();
        assert!(left.is_empty(), "processes left: {left:?}; stderr:\n{}", self.stderr());
        if let Endpoint::Unix(path) = &self.setup.endpoint {
            assert!(path.symlink_metadata().is_err(), "the socket is left: {}", path.display());
        }
        for file in files {
            assert!(file.symlink_metadata().is_err(), "left: {}", file.display());
        }
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().expect("wait"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.attendant > 1 && self.status().is_none() {
            send(self.attendant, Signal::SIGTERM);
        }
        let _ = within(self.setup.deadline / 4, || {
            let ended = self.child.is_none() || self.status().is_some();
            (ended && self.processes().is_empty()).then_some(())
        });
        self.processes().into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let stayed = within(DEADLINE, || self.processes().is_empty().then_some(())).is_none();
        assert!(!stayed || std::thread::panicking(), "a process survives SIGKILL");
    }
}
