//! Runs the processes that a C module's table asks for. The module's function runs in each of them until
//! SIGTERM ends it. C: `start_module_procs` in sr_module.c, where a function that returns ends the server.
#![expect(unsafe_code, reason = "calls C functions")]

use std::ffi::c_int;

use super::layouts::{INITCHILD_FLAG, ProcExport};
use super::{c_strings, guarded_call};
use crate::module::{OpenError, Process, Rank, Service};
use crate::system::signal;

/// The processes of one row of a module's `procs`.
#[derive(Debug)]
struct ModuleProcesses {
    module: &'static str,
    name: String,
    row: ProcExport,
}

/// The services that run a module's processes, one for each row. Rows with 0 processes or without a function
/// are left out.
///
/// # Safety
/// `rows` is null or the `procs` of a loaded module, which end with a row without a name.
pub(super) unsafe fn services(module: &'static str, rows: *const ProcExport) -> Vec<Box<dyn Service>> {
    // SAFETY: the caller guarantees it.
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
