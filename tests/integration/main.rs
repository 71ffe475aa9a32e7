//! Tests of the built program, from outside: it is started, configured, asked, killed. One file per concern.
//! Nothing here calls the library.
//!
//! `support/setup.rs` tells how to run them against another server.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

/// Daemon mode, pid files, a second start.
mod boot;
/// Modules written in C.
mod c_modules;
/// Modules written in C that run processes of their own, timers, and events.
mod c_processes;
/// The command line.
mod cli;
/// Configuration files: what is refused, what is accepted, and how errors look.
mod config;
/// What `-c` finds beyond the configuration, and paths that do not begin at the root.
mod config_places;
/// UNIX datagrams: every kind of client, every size.
mod datagram;
/// Deferred replies, given by other processes.
mod deferred;
/// Events, their subscribers, and the datagrams that reach them.
mod events;
/// Requests by a FIFO: framing, reply FIFOs, readers that stop or never come, kills.
mod fifo;
/// More replies than there is room for.
mod fifo_crowd;
/// Requests in one stream that do not end, or come mixed.
mod fifo_framing;
/// Replies that wait for their clients when their process is killed.
mod fifo_killed;
/// The recorded replies under tests/golden.
mod golden;
/// The recorded JSON-RPC replies over HTTP.
mod golden_http;
/// The recorded JSON-RPC replies.
mod golden_json;
/// The HTTP listener: every kind of request, and a status with a complete body for each.
mod http;
/// Clients of HTTP that people have: Python, Perl, Ruby, C++, curl.
mod http_clients;
/// What is served over HTTP, each dialect by a client of its own.
mod http_doors;
/// The HTTP listener under clients that say nothing, vanish, or do not read.
mod http_load;
/// Clients that people have: opensipsunix, Python, socat.
mod interop;
/// Clients that stop, of all kinds at once, beside many that go on.
mod isolation;
/// Every byte that a client can send, in the log.
mod log_bytes;
/// What clients cause in the log, and how much of it.
mod log_lines;
/// Where the log goes, when nobody reads it.
mod log_output;
/// What systemd is told.
mod notify;
/// opensips-cli and opensips-mi of OpenSIPS 3.x, when they can be installed.
mod opensips_cli;
/// The real opensipsctl, when it is there.
mod opensipsctl;
/// The real osipsconsole, when it is there.
mod osipsconsole;
/// Files and locks that others have prepared, and folders that are closed.
mod own_files;
/// Clients that never read their replies.
mod parked;
/// The socket file: mode, owner, and what stood there before.
mod permissions;
/// State that survives the end of all processes.
mod persistency;
/// The commands that the README shows.
mod readme;
/// Cache systems on real Redis servers: values, time limits, loss and return.
#[cfg(feature = "redis")]
mod redis;
/// Programs and scripts, run from outside.
mod scripted;
/// The init script and the install script.
mod scripts;
/// A full shared memory, and the share of each kind of state.
mod shares;
/// What the system gives a server: open files and memory.
mod start_limits;
/// A killed worker or attendant, signals, a deleted socket, the end.
mod supervision;
/// The most expensive request of each command beside another client.
mod time_slices;
/// Kills under load, at the start and at the end.
mod torture;
/// UDP over IPv4 and IPv6.
mod udp;
/// Replies that nobody reads, over all clients.
mod unread;
/// Contacts of users: many clients at once, the end of contacts, a full table, several tables.
mod usrloc;
