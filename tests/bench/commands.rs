//! The commands that are measured, and what design asks of each. Tables; runs nothing.

use crate::fifo;
use crate::request::{Numbers, Template};

/// How many keys the cache's commands use.
const CACHE_KEYS: u64 = 10_000;
/// How many new AoRs a run may add, from the first that is not there.
const NEW_AORS: u64 = 50_000_000;

/// What one command's requests look like and how fast its answers have to be. `{n}` in a request is a number that
/// changes from one to the next.
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) request: Vec<u8>,
    pub(crate) numbers: Numbers,
    /// Sent with each of `numbers` before anything is measured.
    pub(crate) fill: Option<Vec<u8>>,
    /// Takes back what a request has done: sent after each turn with the numbers of that turn.
    pub(crate) undo: Option<Vec<u8>>,
    /// Per number of clients: the least ratio to the floor.
    pub(crate) targets: Vec<(usize, f64)>,
    /// The server gets so many workers that the reply reaches the size of `--large-bytes`.
    pub(crate) large: bool,
    /// The reply may be anything; else it has to be a good one.
    pub(crate) any_reply: bool,
    /// It goes over FIFOs; `{R}` in it is the name of the client's.
    pub(crate) by_fifo: bool,
}

impl Command {
    /// The user's own (`--request`).
    pub(crate) fn own(name: &str, request: &[u8]) -> Command {
        Command { any_reply: true, ..Command::plain(name, request) }
    }

    /// A command without preparation and without a target.
    fn plain(name: &str, request: &[u8]) -> Command {
        Command {
            name: name.to_owned(),
            request: request.to_vec(),
            numbers: Numbers { start: 0, count: CACHE_KEYS },
            fill: None,
            undo: None,
            targets: Vec::new(),
            large: false,
            any_reply: false,
            by_fifo: false,
        }
    }

    fn with_targets(self, one: f64, four: f64) -> Command {
        Command { targets: vec![(1, one), (4, four)], ..self }
    }

    /// The target for this number of clients.
    pub(crate) fn target(&self, clients: usize) -> Option<f64> {
        self.targets.iter().find(|(of, _)| *of == clients).map(|(_, ratio)| *ratio)
    }

    /// Bytes of each request.
    pub(crate) fn request_bytes(&self) -> usize {
        let (_, length) = fifo::name_place(Template::new(&self.request).with(0));
        length
    }
}

/// The commands with a target.
pub(crate) fn table() -> Vec<Command> {
    let store = [&b":cache_store:\nlocal\nmi-bench-{n}\n"[..], &[b'v'; 100], b"\n"].concat();
    let cached = |name: &str, request: &[u8]| Command {
        fill: Some(store.clone()),
        ..Command::plain(name, request).with_targets(0.85, 0.85)
    };
    let json = |name: &str, rest: &str| {
        let request = format!(r#"{{"jsonrpc": "2.0", "id": "27094", "method": "{rest}}}"#);
        Command::plain(name, request.as_bytes()).with_targets(0.80, 0.80)
    };
    let all = r#"get_statistics", "params": {"statistics": ["all"]}"#;
    vec![
        Command::plain("version", b":version:\n").with_targets(0.95, 0.90),
        Command::plain("ps", b":ps:\n").with_targets(0.95, 0.90),
        Command::plain("core:", b":get_statistics:\ncore:\n").with_targets(0.95, 0.90),
        cached("cache_fetch", b":cache_fetch:\nlocal\nmi-bench-{n}\n"),
        cached("cache_store", &store),
        json("json-ps", r#"ps", "params": {}"#),
        json("json-core:", r#"get_statistics", "params": {"statistics": ["core:"]}"#),
        Command { large: true, ..json("json-all", all) },
        Command { large: true, ..Command::plain("all", b":get_statistics:\nall\n").with_targets(0.85, 0.80) },
    ]
}

/// Commands of a module in C, each beside one in Rust that gives the same reply.
pub(crate) fn c_table() -> Vec<Command> {
    let json = |name: &str, rest: &str| {
        let request = format!(r#"{{"jsonrpc": "2.0", "id": "27094", "method": "{rest}}}"#);
        Command::plain(name, request.as_bytes())
    };
    vec![
        Command::plain("version", b":version:\n"),
        Command::plain("c-version", b":speed_version:\n"),
        Command::plain("rows", b":get_statistics:\nspeed:\n"),
        Command::plain("c-rows", b":speed_rows:\n"),
        json("json-rows", r#"get_statistics", "params": {"statistics": ["speed:"]}"#),
        json("json-c-rows", r#"speed_rows""#),
    ]
}

/// The commands that are measured over FIFOs.
pub(crate) fn fifo_table() -> Vec<Command> {
    let row = |name: &str, request: &str| Command {
        by_fifo: true,
        ..Command::plain(name, request.as_bytes()).with_targets(0.85, 0.85)
    };
    vec![
        row("version", ":version:{R}\n\n"),
        row("ps", ":ps:{R}\n\n"),
        row("core:", ":get_statistics:{R}\ncore:\n\n"),
        row("json-ps", r#":{R}:{"jsonrpc": "2.0", "id": "27094", "method": "ps", "params": {}}"#),
    ]
}

/// Adds an AoR with one contact for a day, or sets its contact again.
const ADD: &[u8] =
    b":ul_add:\nlocation\nuser-{n}\nsip:user-{n}@192.0.2.1:5060\n86400\n1\n0\n0\n0\n4294967295\n";

/// What fills a server with `contacts` contacts, each of an AoR of its own.
pub(crate) fn contacts_fill(contacts: u64) -> Command {
    Command { numbers: Numbers { start: 0, count: contacts }, ..Command::plain("fill", ADD) }
}

/// What is measured with `contacts` contacts in the server. A new AoR is removed after the turn, so that their number
/// stays; the others are any of those that are there. The names end in `@` and the number.
pub(crate) fn contacts_table(contacts: u64) -> Vec<Command> {
    let there = Numbers { start: 0, count: contacts };
    let mut rows = vec![
        Command {
            numbers: Numbers { start: contacts, count: NEW_AORS },
            undo: Some(b":ul_rm:\nlocation\nuser-{n}\n".to_vec()),
            ..Command::plain("ul_add-new", ADD).with_targets(0.85, 0.85)
        },
        Command { numbers: there, ..Command::plain("ul_add-same", ADD).with_targets(0.85, 0.85) },
        Command { numbers: there, ..Command::plain("ul_show", b":ul_show_contact:\nlocation\nuser-{n}\n") },
    ];
    rows.iter_mut().for_each(|row| row.name = format!("{}@{contacts}", row.name));
    rows
}
