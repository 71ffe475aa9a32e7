//! Commands that answer later, by whom they are called, and what they answer as bytes.

use super::*;
use crate::mi::testing::{Recorder, context};
use crate::mi::{Caller, Changes, Classic, Command, Context, Params, run};

fn start(call: &mut Call<'_>, number: u64) -> Result<When, Fault> {
    if call.args.count() > 0 {
        call.reply.node("number", number.to_string().as_str());
        return Ok(When::Now);
    }
    Ok(When::Later)
}

static START: Command = Command {
    name: "start",
    help: None,
    classic: Classic::takes(&[crate::mi::optional("now")]),
    json_rpc: &[&[]],
    changes: Changes::Data,
    run: &Later(start),
};

static FAILS: Command = Command {
    name: "fails",
    help: None,
    classic: Classic::NoInput,
    json_rpc: &[],
    changes: Changes::Data,
    run: &Later(|_: &mut Call<'_>, _: u64| Err(SERVER_ERROR)),
};

fn called(
    context: &Context,
    command: &'static Command,
    params: &Params,
    delivery: Delivery<'_>,
) -> Result<Outcome, Fault> {
    let caller = Caller { transport: "test", peer: &"", address: b"a" };
    run(command, &[], context, params, &mut Recorder::default(), caller, delivery)
}

#[test]
fn only_one_who_can_wait_makes_it_wait() {
    let context = context();
    let waits = Delivery::AtAnyTime { form: b"f" };
    let nothing = Params::new();
    let outcome = called(&context, &START, &nothing, waits);
    let Ok(Outcome::Later(number)) = outcome else { panic!("{outcome:?}") };
    assert!(START.run.answers_later() && context.pending.is_waiting(number));
    assert_eq!(Told::from(LATE).answer(context.pending, number), Ok(()));
    let mut inbox = crate::shm::Inbox::new(context.pending, context.slot);
    let due = inbox.take(|_| true, |_| ()).unwrap();
    assert_eq!((&due.address[..], &due.form[..], &due.command[..]), (&b"a"[..], &b"f"[..], &b"start"[..]));
    assert_eq!(Told::from_bytes(&due.answer), Told::from(LATE));
    drop(due);

    assert_eq!(called(&context, &START, &nothing, Delivery::WithOthers).unwrap_err(), ALONE);
    let outcome = called(&context, &START, &nothing, Delivery::Never);
    let Ok(Outcome::Later(number)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(Told::from(LATE).answer(context.pending, number), Ok(()));
    assert!(inbox.take(|_| true, |_| ()).is_none(), "nobody waits for it");

    let mut now = Params::new();
    now.push(b"", b"x");
    assert!(matches!(called(&context, &START, &now, waits), Ok(Outcome::Now(None))));
    assert_eq!(called(&context, &FAILS, &nothing, waits).unwrap_err(), SERVER_ERROR);
    assert_eq!(context.pending.count(), 0, "whoever answers now leaves nothing");
}

#[test]
fn an_answer_is_the_same_after_it_was_bytes() {
    let mut nodes = Snapshot::default();
    let node = nodes.begin(b"name", Some(b"value"), false);
    nodes.end(node);
    for told in [Told::from(nodes.clone()), Told::new(Fault::new(202, "Accepted"), nodes), Told::from(ALONE)]
    {
        let bytes = told.to_bytes();
        assert_eq!(Told::from_bytes(&bytes), told);
        for length in 0..8 {
            assert_eq!(Told::from_bytes(&bytes[..length]), Told::from(SERVER_ERROR));
        }
    }
    assert!(Told::from(SERVER_ERROR).to_bytes().len() <= crate::shm::pending::ROOM_BYTES);
    assert!(Told::from(LATE).to_bytes().len() <= crate::shm::pending::ROOM_BYTES);
}

#[test]
fn a_status_alone_is_an_error_and_one_with_nodes_is_not() {
    let mut reply = Recorder::default();
    assert_eq!(Told::from(ALONE).tell(&mut reply).err(), Some(ALONE));
    assert!(matches!(Told::from(Snapshot::default()).tell(&mut reply), Ok(None)));
    assert!(reply.nodes.is_empty());
    let mut nodes = Snapshot::default();
    let node = nodes.begin(b"name", None, false);
    nodes.end(node);
    assert!(matches!(Told::new(LATE, nodes).tell(&mut reply), Ok(None)));
    assert_eq!(reply.nodes.len(), 1);
}
