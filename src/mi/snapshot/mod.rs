//! A reply's tree as a whole, where it cannot be told at once, and how it is told to a [`Reply`].
//!
//! ```text
//! bytes.rs   the same as bytes, to go from one process to another
//! ```
//!
//! Classic: each node with its attributes, as it is. JSON-RPC: a node is its value, or an object of its
//! `value`, its attributes and its kids; kids of one name are an array under that name.

mod bytes;

use std::ops::Range;

use super::reply::{Progress, Reply, Value};

/// Bytes of names and values after which a piece ends.
const PIECE_BYTES: usize = 8 << 10;

/// Nodes after which a piece ends.
const PIECE_NODES: usize = 256;

/// Nodes for which there is room at first.
const USUAL_NODES: usize = 64;

/// The same for names and values, in bytes.
const USUAL_BYTES: usize = 1 << 10;

/// The name that kids without a name get in JSON when there are other members beside them.
const NAMELESS: &[u8] = b"nodes";

type Text = Range<usize>;

/// The tree. Nodes stand in the order in which they are told: each is followed by those inside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    bytes: Vec<u8>,
    nodes: Vec<Node>,
    attributes: Vec<(Text, Text)>,
    is_array: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub fn set_array(&mut self) {
        self.is_array = true;
    }

    /// Begins a node; gives its number, for [`end`](Snapshot::end).
    pub fn begin(&mut self, name: &[u8], value: Option<&[u8]>, is_array: bool) -> usize {
        if self.nodes.is_empty() {
            self.nodes.reserve(USUAL_NODES);
            self.bytes.reserve(USUAL_BYTES);
        }
        let name = self.text(name);
        let value = value.map(|value| self.text(value));
        let attributes = self.attributes.len()..self.attributes.len();
        self.nodes.push(Node { name, value, attributes, end: self.nodes.len() + 1, is_array });
        self.nodes.len() - 1
    }

    /// Adds an attribute to the node begun last.
    pub fn attribute(&mut self, name: &[u8], value: &[u8]) {
        let attribute = (self.text(name), self.text(value));
        self.attributes.push(attribute);
        if let Some(node) = self.nodes.last_mut() {
            node.attributes.end = self.attributes.len();
        }
    }

    /// Ends a node.
    pub fn end(&mut self, node: usize) {
        self.nodes[node].end = self.nodes.len();
    }

    /// Whether it has no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
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

    /// Whether all kids have one name.
    fn are_of_one_name(&self, range: Range<usize>) -> bool {
        let mut names = self.kids(range).map(|kid| self.name(kid));
        let first = names.next();
        names.all(|name| Some(name) == first)
    }

    /// The kids by their names, in the order of the first of each.
    fn groups(&self, range: Range<usize>) -> Groups {
        let kids: Vec<usize> = self.kids(range).collect();
        let mut by_name: Vec<(&[u8], usize)> = kids.iter().map(|kid| (self.name(*kid), *kid)).collect();
        // The kids of a name stay in their order.
        by_name.sort_by_key(|(name, _)| *name);
        if by_name.is_sorted_by(|one, next| one.0 < next.0) {
            // Each has a name of its own.
            return Groups { ends: (1..=kids.len()).collect(), kids, told: 0 };
        }
        let mut groups: Vec<&[(&[u8], usize)]> = by_name.chunk_by(|one, next| one.0 == next.0).collect();
        groups.sort_unstable_by_key(|group| group.first().map(|(_, kid)| *kid));
        let (mut kids, mut ends) = (Vec::with_capacity(kids.len()), Vec::with_capacity(groups.len()));
        for group in groups {
            kids.extend(group.iter().map(|(_, kid)| *kid));
            ends.push(kids.len());
        }
        Groups { kids, ends, told: 0 }
    }

    /// Tells a node's attributes.
    fn tell_attributes(&self, node: usize, reply: &mut dyn Reply) {
        for (name, value) in &self.attributes[self.nodes[node].attributes.clone()] {
            reply.attribute(&self.bytes[name.clone()], Value::Bytes(&self.bytes[value.clone()]));
        }
    }
}

/// Kids by their names.
#[derive(Debug)]
struct Groups {
    kids: Vec<usize>,
    /// Behind the last of each name.
    ends: Vec<usize>,
    /// How many names have been told.
    told: usize,
}

impl Groups {
    /// The kids of the next name; none at the end.
    fn next(&mut self) -> &[usize] {
        let Some(&end) = self.ends.get(self.told) else { return &[] };
        let start = self.told.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.told += 1;
        &self.kids[start..end]
    }
}

/// What is being told: the nodes inside one that is open, or inside the tree.
#[derive(Debug)]
enum Frame {
    /// Classic: the number of the next node, and where they end.
    Chain(Range<usize>),
    /// JSON: members of an object.
    Members { groups: Groups, are_arrays: bool, has_others: bool },
    /// JSON: elements of an array.
    Elements(std::vec::IntoIter<usize>),
}

/// A tree on its way to a reply, piece by piece.
#[derive(Debug)]
pub(super) struct SnapshotWriter {
    copy: Snapshot,
    frames: Vec<Frame>,
    has_begun: bool,
}

impl SnapshotWriter {
    /// Begins with the first node.
    pub(super) fn new(copy: Snapshot) -> SnapshotWriter {
        SnapshotWriter { copy, frames: Vec::new(), has_begun: false }
    }

    /// Tells a piece.
    pub(super) fn write_piece(&mut self, reply: &mut dyn Reply) -> Progress {
        if !self.has_begun {
            self.has_begun = true;
            let all = 0..self.copy.nodes.len();
            let frame = if reply.is_json() {
                self.copy.members(all, self.copy.is_array, false)
            } else {
                self.copy.begin_chain(all, self.copy.is_array, reply)
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
        let copy = &self.copy;
        let (told, frame) = match self.frames.last_mut()? {
            Frame::Chain(range) if range.start < range.end => {
                let node = range.start;
                range.start = copy.nodes[node].end;
                (copy.size(node), copy.tell_classic(node, reply))
            }
            Frame::Chain(_) => return Some(self.leave(reply)),
            Frame::Elements(nodes) => match nodes.next() {
                Some(node) => (copy.size(node), copy.tell_json(node, b"", reply)),
                None => return Some(self.leave(reply)),
            },
            Frame::Members { groups, are_arrays, has_others } => {
                let group = groups.next();
                let Some(&first) = group.first() else { return Some(self.leave(reply)) };
                let name = match copy.name(first) {
                    b"" if *has_others => NAMELESS,
                    name => name,
                };
                if group.len() == 1 && !*are_arrays {
                    (copy.size(first), copy.tell_json(first, name, reply))
                } else {
                    reply.open(name, Value::List);
                    (name.len(), Some(Frame::Elements(Vec::from(group).into_iter())))
                }
            }
        };
        self.frames.extend(frame);
        Some(told)
    }

    /// Closes what is open.
    fn leave(&mut self, reply: &mut dyn Reply) -> usize {
        self.frames.pop();
        if !self.frames.is_empty() {
            reply.close();
        }
        0
    }
}

impl Snapshot {
    fn size(&self, node: usize) -> usize {
        let attributes = &self.attributes[self.nodes[node].attributes.clone()];
        let sizes = attributes.iter().map(|(name, value)| name.len() + value.len());
        sizes.sum::<usize>() + self.name(node).len() + self.value(node).map_or(0, <[u8]>::len)
    }

    fn begin_chain(&self, range: Range<usize>, is_array: bool, reply: &mut dyn Reply) -> Frame {
        if is_array && self.are_of_one_name(range.clone()) {
            reply.list();
        }
        Frame::Chain(range)
    }

    /// Opens a node and tells it; gives what is inside, or closes it.
    fn tell_classic(&self, node: usize, reply: &mut dyn Reply) -> Option<Frame> {
        reply.open(self.name(node), self.value(node).map_or(Value::Nothing, Value::Bytes));
        self.tell_attributes(node, reply);
        let (inside, is_array) = (self.inside(node), self.nodes[node].is_array);
        if inside.is_empty() && !is_array {
            reply.close();
            return None;
        }
        Some(self.begin_chain(inside, is_array, reply))
    }

    fn members(&self, range: Range<usize>, are_arrays: bool, has_others: bool) -> Frame {
        let groups = self.groups(range);
        let has_others = has_others || groups.ends.len() > 1;
        Frame::Members { groups, are_arrays, has_others }
    }

    /// The same in JSON.
    fn tell_json(&self, node: usize, name: &[u8], reply: &mut dyn Reply) -> Option<Frame> {
        let has_attributes = !self.nodes[node].attributes.is_empty();
        let inside = self.inside(node);
        if inside.is_empty() && !has_attributes {
            reply.open(name, Value::Bytes(self.value(node).unwrap_or_default()));
            reply.close();
            return None;
        }
        let is_plain = !has_attributes && self.value(node).is_none();
        if is_plain && self.kids(inside.clone()).all(|kid| self.name(kid).is_empty()) {
            reply.open(name, Value::List);
            let elements: Vec<usize> = self.kids(inside).collect();
            return Some(Frame::Elements(elements.into_iter()));
        }
        reply.open(name, Value::Nothing);
        if let Some(value) = self.value(node) {
            reply.attribute(b"value", Value::Bytes(value));
        }
        self.tell_attributes(node, reply);
        Some(self.members(inside, self.nodes[node].is_array, !is_plain))
    }
}

#[cfg(test)]
mod tests;
