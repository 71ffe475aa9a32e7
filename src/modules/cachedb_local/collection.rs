//! Collections: parts of the cache, each with keys of its own, in one table. OpenSIPS has them since 2.3.
//!
//! C: `parse_collections` and `lcache_new_connection` in cachedb_local.c.

use std::borrow::Cow;
use std::fmt;

use crate::config::Param;
use crate::mi;

/// Names collections.
pub(super) const CACHE_COLLECTIONS: Param<Option<&[u8]>> = Param::optional_text(
    "cache_collections",
    "names of collections beside default, as \"c1; c2 = 5\"; may be set more than once",
);

/// Puts a cache system on a collection.
pub(super) const CACHEDB_URL: Param<Option<&[u8]>> = Param::optional_text(
    "cachedb_url",
    "a cache system on a collection, local:GROUP:///COLLECTION; may be set more than once",
);

/// The cache system without a group.
pub(super) const SYSTEM: &str = "local";

/// The collection that is always there. C: `DEFAULT_COLLECTION_NAME`.
const DEFAULT: &[u8] = b"default";

/// The largest binary logarithm of a collection's number of hash buckets, which has no effect here.
const MAX_SIZE: u32 = 31;

/// A collection, by its name. The default one is stored without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Collection(Vec<u8>);

impl Collection {
    /// The collection of that name.
    pub(super) fn new(name: &[u8]) -> Collection {
        Collection(if name == DEFAULT { Vec::new() } else { name.to_vec() })
    }

    /// The key in the table for one in this collection: itself in the default collection, and `NUL name NUL key` in
    /// others. A key of the default collection that begins with NUL gets two more in front.
    pub(super) fn stored_key<'k>(&self, key: &'k [u8]) -> Cow<'k, [u8]> {
        if self.0.is_empty() && key.first() != Some(&0) {
            return Cow::Borrowed(key);
        }
        Cow::Owned([&[0], &self.0[..], &[0], key].concat())
    }

    /// The key in this collection for one in the table; `None` when it is of another collection.
    pub(super) fn key_of<'k>(&self, stored: &'k [u8]) -> Option<&'k [u8]> {
        match stored.strip_prefix(&[0]) {
            None => self.0.is_empty().then_some(stored),
            Some(rest) => rest.strip_prefix(&self.0[..])?.strip_prefix(&[0]),
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.0.is_empty() { DEFAULT } else { &self.0 };
        f.write_str(&String::from_utf8_lossy(name))
    }
}

/// The collections of one setting: names, each perhaps with a size, with `;` between.
///
/// # Errors
/// What is wrong with one of them.
pub(super) fn names(text: &[u8]) -> Result<Vec<Collection>, String> {
    let mut found = Vec::new();
    for part in text.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()) {
        let mut halves = part.splitn(2, |&byte| byte == b'=').map(<[u8]>::trim_ascii);
        let name = halves.next().unwrap_or_default();
        let is_size = |size| mi::unsigned(size).is_some_and(|size| size <= MAX_SIZE);
        if name.is_empty() || !halves.next().is_none_or(is_size) {
            let part = String::from_utf8_lossy(part);
            return Err(format!(
                "\"{part}\": expected a name, or a name and a size up to {MAX_SIZE}; write c1 or c1 = 5"
            ));
        }
        found.push(Collection::new(name));
    }
    Ok(found)
}

/// The cache system of a URL, `local[:GROUP]://[HOST]/[COLLECTION]`, and its collection.
///
/// # Errors
/// When it is no such URL.
pub(super) fn url(text: &[u8]) -> Result<(String, Collection), String> {
    let shown = String::from_utf8_lossy(text);
    let wrong = || format!("\"{shown}\": is no URL of a cache system; write local:GROUP:///COLLECTION");
    let (system, rest) = shown.split_once("://").ok_or_else(wrong)?;
    match system.strip_prefix(SYSTEM) {
        Some(group) if group.is_empty() || (group.starts_with(':') && group.len() > 1) => {}
        _ => return Err(wrong()),
    }
    let collection = rest.split_once('/').map_or("", |(_, collection)| collection);
    Ok((system.to_owned(), Collection::new(collection.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_collections_never_meet() {
        let all = [Collection::default(), Collection::new(b"a"), Collection::new(b"ab")];
        for (at, collection) in all.iter().enumerate() {
            for key in [&b""[..], b"k", b"\0", b"\0a\0k", b"b\0k"] {
                let stored = collection.stored_key(key);
                let found: Vec<_> = all.iter().map(|other| other.key_of(&stored)).collect();
                let wanted: Vec<_> = (0..all.len()).map(|other| (other == at).then_some(key)).collect();
                assert_eq!(found, wanted, "{collection} {key:?}");
            }
        }
        assert_eq!(Collection::new(b"default"), Collection::default());
    }

    #[test]
    fn names_come_with_sizes_and_without() {
        let found = names(b"c1; c2 = 5;;default;").unwrap();
        assert_eq!(found, [Collection::new(b"c1"), Collection::new(b"c2"), Collection::default()]);
        for wrong in [&b"c1 = x"[..], b"= 5", b"c1=", b"c1 = 32"] {
            assert!(names(wrong).unwrap_err().contains("write c1 or c1 = 5"));
        }
    }

    #[test]
    fn urls_name_a_system_and_a_collection() {
        let found = |text: &str| url(text.as_bytes()).map(|(system, it)| format!("{system} {it}"));
        assert_eq!(found("local://").unwrap(), "local default");
        assert_eq!(found("local:///c1").unwrap(), "local c1");
        assert_eq!(found("local:group:///c2").unwrap(), "local:group c2");
        assert_eq!(found("local:g://host:1/default").unwrap(), "local:g default");
        for wrong in ["", "local", "redis:g://h/", "local:://h/", "localx://h/"] {
            assert!(found(wrong).unwrap_err().contains("write local:GROUP:///COLLECTION"), "{wrong}");
        }
    }
}
