//! One request in, one reply out.
//!
//! C: `mi_datagram_server` in datagram_fnc.c, from the received bytes to the written tree.

use crate::mi::{self, COMMAND_NOT_AVAILABLE, Classic, Context, Fault, Generation, PARSE_ERROR, Params};
use crate::wire::text::{Datagram, Encoder, MAX_DATAGRAM_BYTES, decode_params, split_command};

/// How much of a refused request the log shows, in bytes.
const SHOWN_BYTES: usize = 40;

/// What answering needs and reuses.
#[derive(Debug)]
pub(super) struct Answerer<'a> {
    context: &'a Context,
    indent: &'a [u8],
    params: Params,
    reply: Datagram,
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// The reply, whole.
    pub(super) bytes: &'a [u8],
    /// Whether it says that something went wrong.
    pub(super) is_error: bool,
}

impl<'a> Answerer<'a> {
    pub(super) fn new(context: &'a Context, indent: &'a [u8]) -> Answerer<'a> {
        Answerer { context, indent, params: Params::new(), reply: Datagram::new() }
    }

    /// Answers a request, which was `length` bytes long before it was cut to fit the buffer.
    pub(super) fn answer(&mut self, request: &[u8], length: usize) -> Answer<'_> {
        let result =
            if length > request.len() { Err(too_large("request", length)) } else { self.run(request) };
        let mut is_error = result.is_err();
        if let Err(fault) = result {
            let shown = &request[..request.len().min(SHOWN_BYTES)];
            log::debug!("{} {}: {}", fault.code, fault.reason, shown.escape_ascii());
            self.reply.set_fault(&fault);
        }
        if let Err(length) = self.reply.bytes() {
            is_error = true;
            self.reply.set_fault(&too_large("reply", length));
        }
        Answer { bytes: self.reply.bytes().unwrap_or_default(), is_error }
    }

    fn run(&mut self, request: &[u8]) -> Result<(), Fault> {
        let (name, text) = split_command(request).map_err(|_| COMMAND_NOT_AVAILABLE)?;
        let entry = self.context.commands.find(name, Generation::Classic).ok_or(COMMAND_NOT_AVAILABLE)?;
        self.params.clear();
        if let Classic::Takes { .. } = entry.command.classic {
            decode_params(text, &mut self.params).map_err(|error| {
                log::debug!("{}: {error}", entry.command.name);
                PARSE_ERROR
            })?;
        }
        self.reply.clear();
        let mut encoder = Encoder::new(&mut self.reply, self.indent);
        mi::run(entry.command, self.context, &self.params, &mut encoder)?;
        encoder.finish();
        Ok(())
    }
}

fn too_large(what: &str, length: usize) -> Fault {
    let reason = format!("{what} too large: {length} bytes, limit {MAX_DATAGRAM_BYTES}");
    Fault { code: 500, reason: reason.into() }
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
        let answer = answerer.answer(request, length);
        assert_eq!(answer.is_error, !answer.bytes.starts_with(b"200"));
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
    fn a_cut_request_is_refused_with_its_length() {
        assert_eq!(answer(b":debug:\n1", 70_000), "500 request too large: 70000 bytes, limit 65457\n");
    }

    #[test]
    fn an_error_of_a_command_stands_alone() {
        assert_eq!(answer(b":help:\nnope\n", 12), "404 unknown MI command\n");
        assert_eq!(answer(b":debug:\n5\n", 10), "200 OK\nDEBUG:: 5\n");
    }
}
