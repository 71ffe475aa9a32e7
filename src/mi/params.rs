//! The parameters of one request: decoded by a wire, looked up by a command.

use std::ops::Range;

use super::command::Parameter;

/// Decoded parameters, in the order they came. One value is reused for all requests of a worker, so a request
/// allocates nothing once the buffers have grown.
#[derive(Clone, Debug, Default)]
pub struct Params {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
struct Item {
    name: Range<usize>,
    value: Range<usize>,
}

impl Params {
    /// No parameters.
    #[must_use]
    pub fn new() -> Params {
        Params::default()
    }

    /// Forgets all, keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// Begins a parameter with an empty value; an empty name means none.
    pub fn begin(&mut self, name: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let end = self.bytes.len();
        self.items.push(Item { name: start..end, value: end..end });
    }

    /// Adds to the value of the parameter begun last.
    pub fn extend(&mut self, part: &[u8]) {
        if let Some(item) = self.items.last_mut() {
            self.bytes.extend_from_slice(part);
            item.value.end = self.bytes.len();
        }
    }

    /// Adds a parameter.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.begin(name);
        self.extend(value);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Name (empty for none) and value, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.items.iter().map(|item| (&self.bytes[item.name.clone()], &self.bytes[item.value.clone()]))
    }

    /// The value at a position.
    #[must_use]
    pub fn value(&self, position: usize) -> Option<&[u8]> {
        self.items.get(position).map(|item| &self.bytes[item.value.clone()])
    }
}

/// A request's parameters under the names of the recipe they were matched with.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    recipe: &'static [Parameter],
    params: &'a Params,
}

impl<'a> Args<'a> {
    pub(super) fn new(recipe: &'static [Parameter], params: &'a Params) -> Args<'a> {
        Args { recipe, params }
    }

    /// The value of the recipe's parameter `name`, when the request has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let position = self.recipe.iter().position(|parameter| parameter.name == name)?;
        self.params.value(position)
    }

    /// How many the request has, also beyond the recipe.
    #[must_use]
    pub fn count(&self) -> usize {
        self.params.len()
    }

    /// As [`get`](Args::get), without an empty value.
    #[must_use]
    pub fn filled(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All of them, also beyond the recipe: name (empty for none) and value, in the order they came.
    pub fn all(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.params.iter()
    }

    /// All values from the recipe's parameter `name` on: for the last one, when it is a list.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.params.iter().skip(self.position(name)).map(|(_, value)| value)
    }

    /// A copy of those values of [`list`](Args::list) that come after the first `count`.
    #[must_use]
    pub fn list_after(&self, name: &str, count: usize) -> OwnedValues {
        OwnedValues { params: self.params.clone(), next: self.position(name).saturating_add(count) }
    }

    fn position(&self, name: &str) -> usize {
        self.recipe.iter().position(|parameter| parameter.name == name).unwrap_or(usize::MAX)
    }
}

/// Values that outlive their request, for what a command does later. Two allocations for all of them.
#[derive(Debug)]
pub struct OwnedValues {
    params: Params,
    /// The position of the next one.
    next: usize,
}

impl OwnedValues {
    /// The next value.
    pub fn next_value(&mut self) -> Option<&[u8]> {
        let value = self.params.value(self.next)?;
        self.next += 1;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::{optional, required};

    #[test]
    fn values_are_found_by_the_recipe_whatever_the_request_calls_them() {
        const RECIPE: &[Parameter] = &[required("system"), optional("attr")];
        let mut params = Params::new();
        params.push(b"attr", b"local");
        params.push(b"", b"");
        let args = Args::new(RECIPE, &params);
        assert_eq!(args.get("system"), Some(&b"local"[..]));
        assert_eq!(args.get("attr"), Some(&b""[..]));
        assert_eq!(args.filled("attr"), None);
        assert_eq!(args.get("other"), None);
        assert_eq!(args.list("attr").count(), 1);
        let mut left = args.list_after("system", 1);
        assert_eq!(left.next_value(), Some(&b""[..]));
        assert_eq!(left.next_value(), None);
        assert_eq!(args.list_after("other", 1).next_value(), None);
    }

    #[test]
    fn clearing_forgets_everything() {
        let mut params = Params::new();
        params.begin(b"n");
        params.extend(b"a");
        params.extend(b"b");
        assert_eq!(params.iter().collect::<Vec<_>>(), [(&b"n"[..], &b"ab"[..])]);
        params.clear();
        assert!(params.is_empty());
        assert_eq!(params.value(0), None);
    }
}
