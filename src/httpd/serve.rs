//! Runs a worker process: accepts connections, serves them, enforces their deadlines, and drains them at the
//! end.
//!
//! C: `httpd_proc` in httpd_proc.c.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::ListenerConfig;
use super::access_log::AccessLogWriter;
use super::connection::{Activity, Closing, TICK};
use super::connection_io::ConnectionIo;
use super::deferred;
use super::exchange::{self, RequestOrigin};
use super::host::AllowedHosts;
use super::worker::{BUFFER_BYTES, HttpWorker, OpenConnection};
use crate::module::{OpenError, Process, TransportCounter};
use crate::system::{process, signal, tcp};
use crate::wire::http::Routes;

/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Pause after a failed accept, so that a lasting error does not use up a core.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long a stopping worker goes on with the requests that it has received.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// Serves until the process is to stop, then answers the requests that have arrived.
pub(super) fn serve(
    process: &Process<'_>,
    config: &ListenerConfig,
    listener: TcpListener,
    routes: Routes,
    access_log: Option<AccessLogWriter>,
    hosts: AllowedHosts,
) -> Result<(), OpenError> {
    let stop_signal = signal::wake_up()?;
    let descriptors = process::open_files()?;
    let worker = Rc::new(HttpWorker::new(process, config, routes, access_log, hosts, descriptors)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let stop_signal = UnixStream::from_std(stop_signal)?;
        if let Some(notifier) = worker.deferred.notifier()? {
            let worker = Rc::clone(&worker);
            spawn_local(async move {
                if let Err(error) = worker.deferred.listen(notifier).await {
                    log::error!(target: worker.module, "deferred replies are lost: {error}");
                }
            });
        }
        process.set_ready();
        let accepting = spawn_local(accept(Rc::clone(&worker), listener));
        spawn_local(watch_deadlines(Rc::clone(&worker)));
        while !process.should_stop() {
            stop_signal.readable().await?;
            let _drained = stop_signal.try_read(&mut [0; 64]);
        }
        accepting.abort();
        drain(&worker).await;
        Ok(())
    })
}

/// The accept loop.
async fn accept(worker: Rc<HttpWorker>, listener: tokio::net::TcpListener) {
    let mut next_number = 0;
    loop {
        while worker.is_full() {
            // Requests that came with the newest connections are answered before one is closed.
            yield_now().await;
            yield_now().await;
            if worker.is_full() {
                worker.evict_connection();
                // A client that is not slow yet may be slow at the next tick.
                let _notified = timeout(TICK, worker.connections_changed.notified()).await;
            }
        }
        match listener.accept().await {
            Ok((stream, client)) => {
                worker.counters.count(TransportCounter::Connections);
                // The connection counts before its task runs, as many may wait to be accepted.
                let activity = Rc::new(Activity::new(&worker.clock));
                let stream = Rc::new(stream);
                let connection =
                    OpenConnection { activity: Rc::clone(&activity), stream: Rc::clone(&stream) };
                worker.connections.borrow_mut().insert(next_number, connection);
                worker.connections_changed.notify_waiters();
                let client = client.ip();
                spawn_local(serve_connection(Rc::clone(&worker), stream, client, next_number, activity));
                next_number += 1;
            }
            // The client has closed the connection before it was accepted.
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                worker.warnings.accept_failed.borrow_mut().warn(format_args!(
                    "cannot accept a connection: {error}; raise open_files_limit if that stays"
                ));
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Serves one connection until it is closed.
async fn serve_connection(
    worker: Rc<HttpWorker>,
    stream: Rc<TcpStream>,
    client: IpAddr,
    number: u64,
    activity: Rc<Activity>,
) {
    // A connection whose local address is unknown counts as one to loopback, where fewer host names are
    // allowed.
    let is_loopback = stream.local_addr().map_or(true, |local| local.ip().to_canonical().is_loopback());
    let origin = RequestOrigin { client, is_loopback };
    let io = ConnectionIo::new(Rc::clone(&worker), Rc::clone(&stream), Rc::clone(&activity));
    let service =
        service_fn(|request| exchange::answer(Rc::clone(&worker), Rc::clone(&activity), origin, request));
    let connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(MAX_HEAD_BYTES)
        .title_case_headers(true)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut is_shutting_down = false;
    poll_fn(|cx| {
        match activity.poll_closing(cx) {
            Closing::No => {}
            Closing::Graceful if is_shutting_down => {}
            Closing::Graceful => {
                is_shutting_down = true;
                connection.as_mut().graceful_shutdown();
            }
            Closing::TimedOut | Closing::Evicted | Closing::ClientGone => return Poll::Ready(()),
        }
        connection.as_mut().poll(cx).map(|ended| {
            if let Err(error) = ended {
                // hyper itself answers what is not HTTP, so `exchange` does not count it.
                if error.is_parse() {
                    worker.count_request(true);
                }
                log::debug!(target: worker.module, "a connection has ended: {error}");
            }
        })
    })
    .await;
    if activity.closing() == Closing::TimedOut
        && activity.is_blocked()
        && let Err(error) = tcp::discard_unsent(&stream)
    {
        log::debug!(target: worker.module, "cannot discard the unsent bytes of a connection: {error}");
    }
    worker.count_head(&activity, 0);
    worker.connections.borrow_mut().remove(&number);
    worker.connections_changed.notify_waiters();
}

/// Advances the clock and closes the connections whose clients take too long.
async fn watch_deadlines(worker: Rc<HttpWorker>) {
    loop {
        while worker.connections.borrow().is_empty() {
            worker.connections_changed.notified().await;
        }
        // Also before the first request after a time without connections.
        if let Some(log) = &worker.access_log {
            log.reopen_if_moved();
        }
        sleep(TICK).await;
        worker.clock.set(worker.clock.get().wrapping_add(1));
        // With the time more clients become slow, which makes room for the waiting tasks.
        worker.memory.wake_all();
        worker.trim_memory();
        let connections = worker.connections.borrow();
        let mut open_sockets = None;
        for OpenConnection { activity, stream } in connections.values() {
            if activity.closing() != Closing::No {
                continue;
            }
            if activity.is_deferred().get() && deferred::has_left(stream, &mut open_sockets) {
                worker.count_dropped_reply();
                activity.close(Closing::ClientGone);
                continue;
            }
            if activity.is_blocked()
                && let Ok(bytes) = tcp::unsent(stream)
            {
                activity.note_unsent(bytes);
            }
            if !activity.is_late() {
                continue;
            }
            if !activity.is_idle() {
                worker.counters.count(TransportCounter::Timeouts);
                let mut slow_client = worker.warnings.slow_client.borrow_mut();
                slow_client.warn(format_args!("a connection is closed: its client sends or reads nothing"));
            }
            activity.close(Closing::TimedOut);
        }
    }
}

/// Answers the requests that have arrived, gives replies a last time to leave, and closes idle connections.
async fn drain(worker: &HttpWorker) {
    let deadline = Instant::now() + DRAIN_TIME;
    // Bytes that have arrived are read in the next turn of the tasks and answered in the one after that.
    yield_now().await;
    yield_now().await;
    for connection in worker.connections.borrow().values() {
        connection.activity.close(Closing::Graceful);
    }
    while !worker.connections.borrow().is_empty() {
        if timeout_at(deadline, worker.connections_changed.notified()).await.is_err() {
            return;
        }
    }
}
