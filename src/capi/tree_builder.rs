//! Builds the reply of one of the server's own commands as a C tree, for a C module that called the command.
#![expect(unsafe_code, reason = "builds a C tree through its pointers")]

use std::ffi::{c_char, c_int, c_uint};
use std::ptr::{null, null_mut};

use super::layouts::{self, ARRAY_FLAG, MiNode, MiRoot};
use crate::mi::{Generation, Reply, Status, Value};

/// A C tree under construction.
#[derive(Debug)]
pub(super) struct TreeBuilder {
    /// Null when there was no memory for the tree.
    root: *mut MiRoot,
    /// Nodes that were opened and not yet closed, the innermost last. Null for a node that got no memory: its
    /// children are left out.
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
        // SAFETY: the text has `len` bytes; the function copies them.
        let root = unsafe { layouts::opensips_mi_new_tree(code, text, len) };
        TreeBuilder { root, open_nodes: Vec::new() }
    }

    /// A tree with code and reason alone.
    pub(super) fn with_status(status: &Status) -> TreeBuilder {
        TreeBuilder::new(c_uint::try_from(status.code).unwrap_or(500), &status.reason)
    }

    /// Gives the tree away: the caller frees it. Null when there was no memory.
    pub(super) fn into_raw(mut self) -> *mut MiRoot {
        std::mem::replace(&mut self.root, null_mut())
    }

    /// The innermost open node, or the node of the tree itself when none is open. Null when there was no
    /// memory.
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

/// Bytes as C takes them: pointer and length. Null and 0 when the length does not fit into an `int`.
fn pointer_and_length(bytes: &[u8]) -> (*const c_char, c_int) {
    c_int::try_from(bytes.len()).map_or((null(), 0), |len| (bytes.as_ptr().cast(), len))
}

impl Reply for TreeBuilder {
    fn generation(&self) -> Generation {
        Generation::Classic
    }

    fn status(&mut self, status: &Status) {
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
            // SAFETY: the node is live, and both texts have as many bytes as said; the function copies them.
            unsafe { layouts::opensips_mi_add_node(parent, name, name_len, value, value_len) }
        };
        self.open_nodes.push(node);
    }

    fn attribute(&mut self, name: &[u8], value: Value<'_>) {
        let node = self.current_node();
        let value = value.to_bytes();
        let ((name, name_len), (value, value_len)) = (pointer_and_length(name), pointer_and_length(&value));
        if !node.is_null() {
            // SAFETY: the node is live, and both texts have as many bytes as said; the function copies them.
            unsafe { layouts::add_mi_attr(node, layouts::COPY_FLAGS, name, name_len, value, value_len) };
        }
    }

    fn close(&mut self) {
        self.open_nodes.pop();
    }

    fn list(&mut self) {
        let node = self.current_node();
        if !node.is_null() {
            // SAFETY: the node is live, and only this builder refers to it.
            unsafe { (*node).flags |= ARRAY_FLAG };
        }
    }
}

impl Drop for TreeBuilder {
    fn drop(&mut self) {
        // SAFETY: null, or a tree that this builder owns; this is its last use.
        unsafe { layouts::free_mi_tree(self.root) };
    }
}
