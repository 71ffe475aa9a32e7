//! A reply of one of the server's own commands, as the tree that a C module gets of it.
#![expect(unsafe_code, reason = "a tree of C is built by its pointers")]

use std::ffi::{c_char, c_int, c_uint};
use std::ptr::{null, null_mut};

use super::layouts::{self, ARRAY_FLAG, MiNode, MiRoot};
use crate::mi::{Fault, Generation, Reply, Value};

/// The tree, and the nodes that are open. Null where there was no memory: what is inside is left out.
#[derive(Debug)]
pub(super) struct TreeBuilder {
    root: *mut MiRoot,
    open_nodes: Vec<*mut MiNode>,
}

impl Default for TreeBuilder {
    fn default() -> TreeBuilder {
        TreeBuilder::new(200, "OK")
    }
}

impl TreeBuilder {
    fn new(code: c_uint, reason: &str) -> TreeBuilder {
        let (text, len) = pointer_and_length(reason.as_bytes());
        // SAFETY: the text has that many bytes, and is copied.
        let root = unsafe { layouts::opensips_mi_new_tree(code, text, len) };
        TreeBuilder { root, open_nodes: Vec::new() }
    }

    /// A reply that says no more than this.
    pub(super) fn with_status(fault: &Fault) -> TreeBuilder {
        TreeBuilder::new(c_uint::try_from(fault.code).unwrap_or(500), &fault.reason)
    }

    /// The tree, for its new owner to free; null without memory.
    pub(super) fn into_raw(mut self) -> *mut MiRoot {
        std::mem::replace(&mut self.root, null_mut())
    }

    /// The node that is open, or that of the tree.
    fn current_node(&self) -> *mut MiNode {
        let top = || {
            if self.root.is_null() {
                return null_mut();
            }
            // SAFETY: the tree lives as long as `self`.
            unsafe { &raw mut (*self.root).node }
        };
        self.open_nodes.last().copied().unwrap_or_else(top)
    }
}

/// Bytes as C takes them.
fn pointer_and_length(bytes: &[u8]) -> (*const c_char, c_int) {
    c_int::try_from(bytes.len()).map_or((null(), 0), |len| (bytes.as_ptr().cast(), len))
}

impl Reply for TreeBuilder {
    fn generation(&self) -> Generation {
        Generation::Classic
    }

    fn status(&mut self, status: &Fault) {
        *self = TreeBuilder::with_status(status);
    }

    fn open(&mut self, name: &[u8], value: Value<'_>) {
        let parent = self.current_node();
        let text = value.to_bytes();
        let (name, name_len) = pointer_and_length(name);
        let (value, value_len) = match value {
            Value::Nothing | Value::List | Value::Null => (null(), 0),
            _ => pointer_and_length(&text),
        };
        let node = if parent.is_null() {
            null_mut()
        } else {
            // SAFETY: a live node, and texts of so many bytes, which are copied.
            unsafe { layouts::opensips_mi_add_node(parent, name, name_len, value, value_len) }
        };
        self.open_nodes.push(node);
    }

    fn attribute(&mut self, name: &[u8], value: Value<'_>) {
        let node = self.current_node();
        let value = value.to_bytes();
        let ((name, name_len), (value, value_len)) = (pointer_and_length(name), pointer_and_length(&value));
        if !node.is_null() {
            // SAFETY: a live node, and texts of so many bytes, which are copied.
            unsafe { layouts::add_mi_attr(node, layouts::COPY_FLAGS, name, name_len, value, value_len) };
        }
    }

    fn close(&mut self) {
        self.open_nodes.pop();
    }

    fn list(&mut self) {
        let node = self.current_node();
        if !node.is_null() {
            // SAFETY: a live node that nobody else looks at.
            unsafe { (*node).flags |= ARRAY_FLAG };
        }
    }
}

impl Drop for TreeBuilder {
    fn drop(&mut self) {
        // SAFETY: null, or the tree that is ours, and this is the last use.
        unsafe { layouts::free_mi_tree(self.root) };
    }
}
