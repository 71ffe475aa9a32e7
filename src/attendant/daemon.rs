//! Leaving the terminal, with an honest answer to whoever started the server.
//!
//! The starting process waits until the server says that all workers are ready, or why they will never be.
//! C: `daemonize` and `wait_for_all_children` in daemonize.c.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::sync::Arc;

use crate::cli::Options;
use crate::config::{Facility, Globals};
use crate::logging::Logger;
use crate::system::notify::Notifier;
use crate::system::process::{self, Fork};
use crate::system::syslog::Syslog;

/// The facility without `log_facility`, by its number in syslog(3).
const LOG_DAEMON: u8 = 3;

/// The message that says: all workers are ready.
const READY: &[u8] = b"ready\n";

/// Which process this is now.
#[derive(Debug)]
pub(super) enum Side {
    /// The process that was started: it has heard how the start went.
    Starter(Result<(), String>),
    /// The daemon, on its way.
    Server(Report),
}

/// The daemon's one message to the starting process.
#[derive(Debug)]
pub(super) struct Report(Option<PipeWriter>);

impl Report {
    /// For a server that stays in the foreground: nobody waits.
    pub(super) fn nobody() -> Report {
        Report(None)
    }

    /// Whether somebody waits, and prints what it is told.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// All workers are ready.
    pub(super) fn ready(&mut self) {
        self.send(READY);
    }

    /// The start has failed, for this reason.
    pub(super) fn failed(&mut self, reason: &str) {
        self.send(format!("{}\n", reason.replace('\n', " ")).as_bytes());
    }

    fn send(&mut self, message: &[u8]) {
        if let Some(mut pipe) = self.0.take() {
            // A starting process that is gone needs no message.
            let _sent = pipe.write_all(message);
        }
    }
}

/// Becomes a daemon: a session of its own, without a terminal, child of init.
pub(super) fn daemonize() -> io::Result<Side> {
    let (reader, writer) = io::pipe()?;
    if let Fork::Parent(_) = process::fork()? {
        drop(writer);
        return Ok(Side::Starter(listen(reader)));
    }
    drop(reader);
    process::new_session()?;
    // Once more, so that the daemon leads no session and can never get a terminal by opening one.
    if let Fork::Parent(_) = process::fork()? {
        process::exit_child(0);
    }
    Ok(Side::Server(Report(Some(writer))))
}

fn listen(reader: PipeReader) -> Result<(), String> {
    let mut message = Vec::new();
    // An error reads as silence.
    let _read = BufReader::new(reader).read_until(b'\n', &mut message);
    match message.strip_suffix(b"\n") {
        _ if message == READY => Ok(()),
        Some(reason) => Err(String::from_utf8_lossy(reason).into_owned()),
        None => Err(String::from("the server ended before it was ready; its log says why")),
    }
}

/// How a process lets go of the terminal once it works, and where its log goes from then on.
///
/// Until then the log goes to standard error, so that whoever starts the server reads why it does not start.
/// All that it needs is opened at once, since a new root folder may have neither /dev/null nor /dev/log.
#[derive(Clone, Debug)]
pub(super) struct Terminal {
    /// For a daemon, in place of its standard streams.
    null: Option<Arc<File>>,
    /// Unless the log stays on standard error.
    syslog: Option<Syslog>,
    notifier: Arc<Notifier>,
    logger: &'static Logger,
}

/// Opens the system log under the configured name and facility.
#[must_use]
pub fn open_syslog(globals: &Globals) -> Syslog {
    let name = globals.log_name.as_deref().unwrap_or(b"opensips");
    Syslog::open(name, globals.log_facility.map_or(LOG_DAEMON, Facility::code))
}

impl Terminal {
    pub(super) fn new(options: &Options, globals: &Globals, logger: &'static Logger) -> io::Result<Terminal> {
        let null = if options.foreground(globals) {
            None
        } else {
            Some(Arc::new(OpenOptions::new().read(true).write(true).open("/dev/null")?))
        };
        let syslog = (!options.logs_to_stderr(globals)).then(|| open_syslog(globals));
        Ok(Terminal { null, syslog, notifier: Arc::new(Notifier::connect()), logger })
    }

    /// Who wants to know that the server is ready.
    pub(super) fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Lets go. Each process does it for itself; a second time changes nothing.
    pub(super) fn leave(&self) -> io::Result<()> {
        if let Some(null) = &self.null {
            process::replace_standard_streams(null, self.syslog.is_some())?;
        }
        if let Some(syslog) = &self.syslog {
            self.logger.use_syslog(syslog.clone());
        }
        Ok(())
    }
}
