//! The floor: a bare hyper server, as little as one that speaks HTTP/1.1 with that library can do. Owns its socket and
//! its processes; knows no command.
//!
//! As many processes as the server has workers accept from one socket, each with one thread. Each reads a request to
//! its end and answers with the same stored bytes, those of a real reply, and with their type; it looks at nothing.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::task::{LocalSet, spawn_local};

use crate::children::Started;
use crate::error::{Error, Result};

/// A running floor; its processes end with this value.
pub(crate) struct Floor {
    pub(crate) address: SocketAddr,
    _processes: Vec<Started>,
}

impl Floor {
    /// Starts one in `directory`, which must be new, with `workers` processes that answer `reply`.
    pub(crate) fn start(directory: &Path, workers: usize, reply: &[u8], media_type: &str) -> Result<Floor> {
        fs::create_dir(directory).map_err(Error::os("create", directory))?;
        let reply_file = directory.join("reply");
        fs::write(&reply_file, reply).map_err(Error::os("write", &reply_file))?;
        // Connections wait in the socket until the processes are there, so nobody needs to wait for them here.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.map_err(Error::os("listen for the floor in", directory))?;
        // As the server does it: once, for all connections.
        let set = setsockopt(&listener, sockopt::TcpNoDelay, &true).map_err(io::Error::from);
        set.map_err(Error::os("set the socket of the floor in", directory))?;
        let address = listener.local_addr().map_err(Error::os("find the port of the floor in", directory))?;
        let start = |_| {
            let inherited = listener.try_clone().map_err(Error::os("duplicate the socket of", directory))?;
            let arguments = [reply_file.as_os_str(), media_type.as_ref()];
            Started::role("floor", &arguments, Stdio::from(OwnedFd::from(inherited)))
        };
        let processes = (0..workers).map(start).collect::<Result<_>>()?;
        Ok(Floor { address, _processes: processes })
    }
}

/// The part `floor`: answers until it is killed.
///
/// # Errors
/// A missing argument, an unreadable reply, or an error of the socket.
pub(crate) fn serve(arguments: &[OsString]) -> io::Result<()> {
    let [reply_file, media_type] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
    let reply = Bytes::from(fs::read(reply_file)?);
    let media_type = media_type.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    let media_type = HeaderValue::from_str(media_type).map_err(io::Error::other)?;
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let (reply, media_type) = (reply.clone(), media_type.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (reply, media_type) = (reply.clone(), media_type.clone());
                async move {
                    // A client that goes in the middle of a request gets no answer anyway.
                    let _ = request.into_body().collect().await;
                    let mut response = Response::new(Full::new(reply));
                    response.headers_mut().insert(CONTENT_TYPE, media_type);
                    Ok::<_, Infallible>(response)
                }
            });
            spawn_local(async move {
                // Clients close their connections when they like.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}
