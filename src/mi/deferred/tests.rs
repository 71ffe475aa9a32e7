//! Tests commands that may defer their replies, by each way of delivery, and the bytes of stored replies.

use super::*;
use crate::mi::testing::{Recorder, context};
use crate::mi::{Caller, Changes, Classic, Command, CommandOutcome, Context, Params, run};
use crate::shm::ReplyInbox;
use crate::shm::pending::RESERVED_ANSWER_BYTES;

/// Replies at once when it has a parameter.
fn start(call: &mut Call<'_>, number: u64) -> Result<Timing, Status> {
    if call.args.count() > 0 {
        call.reply.node("number", number.to_string().as_str());
        return Ok(Timing::Now);
    }
    Ok(Timing::Deferred)
}

static START: Command = Command {
    name: "start",
    help: None,
    classic: Classic::takes(&[crate::mi::optional("now")]),
    json_rpc: &[&[]],
    changes: Changes::Data,
    run: &Deferrable(start),
};

static FAILS: Command = Command {
    name: "fails",
    help: None,
    classic: Classic::NoInput,
    json_rpc: &[],
    changes: Changes::Data,
    run: &Deferrable(|_: &mut Call<'_>, _: u64| Err(SERVER_ERROR)),
};

fn run_command(
    context: &Context,
    command: &'static Command,
    params: &Params,
    delivery: Delivery<'_>,
) -> Result<CommandOutcome, Status> {
    let caller = Caller { transport: "test", peer: &"", address: b"a" };
    run(command, &[], context, params, &mut Recorder::default(), caller, delivery)
}

#[test]
fn a_request_is_pending_only_when_its_command_defers_and_its_caller_waits() {
    let context = context();
    let waiting = Delivery::Waiting { envelope: b"e" };
    let no_params = Params::new();
    let outcome = run_command(&context, &START, &no_params, waiting);
    let Ok(CommandOutcome::Deferred(number)) = outcome else { panic!("{outcome:?}") };
    assert!(START.run.may_defer() && context.pending.is_waiting(number));
    assert_eq!(StoredReply::from(REPLY_TIMEOUT).answer(context.pending, number), Ok(()));
    let mut inbox = ReplyInbox::new(context.pending, context.slot);
    let answered = inbox.take(|_| true, |_| ()).unwrap();
    assert_eq!(
        (&answered.address[..], &answered.envelope[..], &answered.command[..]),
        (&b"a"[..], &b"e"[..], &b"start"[..])
    );
    assert_eq!(StoredReply::from_bytes(&answered.answer), StoredReply::from(REPLY_TIMEOUT));
    drop(answered);

    assert_eq!(run_command(&context, &START, &no_params, Delivery::InBatch).unwrap_err(), NOT_IN_BATCH);
    let outcome = run_command(&context, &START, &no_params, Delivery::Discarded);
    let Ok(CommandOutcome::Deferred(number)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(StoredReply::from(REPLY_TIMEOUT).answer(context.pending, number), Ok(()));
    assert!(inbox.take(|_| true, |_| ()).is_none(), "a reply that is discarded reaches no inbox");

    let mut one_param = Params::new();
    one_param.push(b"", b"x");
    assert!(matches!(run_command(&context, &START, &one_param, waiting), Ok(CommandOutcome::Replied(None))));
    assert_eq!(run_command(&context, &FAILS, &no_params, waiting).unwrap_err(), SERVER_ERROR);
    assert_eq!(context.pending.count(), 0, "a command that replies at once leaves no pending request");
}

#[test]
fn a_stored_reply_survives_encoding_and_decoding() {
    let mut nodes = Snapshot::default();
    let node = nodes.begin(b"name", Some(b"value"), false);
    nodes.end(node);
    for reply in [
        StoredReply::from(nodes.clone()),
        StoredReply::new(Status::new(202, "Accepted"), nodes),
        StoredReply::from(NOT_IN_BATCH),
    ] {
        let bytes = reply.to_bytes();
        assert_eq!(StoredReply::from_bytes(&bytes), reply);
        for length in 0..8 {
            assert_eq!(StoredReply::from_bytes(&bytes[..length]), StoredReply::from(SERVER_ERROR));
        }
    }
    assert!(StoredReply::from(SERVER_ERROR).to_bytes().len() <= RESERVED_ANSWER_BYTES);
    assert!(StoredReply::from(REPLY_TIMEOUT).to_bytes().len() <= RESERVED_ANSWER_BYTES);
}

#[test]
fn a_status_without_nodes_is_an_error_and_with_nodes_is_a_reply() {
    let mut reply = Recorder::default();
    assert_eq!(StoredReply::from(NOT_IN_BATCH).write(&mut reply).err(), Some(NOT_IN_BATCH));
    assert!(matches!(StoredReply::from(Snapshot::default()).write(&mut reply), Ok(None)));
    assert!(reply.nodes.is_empty());
    let mut nodes = Snapshot::default();
    let node = nodes.begin(b"name", None, false);
    nodes.end(node);
    assert!(matches!(StoredReply::new(REPLY_TIMEOUT, nodes).write(&mut reply), Ok(None)));
    assert_eq!(reply.nodes.len(), 1);
}
