//! The opensips.cfg language of OpenSIPS 1.4 to 2.4: text in, typed settings out.
//!
//! Two steps: [`parse`] reads what was written, across all files, and [`resolve()`] gives it meaning with what the
//! server knows of its modules. Both go on after an error and tell all of them in [`Diagnostics`]. Pure: files are
//! read by the caller's [`Source`], and whether a user or a folder exists is asked by others. C counterpart:
//! cfg.lex, cfg.y and modparam.c.

use std::io;
use std::path::Path;

mod diagnostics;
mod document;
mod globals;
mod lexer;
mod module_support;
mod nearest;
mod origin;
mod parameter;
mod parameter_check;
mod parser;
mod position;
mod problem;
mod reader;
mod resolve;
mod settings;
mod sip_modules;
#[cfg(test)]
mod tests;

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use document::{Assignment, Document, LoadModule, ModParam, Statement, Value};
pub use globals::{Facility, Form, GlobalRow, Globals, Scope, rows as global_rows};
pub use module_support::ModuleSupport;
pub use parameter::{DefaultValue, NameOrNumber, Param, ParameterEffect, ParameterKind, ParameterRow};
pub use position::{Position, SourceFile};
pub use problem::Problem;
pub use resolve::{Catalogue, Configuration, DEFAULT_MODULE_PATH, LoadedModule, resolve};
pub use settings::{FromSetting, Setting, Settings};
pub use sip_modules::look_up as look_up_sip_module;

/// Where files come from.
pub trait Source {
    /// Reads a whole file.
    ///
    /// # Errors
    /// Those of the file system. `NotFound` lets `import_file` pass in silence.
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>>;
}

impl<F: FnMut(&Path) -> io::Result<Vec<u8>>> Source for F {
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self(path)
    }
}

/// Reads a configuration: the file at `path` and what it includes.
///
/// A name in `include_file` is tried as it is, that is from the working directory, and then from the folder of the
/// file that it stands in. At most 10 files are open inside one another, 1000 are read in all, and 64 MiB.
pub fn parse(path: &Path, source: &mut dyn Source) -> (Document, Diagnostics) {
    match reader::Reader::open(path, source) {
        Ok(reader) => parser::parse(reader),
        Err(error) => {
            let mut diagnostics = Diagnostics::new();
            diagnostics.add(Severity::Error, None, Problem::MainFile { path: path.to_owned(), error });
            (Document::default(), diagnostics)
        }
    }
}
