//! What a server is started with: a folder, a configuration, arguments; and a run that ends by itself.
//!
//! The program under test is ours, or what these variables say:
//! - `MI_SERVER`: the path of another program, for instance the original's;
//! - `MI_SERVER_ARGS`: arguments put before those of the test, separated by blanks;
//! - `MI_SERVER_CONFIG` and `MI_SERVER_CONFIG_TAIL`: lines put at the head and at the end of each configuration, for
//!   instance an `mpath`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::{DEADLINE, Folder, Server, free_udp_port, process, within};

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    Unix(PathBuf),
    Udp(SocketAddr),
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Fails the test unless the run ended with an error and said each of `words` on stderr.
    #[track_caller]
    pub(crate) fn assert_refused(&self, what: &str, words: &[&str]) {
        assert!(self.status.code().is_some_and(|code| code != 0), "{what}: started, or crashed: {self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "{what}: stderr does not say {word:?}: {self:#?}");
        }
    }
}

/// A server that is not started yet.
pub(crate) struct Setup {
    pub(crate) folder: Folder,
    pub(crate) endpoint: Endpoint,
    globals: String,
    modules: String,
    params: String,
    args: Vec<OsString>,
    under: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    foreground: &'static str,
    stderr: Option<OwnedFd>,
    pub(super) deadline: Duration,
    text: Option<String>,
}

impl Setup {
    /// One worker on the UNIX socket `mi.sock` of a new folder, warnings logged to stderr.
    pub(crate) fn unix() -> Self {
        let folder = Folder::new();
        let path = folder.join("mi.sock");
        let name = format!("\"{}\"", path.display());
        Self::new(folder, Endpoint::Unix(path), &name)
    }

    /// One worker on UDP. `name` is the value of `socket_name` as a configuration writes it, without quotes.
    pub(crate) fn udp(name: &str, address: SocketAddr) -> Self {
        Self::new(Folder::new(), Endpoint::Udp(address), &format!("\"{name}\""))
    }

    fn new(folder: Folder, endpoint: Endpoint, name: &str) -> Self {
        let mut globals = "debug=1\nlog_stderror=yes\n".to_owned();
        if let Some(lines) = std::env::var_os("MI_SERVER_CONFIG") {
            // The original wants a SIP port of its own.
            let port = free_udp_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
            globals += &format!("listen=udp:127.0.0.1:{port}\ndisable_tcp=yes\n{}\n", lines.display());
        }
        let modules = "loadmodule \"mi_datagram.so\"\n".to_owned();
        let setup = Self {
            folder,
            endpoint,
            globals,
            modules,
            params: String::new(),
            args: Vec::new(),
            under: Vec::new(),
            environment: Vec::new(),
            foreground: "-F",
            stderr: None,
            deadline: DEADLINE,
            text: None,
        };
        setup.param("socket_name", name)
    }

    /// Adds a global line.
    pub(crate) fn global(mut self, line: &str) -> Self {
        self.globals += &format!("{line}\n");
        self
    }

    /// Loads another module.
    pub(crate) fn module(mut self, name: &str) -> Self {
        self.modules += &format!("loadmodule \"{name}.so\"\n");
        self
    }

    /// Sets a parameter of `mi_datagram`; the value as a configuration writes it, with its quotes.
    pub(crate) fn param(self, name: &str, value: &str) -> Self {
        self.param_of("mi_datagram", name, value)
    }

    /// Sets a parameter of any module.
    pub(crate) fn param_of(mut self, module: &str, name: &str, value: &str) -> Self {
        self.params += &format!("modparam(\"{module}\", \"{name}\", {value})\n");
        self
    }

    /// Adds mi_fifo, with [`Self::fifo_path`] for requests and the folder for reply FIFOs.
    pub(crate) fn fifo(self) -> Self {
        let name = format!("\"{}\"", self.fifo_path().display());
        let replies = format!("\"{}/\"", self.folder.path().display());
        self.module("mi_fifo").param_of("mi_fifo", "fifo_name", &name).param_of(
            "mi_fifo",
            "reply_dir",
            &replies,
        )
    }

    /// Where mi_fifo's FIFO is.
    pub(crate) fn fifo_path(&self) -> PathBuf {
        self.folder.join("requests")
    }

    /// That many workers.
    pub(crate) fn workers(self, count: usize) -> Self {
        self.param("children_count", &count.to_string())
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Has another program start the server: it gets these arguments, and behind them the server's command. Unless it
    /// becomes the server, as `unshare` does, that is for [`Self::refuse`] alone.
    pub(crate) fn under(mut self, command: &[&OsStr]) -> Self {
        self.under = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Sets a variable of the server's environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    /// Gives the server more time to start and to end, as it needs under a program that runs it slowly.
    pub(crate) fn slow(mut self) -> Self {
        self.deadline = 6 * DEADLINE;
        self
    }

    /// The option that keeps the server in the foreground, in place of `-F`.
    pub(crate) fn foreground(mut self, option: &'static str) -> Self {
        self.foreground = option;
        self
    }

    /// Gives the server another standard error than the file that [`Server::stderr`] reads.
    pub(crate) fn stderr(mut self, file: OwnedFd) -> Self {
        self.stderr = Some(file);
        self
    }

    /// Replaces the whole configuration.
    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The configuration as it is written to the file.
    pub(crate) fn config(&self) -> String {
        let Self { globals, modules, params, .. } = self;
        let tail = std::env::var("MI_SERVER_CONFIG_TAIL").unwrap_or_default();
        self.text
            .clone()
            .unwrap_or_else(|| format!("{globals}{modules}{params}route {{\n\texit;\n}}\n{tail}\n"))
    }

    /// The path of the configuration file. No other server reads it, so it marks the processes of this one.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.folder.join("opensips.cfg")
    }

    /// The path of the UNIX socket.
    #[track_caller]
    pub(crate) fn socket(&self) -> &Path {
        match &self.endpoint {
            Endpoint::Unix(path) => path,
            Endpoint::Udp(address) => panic!("{address} is no path"),
        }
    }

    /// Starts the server in the foreground and waits until it answers. The test fails when it does not.
    #[track_caller]
    pub(crate) fn start(self) -> Server {
        Server::foreground(self, |_| ())
    }

    /// As [`Self::start`]; `meanwhile` runs with the attendant's PID before anything is asked.
    #[track_caller]
    pub(crate) fn start_while(self, meanwhile: impl FnOnce(i32)) -> Server {
        Server::foreground(self, meanwhile)
    }

    /// Starts the server as a daemon: returns what the starting process said, and the server if it started.
    #[track_caller]
    pub(crate) fn start_daemon(self) -> (Outcome, Server) {
        Server::daemon(self)
    }

    /// Starts the server in the foreground, does not wait, and does not care whether it comes up.
    pub(crate) fn spawn(&self) -> Child {
        self.command(&[self.foreground.as_ref(), "-f".as_ref(), self.config_path().as_os_str()])
    }

    /// Runs in the foreground with `-f CONFIG` and what [`Self::arg`] added until it ends: for a server that is to refuse.
    #[track_caller]
    pub(crate) fn refuse(&self) -> Outcome {
        self.wait(self.spawn())
    }

    /// Runs with `args` alone until it ends.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
        self.wait(self.command(&args))
    }

    /// Runs `-c` on the configuration.
    #[track_caller]
    pub(crate) fn check(&self) -> Outcome {
        self.wait(self.command(&["-c".as_ref(), "-f".as_ref(), self.config_path().as_os_str()]))
    }

    /// Waits for the end of a process that was started here.
    #[track_caller]
    pub(crate) fn wait(&self, mut child: Child) -> Outcome {
        let ended = within(DEADLINE, || child.try_wait().expect("wait"));
        if ended.is_none() {
            self.processes().into_iter().for_each(|pid| process::send(pid, process::Signal::SIGKILL));
            let _ = child.kill();
            let _ = child.wait();
        }
        let (stdout, stderr) = (self.read("stdout"), self.read("stderr"));
        match ended {
            Some((status, _)) => Outcome { status, stdout, stderr },
            None => panic!("still running after {DEADLINE:?}; stdout {stdout}, stderr {stderr}"),
        }
    }

    /// All living processes that were started with this configuration.
    pub(crate) fn processes(&self) -> Vec<i32> {
        process::naming(&self.config_path())
    }

    /// What a stream of the program holds so far.
    pub(crate) fn read(&self, stream: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join(stream)).unwrap_or_default()).into_owned()
    }

    /// The command of the program under test, in a process group of its own, in its folder, with its output going
    /// to the files `stdout` and `stderr` there: a pipe could block it, or outlive it in a worker.
    pub(crate) fn program(&self) -> Command {
        let file = |name| File::options().create(true).append(true).open(self.folder.join(name)).expect(name);
        fs::write(self.config_path(), self.config()).expect("the configuration");
        let own = || OsString::from(env!("CARGO_BIN_EXE_opensips-mi"));
        let mut words = self.under.clone();
        words.push(std::env::var_os("MI_SERVER").unwrap_or_else(own));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command.current_dir(self.folder.path()).process_group(0).stdin(Stdio::null());
        let other = self.stderr.as_ref().map(|stderr| stderr.try_clone().expect("a descriptor"));
        command.stdout(file("stdout")).stderr(other.map_or_else(|| file("stderr").into(), Stdio::from));
        let more = std::env::var("MI_SERVER_ARGS").unwrap_or_default();
        command.args(more.split_whitespace()).args(&self.args).envs(self.environment.iter().cloned());
        command
    }

    fn command(&self, args: &[&OsStr]) -> Child {
        self.program().args(args).spawn().expect("the program under test")
    }
}

/// Whatever became of the test: nothing that it started runs on.
impl Drop for Setup {
    fn drop(&mut self) {
        self.processes().into_iter().for_each(|pid| process::send(pid, process::Signal::SIGKILL));
    }
}
