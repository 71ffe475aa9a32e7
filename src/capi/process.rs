//! Processes of a C module's own: its function runs in each, and never asks whether to stop. C: `start_module_procs`
//! in sr_module.c, where one that returns ends the server.
#![expect(unsafe_code, reason = "functions of C are called")]

use std::ffi::c_int;

use super::layouts::{INITCHILD_FLAG, ProcExport};
use super::{c_strings, guarded_call};
use crate::module::{OpenError, Process, Rank, Service};
use crate::system::signal;

/// A row of a module's `procs`.
#[derive(Debug)]
struct ModuleProcesses {
    module: &'static str,
    name: String,
    row: ProcExport,
}

/// The services of a module's rows.
///
/// # Safety
/// The pointer is to the table of an open module, null or with a row without a name at its end.
pub(super) unsafe fn services(module: &'static str, rows: *const ProcExport) -> Vec<Box<dyn Service>> {
    // SAFETY: as the caller says.
    let rows = unsafe { c_strings::table_rows(rows, |row| row.name) };
    let services = rows.into_iter().filter(|row| row.no > 0 && row.function.is_some()).filter_map(|row| {
        // SAFETY: the name of a row that has one.
        let name = unsafe { c_strings::to_string_lossy(row.name) }?;
        Some(Box::new(ModuleProcesses { module, name, row }) as Box<dyn Service>)
    });
    services.collect()
}

impl ModuleProcesses {
    fn call(&self, function: Option<unsafe extern "C" fn() -> c_int>, what: &str) -> Result<(), OpenError> {
        let Some(function) = function else { return Ok(()) };
        let what = format!("the {what} function of its process \"{}\"", self.name);
        // SAFETY: the module's function of that type, called once.
        match guarded_call::before_forks(self.module, &what, || unsafe { function() })? {
            0 => Ok(()),
            result => Err(format!("{what} failed ({result})").into()),
        }
    }
}

impl Service for ModuleProcesses {
    fn description(&self) -> &str {
        &self.name
    }

    fn rank(&self) -> Rank {
        if self.row.flags & INITCHILD_FLAG == 0 { Rank::Plain } else { Rank::Module }
    }

    fn workers(&self) -> usize {
        self.row.no as usize
    }

    fn before_forks(&self) -> Result<(), OpenError> {
        self.call(self.row.pre_fork, "pre-fork")
    }

    fn after_forks(&self) -> Result<(), OpenError> {
        self.call(self.row.post_fork, "post-fork")
    }

    fn run(&self, process: &Process<'_>) -> Result<(), OpenError> {
        signal::end_at_once()?;
        process.set_ready();
        if signal::stop_requested() {
            return Ok(());
        }
        if let Some(function) = self.row.function {
            // SAFETY: the module's function of that type; each process calls it once.
            unsafe { function(c_int::try_from(process.number())?) };
        }
        Err(format!("module {}: the function of its process \"{}\" has returned", self.module, self.name)
            .into())
    }
}
