//! Calls the lifecycle functions of a C module: `init_f` once, `init_child_f` in each process, `destroy_f` at
//! the end.
//!
//! After `init_f` it registers what the module's table exports. C: `init_modules`, `init_child` and
//! `destroy_modules` in sr_module.c, and `init_mi_child` in mi/mi.c.
#![expect(unsafe_code, reason = "calls C functions")]

use std::cell::Cell;
use std::ffi::c_int;
use std::rc::Rc;

use super::layouts::{self, ModuleExports};
use super::{
    c_strings, command, current_context, event, guarded_call, handler, orphaned_locks, process, statistic,
};
use crate::mi::Context;
use crate::module::{LateExports, Lifecycle, OpenError, Rank};
use crate::system::last_words;

/// C: `PROC_MAIN`.
const RANK_MAIN: c_int = 0;
/// C: `PROC_TIMER`.
const RANK_TIMER: c_int = -1;
/// C: `PROC_MODULE`.
const RANK_MODULE: c_int = -2;

/// A loaded C module, which is never closed.
#[derive(Debug)]
pub(super) struct CModule {
    name: &'static str,
    /// The module's table. The module may change it in `init_f`.
    table: *const ModuleExports,
    /// The range of this module's commands among all registered ones: first, and one behind the last. Set
    /// when `init_f` has returned.
    command_range: Cell<(usize, usize)>,
    /// True once `init_f` was called: only then is `destroy_f` called.
    has_begun: Cell<bool>,
}

impl CModule {
    /// # Safety
    /// `table` is the table of a loaded module that is never closed.
    pub(super) unsafe fn new(name: &'static str, table: *const ModuleExports) -> CModule {
        CModule { name, table, command_range: Cell::new((0, 0)), has_begun: Cell::new(false) }
    }

    /// A copy of the table as it is now.
    fn exports(&self) -> ModuleExports {
        // SAFETY: the caller of `new` guarantees it.
        unsafe { self.table.read() }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Registers the statistics and commands of the table. Called when `init_f` has returned, as `init_f` may
    /// remove some of them.
    fn register(&self) -> Result<(), String> {
        let exports = self.exports();
        // SAFETY: the module's own name, and its list, which ends with a row without a name.
        let result = unsafe { layouts::__register_module_stats(exports.name, exports.stats, 0) };
        if result < 0 {
            return Err("one of its statistics cannot be registered; the log says why".to_owned());
        }
        // SAFETY: the module's own list, which ends with a row without a name.
        for row in unsafe { c_strings::table_rows(exports.mi_cmds, |row| row.name) } {
            // SAFETY: a row of the module's table, whose strings live as long as it does.
            let result = unsafe {
                layouts::register_mi_cmd(
                    row.cmd,
                    row.name,
                    row.help,
                    row.param,
                    row.init_f,
                    row.flags,
                    exports.name,
                )
            };
            if result < 0 {
                return Err("one of its commands cannot be registered; the log says why".to_owned());
            }
        }
        Ok(())
    }

    fn call_child_init(&self, rank: c_int) -> Result<(), OpenError> {
        let Some(init) = self.exports().init_child_f else { return Ok(()) };
        let what = "its child_init function";
        // SAFETY: the module's function of that type, called once in this process.
        let call = || unsafe { init(rank) };
        let result = match rank {
            RANK_MAIN => guarded_call::before_forks(self.name, what, call),
            _ => Ok(last_words::with(&format!("module {}: {what}", self.name), call)),
        };
        let failed = |reason| Err(format!("{}: {reason}", self.name).into());
        match result {
            Ok(0..) => Ok(()),
            Ok(result) => failed(format!("{what} failed in this process ({result})")),
            Err(reason) => failed(reason),
        }
    }
}

impl Lifecycle for CModule {
    fn start(&self, events: &[&'static str]) -> Result<LateExports, OpenError> {
        event::set_known_names(events);
        let (commands, statistics) = (command::registered_count(), statistic::registered_count());
        self.has_begun.set(true);
        let init = self.exports().init_f;
        let call = || {
            // SAFETY: the module's function of that type, called once.
            init.map_or(0, |init| unsafe { init() })
        };
        let result = guarded_call::before_forks(self.name, "its init function", call)?;
        if result != 0 {
            return Err(format!("its init function failed ({result}); the log may say why").into());
        }
        self.register()?;
        self.command_range.set((commands, command::registered_count()));
        let commands = command::registered_after(commands);
        if commands.iter().any(|command| command.run.may_defer()) {
            handler::create()?;
        }
        let orphaned =
            orphaned_locks::register_counter(self.name).ok_or("no shared memory; give a larger -m")?;
        Ok(LateExports {
            commands,
            statistics: statistic::registered_after(statistics).into_iter().chain([orphaned]).collect(),
            events: event::published_after(events.len()),
            // SAFETY: the module's own list, which ends with a row without a name.
            services: unsafe { process::services(self.name, self.exports().procs) },
        })
    }

    fn start_process(&self, rank: Rank, context: &Rc<Context>) -> Result<(), OpenError> {
        // SAFETY: sets a variable of the shim.
        unsafe { layouts::opensips_mi_set_process_number(c_int::try_from(context.slot)?) };
        let c_rank = match rank {
            Rank::Attendant => return self.call_child_init(RANK_MAIN),
            Rank::Plain => None,
            Rank::Timer => Some(RANK_TIMER),
            Rank::Module | Rank::Worker => Some(RANK_MODULE),
        };
        current_context::set(context);
        if let Some(c_rank) = c_rank {
            self.call_child_init(c_rank)?;
        }
        let (first, end) = self.command_range.get();
        for init in command::init_functions(first, end).into_iter().filter(|_| rank == Rank::Worker) {
            let what = format!("module {}: a command's init function", self.name);
            // SAFETY: the function that the module has registered with a command, called once in this
            // process.
            let result = last_words::with(&what, || unsafe { init() });
            if result != 0 {
                return Err(format!("{}: a command's init function failed ({result})", self.name).into());
            }
        }
        Ok(())
    }

    fn end(&self) {
        if let Some(destroy) = self.exports().destroy_f.filter(|_| self.has_begun.get()) {
            let what = format!("module {}: its destroy function", self.name);
            // SAFETY: the module's function of that type, called once, when no other code of the module runs.
            last_words::with(&what, || unsafe { destroy() });
        }
    }
}
