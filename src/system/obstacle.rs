//! What a start would find in the way of its endpoints and files, seen without making anything: for `-c`.
//!
//! C has no counterpart: `opensips -c` reads the configuration alone.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

pub use nix::sys::socket::SockType;
use nix::sys::socket::{AddressFamily, SockFlag, SockaddrIn, SockaddrIn6, bind, setsockopt, socket, sockopt};

use super::endpoint::{self, BindError, Kind};
use super::user;

/// What is in the way.
#[derive(Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What it is, and what to do.
    pub message: String,
    /// Whether it is there for whoever starts the server, and whenever: no folder, as opposed to a port that is in use.
    pub is_lasting: bool,
}

/// Where a path will be when `root` is the root folder.
#[must_use]
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Whether there is no folder for a file.
#[must_use]
pub fn to_file(path: &Path) -> Option<Obstacle> {
    let folder = endpoint::folder(path);
    (!folder.is_dir()).then(|| Obstacle {
        message: format!(
            "{}: there is no folder {}; make it first, writable for the server's user",
            path.display(),
            folder.display()
        ),
        is_lasting: true,
    })
}

/// What would keep a socket or FIFO from being made at a path.
#[must_use]
pub fn to_endpoint(path: &Path, kind: Kind) -> Option<Obstacle> {
    if let Some(found) = to_file(path) {
        return Some(found);
    }
    let error = match endpoint::stale(path, kind) {
        Ok(_) if user::may_write(endpoint::folder(path)) => return None,
        Ok(_) => endpoint::make_failed(path, kind, ErrorKind::PermissionDenied.into()),
        Err(error) => error,
    };
    Some(Obstacle { is_lasting: matches!(error, BindError::Occupied { .. }), message: error.to_string() })
}

/// What would keep a socket from being bound to an address: it is bound and let go. Nobody can reach it meanwhile by
/// TCP. `message` makes a message of the error.
pub fn to_address(
    address: SocketAddr,
    kind: SockType,
    message: impl FnOnce(&io::Error) -> String,
) -> Option<Obstacle> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let bound = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).and_then(|socket| {
        // As listeners do; for UDP it would allow a second socket there.
        if kind == SockType::Stream {
            setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        }
        match address {
            SocketAddr::V4(address) => bind(socket.as_raw_fd(), &SockaddrIn::from(address)),
            SocketAddr::V6(address) => bind(socket.as_raw_fd(), &SockaddrIn6::from(address)),
        }
    });
    let error = io::Error::from(bound.err()?);
    let is_lasting = !matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied);
    Some(Obstacle { message: message(&error), is_lasting })
}

/// What is said of a file or folder that is there.
#[must_use]
pub fn to_folder(path: &Path) -> Option<Obstacle> {
    let error = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return None,
        Ok(_) => ErrorKind::NotADirectory.into(),
        Err(error) => error,
    };
    Some(Obstacle {
        message: format!("{}: {error}; name a folder that exists", path.display()),
        is_lasting: error.kind() != ErrorKind::PermissionDenied,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn lasting(found: Option<Obstacle>) -> Option<bool> {
        found.map(|obstacle| obstacle.is_lasting)
    }

    #[test]
    fn nothing_is_in_the_way_of_what_can_be_made_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        assert_eq!(to_endpoint(&path, Kind::Socket), None);
        assert!(!path.exists());
        drop(UnixDatagram::bind(&path).unwrap());
        assert_eq!(to_endpoint(&path, Kind::Socket), None);
        assert!(path.exists(), "a stale socket is left to the start");
        assert_eq!((to_file(&path), to_folder(folder.path())), (None, None));
    }

    #[test]
    fn what_is_in_the_way_is_told_apart_by_whether_it_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _live = UnixDatagram::bind(&path).unwrap();
        assert_eq!(lasting(to_endpoint(&path, Kind::Socket)), Some(false));
        assert_eq!(lasting(to_endpoint(&path, Kind::Fifo)), Some(true));
        assert_eq!(lasting(to_endpoint(&folder.path().join("no/s"), Kind::Socket)), Some(true));
        assert_eq!(lasting(to_file(&path.join("s"))), Some(true));
        assert_eq!(lasting(to_folder(&path)), Some(true));
    }

    #[test]
    fn an_address_in_use_may_be_free_later_and_a_foreign_one_never() {
        let message = |error: &io::Error| error.to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(lasting(to_address(address, SockType::Stream, message)), Some(false));
        drop(listener);
        assert_eq!(to_address(address, SockType::Stream, message), None);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(lasting(to_address(address, SockType::Datagram, message)), Some(false));
        let foreign = "192.0.2.1:5060".parse().unwrap();
        assert_eq!(lasting(to_address(foreign, SockType::Datagram, message)), Some(true));
    }

    #[test]
    fn paths_lie_below_the_root_that_will_be() {
        assert_eq!(below(Path::new("/"), Path::new("/run/s")), Path::new("/run/s"));
        assert_eq!(below(Path::new("/srv"), Path::new("/run/s")), Path::new("/srv/run/s"));
    }
}
