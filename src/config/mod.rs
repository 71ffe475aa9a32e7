//! Reads the opensips.cfg language of OpenSIPS 1.4 to 2.4 and makes typed settings of it.
//!
//! [`parse`] turns the text of all files into a [`ConfigDocument`]; [`resolve()`] checks the document against
//! the modules that the server has and makes a [`Configuration`]. Both go on after an error and collect all
//! errors in [`Diagnostics`]. Nothing here touches the system: the caller's [`FileReader`] reads the files,
//! and the attendant looks up users and folders. C counterpart: cfg.lex, cfg.y and modparam.c.
//!
//! ```text
//! lexer/             bytes of one file to tokens
//! reader.rs          tokens of all files, through include_file
//! parser/            tokens to statements
//! document.rs        the statements
//! resolve.rs         statements to modules with settings, and globals
//! globals/           the table of globals, and their values
//! parameter.rs       rows of parameters that modules declare
//! parameter_check.rs the check of one value against its row
//! settings.rs        the values of one module's parameters
//! module_support.rs  what this server has of a module
//! sip_modules.rs     the modules of OpenSIPS that this server lacks
//! origin/            files of other products and releases
//! diagnostics.rs     all messages of one run
//! problem.rs         the messages
//! position.rs        places in files
//! nearest.rs         the name that was probably meant
//! ```

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
pub use document::{ConfigDocument, ConfigValue, GlobalAssignment, LoadModule, ModParam, Statement};
pub use globals::{Facility, GlobalForm, GlobalRow, GlobalScope, Globals, rows as global_rows};
pub use module_support::ModuleSupport;
pub use parameter::{DefaultValue, NameOrNumber, Param, ParameterEffect, ParameterKind, ParameterRow};
pub use position::{Position, SourceFile};
pub use problem::ConfigProblem;
pub use resolve::{Configuration, DEFAULT_MODULE_PATH, LoadedModule, ModuleCatalogue, resolve};
pub use settings::{FromSetting, Setting, Settings};
pub use sip_modules::look_up as look_up_sip_module;

/// Reads the files of a configuration.
pub trait FileReader {
    /// Reads a whole file.
    ///
    /// # Errors
    /// Those of the file system. After `NotFound`, `import_file` goes on without the file.
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>>;
}

impl<F: FnMut(&Path) -> io::Result<Vec<u8>>> FileReader for F {
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self(path)
    }
}

/// Reads a configuration: the file at `path` and what it includes.
///
/// A name in `include_file` is tried as it is, that is from the working directory, and then from the folder
/// of the file that it stands in. At most 10 files are open inside one another, 1000 are read in all, and 64
/// MiB.
pub fn parse(path: &Path, source: &mut dyn FileReader) -> (ConfigDocument, Diagnostics) {
    match reader::TokenReader::open(path, source) {
        Ok(reader) => parser::parse(reader),
        Err(error) => {
            let mut diagnostics = Diagnostics::new();
            diagnostics.add(Severity::Error, None, ConfigProblem::MainFile { path: path.to_owned(), error });
            (ConfigDocument::default(), diagnostics)
        }
    }
}
