//! A reply's tree, copied from C, and how it is told to a [`Reply`].
//!
//! Classic: each node with its attributes, as it is. JSON-RPC: a node is its value, or an object of its `value`, its
//! attributes and its kids; kids of one name are an array under that name.

use std::collections::HashMap;
use std::ops::Range;

use crate::mi::{Progress, Reply, Value};

/// Bytes of names and values after which a piece ends.
const PIECE_BYTES: usize = 8 << 10;

/// Nodes after which a piece ends.
const PIECE_NODES: usize = 256;

/// The name that kids without a name get in JSON when there are other members beside them.
const NAMELESS: &[u8] = b"nodes";

type Text = Range<usize>;

/// The tree. Nodes stand in the order in which they are told: each is followed by those inside it.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    bytes: Vec<u8>,
    nodes: Vec<Node>,
    attributes: Vec<(Text, Text)>,
    is_array: bool,
}

#[derive(Debug)]
struct Node {
    name: Text,
    value: Option<Text>,
    attributes: Range<usize>,
    /// Behind the last node inside.
    end: usize,
    is_array: bool,
}

impl Snapshot {
    fn text(&mut self, bytes: &[u8]) -> Text {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Says that the nodes at the top are of one kind.
    pub(super) fn set_array(&mut self) {
        self.is_array = true;
    }

    /// Begins a node; gives its number, for [`end`](Snapshot::end).
    pub(super) fn begin(&mut self, name: &[u8], value: Option<&[u8]>, is_array: bool) -> usize {
        let name = self.text(name);
        let value = value.map(|value| self.text(value));
        let attributes = self.attributes.len()..self.attributes.len();
        self.nodes.push(Node { name, value, attributes, end: self.nodes.len() + 1, is_array });
        self.nodes.len() - 1
    }

    /// Adds an attribute to the node begun last.
    pub(super) fn attribute(&mut self, name: &[u8], value: &[u8]) {
        let attribute = (self.text(name), self.text(value));
        self.attributes.push(attribute);
        if let Some(node) = self.nodes.last_mut() {
            node.attributes.end = self.attributes.len();
        }
    }

    /// Ends a node.
    pub(super) fn end(&mut self, node: usize) {
        self.nodes[node].end = self.nodes.len();
    }

    /// Whether it has no nodes.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn name(&self, node: usize) -> &[u8] {
        &self.bytes[self.nodes[node].name.clone()]
    }

    fn value(&self, node: usize) -> Option<&[u8]> {
        self.nodes[node].value.clone().map(|value| &self.bytes[value])
    }

    /// The nodes between two numbers, without those inside them.
    fn kids(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let first = Some(range.start).filter(|_| !range.is_empty());
        std::iter::successors(first, move |node| Some(self.nodes[*node].end).filter(|next| *next < range.end))
    }

    fn inside(&self, node: usize) -> Range<usize> {
        node + 1..self.nodes[node].end
    }

    /// The kids by their names, in the order of the first of each.
    fn groups(&self, range: Range<usize>) -> Vec<Vec<usize>> {
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for kid in self.kids(range) {
            let place = *places.entry(self.name(kid)).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.push(kid),
                None => groups.push(vec![kid]),
            }
        }
        groups
    }

    /// Tells a node's attributes.
    fn tell_attributes(&self, node: usize, reply: &mut dyn Reply) {
        for (name, value) in &self.attributes[self.nodes[node].attributes.clone()] {
            reply.attribute(&self.bytes[name.clone()], Value::Bytes(&self.bytes[value.clone()]));
        }
    }
}

/// What is being told: the nodes inside one that is open, or inside the tree.
#[derive(Debug)]
enum Frame {
    /// Classic: the number of the next node, and where they end.
    Chain(Range<usize>),
    /// JSON: members of an object.
    Members { groups: std::vec::IntoIter<Vec<usize>>, are_arrays: bool, has_others: bool },
    /// JSON: elements of an array.
    Elements(std::vec::IntoIter<usize>),
}

/// A tree on its way to a reply, piece by piece.
#[derive(Debug)]
pub(super) struct Telling {
    copy: Snapshot,
    frames: Vec<Frame>,
    has_begun: bool,
}

impl Telling {
    pub(super) fn new(copy: Snapshot) -> Telling {
        Telling { copy, frames: Vec::new(), has_begun: false }
    }

    /// Tells a piece.
    pub(super) fn go_on(&mut self, reply: &mut dyn Reply) -> Progress {
        if !self.has_begun {
            self.has_begun = true;
            let all = 0..self.copy.nodes.len();
            let frame = if reply.is_json() {
                self.members(all, self.copy.is_array, false)
            } else {
                self.begin_chain(all, self.copy.is_array, reply)
            };
            self.frames.push(frame);
        }
        let (mut nodes, mut bytes) = (0, 0);
        while nodes < PIECE_NODES && bytes < PIECE_BYTES {
            match self.step(reply) {
                None => return Progress::Done,
                Some(told) => {
                    nodes += 1;
                    bytes += told;
                }
            }
        }
        Progress::More
    }

    /// Opens or closes one node. Gives the bytes that it has; `None` at the end of the tree.
    fn step(&mut self, reply: &mut dyn Reply) -> Option<usize> {
        let next = match self.frames.last_mut()? {
            Frame::Chain(range) if range.start < range.end => {
                let node = range.start;
                range.start = self.copy.nodes[node].end;
                return Some(self.enter_classic(node, reply));
            }
            Frame::Chain(_) => None,
            Frame::Elements(nodes) => nodes.next().map(|node| (vec![node], false, None)),
            Frame::Members { groups, are_arrays, has_others } => {
                groups.next().map(|group| (group, *are_arrays, Some(*has_others)))
            }
        };
        let Some((group, is_array, has_others)) = next else {
            self.frames.pop();
            if !self.frames.is_empty() {
                reply.close();
            }
            return Some(0);
        };
        let name = match has_others {
            None => Vec::new(),
            Some(has_others) => match self.copy.name(group[0]) {
                b"" if has_others => NAMELESS.to_vec(),
                name => name.to_vec(),
            },
        };
        if group.len() == 1 && !is_array {
            return Some(self.enter_json(group[0], &name, reply));
        }
        reply.open(&name, Value::List);
        self.frames.push(Frame::Elements(group.into_iter()));
        Some(name.len())
    }

    fn size(&self, node: usize) -> usize {
        let attributes = &self.copy.attributes[self.copy.nodes[node].attributes.clone()];
        let sizes = attributes.iter().map(|(name, value)| name.len() + value.len());
        sizes.sum::<usize>() + self.copy.name(node).len() + self.copy.value(node).map_or(0, <[u8]>::len)
    }

    fn begin_chain(&self, range: Range<usize>, is_array: bool, reply: &mut dyn Reply) -> Frame {
        if is_array && self.copy.groups(range.clone()).len() <= 1 {
            reply.list();
        }
        Frame::Chain(range)
    }

    fn enter_classic(&mut self, node: usize, reply: &mut dyn Reply) -> usize {
        let copy = &self.copy;
        reply.open(copy.name(node), copy.value(node).map_or(Value::Nothing, Value::Bytes));
        copy.tell_attributes(node, reply);
        let frame = self.begin_chain(copy.inside(node), copy.nodes[node].is_array, reply);
        if copy.inside(node).is_empty() {
            reply.close();
        } else {
            self.frames.push(frame);
        }
        self.size(node)
    }

    fn members(&self, range: Range<usize>, are_arrays: bool, has_others: bool) -> Frame {
        let groups = self.copy.groups(range);
        let has_others = has_others || groups.len() > 1;
        Frame::Members { groups: groups.into_iter(), are_arrays, has_others }
    }

    fn enter_json(&mut self, node: usize, name: &[u8], reply: &mut dyn Reply) -> usize {
        let copy = &self.copy;
        let has_attributes = !copy.nodes[node].attributes.is_empty();
        let inside = copy.inside(node);
        if inside.is_empty() && !has_attributes {
            reply.open(name, Value::Bytes(copy.value(node).unwrap_or_default()));
            reply.close();
            return self.size(node);
        }
        let is_plain = !has_attributes && copy.value(node).is_none();
        if is_plain && copy.kids(inside.clone()).all(|kid| copy.name(kid).is_empty()) {
            reply.open(name, Value::List);
            let elements: Vec<usize> = copy.kids(inside).collect();
            self.frames.push(Frame::Elements(elements.into_iter()));
            return self.size(node);
        }
        reply.open(name, Value::Nothing);
        if let Some(value) = copy.value(node) {
            reply.attribute(b"value", Value::Bytes(value));
        }
        copy.tell_attributes(node, reply);
        let frame = self.members(inside, copy.nodes[node].is_array, !is_plain);
        self.frames.push(frame);
        self.size(node)
    }
}

#[cfg(test)]
mod tests;
