//! The language as a whole: what is read, what is said about mistakes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::*;

mod errors;
mod includes;
mod modules;
mod origins;
mod properties;
mod statements;
mod whole_file;

/// The main file of all tests.
const MAIN: &str = "/etc/opensips/opensips.cfg";

/// Files by path, in place of a file system.
#[derive(Default)]
struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    fn main(text: impl AsRef<[u8]>) -> Self {
        Self::default().with(MAIN, text)
    }

    fn with(mut self, path: &str, text: impl AsRef<[u8]>) -> Self {
        self.0.insert(PathBuf::from(path), text.as_ref().to_vec());
        self
    }

    fn parse(mut self) -> (Document, Diagnostics) {
        parse(Path::new(MAIN), &mut self)
    }

    fn resolve(self) -> (Configuration, Diagnostics) {
        let (document, mut diagnostics) = self.parse();
        let configuration = resolve(document, &catalogue, &mut diagnostics);
        (configuration, diagnostics)
    }
}

impl Source for Files {
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new("/etc/opensips/secret.cfg") {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        self.0.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

const DATAGRAM: &[Parameter] = &[
    row("socket_name", Kind::Text),
    row("children_count", Kind::Integer { min: 1, max: 1024 }),
    row("unix_socket_mode", Kind::Mode),
    row("unix_socket_user", Kind::IntegerOrText),
    row("reply_indent", Kind::Text),
];

const USRLOC: &[Parameter] = &[
    row("use_domain", Kind::Boolean),
    row("restart_persistency", Kind::Choice(&["none", "load-from-file"])),
    Parameter { name: "nat_bflag", kind: Kind::Text, effect: Effect::None("nothing is sent"), help: "none" },
];

const fn row(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, effect: Effect::Used, help: "a parameter" }
}

fn catalogue(module: &str, _path: &Path) -> Known {
    match module {
        "mi_datagram" => Known::Builtin(DATAGRAM),
        "usrloc" => Known::Builtin(USRLOC),
        "mi_fifo" => Known::Builtin(&[]),
        other => look_up_sip_module(other),
    }
}

/// The messages of `diagnostics`, without the source lines and the path of the main file.
fn messages(diagnostics: &Diagnostics) -> Vec<String> {
    let line = |message: String| message.lines().next().unwrap_or_default().replace(MAIN, "cfg");
    diagnostics.iter().map(|diagnostic| line(diagnostic.to_string())).collect()
}

/// The document of a text that must be without fault.
fn document(text: impl AsRef<[u8]>) -> Document {
    let (document, diagnostics) = Files::main(text).parse();
    assert_eq!(messages(&diagnostics), [""; 0]);
    document
}

/// What is said about a text.
fn said(text: impl AsRef<[u8]>) -> Vec<String> {
    messages(&Files::main(text).resolve().1)
}
