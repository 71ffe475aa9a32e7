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

    fn parse(mut self) -> (ConfigDocument, Diagnostics) {
        parse(Path::new(MAIN), &mut self)
    }

    fn resolve(self) -> (Configuration, Diagnostics) {
        let (document, mut diagnostics) = self.parse();
        let configuration = resolve(document, &catalogue, &mut diagnostics);
        (configuration, diagnostics)
    }
}

impl FileReader for Files {
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new("/etc/opensips/secret.cfg") {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        self.0.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

const SOCKET_NAME: Param<Option<&Path>> = Param::optional_path("socket_name", "a parameter");
const CHILDREN_COUNT: Param<u16> = Param::u16("children_count", 1..=1024, 1, "a parameter");
const UNIX_SOCKET_MODE: Param<u32> = Param::mode("unix_socket_mode", 0o600, "a parameter");
const UNIX_SOCKET_USER: Param<Option<NameOrNumber<'_>>> =
    Param::name_or_number("unix_socket_user", "the server's user", "a parameter");
const REPLY_INDENT: Param<&[u8]> = Param::text("reply_indent", "  ", "a parameter");
const USE_DOMAIN: Param<bool> = Param::boolean("use_domain", false, "a parameter");
const RESTART_PERSISTENCY: Param<&[u8]> =
    Param::choice("restart_persistency", &["none", "load-from-file"], "none", "a parameter");

const DATAGRAM: &[ParameterRow] =
    &[SOCKET_NAME.row, CHILDREN_COUNT.row, UNIX_SOCKET_MODE.row, UNIX_SOCKET_USER.row, REPLY_INDENT.row];

const USRLOC: &[ParameterRow] = &[
    USE_DOMAIN.row,
    RESTART_PERSISTENCY.row,
    ParameterRow::without_effect(
        "nat_bflag",
        ParameterKind::Text,
        DefaultValue::Absent,
        "nothing is sent",
        "a parameter",
    ),
];

fn catalogue(module: &str, _path: &Path) -> ModuleSupport {
    match module {
        "mi_datagram" => ModuleSupport::Builtin(DATAGRAM),
        "usrloc" => ModuleSupport::Builtin(USRLOC),
        "mi_fifo" => ModuleSupport::Builtin(&[]),
        other => look_up_sip_module(other),
    }
}

/// The messages of `diagnostics`, without the source lines and the path of the main file.
fn messages(diagnostics: &Diagnostics) -> Vec<String> {
    let line = |message: String| message.lines().next().unwrap_or_default().replace(MAIN, "cfg");
    diagnostics.iter().map(|diagnostic| line(diagnostic.to_string())).collect()
}

/// The document of a text that must be without fault.
fn document(text: impl AsRef<[u8]>) -> ConfigDocument {
    let (document, diagnostics) = Files::main(text).parse();
    assert_eq!(messages(&diagnostics), [""; 0]);
    document
}

/// What is said about a text.
fn said(text: impl AsRef<[u8]>) -> Vec<String> {
    messages(&Files::main(text).resolve().1)
}
