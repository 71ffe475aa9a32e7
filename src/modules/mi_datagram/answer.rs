//! One request in, one reply out.
//!
//! C: `mi_datagram_server` in datagram_fnc.c, from the received bytes to the written tree, of 1.11 and of 3.4: the
//! first byte says which of the two is asked.

use crate::mi::{
    COMMAND_NOT_AVAILABLE, Caller, Context, Fault, Generation, Outcome, PARSE_ERROR, Params, Progress, Rest,
    Told,
};
use crate::shm::pending::Due;
use crate::wire::text::{self, Encoder, Refused, split_command};
use crate::wire::{Datagram, Output, Pieces, json_rpc, too_large};

/// How much of a refused request the log shows, in bytes.
const SHOWN_BYTES: usize = 40;

/// What answering needs and reuses.
#[derive(Debug)]
pub(super) struct Answerer<'a> {
    context: &'a Context,
    indent: &'a [u8],
    params: Params,
    json_rpc: json_rpc::Answerer,
    reply: Datagram,
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// The reply, whole; empty when none is wanted.
    pub(super) bytes: &'a [u8],
    /// Whether it says that something went wrong.
    pub(super) is_error: bool,
    /// The number of a reply that comes later.
    pub(super) later: Option<u64>,
}

impl<'a> Answerer<'a> {
    pub(super) fn new(context: &'a Context, indent: &'a [u8]) -> Answerer<'a> {
        Answerer {
            context,
            indent,
            params: Params::new(),
            json_rpc: json_rpc::Answerer::default(),
            reply: Datagram::new(),
        }
    }

    /// Answers a request, which was `length` bytes long before it was cut to fit the buffer. `address` is the client's.
    pub(super) fn answer(&mut self, request: &[u8], length: usize, address: &[u8]) -> Answer<'_> {
        let is_cut = length > request.len();
        self.reply.clear();
        let mut later = None;
        let is_error = match self.generation(request) {
            Generation::Classic if is_cut => self.refuse(request, &too_large("request", length)),
            Generation::Classic => match self.run(request, address) {
                Ok(Outcome::Later(number)) => {
                    later = Some(number);
                    self.reply.clear();
                    false
                }
                Ok(Outcome::Now(_)) => self.fits(request),
                Err(fault) => self.refuse(request, &fault),
            },
            Generation::JsonRpc if is_cut => {
                json_rpc::refuse(&too_large("request", length), &mut self.reply).is_error
            }
            Generation::JsonRpc => {
                let answer = self.json_rpc.answer(self.context, request, address, &mut self.reply);
                later = answer.later;
                self.finish_json_rpc(answer)
            }
        };
        Answer { bytes: self.reply.bytes().unwrap_or_default(), is_error, later }
    }

    /// Writes a reply that has come later.
    pub(super) fn tell(&mut self, due: &Due) -> Answer<'_> {
        self.reply.clear();
        let told = Told::from_bytes(&due.answer);
        let is_error = if due.form.is_empty() {
            let mut encoder = Encoder::new(&mut self.reply, self.indent);
            match told.tell(&mut encoder) {
                Ok(rest) => {
                    finish(rest, encoder, self.context);
                    self.fits(&due.command)
                }
                Err(fault) => self.refuse(&due.command, &fault),
            }
        } else {
            let answer = json_rpc::tell(&due.form, told, &mut self.reply);
            self.finish_json_rpc(answer)
        };
        Answer { bytes: self.reply.bytes().unwrap_or_default(), is_error, later: None }
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

    fn run(&mut self, request: &[u8], address: &[u8]) -> Result<Outcome, Fault> {
        let (name, text) = split_command(request).map_err(|_| COMMAND_NOT_AVAILABLE)?;
        let entry = self.context.commands.find(name, Generation::Classic).ok_or(COMMAND_NOT_AVAILABLE)?;
        let mut encoder = Encoder::new(&mut self.reply, self.indent);
        let caller = Caller::Waits { address, form: b"" };
        let outcome = text::run(entry, text, self.context, &mut self.params, &mut encoder, caller);
        let outcome = outcome.map_err(|refused| match refused {
            Refused::Parse => PARSE_ERROR,
            Refused::Command(fault) => fault,
        })?;
        Ok(match outcome {
            Outcome::Now(rest) => {
                finish(rest, encoder, self.context);
                Outcome::Now(None)
            }
            later => later,
        })
    }

    /// Whether a reply in text is too long; then an error stands there.
    fn fits(&mut self, request: &[u8]) -> bool {
        self.reply.excess().is_some_and(|length| self.refuse(request, &too_large("reply", length)))
    }

    /// Puts an error in the place of the reply. Always true.
    fn refuse(&mut self, request: &[u8], fault: &Fault) -> bool {
        let shown = &request[..request.len().min(SHOWN_BYTES)];
        log::debug!("{} {}: {}", fault.code, fault.reason, shown.escape_ascii());
        self.reply.clear();
        Encoder::new(&mut self.reply, self.indent).fail(fault)
    }

    fn finish_json_rpc(&mut self, mut answer: json_rpc::Answer) -> bool {
        if let Some(mut unfinished) = answer.unfinished.take() {
            while unfinished.go_on(self.context, &mut self.reply) == Progress::More {}
            answer.is_error |= unfinished.is_error();
        }
        // A batch whose replies fit one by one, but not together.
        let Some(length) = self.reply.excess() else { return answer.is_error };
        self.reply.clear();
        json_rpc::refuse(&too_large("reply", length), &mut self.reply).is_error
    }
}

/// Writes what is left of a reply in text, and its end.
fn finish(rest: Option<Rest>, mut encoder: Encoder<'_, Datagram>, context: &Context) {
    if let Some(mut rest) = rest {
        while rest(context, &mut encoder) == Progress::More {}
    }
    encoder.finish();
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
        let answer = answerer.answer(request, length, b"");
        let is_error =
            !answer.bytes.starts_with(b"200") && !answer.bytes.starts_with(b"{\"jsonrpc\":\"2.0\",\"result");
        assert_eq!(answer.is_error, is_error);
        String::from_utf8_lossy(answer.bytes).into_owned()
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
        let mut begins = |request: &[u8]| answerer.answer(request, request.len(), b"").bytes.first().copied();
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
