//! What every integration test shares: a server with a folder of its own, clients, and what to look at.
//! Holds no test and no assertion about the behaviour of a command.

mod client;
mod compare;
mod fifo;
mod folder;
pub(crate) mod heavy;
mod http;
mod ports;
mod process;
mod ps;
mod python;
mod server;
mod setup;
mod skip;
mod stretch;
pub(crate) mod unread;
mod wait;

pub(crate) use client::{Client, Kind};
pub(crate) use compare::{assert_same, shown};
pub(crate) use fifo::{FifoClient, make_fifo, open_reader, write_to};
pub(crate) use folder::Folder;
pub(crate) use http::{Http, json_rpc, post};
pub(crate) use ports::{free_tcp_port, free_udp_port, has_ipv6};
pub(crate) use process::{Signal, children_of, is_alive, memory_of, send, user_of};
pub(crate) use ps::{Process, parse_ps};
pub(crate) use python::python_clients;
pub(crate) use server::Server;
pub(crate) use setup::{Endpoint, Outcome, Setup};
pub(crate) use skip::skip;
pub(crate) use stretch::longest_stretch;
pub(crate) use wait::{DEADLINE, StopOnDrop, median, wait_for, within};

/// A request that every server answers at once.
pub(crate) const VERSION: &[u8] = b":version:\n";

/// A request whose reply is the same on every server, [`HELP_REPLY`].
pub(crate) const HELP: &[u8] = b":help:\nps\n";

/// The reply to [`HELP`].
pub(crate) const HELP_REPLY: &[u8] =
    b"200 OK\nHelp:: lists all processes used by OpenSIPS\nExported by:: core\n";

/// Largest request and largest reply, in bytes. C: `DATAGRAM_SOCK_BUF_SIZE`.
pub(crate) const MAX_DATAGRAM_BYTES: usize = 65_457;
