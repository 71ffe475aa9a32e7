//! The classic tree as nested values, in whatever syntax has objects, lists and text: what mi_json and mi_xmlrpc_ng
//! make of it.
//!
//! A node with a value alone is that value under its name; one that has more is an object of its `value`, its
//! `attributes` and what is inside it. Nodes side by side are an object, and those of a list (see
//! [`Reply::list`](crate::mi::Reply::list)) an object with one member, an array. Nothing is held back but one node's
//! value, which is text or part of an object only when what follows it is known.
//!
//! C: `mi_json_recur_write_tree` and `mi_json_recur_write_node` of mi_json, `mi_xmlrpc_http_recur_write_tree` and
//! `mi_xmlrpc_http_recur_write_node` of mi_xmlrpc_ng, both of 2.4. As in C, an empty value is none, and nodes of one
//! name outside a list are members of one name.

use super::Stream;
use crate::mi::Value;

/// What a member of an object is called.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key<'a> {
    /// As the syntax has it.
    Fixed(&'static str),
    /// As a node or an attribute is called.
    Name(&'a [u8]),
}

/// How the parts of a value are written.
pub(super) trait Syntax {
    /// The member with what is inside a node.
    const INSIDE: &'static str;
    /// Whether a node of a list that has a value alone is that value, and not an object.
    const PLAIN_ITEMS: bool;
    /// The member that a node without a name is; with `None` it has no place of its own, and its parts are members of
    /// the object around it.
    const UNNAMED: Option<&'static str>;

    fn open_object(output: &mut Stream);
    fn close_object(output: &mut Stream);
    fn open_member(output: &mut Stream, key: Key<'_>, is_first: bool);
    fn close_member(output: &mut Stream);
    fn open_list(output: &mut Stream);
    fn close_list(output: &mut Stream);
    /// Comes before each element of a list.
    fn item(output: &mut Stream, is_first: bool);
    fn text(output: &mut Stream, bytes: &[u8]);
    /// A node with nothing at all.
    fn empty_node(output: &mut Stream);
    /// An attribute without a value.
    fn empty_attribute(output: &mut Stream);
    /// A reply without nodes.
    fn empty_reply(output: &mut Stream);
}

/// How far a reply has come.
#[derive(Debug)]
pub(super) struct State {
    top: Node,
    open: Vec<Node>,
    /// The value of the node opened last, while that may have nothing but it.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    place: Place,
    stage: Stage,
    /// The object of the node has no member yet.
    is_blank: bool,
    /// What the stage writes has no member or element yet.
    is_empty: bool,
    is_list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Around all nodes.
    Top,
    /// A member of an object.
    Member,
    /// An element of a list.
    Item,
    /// None of its own: its parts are members of the object around it.
    Inline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The value is held, and no object is open.
    Held,
    Parts,
    Attributes,
    Inside,
}

impl Node {
    fn new(place: Place, is_blank: bool) -> Node {
        Node { place, stage: Stage::Held, is_blank, is_empty: true, is_list: false }
    }
}

impl Default for State {
    fn default() -> State {
        State { top: Node::new(Place::Top, true), open: Vec::new(), held: Vec::new() }
    }
}

impl State {
    pub(super) fn list(&mut self) {
        let node = self.open.last_mut().unwrap_or(&mut self.top);
        if node.stage != Stage::Inside {
            node.is_list = true;
        }
    }

    pub(super) fn open<S: Syntax>(&mut self, output: &mut Stream, name: &[u8], value: Value<'_>) {
        let State { top, open, held } = self;
        let around = open.last_mut().unwrap_or(top);
        around.go_inside::<S>(output, held, name);
        let is_first = around.is_empty;
        let key = if name.is_empty() { S::UNNAMED.map(Key::Fixed) } else { Some(Key::Name(name)) };
        let (place, is_blank) = match key {
            _ if around.is_list => (Place::Item, true),
            None => (Place::Inline, is_first),
            Some(_) => (Place::Member, true),
        };
        match (place, key) {
            (Place::Item, _) => S::item(output, is_first),
            (_, Some(key)) => S::open_member(output, key, is_first),
            (_, None) => {}
        }
        around.is_empty = is_first && place == Place::Inline;
        held.clear();
        held.extend_from_slice(&value.to_bytes());
        let mut node = Node::new(place, is_blank);
        if place == Place::Inline || (place == Place::Item && !S::PLAIN_ITEMS) {
            node.begin_object::<S>(output, held);
        }
        open.push(node);
    }

    pub(super) fn attribute<S: Syntax>(&mut self, output: &mut Stream, name: &[u8], value: Value<'_>) {
        let Some(node) = self.open.last_mut().filter(|node| node.stage != Stage::Inside) else { return };
        node.begin_object::<S>(output, &self.held);
        if node.stage != Stage::Attributes {
            node.begin_part::<S>(output, "attributes");
            S::open_object(output);
            node.stage = Stage::Attributes;
        }
        S::open_member(output, Key::Name(name), node.is_empty);
        node.is_empty = false;
        match &*value.to_bytes() {
            b"" => S::empty_attribute(output),
            bytes => S::text(output, bytes),
        }
        S::close_member(output);
    }

    pub(super) fn close<S: Syntax>(&mut self, output: &mut Stream) {
        let Some(mut node) = self.open.pop() else { return };
        match node.stage {
            Stage::Held if self.held.is_empty() => S::empty_node(output),
            Stage::Held => S::text(output, &self.held),
            _ => {
                node.end_part::<S>(output);
                if node.place != Place::Inline {
                    S::close_object(output);
                }
            }
        }
        let around = self.open.last_mut().unwrap_or(&mut self.top);
        match node.place {
            Place::Member => S::close_member(output),
            Place::Inline => around.is_empty = node.is_blank,
            Place::Item | Place::Top => {}
        }
    }

    pub(super) fn finish<S: Syntax>(&mut self, output: &mut Stream) {
        while !self.open.is_empty() {
            self.close::<S>(output);
        }
        if self.top.stage == Stage::Inside {
            self.top.end_part::<S>(output);
        } else {
            S::empty_reply(output);
        }
    }
}

impl Node {
    /// Makes an object of what might have been a value alone.
    fn begin_object<S: Syntax>(&mut self, output: &mut Stream, held: &[u8]) {
        if self.stage != Stage::Held {
            return;
        }
        if self.place != Place::Inline {
            S::open_object(output);
        }
        if !held.is_empty() {
            self.begin_part::<S>(output, "value");
            S::text(output, held);
            S::close_member(output);
        }
        self.stage = Stage::Parts;
    }

    fn begin_part<S: Syntax>(&mut self, output: &mut Stream, key: &'static str) {
        S::open_member(output, Key::Fixed(key), self.is_blank);
        self.is_blank = false;
    }

    /// Makes the place for the node's first child, which has that name; for a further one it is there.
    fn go_inside<S: Syntax>(&mut self, output: &mut Stream, held: &[u8], name: &[u8]) {
        if self.stage == Stage::Inside {
            return;
        }
        if self.place != Place::Top {
            self.begin_object::<S>(output, held);
            self.end_part::<S>(output);
            self.begin_part::<S>(output, S::INSIDE);
        }
        S::open_object(output);
        if self.is_list {
            let unnamed = Key::Fixed(S::UNNAMED.unwrap_or_default());
            let key = if name.is_empty() && S::UNNAMED.is_some() { unnamed } else { Key::Name(name) };
            S::open_member(output, key, true);
            S::open_list(output);
        }
        self.stage = Stage::Inside;
        self.is_empty = true;
    }

    /// Ends the attributes, or what is inside.
    fn end_part<S: Syntax>(&mut self, output: &mut Stream) {
        let is_inside = self.stage == Stage::Inside;
        if is_inside && self.is_list {
            S::close_list(output);
            S::close_member(output);
        }
        if is_inside || self.stage == Stage::Attributes {
            S::close_object(output);
            if self.place != Place::Top {
                S::close_member(output);
            }
        }
    }
}

#[cfg(test)]
mod tests;
