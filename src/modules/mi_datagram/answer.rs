//! Answers one request: chooses its protocol by the first byte, and fits the reply into a datagram.
//!
//! C: `mi_datagram_server` in datagram_fnc.c, from the received bytes to the written tree, of 1.11 and of
//! 3.4.

use std::borrow::Borrow;
use std::fmt;
use std::os::unix::fs::MetadataExt;

use crate::mi::{self, COMMAND_NOT_AVAILABLE, Caller, Context, Generation, Progress, Status, StoredReply};
use crate::shm::pending::AnsweredReply;
use crate::system::datagram::Peer;
use crate::system::time_slice::{Step, TimeSpent};
use crate::wire::text::{TextAnswerer, TextFraming, TextOutcome, UnfinishedText, split_command};
use crate::wire::{Datagram, Output, PieceWriter, json_rpc, too_large};

/// The most bytes of a request that are logged.
const SHOWN_BYTES: usize = 40;

/// Answers requests. Reuses its buffers from one request to the next.
#[derive(Debug)]
pub(super) struct DatagramAnswerer<'a> {
    context: &'a Context,
    text: TextAnswerer<'a>,
    json_rpc: json_rpc::JsonRpcAnswerer,
    reply: Datagram,
}

/// A client in log lines: its address and, when that is a path, the owner of the socket there.
struct LoggedPeer<P>(P);

impl<P: Borrow<Peer>> fmt::Display for LoggedPeer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.0.borrow();
        match peer.path().and_then(|path| path.symlink_metadata().ok()) {
            Some(file) => write!(f, "{peer} (uid {})", file.uid()),
            None => write!(f, "{peer}"),
        }
    }
}

impl<P: Borrow<Peer>> mi::PeerName for LoggedPeer<P> {
    fn to_boxed(&self) -> Box<dyn mi::PeerName> {
        Box::new(LoggedPeer(*self.0.borrow()))
    }
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum DatagramOutcome<'a> {
    Complete {
        /// The reply; empty when the request gets none.
        bytes: &'a [u8],
        /// The reply reports an error.
        is_error: bool,
    },
    /// The number of a deferred reply.
    Deferred(u64),
    /// The time slice of the request is over, and there is more to do.
    Unfinished(Box<UnfinishedDatagram>),
}

/// A request that takes several time slices.
#[derive(Debug)]
pub(super) struct UnfinishedDatagram {
    work: UnfinishedWork,
    /// The first bytes of the request, for the log.
    shown: Vec<u8>,
    spent: TimeSpent,
    /// What is written of the reply.
    reply: Datagram,
}

/// What is left to do for a request.
#[derive(Debug)]
enum UnfinishedWork {
    Text(Box<UnfinishedText>),
    JsonRpc(Box<json_rpc::UnfinishedReplies>),
}

impl UnfinishedWork {
    fn writer(&mut self) -> &mut dyn PieceWriter<Datagram> {
        match self {
            UnfinishedWork::Text(work) => &mut **work,
            UnfinishedWork::JsonRpc(work) => &mut **work,
        }
    }

    fn generation(&self) -> Generation {
        match self {
            UnfinishedWork::Text(_) => Generation::Classic,
            UnfinishedWork::JsonRpc(_) => Generation::JsonRpc,
        }
    }
}

/// What became of a request, in either protocol.
struct RequestOutcome {
    is_error: bool,
    unfinished: Option<UnfinishedWork>,
    deferred: Option<u64>,
}

impl From<TextOutcome> for RequestOutcome {
    fn from(outcome: TextOutcome) -> RequestOutcome {
        let TextOutcome { is_error, unfinished, deferred } = outcome;
        let unfinished = unfinished.map(|work| UnfinishedWork::Text(Box::new(work)));
        RequestOutcome { is_error, unfinished, deferred }
    }
}

impl From<json_rpc::JsonRpcOutcome> for RequestOutcome {
    fn from(outcome: json_rpc::JsonRpcOutcome) -> RequestOutcome {
        let json_rpc::JsonRpcOutcome { is_error, unfinished, deferred } = outcome;
        let unfinished = unfinished.map(|work| UnfinishedWork::JsonRpc(Box::new(work)));
        RequestOutcome { is_error, unfinished, deferred }
    }
}

impl<'a> DatagramAnswerer<'a> {
    pub(super) fn new(context: &'a Context, indent: &'a [u8]) -> DatagramAnswerer<'a> {
        DatagramAnswerer {
            context,
            text: TextAnswerer::new(indent, TextFraming::Datagram),
            json_rpc: json_rpc::JsonRpcAnswerer::default(),
            reply: Datagram::new(),
        }
    }

    /// Answers a request. `length` is that of the datagram before it was cut to the buffer.
    pub(super) fn answer(&mut self, request: &[u8], length: usize, peer: &Peer) -> DatagramOutcome<'_> {
        let peer_name = LoggedPeer(peer);
        let caller = Caller { transport: "mi_datagram", peer: &peer_name, address: peer.as_bytes() };
        self.reply.clear();
        let generation = self.generation(request);
        let outcome = match generation {
            _ if length > request.len() => {
                self.write_error(generation, &too_large("request", length), request)
            }
            Generation::Classic => match split_command(request) {
                Ok((command, params)) => {
                    self.text.answer(self.context, command, params, caller, &mut self.reply).into()
                }
                Err(_) => self.write_error(generation, &COMMAND_NOT_AVAILABLE, request),
            },
            Generation::JsonRpc => {
                self.json_rpc.answer(self.context, request, caller, &mut self.reply).into()
            }
        };
        self.complete_or_continue(outcome, generation, request)
    }

    /// Writes a deferred reply.
    pub(super) fn write_deferred(&mut self, answered: &AnsweredReply) -> DatagramOutcome<'_> {
        self.reply.clear();
        let AnsweredReply { command, envelope, .. } = answered;
        let reply = StoredReply::from_bytes(&answered.answer);
        // The envelope of a JSON-RPC request is its id.
        let (generation, outcome) = if envelope.is_empty() {
            (Generation::Classic, self.text.write_deferred(command, reply, &mut self.reply).into())
        } else {
            (Generation::JsonRpc, json_rpc::write_deferred(envelope, reply, &mut self.reply).into())
        };
        self.complete_or_continue(outcome, generation, command)
    }

    /// Ends a request whose reply is written, and gives another one its first time slice.
    fn complete_or_continue(
        &mut self,
        outcome: RequestOutcome,
        generation: Generation,
        request: &[u8],
    ) -> DatagramOutcome<'_> {
        match outcome {
            RequestOutcome { deferred: Some(number), .. } => DatagramOutcome::Deferred(number),
            RequestOutcome { unfinished: Some(work), .. } => {
                let shown = request[..request.len().min(SHOWN_BYTES)].to_vec();
                let (spent, reply) = (TimeSpent::default(), std::mem::take(&mut self.reply));
                self.continue_request(Box::new(UnfinishedDatagram { work, shown, spent, reply }))
            }
            RequestOutcome { is_error, .. } => {
                let is_error = self.refuse_too_long(generation, request) || is_error;
                DatagramOutcome::Complete { bytes: self.reply.bytes().unwrap_or_default(), is_error }
            }
        }
    }

    /// Gives an unfinished request a time slice.
    pub(super) fn continue_request(
        &mut self,
        mut unfinished: Box<UnfinishedDatagram>,
    ) -> DatagramOutcome<'_> {
        let UnfinishedDatagram { work, shown, spent, reply } = &mut *unfinished;
        let step = spent.slice(|spent| match work.writer().write_piece(self.context, reply, spent) {
            Progress::More => Step::More,
            Progress::Done => Step::Done,
        });
        if step == Step::More {
            return DatagramOutcome::Unfinished(unfinished);
        }
        self.reply = std::mem::take(reply);
        let is_error = self.refuse_too_long(work.generation(), shown) || work.writer().is_error();
        DatagramOutcome::Complete { bytes: self.reply.bytes().unwrap_or_default(), is_error }
    }

    /// Ends an unfinished request now: the error replaces what is not written of the reply.
    pub(super) fn abort(&mut self, mut unfinished: UnfinishedDatagram, status: &Status) -> &[u8] {
        self.reply = std::mem::take(&mut unfinished.reply);
        match &mut unfinished.work {
            UnfinishedWork::Text(work) => work.abort(status, &mut self.reply),
            UnfinishedWork::JsonRpc(work) => work.abort(self.context, status, &mut self.reply),
        }
        self.refuse_too_long(unfinished.work.generation(), &unfinished.shown);
        self.reply.bytes().unwrap_or_default()
    }

    /// Answers a request with an error, without running it.
    pub(super) fn refuse(&mut self, request: &[u8], status: &Status) -> &[u8] {
        self.reply.clear();
        let generation = self.generation(request);
        match generation {
            Generation::Classic => _ = self.write_error(generation, status, request),
            Generation::JsonRpc => {
                self.json_rpc.refuse(self.context, request, status, &mut self.reply);
                self.refuse_too_long(generation, request);
            }
        }
        self.reply.bytes().unwrap_or_default()
    }

    /// The protocol of a request. A request that begins as neither is answered in the protocol of the one
    /// before.
    fn generation(&self, request: &[u8]) -> Generation {
        let header = self.context.segment.header();
        let is_json = match request {
            [b':', ..] => false,
            _ if json_rpc::is_json(request) => true,
            _ => header.spoke_json(),
        };
        header.set_spoke_json(is_json);
        if is_json { Generation::JsonRpc } else { Generation::Classic }
    }

    /// Replaces a reply that is longer than a datagram by an error, and returns true then. The replies of a
    /// batch may each fit a datagram, but not together.
    fn refuse_too_long(&mut self, generation: Generation, request: &[u8]) -> bool {
        let Some(length) = self.reply.excess() else { return false };
        self.reply.clear();
        self.write_error(generation, &too_large("reply", length), request).is_error
    }

    /// Writes an error into the empty reply.
    fn write_error(&mut self, generation: Generation, status: &Status, request: &[u8]) -> RequestOutcome {
        let shown = &request[..request.len().min(SHOWN_BYTES)];
        log::debug!("{} {}: {}", status.code, status.reason, shown.escape_ascii());
        match generation {
            Generation::Classic => self.text.write_error(status, &mut self.reply).into(),
            Generation::JsonRpc => json_rpc::write_error(status, &mut self.reply).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::testing::context;

    fn answer(request: &[u8], length: usize) -> String {
        let mut context = context();
        for module in crate::modules::ALWAYS {
            context.commands.add(module.name, module.commands).unwrap();
        }
        let mut answerer = DatagramAnswerer::new(&context, b"\t");
        let DatagramOutcome::Complete { bytes, is_error } = answerer.answer(request, length, &Peer::new())
        else {
            panic!("not complete at once");
        };
        let is_good = bytes.starts_with(b"200") || bytes.starts_with(b"{\"jsonrpc\":\"2.0\",\"result");
        assert_eq!(is_error, !is_good);
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn a_command_is_looked_up_before_its_parameters_are_decoded() {
        assert_eq!(answer(b":nope:\n\"bad\n", 12), "500 command not available\n");
        assert_eq!(answer(b":debug:\n\"bad\n", 13), "400 parse error in command\n");
        assert_eq!(
            answer(b":ps:\n\"bad\n", 10),
            "200 OK\nProcess::  ID=0 PID=0 Type=attendant\nProcess::  ID=1 PID=0 Type=MI Datagram\n"
        );
    }

    #[test]
    fn the_first_byte_selects_the_protocol() {
        let pwd = r#"{"jsonrpc":"2.0","id":1,"method":"nope"}"#.as_bytes();
        assert!(answer(pwd, pwd.len()).starts_with("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601"));
        assert_eq!(answer(b"hello", 5), "500 command not available\n");
        let mut context = context();
        context.commands.add("core", crate::modules::ALWAYS[1].commands).unwrap();
        let mut answerer = DatagramAnswerer::new(&context, b"\t");
        let mut begins = |request: &[u8]| match answerer.answer(request, request.len(), &Peer::new()) {
            DatagramOutcome::Complete { bytes, .. } => bytes.first().copied(),
            other => panic!("{other:?}"),
        };
        let asked = [&b"hello"[..], pwd, b"hello", b":nope:\n", b"hello"].map(&mut begins);
        assert_eq!(asked, [Some(b'5'), Some(b'{'), Some(b'{'), Some(b'5'), Some(b'5')]);
        assert_eq!(begins(br#"{"jsonrpc":"2.0","method":"nope"}"#), None, "a notification");
    }

    #[test]
    fn a_cut_request_is_refused_with_its_length() {
        assert_eq!(answer(b":debug:\n1", 70_000), "500 request too large: 70000 bytes, limit 65457\n");
        assert_eq!(
            answer(b"{\"jsonrpc", 70_000),
            "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":500,\
             \"message\":\"request too large: 70000 bytes, limit 65457\"},\"id\":null}"
        );
    }

    #[test]
    fn an_error_of_a_command_is_one_line() {
        assert_eq!(answer(b":help:\nnope\n", 12), "404 unknown MI command\n");
        assert_eq!(answer(b":debug:\n5\n", 10), "200 OK\nDEBUG:: 5\n");
    }
}
