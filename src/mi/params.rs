//! Holds the parameters of a request, which `wire` decodes and a command reads.

use std::fmt;
use std::ops::Range;

use super::recipe::Parameter;

/// The most bytes of the parameters that are logged.
const SHOWN_BYTES: usize = 100;

/// The parameters of a request, in their order. A worker reuses one value for all its requests, so a request
/// allocates nothing once the buffers are large enough.
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

    /// Removes all parameters, and keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// Adds a parameter with an empty value. An empty name stands for none.
    pub fn begin(&mut self, name: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let end = self.bytes.len();
        self.items.push(Item { name: start..end, value: end..end });
    }

    /// Appends to the value of the last parameter.
    pub fn extend(&mut self, part: &[u8]) {
        if let Some(item) = self.items.last_mut() {
            self.bytes.extend_from_slice(part);
            item.value.end = self.bytes.len();
        }
    }

    /// Adds a parameter. An empty name stands for none.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.begin(name);
        self.extend(value);
    }

    /// The parameters for the log.
    pub(super) fn shown(&self) -> ShownParams<'_> {
        ShownParams(self)
    }

    /// The number of parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// There are no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The name, empty for none, and the value of each parameter, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.items.iter().map(|item| (&self.bytes[item.name.clone()], &self.bytes[item.value.clone()]))
    }

    /// The value of the parameter at this position.
    #[must_use]
    pub fn value(&self, position: usize) -> Option<&[u8]> {
        self.items.get(position).map(|item| &self.bytes[item.value.clone()])
    }
}

/// The parameters of a request by the names in their recipe.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    recipe: &'static [Parameter],
    params: &'a Params,
}

impl<'a> Args<'a> {
    pub(super) fn new(recipe: &'static [Parameter], params: &'a Params) -> Args<'a> {
        Args { recipe, params }
    }

    /// The value of the parameter `name` of the recipe, when the request has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let position = self.recipe.iter().position(|parameter| parameter.name == name)?;
        self.params.value(position)
    }

    /// The number of parameters in the request, which may be more than in the recipe.
    #[must_use]
    pub fn count(&self) -> usize {
        self.params.len()
    }

    /// The same, but `None` for an empty value.
    #[must_use]
    pub fn filled(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The name, empty for none, and the value of each parameter in the request, in their order.
    pub fn all(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.params.iter()
    }

    /// The values from the parameter `name` of the recipe on, which is a list.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.params.iter().skip(self.position(name)).map(|(_, value)| value)
    }

    /// A copy of the values of [`list`](Args::list) without the first `count`.
    #[must_use]
    pub fn list_after(&self, name: &str, count: usize) -> OwnedValues {
        OwnedValues { params: self.params.clone(), next: self.position(name).saturating_add(count) }
    }

    fn position(&self, name: &str) -> usize {
        self.recipe.iter().position(|parameter| parameter.name == name).unwrap_or(usize::MAX)
    }
}

/// A copy of values that outlives the request. Two allocations.
#[derive(Debug)]
pub struct OwnedValues {
    params: Params,
    /// The position of the next value.
    next: usize,
}

impl OwnedValues {
    /// The next value; `None` after the last one.
    pub fn next_value(&mut self) -> Option<&[u8]> {
        let value = self.params.value(self.next)?;
        self.next += 1;
        Some(value)
    }
}

/// Writes parameters for the log, each after a blank: escaped, and at most [`SHOWN_BYTES`] in all.
pub(super) struct ShownParams<'a>(&'a Params);

impl fmt::Display for ShownParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = SHOWN_BYTES;
        for (_, value) in self.0.iter() {
            let shown = &value[..value.len().min(room)];
            write!(f, " {}", shown.escape_ascii())?;
            if shown.len() < value.len() {
                return f.write_str("...");
            }
            room -= shown.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::{optional, required};

    #[test]
    fn values_are_found_by_the_names_in_the_recipe() {
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
    fn logged_parameters_are_escaped_and_cut() {
        let mut params = Params::new();
        params.push(b"", b"a\n");
        params.push(b"x", &[b'y'; 200]);
        params.push(b"", b"z");
        assert_eq!(params.shown().to_string(), format!(" a\\n {}...", "y".repeat(98)));
    }

    #[test]
    fn clear_removes_all_parameters() {
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
