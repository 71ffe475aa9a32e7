//! What SIGUSR1 asks for. C: SIGUSR1 in `handle_sigs` in main.c.

use super::Supervisor;

impl Supervisor {
    /// Writes the process table, memory and all statistics to the log.
    pub(super) fn report(&self) {
        for (id, (slot, description)) in
            (0..).zip(self.context.segment.slots().iter().zip(&self.context.processes))
        {
            log::warn!("process {id}: PID {} {description}, {} restarts", slot.pid(), slot.restarts());
        }
        for cell in self.context.statistics.all() {
            log::warn!("{} = {}", cell.full_name.escape_ascii(), cell.value(&self.context));
        }
    }
}
