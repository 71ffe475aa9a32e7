//! What an HTTP listener and the syntax of a request's body have to do with one another. Pure: no socket, no clock.
//!
//! The listener takes a message apart and finds the [`Door`] by its path; what is said behind the door is a
//! [`Dialect`]: XML-RPC, JSON-RPC, the JSON of 2.4. C: `httpd_api_t` in modules/httpd/httpd_load.h of 2.4 and 3.4.

use std::net::IpAddr;
use std::rc::Rc;

use super::{Pieces, Stream};
use crate::mi::{Context, Told};

/// How a request asks. Others never come to a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// A request, whole, as a dialect sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub client: IpAddr,
    /// How it asks.
    pub method: Method,
    /// The path behind the root, percent signs and all: empty, or begins with a slash.
    pub path: &'a str,
    /// What stands behind the question mark, if there is one.
    pub query: Option<&'a str>,
    /// What was sent along.
    pub body: &'a [u8],
}

/// What became of a request. The first bytes of the reply are in the stream.
#[derive(Debug)]
pub struct Answer {
    /// The status, from 200 to 599.
    pub status: u16,
    /// What the bytes are.
    pub content_type: &'static str,
    /// Whether the reply says that something went wrong.
    pub is_error: bool,
    /// What is left to be written, when a reply is long.
    pub more: Option<Box<dyn Pieces<Stream>>>,
    /// The number of the reply, when it comes later: nothing is written then, and [`Dialect::tell`] writes it.
    pub later: Option<u64>,
}

/// The syntax of requests and replies under one path.
pub trait Dialect: std::fmt::Debug {
    /// The methods that are of use here, as the header `Allow` lists them.
    fn allowed(&self) -> &'static str;

    /// What a POST has to say of its body, for messages: `application/json`.
    fn media_type(&self) -> &'static str;

    /// The status of a reply without a byte that is no error of HTTP.
    fn silent_status(&self) -> u16 {
        200
    }

    /// Runs what is asked and writes the reply, or its beginning.
    fn answer(&self, context: &Context, request: &Request<'_>, output: &mut Stream) -> Answer;

    /// Writes a reply that has come later, or its beginning; `form` is what the dialect has said of its request.
    fn tell(&self, form: &[u8], told: Told, output: &mut Stream) -> Answer;
}

/// A path, and what is spoken there.
#[derive(Clone, Debug)]
pub struct Door {
    /// The path, without a slash at its ends.
    pub root: String,
    /// The parameter of the module that sets it, for messages.
    pub parameter: &'static str,
    /// What is spoken.
    pub dialect: Rc<dyn Dialect>,
}

impl Door {
    /// A door at that path.
    #[must_use]
    pub fn new(root: &str, parameter: &'static str, dialect: impl Dialect + 'static) -> Door {
        Door { root: root.trim_matches('/').to_owned(), parameter, dialect: Rc::new(dialect) }
    }

    /// What is behind the root of a path that leads here.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix('/')?.strip_prefix(&self.root)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

/// The doors of one listener.
#[derive(Clone, Debug, Default)]
pub struct Doors(Vec<Door>);

impl Doors {
    /// Adds one.
    pub fn add(&mut self, door: Door) {
        self.0.push(door);
    }

    /// The door that a path leads to, and the path behind it. Of several the one with the longest root.
    #[must_use]
    pub fn find<'p>(&self, path: &'p str) -> Option<(&Door, &'p str)> {
        let found = self.0.iter().filter_map(|door| Some((door, door.rest(path)?)));
        found.max_by_key(|(door, _)| door.root.len())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Door> {
        self.0.iter()
    }
}

impl From<Door> for Doors {
    fn from(door: Door) -> Doors {
        Doors(vec![door])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nothing;

    impl Dialect for Nothing {
        fn allowed(&self) -> &'static str {
            ""
        }
        fn media_type(&self) -> &'static str {
            ""
        }
        fn answer(&self, _: &Context, _: &Request<'_>, _: &mut Stream) -> Answer {
            Answer { status: 200, content_type: "", is_error: false, more: None, later: None }
        }

        fn tell(&self, _form: &[u8], _told: Told, _output: &mut Stream) -> Answer {
            Answer { status: 200, content_type: "", is_error: false, more: None, later: None }
        }
    }

    #[test]
    fn a_path_leads_to_the_door_with_the_longest_root() {
        let mut doors = Doors::default();
        ["mi", "/mi/json/", "RPC2"].into_iter().for_each(|root| doors.add(Door::new(root, "root", Nothing)));
        let find = |path| doors.find(path).map(|(door, rest)| (door.root.as_str(), rest));
        assert_eq!(find("/mi"), Some(("mi", "")));
        assert_eq!(find("/mi/"), Some(("mi", "/")));
        assert_eq!(find("/mi/ps"), Some(("mi", "/ps")));
        assert_eq!(find("/mi/json"), Some(("mi/json", "")));
        assert_eq!(find("/mi/json/ps"), Some(("mi/json", "/ps")));
        for nowhere in ["/", "", "/mix", "mi", "/rpc2", "*"] {
            assert_eq!(find(nowhere), None, "{nowhere}");
        }
    }
}
