//! Any tree, in a syntax that shows what is open: brackets that do not fit are seen at once.

use proptest::prelude::*;

use super::*;
use crate::wire::Output;

/// A syntax in which a reader of JSON sees every mistake, and which is not mi_json's: no node is inline.
struct Plain;

impl Syntax for Plain {
    const INSIDE: &'static str = "inside";
    const PLAIN_ITEMS: bool = true;
    const UNNAMED: Option<&'static str> = Some("unnamed");

    fn open_object(output: &mut Stream) {
        output.push(b"{");
    }
    fn close_object(output: &mut Stream) {
        output.push(b"}");
    }
    fn open_member(output: &mut Stream, key: Key<'_>, is_first: bool) {
        Plain::item(output, is_first);
        match key {
            Key::Fixed(key) => Plain::text(output, key.as_bytes()),
            Key::Name(name) => Plain::text(output, name),
        }
        output.push(b":");
    }
    fn close_member(_output: &mut Stream) {}
    fn open_list(output: &mut Stream) {
        output.push(b"[");
    }
    fn close_list(output: &mut Stream) {
        output.push(b"]");
    }
    fn item(output: &mut Stream, is_first: bool) {
        if !is_first {
            output.push(b",");
        }
    }
    fn text(output: &mut Stream, bytes: &[u8]) {
        output.push(b"\"");
        output.push(bytes);
        output.push(b"\"");
    }
    fn empty_node(output: &mut Stream) {
        output.push(b"0");
    }
    fn empty_attribute(output: &mut Stream) {
        output.push(b"null");
    }
    fn empty_reply(output: &mut Stream) {
        output.push(b"{}");
    }
}

/// The same, with nodes that have no place of their own.
struct Inline;

impl Syntax for Inline {
    const INSIDE: &'static str = "children";
    const PLAIN_ITEMS: bool = false;
    const UNNAMED: Option<&'static str> = None;

    fn open_object(output: &mut Stream) {
        Plain::open_object(output);
    }
    fn close_object(output: &mut Stream) {
        Plain::close_object(output);
    }
    fn open_member(output: &mut Stream, key: Key<'_>, is_first: bool) {
        Plain::open_member(output, key, is_first);
    }
    fn close_member(output: &mut Stream) {
        Plain::close_member(output);
    }
    fn open_list(output: &mut Stream) {
        Plain::open_list(output);
    }
    fn close_list(output: &mut Stream) {
        Plain::close_list(output);
    }
    fn item(output: &mut Stream, is_first: bool) {
        Plain::item(output, is_first);
    }
    fn text(output: &mut Stream, bytes: &[u8]) {
        Plain::text(output, bytes);
    }
    fn empty_node(output: &mut Stream) {
        Plain::empty_node(output);
    }
    fn empty_attribute(output: &mut Stream) {
        Plain::empty_attribute(output);
    }
    fn empty_reply(output: &mut Stream) {
        Plain::empty_reply(output);
    }
}

/// What a command may do to a reply, in any order.
#[derive(Clone, Debug)]
enum Step {
    Open(&'static str, &'static str),
    Attribute(&'static str, &'static str),
    Close,
    List,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let text = || prop::sample::select(vec!["", "a", "b"]);
    let step = prop_oneof![
        (text(), text()).prop_map(|(name, value)| Step::Open(name, value)),
        (text(), text()).prop_map(|(name, value)| Step::Attribute(name, value)),
        Just(Step::Close),
        Just(Step::List),
    ];
    prop::collection::vec(step, 0..40)
}

fn written<S: Syntax>(steps: &[Step]) -> String {
    let (mut state, mut output) = (State::default(), Stream::default());
    for step in steps {
        match *step {
            Step::Open(name, value) => state.open::<S>(&mut output, name.as_bytes(), value.into()),
            Step::Attribute(name, value) => state.attribute::<S>(&mut output, name.as_bytes(), value.into()),
            Step::Close => state.close::<S>(&mut output),
            Step::List => state.list(),
        }
    }
    state.finish::<S>(&mut output);
    String::from_utf8(output.waiting().to_vec()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_a_command_does_the_reply_is_whole(steps in steps()) {
        for text in [written::<Plain>(&steps), written::<Inline>(&steps)] {
            let value = serde_json::from_str::<serde_json::Value>(&text);
            prop_assert!(value.is_ok_and(|value| value.is_object()), "{}", text);
        }
    }

    /// Every value of a well-formed tree is in the reply, in its order.
    #[test]
    fn no_value_is_lost(steps in steps()) {
        let mut numbered = Vec::new();
        let (mut wanted, mut depth, mut is_open) = (Vec::new(), 0, false);
        for (at, step) in steps.iter().enumerate() {
            const NUMBERS: [&str; 10] = ["10", "11", "12", "13", "14", "15", "16", "17", "18", "19"];
            let number = NUMBERS[at % 10];
            match step {
                Step::Open(name, _) => {
                    (depth, is_open) = (depth + 1, true);
                    wanted.push(number);
                    numbered.push(Step::Open(name, number));
                }
                Step::Attribute(name, _) if is_open => {
                    wanted.push(number);
                    numbered.push(Step::Attribute(name, number));
                }
                Step::Attribute(..) => {}
                Step::Close => {
                    (depth, is_open) = (i32::max(depth - 1, 0), false);
                    numbered.push(Step::Close);
                }
                Step::List => numbered.push(Step::List),
            }
        }
        for text in [written::<Plain>(&numbered), written::<Inline>(&numbered)] {
            let found: Vec<&str> = text.split('"').filter(|part| part.starts_with('1')).collect();
            prop_assert_eq!(&found, &wanted, "{}", text);
        }
    }
}
