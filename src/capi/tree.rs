//! Builds request trees for C commands, and copies the reply trees that they return.
#![expect(unsafe_code, reason = "builds, reads and frees C trees through their pointers")]

use std::ffi::{c_char, c_int};
use std::ptr::NonNull;

use super::c_strings;
use super::layouts::{self, ARRAY_FLAG, MiHandler, MiNode, MiRoot};
use crate::mi::{COMMAND_FAILED, Snapshot, Status, StoredReply};

/// The deepest level at which a node of a reply may lie.
const MAX_DEPTH: usize = 200;

/// A C tree that is freed when dropped.
#[derive(Debug)]
pub(super) struct OwnedTree(NonNull<MiRoot>);

impl OwnedTree {
    /// Builds a request with these parameters: names, empty for none, and values. `None` without memory, or
    /// when the length of a text does not fit into an `int`.
    pub(super) fn request<'a>(parameters: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<OwnedTree> {
        // SAFETY: makes a new tree without a reason.
        let root = unsafe { layouts::init_mi_tree(0, std::ptr::null(), 0) };
        let tree = OwnedTree(NonNull::new(root)?);
        for (name, value) in parameters {
            let [name_len, value_len] = [name.len(), value.len()].map(c_int::try_from);
            let [name, value] = [name, value].map(|bytes| bytes.as_ptr().cast::<c_char>());
            // SAFETY: the tree is live, and the texts have as many bytes as the lengths state; the function
            // copies them.
            let added = unsafe {
                layouts::opensips_mi_add_parameter(
                    tree.0.as_ptr(),
                    name,
                    name_len.ok()?,
                    value,
                    value_len.ok()?,
                )
            };
            if added < 0 {
                return None;
            }
        }
        Some(tree)
    }

    /// Gives a request the handler by which a deferred reply is sent.
    pub(super) fn set_handler(&mut self, handler: NonNull<MiHandler>) {
        // SAFETY: this value owns the tree, and no command has seen it yet.
        unsafe { self.0.as_mut() }.async_hdl = handler.as_ptr();
    }

    /// Takes ownership of a tree that a command returned.
    ///
    /// # Safety
    /// `root` points to a tree that the functions of mi/tree.h made, and no other code frees it.
    pub(super) unsafe fn returned(root: NonNull<MiRoot>) -> OwnedTree {
        OwnedTree(root)
    }

    pub(super) fn as_ptr(&self) -> *mut MiRoot {
        self.0.as_ptr()
    }

    fn root(&self) -> &MiRoot {
        // SAFETY: the tree lives as long as `self`, and no code writes to it meanwhile.
        unsafe { self.0.as_ref() }
    }

    /// Code and reason. Line ends and NULs in the reason become blanks.
    fn status(&self) -> Status {
        let root = self.root();
        // SAFETY: C made the text with that many bytes, which live until the tree is freed.
        let reason = unsafe { c_strings::bytes(&root.reason) }.unwrap_or_default();
        let reason = String::from_utf8_lossy(reason).replace(['\r', '\n', '\0'], " ");
        Status::formatted(i32::try_from(root.code).unwrap_or(500), reason)
    }

    /// Copies all nodes.
    fn copy(&self) -> Result<Snapshot, TreeError> {
        let mut copy = Snapshot::default();
        let top = &self.root().node;
        if top.flags & ARRAY_FLAG != 0 {
            copy.set_array();
        }
        copy_kids(top, &mut copy, 0)?;
        Ok(copy)
    }
}

/// Why a tree cannot be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TreeError {
    TooDeep,
    /// A list of nodes or attributes leads back to one of its own elements.
    Cycle,
}

/// Copies the reply of the command `name` out of its tree, which is freed. Without a tree, and for a tree
/// that cannot be copied, the reply is that the command failed.
pub(super) fn stored_reply(tree: Option<OwnedTree>, name: &str) -> StoredReply {
    let failed = |cause: &str| StoredReply::from(COMMAND_FAILED.with_cause(cause));
    let Some(tree) = tree else { return failed("the module has returned no reply") };
    match tree.copy() {
        Ok(copy) => StoredReply::new(tree.status(), copy),
        Err(TreeError::TooDeep) => {
            log::error!("{name}: the nodes of the reply are nested too deep");
            failed("the nodes of the module's reply lie too deep in one another")
        }
        Err(TreeError::Cycle) => {
            log::error!(
                "{name}: a node of the reply, or an attribute, has itself behind it; the reply is not freed"
            );
            std::mem::forget(tree);
            failed("a node of the module's reply has itself behind it")
        }
    }
}

/// Detects a cycle in a linked list by Brent's algorithm: it compares each element with a marked one, and
/// moves the mark after 1, 2, 4, 8 … steps.
struct CycleDetector<T> {
    marked: *const T,
    steps: u64,
}

impl<T> CycleDetector<T> {
    fn new() -> CycleDetector<T> {
        CycleDetector { marked: std::ptr::null(), steps: 0 }
    }

    fn visit(&mut self, element: &T) -> Result<(), TreeError> {
        if std::ptr::eq(self.marked, element) {
            return Err(TreeError::Cycle);
        }
        self.steps += 1;
        if self.steps.is_power_of_two() {
            self.marked = element;
        }
        Ok(())
    }
}

/// Copies the children of a node, with their attributes and children.
fn copy_kids(parent: &MiNode, copy: &mut Snapshot, depth: usize) -> Result<(), TreeError> {
    if depth > MAX_DEPTH {
        return Err(TreeError::TooDeep);
    }
    let (mut cycles, mut next) = (CycleDetector::new(), parent.kids);
    // SAFETY: null or a node of the same tree, which lives while `parent` does.
    while let Some(node) = unsafe { next.as_ref() } {
        cycles.visit(node)?;
        // SAFETY: C made the text with that many bytes, which live until the tree is freed.
        let [name, value] = [&node.name, &node.value].map(|it| unsafe { c_strings::bytes(it) });
        let number = copy.begin(name.unwrap_or_default(), value, node.flags & ARRAY_FLAG != 0);
        let (mut cycles, mut attribute) = (CycleDetector::new(), node.attributes);
        // SAFETY: null or an attribute of the same node.
        while let Some(it) = unsafe { attribute.as_ref() } {
            cycles.visit(it)?;
            // SAFETY: as for the texts of the node.
            let [name, value] = [&it.name, &it.value].map(|it| unsafe { c_strings::bytes(it) });
            copy.attribute(name.unwrap_or_default(), value.unwrap_or_default());
            attribute = it.next;
        }
        copy_kids(node, copy, depth + 1)?;
        copy.end(number);
        next = node.next;
    }
    Ok(())
}

impl Drop for OwnedTree {
    fn drop(&mut self) {
        // SAFETY: this value owns the tree, and this is its last use.
        unsafe { layouts::free_mi_tree(self.0.as_ptr()) };
    }
}
