//! The commands that are measured, and what design asks of each. A table; runs nothing.

/// What one command's request looks like and how fast its answer has to be.
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) request: Vec<u8>,
    /// Per number of clients: the least ratio to the floor.
    pub(crate) targets: Vec<(usize, f64)>,
    /// The server gets so many workers that the reply reaches the size of `--large-bytes`.
    pub(crate) large: bool,
}

impl Command {
    /// A command of the user's own (`--request`): no target.
    pub(crate) fn own(name: String, request: Vec<u8>) -> Command {
        Command { name, request, targets: Vec::new(), large: false }
    }

    /// The target for this number of clients.
    pub(crate) fn target(&self, clients: usize) -> Option<f64> {
        self.targets.iter().find(|(of, _)| *of == clients).map(|(_, ratio)| *ratio)
    }
}

/// The commands with a target.
pub(crate) fn table() -> Vec<Command> {
    let row = |name: &str, request: &[u8], one: f64, four: f64, large| Command {
        name: name.to_owned(),
        request: request.to_vec(),
        targets: vec![(1, one), (4, four)],
        large,
    };
    vec![
        row("version", b":version:\n", 0.95, 0.90, false),
        row("ps", b":ps:\n", 0.95, 0.90, false),
        row("core:", b":get_statistics:\ncore:\n", 0.95, 0.90, false),
        row("all", b":get_statistics:\nall\n", 0.85, 0.80, true),
    ]
}
