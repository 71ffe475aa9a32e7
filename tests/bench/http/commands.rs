//! The doors and the commands that are measured, and what is asked of each. Tables; runs nothing.

use crate::message;

/// Least ratio to the floor, for each command and number of connections.
pub(crate) const TARGET: f64 = 0.80;
/// More connections than this Python's clients are not measured with: each is a process.
pub(crate) const MOST_PYTHONS: usize = crate::load::MOST_CLIENTS;

/// Where a request goes, and in which syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// mi_xmlrpc, on a listener of its own.
    XmlRpc,
    /// mi_http, on the listener of httpd.
    JsonRpc,
}

impl Door {
    /// All of them.
    pub(crate) const ALL: [Door; 2] = [Door::XmlRpc, Door::JsonRpc];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Door::XmlRpc => "/RPC2",
            Door::JsonRpc => "/mi",
        }
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Door::XmlRpc => "text/xml",
            Door::JsonRpc => "application/json",
        }
    }

    /// What begins the `Type` of its processes in the reply of `ps`.
    pub(crate) fn process_type(self) -> &'static str {
        match self {
            Door::XmlRpc => "MI XMLRPC",
            Door::JsonRpc => "HTTPD",
        }
    }

    /// What ends a whole reply.
    pub(crate) fn end(self) -> &'static [u8] {
        match self {
            Door::XmlRpc => b"</methodResponse>\r\n",
            Door::JsonRpc => b"}",
        }
    }

    /// A request of these words: the method and its parameters.
    pub(crate) fn request(self, words: &[&str]) -> Vec<u8> {
        let (method, parameters) = words.split_first().unwrap_or((&"", &[]));
        let each = |before: &str, after: &str, between: &str| {
            let texts: Vec<String> = parameters.iter().map(|text| format!("{before}{text}{after}")).collect();
            texts.join(between)
        };
        let body = match self {
            Door::XmlRpc => {
                let parameters = each("<param><value><string>", "</string></value></param>", "");
                format!(
                    "<?xml version='1.0'?>\n<methodCall>\n<methodName>{method}</methodName>\n<params>\n\
                     {parameters}</params>\n</methodCall>\n"
                )
            }
            Door::JsonRpc if *method == "get_statistics" => {
                let parameters = each("\"", "\"", ", ");
                format!(
                    r#"{{"jsonrpc": "2.0", "id": "27094", "method": "{method}", "params": {{"statistics": [{parameters}]}}}}"#
                )
            }
            Door::JsonRpc => {
                let parameters = each("\"", "\"", ", ");
                format!(
                    r#"{{"jsonrpc": "2.0", "id": "27094", "method": "{method}", "params": [{parameters}]}}"#
                )
            }
        };
        message::post(self.path(), self.media_type(), &body)
    }
}

/// A row of the report.
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) door: Door,
    /// The method and its parameters.
    pub(crate) words: &'static [&'static str],
    /// Python's xmlrpc.client asks.
    pub(crate) by_python: bool,
}

impl Command {
    /// The whole request.
    pub(crate) fn request(&self) -> Vec<u8> {
        self.door.request(self.words)
    }
}

/// All rows.
pub(crate) fn table() -> Vec<Command> {
    let kinds =
        [("xml", Door::XmlRpc, false), ("json", Door::JsonRpc, false), ("python", Door::XmlRpc, true)];
    let calls: [(&str, &'static [&'static str]); 3] =
        [("version", &["version"]), ("ps", &["ps"]), ("all", &["get_statistics", "all"])];
    let row = |(kind, door, by_python)| {
        calls.map(|(name, words)| Command { name: format!("{kind}-{name}"), door, words, by_python })
    };
    kinds.into_iter().flat_map(row).collect()
}
