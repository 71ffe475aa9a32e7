//! One request in, one reply out.
//!
//! C: `mi_datagram_server` in datagram_fnc.c, from the received bytes to the written tree, of 1.11 and of 3.4: the
//! first byte says which of the two is asked.

use std::borrow::Borrow;
use std::fmt;
use std::os::unix::fs::MetadataExt;

use crate::mi::{
    self, COMMAND_NOT_AVAILABLE, Caller, CommandOutcome, Context, Generation, PARSE_ERROR, Params, Progress,
    Rest, Status, StoredReply,
};
use crate::shm::pending::AnsweredReply;
use crate::system::datagram::Peer;
use crate::system::time_slice::{Step, TimeSpent};
use crate::wire::text::{self, Encoder, Refused, State, split_command};
use crate::wire::{Datagram, Output, PieceWriter, json_rpc, too_large};

/// How much of a refused request the log shows, in bytes.
const SHOWN_BYTES: usize = 40;

/// What answering needs and reuses.
#[derive(Debug)]
pub(super) struct Answerer<'a> {
    context: &'a Context,
    indent: &'a [u8],
    params: Params,
    json_rpc: json_rpc::JsonRpcAnswerer,
    reply: Datagram,
}

/// A client, as the log shows it: its address and, where that is a path, the user whose socket is there.
struct Sender<P>(P);

impl<P: Borrow<Peer>> fmt::Display for Sender<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.0.borrow();
        match peer.path().and_then(|path| path.symlink_metadata().ok()) {
            Some(file) => write!(f, "{peer} (uid {})", file.uid()),
            None => write!(f, "{peer}"),
        }
    }
}

impl<P: Borrow<Peer>> mi::PeerName for Sender<P> {
    fn to_boxed(&self) -> Box<dyn mi::PeerName> {
        Box::new(Sender(*self.0.borrow()))
    }
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    Whole {
        /// The reply; empty when none is wanted.
        bytes: &'a [u8],
        /// Whether it says that something went wrong.
        is_error: bool,
    },
    /// The reply comes later, under that number.
    Later(u64),
    /// The time slice of the request is over, and there is more to do.
    Unfinished(Box<Unfinished>),
}

/// A request that takes several time slices, with what is written of its reply.
#[derive(Debug)]
pub(super) struct Unfinished {
    work: Box<Work>,
    /// The beginning of the request, for the log.
    shown: Vec<u8>,
    spent: TimeSpent,
    reply: Datagram,
}

/// What is left to do for a request.
#[derive(Debug)]
enum Work {
    Text(text::Unfinished),
    JsonRpc(json_rpc::UnfinishedReplies),
}

impl Work {
    fn pieces(&mut self) -> &mut dyn PieceWriter<Datagram> {
        match self {
            Work::Text(work) => work,
            Work::JsonRpc(work) => work,
        }
    }
}

/// What is known of a reply before its last piece.
enum Begun {
    /// It is whole. True when it is an error.
    Whole(bool),
    Later(u64),
    Unfinished(Box<Work>),
}

impl<'a> Answerer<'a> {
    pub(super) fn new(context: &'a Context, indent: &'a [u8]) -> Answerer<'a> {
        Answerer {
            context,
            indent,
            params: Params::new(),
            json_rpc: json_rpc::JsonRpcAnswerer::default(),
            reply: Datagram::new(),
        }
    }

    /// Answers a request, which was `length` bytes long before it was cut to fit the buffer.
    pub(super) fn answer(&mut self, request: &[u8], length: usize, peer: &Peer) -> Answer<'_> {
        let shown = Sender(peer);
        let caller = Caller { transport: "mi_datagram", peer: &shown, address: peer.as_bytes() };
        let is_cut = length > request.len();
        self.reply.clear();
        let begun = match self.generation(request) {
            Generation::Classic if is_cut => {
                Begun::Whole(self.refuse(request, &too_large("request", length)))
            }
            Generation::Classic => {
                let begun = self.run(request, caller);
                begun.unwrap_or_else(|status| Begun::Whole(self.refuse(request, &status)))
            }
            Generation::JsonRpc if is_cut => {
                Begun::Whole(json_rpc::write_error(&too_large("request", length), &mut self.reply).is_error)
            }
            Generation::JsonRpc => {
                begun_json_rpc(self.json_rpc.answer(self.context, request, caller, &mut self.reply))
            }
        };
        self.go_on_with(begun, request)
    }

    /// Writes a reply that has come later.
    pub(super) fn tell(&mut self, answered: &AnsweredReply) -> Answer<'_> {
        self.reply.clear();
        let told = StoredReply::from_bytes(&answered.answer);
        let begun = if answered.envelope.is_empty() {
            let mut encoder = Encoder::new(&mut self.reply, self.indent);
            match told.write(&mut encoder) {
                Ok(rest) => {
                    let state = encoder.state();
                    self.begun_text(rest, state, &answered.command)
                }
                Err(status) => Begun::Whole(self.refuse(&answered.command, &status)),
            }
        } else {
            begun_json_rpc(json_rpc::write_deferred(&answered.envelope, told, &mut self.reply))
        };
        self.go_on_with(begun, &answered.command)
    }

    /// Gives a reply that was begun its first time slice.
    fn go_on_with(&mut self, begun: Begun, request: &[u8]) -> Answer<'_> {
        match begun {
            Begun::Whole(is_error) => {
                Answer::Whole { bytes: self.reply.bytes().unwrap_or_default(), is_error }
            }
            Begun::Later(number) => Answer::Later(number),
            Begun::Unfinished(work) => {
                let shown = request[..request.len().min(SHOWN_BYTES)].to_vec();
                let (spent, reply) = (TimeSpent::default(), std::mem::take(&mut self.reply));
                self.go_on(Box::new(Unfinished { work, shown, spent, reply }))
            }
        }
    }

    /// Gives an unfinished request a time slice.
    pub(super) fn go_on(&mut self, mut unfinished: Box<Unfinished>) -> Answer<'_> {
        let Unfinished { work, shown, spent, reply } = &mut *unfinished;
        let step = spent.slice(|spent| match work.pieces().write_piece(self.context, reply, spent) {
            Progress::More => Step::More,
            Progress::Done => Step::Done,
        });
        if step == Step::More {
            return Answer::Unfinished(unfinished);
        }
        self.reply = std::mem::take(reply);
        let is_too_long = match **work {
            Work::Text(_) => self.fits(shown),
            Work::JsonRpc(_) => self.fits_json_rpc(),
        };
        let is_error = is_too_long || work.pieces().is_error();
        Answer::Whole { bytes: self.reply.bytes().unwrap_or_default(), is_error }
    }

    /// Ends an unfinished request now: an error stands in the place of what is not made.
    pub(super) fn give_up(&mut self, mut unfinished: Unfinished, status: &Status) -> &[u8] {
        self.reply = std::mem::take(&mut unfinished.reply);
        match &mut *unfinished.work {
            Work::Text(work) => work.give_up(status, &mut self.reply),
            Work::JsonRpc(work) => {
                work.abort(self.context, status, &mut self.reply);
                self.fits_json_rpc();
            }
        }
        self.reply.bytes().unwrap_or_default()
    }

    /// Answers a request that is not run with an error.
    pub(super) fn refuse_unread(&mut self, request: &[u8], status: &Status) -> &[u8] {
        self.reply.clear();
        match self.generation(request) {
            Generation::Classic => {
                self.refuse(request, status);
            }
            Generation::JsonRpc => {
                self.json_rpc.refuse(self.context, request, status, &mut self.reply);
                self.fits_json_rpc();
            }
        }
        self.reply.bytes().unwrap_or_default()
    }

    /// Who begins neither as the one nor as the other does has made a mistake, and is told so in the protocol of the
    /// request before it.
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

    fn run(&mut self, request: &[u8], caller: Caller<'_>) -> Result<Begun, Status> {
        let (name, text) = split_command(request).map_err(|_| COMMAND_NOT_AVAILABLE)?;
        let entry = self.context.commands.find(name, Generation::Classic).ok_or(COMMAND_NOT_AVAILABLE)?;
        let mut encoder = Encoder::new(&mut self.reply, self.indent);
        let outcome = text::run(entry, text, self.context, &mut self.params, &mut encoder, caller);
        let outcome = outcome.map_err(|refused| match refused {
            Refused::Parse => PARSE_ERROR,
            Refused::Command(status) => status,
        })?;
        let state = encoder.state();
        Ok(match outcome {
            CommandOutcome::Replied(rest) => self.begun_text(rest, state, request),
            CommandOutcome::Deferred(number) => Begun::Later(number),
        })
    }

    /// Ends a reply in text that was left in `state`, unless there is more to come.
    fn begun_text(&mut self, rest: Option<Rest>, state: State, request: &[u8]) -> Begun {
        if let Some(rest) = rest {
            let pieces = text::Unfinished::new(rest, state, self.indent, b"");
            return Begun::Unfinished(Box::new(Work::Text(pieces)));
        }
        Encoder::resume(&mut self.reply, self.indent, state).finish();
        Begun::Whole(self.fits(request))
    }

    /// Whether a reply in text is too long; then an error stands there.
    fn fits(&mut self, request: &[u8]) -> bool {
        self.reply.excess().is_some_and(|length| self.refuse(request, &too_large("reply", length)))
    }

    /// Puts an error in the place of the reply. Always true.
    fn refuse(&mut self, request: &[u8], status: &Status) -> bool {
        let shown = &request[..request.len().min(SHOWN_BYTES)];
        log::debug!("{} {}: {}", status.code, status.reason, shown.escape_ascii());
        self.reply.clear();
        Encoder::new(&mut self.reply, self.indent).fail(status)
    }

    /// Whether a reply in JSON is too long, as one of a batch whose replies fit one by one, but not together; then an
    /// error stands there.
    fn fits_json_rpc(&mut self) -> bool {
        let Some(length) = self.reply.excess() else { return false };
        self.reply.clear();
        json_rpc::write_error(&too_large("reply", length), &mut self.reply).is_error
    }
}

fn begun_json_rpc(answer: json_rpc::JsonRpcOutcome) -> Begun {
    let json_rpc::JsonRpcOutcome { is_error, unfinished, deferred } = answer;
    match (unfinished, deferred) {
        (_, Some(number)) => Begun::Later(number),
        (Some(unfinished), None) => Begun::Unfinished(Box::new(Work::JsonRpc(unfinished))),
        (None, None) => Begun::Whole(is_error),
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
        let mut answerer = Answerer::new(&context, b"\t");
        let Answer::Whole { bytes, is_error } = answerer.answer(request, length, &Peer::new()) else {
            panic!("not whole at once");
        };
        let is_good = bytes.starts_with(b"200") || bytes.starts_with(b"{\"jsonrpc\":\"2.0\",\"result");
        assert_eq!(is_error, !is_good);
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn a_command_is_looked_up_before_its_parameters_are_parsed() {
        assert_eq!(answer(b":nope:\n\"bad\n", 12), "500 command not available\n");
        assert_eq!(answer(b":debug:\n\"bad\n", 13), "400 parse error in command\n");
        assert_eq!(
            answer(b":ps:\n\"bad\n", 10),
            "200 OK\nProcess::  ID=0 PID=0 Type=attendant\nProcess::  ID=1 PID=0 Type=MI Datagram\n"
        );
    }

    #[test]
    fn the_first_byte_says_which_protocol_it_is() {
        let pwd = r#"{"jsonrpc":"2.0","id":1,"method":"nope"}"#.as_bytes();
        assert!(answer(pwd, pwd.len()).starts_with("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601"));
        assert_eq!(answer(b"hello", 5), "500 command not available\n");
        let mut context = context();
        context.commands.add("core", crate::modules::ALWAYS[1].commands).unwrap();
        let mut answerer = Answerer::new(&context, b"\t");
        let mut begins = |request: &[u8]| match answerer.answer(request, request.len(), &Peer::new()) {
            Answer::Whole { bytes, .. } => bytes.first().copied(),
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
    fn an_error_of_a_command_stands_alone() {
        assert_eq!(answer(b":help:\nnope\n", 12), "404 unknown MI command\n");
        assert_eq!(answer(b":debug:\n5\n", 10), "200 OK\nDEBUG:: 5\n");
    }
}
