//! Why the bench stops before its end. Owns the one error type and its texts, decides nothing.

use std::io;
use std::path::{Path, PathBuf};

/// Result of everything here that can fail.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// One variant per kind of cause; `main` prints it and chooses the exit status.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A bad option.
    #[error("{0}; --help lists the options")]
    Usage(#[from] lexopt::Error),
    /// The operating system refused something.
    #[error("cannot {step} {path}: {source}")]
    Os { step: &'static str, path: PathBuf, source: io::Error },
    /// A server did not start, answer or stop as it should.
    #[error("{server}: {reason}")]
    Server { server: String, reason: String },
    /// A load client stopped: no reply, or a reply of another shape.
    #[error("client {client} against {socket}: {reason}")]
    Client { client: usize, socket: PathBuf, reason: String },
    /// SIGINT, SIGTERM or SIGHUP.
    #[error("stopped by a signal")]
    Interrupted,
}

impl Error {
    /// For `map_err`: names the step and the path it was about.
    pub(crate) fn os(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_path_buf();
        move |source| Error::Os { step, path, source }
    }

    /// A complaint about one server.
    pub(crate) fn server(server: &str, reason: impl Into<String>) -> Error {
        Error::Server { server: server.to_owned(), reason: reason.into() }
    }
}
