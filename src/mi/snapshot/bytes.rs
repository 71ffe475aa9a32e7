//! A tree as bytes: what was done to make it, step by step, and done again by whoever reads them.

use super::Snapshot;

/// Begins a node: a name, and whether it has a value and is an array.
const BEGIN: u8 = 1;
/// The value of the node begun last.
const HAS_VALUE: u8 = 2;
const IS_ARRAY: u8 = 4;
/// An attribute of the node begun last: a name and a value.
const ATTRIBUTE: u8 = 8;
/// Ends the node that is open.
const END: u8 = 16;

impl Snapshot {
    /// Adds the tree to `bytes`.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.is_array));
        let mut open = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            while open.last().is_some_and(|end| *end <= at) {
                open.pop();
                bytes.push(END);
            }
            let value = self.value(at);
            let has_value = if value.is_some() { HAS_VALUE } else { 0 };
            bytes.push(BEGIN | has_value | if node.is_array { IS_ARRAY } else { 0 });
            put(bytes, self.name(at));
            value.into_iter().for_each(|value| put(bytes, value));
            for (name, value) in &self.attributes[node.attributes.clone()] {
                bytes.push(ATTRIBUTE);
                put(bytes, &self.bytes[name.clone()]);
                put(bytes, &self.bytes[value.clone()]);
            }
            open.push(node.end);
        }
        bytes.extend(open.iter().map(|_| END));
    }

    /// Reads what [`write`](Snapshot::write) has written; `None` when it is anything else.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Snapshot> {
        let (is_array, mut rest) = bytes.split_first()?;
        let mut tree = Snapshot { is_array: *is_array != 0, ..Snapshot::default() };
        let mut open = Vec::new();
        while let Some((step, behind)) = rest.split_first() {
            rest = behind;
            match *step {
                END => tree.end(open.pop()?),
                ATTRIBUTE => {
                    let (name, value) = (take(&mut rest)?, take(&mut rest)?);
                    // Of a node with no other inside it yet.
                    open.last().filter(|node| **node + 1 == tree.nodes.len())?;
                    tree.attribute(name, value);
                }
                step if step & BEGIN != 0 => {
                    let name = take(&mut rest)?;
                    let value = if step & HAS_VALUE != 0 { Some(take(&mut rest)?) } else { None };
                    open.push(tree.begin(name, value, step & IS_ARRAY != 0));
                }
                _ => return None,
            }
        }
        open.is_empty().then_some(tree)
    }
}

fn put(bytes: &mut Vec<u8>, text: &[u8]) {
    // A text of 4 GiB is not read again.
    bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(text);
}

fn take<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (text, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(tree: &Snapshot) -> Vec<u8> {
        let mut bytes = Vec::new();
        tree.write(&mut bytes);
        bytes
    }

    #[test]
    fn a_tree_is_the_same_after_it_was_bytes() {
        let mut tree = Snapshot::default();
        assert_eq!(Snapshot::read(&written(&tree)), Some(Snapshot::default()));
        tree.set_array();
        let outer = tree.begin(b"outer", None, true);
        tree.attribute(b"a", b"");
        tree.attribute(b"", b"b");
        let inner = tree.begin(b"", Some(b""), false);
        tree.end(inner);
        let inner = tree.begin(b"i", Some(b"2"), false);
        tree.attribute(b"c", b"d");
        tree.end(inner);
        tree.end(outer);
        let last = tree.begin(b"last", Some(b"\xff\0"), false);
        tree.end(last);
        let bytes = written(&tree);
        assert_eq!(Snapshot::read(&bytes).as_ref(), Some(&tree));
        for length in 0..bytes.len() {
            assert_ne!(Snapshot::read(&bytes[..length]).as_ref(), Some(&tree), "{length}");
        }
        assert_eq!(Snapshot::read(&[&bytes[..], &[END]].concat()), None);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_bytes_are_a_tree_or_none(bytes: Vec<u8>) {
            if let Some(tree) = Snapshot::read(&bytes) {
                proptest::prop_assert_eq!(Snapshot::read(&written(&tree)), Some(tree));
            }
        }
    }
}
