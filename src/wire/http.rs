//! Defines the interface between the HTTP listener and the syntaxes of request bodies. Pure: no socket, no
//! clock.
//!
//! The listener parses the HTTP message and finds the [`Route`] by its path. The route's [`Dialect`] reads
//! the body and writes the reply: XML-RPC, JSON-RPC, or the JSON of 2.4. C: `httpd_api_t` in
//! modules/httpd/httpd_load.h of 2.4 and 3.4.

use std::net::IpAddr;
use std::rc::Rc;

use super::{PieceWriter, Stream};
use crate::mi::{Context, StoredReply};

/// The method of a request. The listener refuses all others before a dialect sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMethod {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// A complete request, as the listener passes it to a dialect.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    /// The client's address, for the audit log and for access rules.
    pub client: IpAddr,
    /// GET or POST.
    pub method: HttpMethod,
    /// The path behind the route's root, with its percent signs; empty, or begins with a slash.
    pub path: &'a str,
    /// The part of the URI behind the question mark; `None` without a question mark.
    pub query: Option<&'a str>,
    /// At most 1 MiB, the listener's limit.
    pub body: &'a [u8],
}

/// Status and headers of a reply. The first bytes of its body are in the stream that the dialect wrote to.
#[derive(Debug)]
pub struct ReplyHead {
    /// The HTTP status, 200 to 599.
    pub status: u16,
    /// The value of the header `Content-Type`.
    pub content_type: &'static str,
    /// The reply reports an error, so the listener counts one.
    pub is_error: bool,
    /// Writes the rest of a long body; `None` when the body is complete.
    pub rest: Option<Box<dyn PieceWriter<Stream>>>,
    /// The number of a deferred reply. Nothing is written then; [`Dialect::answer_deferred`] writes the reply
    /// later.
    pub deferred: Option<u64>,
}

/// The syntax of requests and replies of one route.
pub trait Dialect: std::fmt::Debug {
    /// The useful methods, as the header `Allow` lists them.
    fn allowed(&self) -> &'static str;

    /// The content type that a POST must have, for messages: `application/json`.
    fn media_type(&self) -> &'static str;

    /// The status of a successful reply with an empty body.
    fn empty_status(&self) -> u16 {
        200
    }

    /// Runs the command of a request and writes the reply, or the first piece of a long one.
    fn answer(&self, context: &Context, request: &HttpRequest<'_>, output: &mut Stream) -> ReplyHead;

    /// Writes a deferred reply, or the first piece of a long one. `envelope` is what the dialect stored with
    /// the request.
    fn answer_deferred(&self, envelope: &[u8], reply: StoredReply, output: &mut Stream) -> ReplyHead;
}

/// A path and the dialect that serves it.
#[derive(Clone, Debug)]
pub struct Route {
    /// The first segments of the path, without slashes at either end.
    pub root: String,
    /// The module parameter that sets the root, for messages.
    pub parameter: &'static str,
    /// The dialect of all requests below the root.
    pub dialect: Rc<dyn Dialect>,
}

impl Route {
    /// A route for the path `root` and all paths below it.
    #[must_use]
    pub fn new(root: &str, parameter: &'static str, dialect: impl Dialect + 'static) -> Route {
        Route { root: root.trim_matches('/').to_owned(), parameter, dialect: Rc::new(dialect) }
    }

    /// The part of `path` behind the root; `None` when the path does not belong to this route.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix('/')?.strip_prefix(&self.root)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

/// The routes of one listener.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// Adds a route.
    pub fn add(&mut self, route: Route) {
        self.0.push(route);
    }

    /// The route of a path, and the part of the path behind its root. The longest matching root wins.
    #[must_use]
    pub fn find<'p>(&self, path: &'p str) -> Option<(&Route, &'p str)> {
        let found = self.0.iter().filter_map(|route| Some((route, route.rest(path)?)));
        found.max_by_key(|(route, _)| route.root.len())
    }

    /// All routes, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }
}

impl From<Route> for Routes {
    fn from(route: Route) -> Routes {
        Routes(vec![route])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct EmptyDialect;

    impl Dialect for EmptyDialect {
        fn allowed(&self) -> &'static str {
            ""
        }

        fn media_type(&self) -> &'static str {
            ""
        }

        fn answer(&self, _: &Context, _: &HttpRequest<'_>, _: &mut Stream) -> ReplyHead {
            ReplyHead { status: 200, content_type: "", is_error: false, rest: None, deferred: None }
        }

        fn answer_deferred(&self, _: &[u8], _: StoredReply, _: &mut Stream) -> ReplyHead {
            ReplyHead { status: 200, content_type: "", is_error: false, rest: None, deferred: None }
        }
    }

    #[test]
    fn a_path_finds_the_route_with_the_longest_root() {
        let mut routes = Routes::default();
        for root in ["mi", "/mi/json/", "RPC2"] {
            routes.add(Route::new(root, "root", EmptyDialect));
        }
        let find = |path| routes.find(path).map(|(route, rest)| (route.root.as_str(), rest));
        assert_eq!(find("/mi"), Some(("mi", "")));
        assert_eq!(find("/mi/"), Some(("mi", "/")));
        assert_eq!(find("/mi/ps"), Some(("mi", "/ps")));
        assert_eq!(find("/mi/json"), Some(("mi/json", "")));
        assert_eq!(find("/mi/json/ps"), Some(("mi/json", "/ps")));
        for path in ["/", "", "/mix", "mi", "/rpc2", "*"] {
            assert_eq!(find(path), None, "{path}");
        }
    }
}
