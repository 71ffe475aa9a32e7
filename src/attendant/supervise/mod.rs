//! The attendant's life: start the workers, replace the dead, mend what has vanished, end in order.
//!
//! One loop waits for a signal, for a worker that says it is ready, or for the next thing to be due. C:
//! `start_module_procs` in sr_module.c and `handle_sigs` in main.c, where a dead child ends the server.

mod end;
mod report;

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::boot::{BootError, step};
use super::busy::BusyWatch;
use super::daemon::Terminal;
use super::folders;
use super::locks::LockWatch;
use super::stopped::{self, StoppedWorkers};
use crate::capi;
use crate::logging::level;
use crate::mi::Context;
use crate::module::{Lifecycles, OpenError, Rank, ReadyNotifier, Service};
use crate::shm::{Slot, SlotState};
use crate::system::process::{self, Change, Ending, Fork, ProcessId};
use crate::system::signal::{Blocked, Event, Stream};
use crate::system::{datagram, memory};
use crate::worker;

/// How often endpoints are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Pause before a worker that could not even begin is tried again; doubled each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// How long that pause gets.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// A process without an endpoint that lived shorter than this is not replaced at once: what it is there for may fail
/// each time.
const LEAST_LIFE: Duration = Duration::from_secs(10);

/// How long all workers together may take to begin.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A service with the slots of its workers.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) module: &'static str,
    pub(super) service: Box<dyn Service>,
    pub(super) slots: Range<usize>,
}

/// What the attendant knows of a slot beyond the process table.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// Ends in a row before it was ready, or soon after.
    failures: u32,
    /// When it may be tried again.
    retry_at: Option<Instant>,
    /// When it was forked.
    began: Option<Instant>,
}

/// The attendant at work.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// Shared only within a worker: here nothing else holds it.
    context: Rc<Context>,
    pools: Vec<Pool>,
    fates: Vec<Fate>,
    /// Workers that serve an endpoint nobody reaches, told to end until they do.
    retiring: Vec<ProcessId>,
    locks: LockWatch,
    busy: BusyWatch,
    stopped: StoppedWorkers,
    /// Whether all workers were ready once.
    has_served: bool,
    signals: Stream,
    ready: PipeReader,
    wake: PipeWriter,
    terminal: Terminal,
    next_tick: Instant,
    /// When systemd is to hear again that this process is alive, if it wants to.
    next_alive: Option<Instant>,
}

/// What a worker does when it serves: it lets go of the terminal and wakes the attendant.
#[derive(Debug)]
struct Settled<'a> {
    terminal: &'a Terminal,
    wake: &'a PipeWriter,
}

impl ReadyNotifier for Settled<'_> {
    fn notify(&self) {
        if let Err(error) = self.terminal.leave() {
            log::error!("cannot let go of the terminal: {error}");
        }
        // The slot says that the worker is ready; the byte only wakes an attendant that sleeps.
        let _woken = (&mut &*self.wake).write_all(b"!");
    }
}

impl Supervisor {
    pub(super) fn new(
        context: Context,
        pools: Vec<Pool>,
        signals: Stream,
        terminal: Terminal,
    ) -> io::Result<Supervisor> {
        let (ready, wake) = io::pipe()?;
        let busy = BusyWatch::new(context.processes.len());
        let fates = vec![Fate::default(); context.processes.len()];
        Ok(Supervisor {
            context: Rc::new(context),
            pools,
            fates,
            retiring: Vec::new(),
            locks: LockWatch::default(),
            busy,
            stopped: StoppedWorkers::default(),
            has_served: false,
            signals,
            ready,
            wake,
            terminal,
            next_tick: Instant::now() + TICK,
            next_alive: None,
        })
    }

    /// Makes all endpoints.
    pub(super) fn open_endpoints(&mut self) -> Result<(), BootError> {
        for pool in &mut self.pools {
            let failed = |source| BootError::Endpoint { module: pool.module, source };
            pool.service.open().map_err(failed)?;
            if let Some(socket) = pool.service.udp_socket() {
                let socket = socket.duplicate().map_err(|source| failed(source.into()))?;
                if let Some(context) = Rc::get_mut(&mut self.context) {
                    context.udp_sockets.push(socket);
                }
            }
        }
        Ok(())
    }

    /// Says which endpoints the server's user cannot look after.
    pub(super) fn warn_of_folders(&self) {
        self.endpoints().for_each(folders::warn_of);
    }

    /// The endpoints that have a path.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Path> {
        self.pools.iter().filter_map(|pool| pool.service.path())
    }

    /// Forks all workers and waits until each is ready.
    pub(super) fn start_workers(&mut self) -> Result<(), BootError> {
        let own = &self.context.segment.slots()[0];
        own.begin();
        own.occupy(ProcessId::own());
        own.publish(memory::private());
        own.set_ready();
        self.own_signals()?;
        for pool in 0..self.pools.len() {
            self.around_forks(pool, |service| service.before_forks())?;
            for slot in self.pools[pool].slots.clone() {
                self.fork_worker(slot)?;
            }
            self.around_forks(pool, |service| service.after_forks())?;
        }
        self.begin_own()?;
        self.own_signals()?;
        let deadline = Instant::now() + START_LIMIT;
        while !self.worker_slots().all(|slot| self.has_started(slot)) {
            if Instant::now() >= deadline {
                return Err(BootError::Late(START_LIMIT));
            }
            self.wait(TICK);
            for event in self.signals.take() {
                match event {
                    Event::Stop => return Err(BootError::Stopped),
                    Event::Child => self.reap_at_start()?,
                    other => self.act_on(other),
                }
            }
            let now = Instant::now();
            self.retry_failed(now);
            self.end_stopped(now);
        }
        Ok(())
    }

    fn around_forks(
        &self,
        pool: usize,
        step: impl Fn(&dyn Service) -> Result<(), OpenError>,
    ) -> Result<(), BootError> {
        let Pool { module, service, .. } = &self.pools[pool];
        step(&**service).map_err(|source| BootError::Module { module, source })
    }

    /// Takes signals as before modules' own functions have run here, which may have changed what becomes of them.
    fn own_signals(&self) -> Result<(), BootError> {
        self.signals.install_again().map_err(step("take signals", "see the system error"))
    }

    /// Whether a process serves, or did and is to be tried again.
    fn has_started(&self, slot: usize) -> bool {
        self.context.segment.slots()[slot].state() == SlotState::Ready || self.fates[slot].retry_at.is_some()
    }

    /// Tells the modules that the attendant begins, too. C: `init_child(PROC_MAIN)` in main.c.
    fn begin_own(&self) -> Result<(), BootError> {
        let Some(lifecycles) = self.context.states.get::<Lifecycles>() else { return Ok(()) };
        let failed = |source| BootError::Module { module: "attendant", source };
        lifecycles.start_process(Rank::Attendant, &self.context).map_err(failed)
    }

    /// Watches over the server until it is told to stop.
    pub(super) fn serve(&mut self) {
        self.has_served = true;
        log::info!("{} processes are ready", self.context.processes.len());
        if self.pools.iter().all(|pool| pool.service.load_name().is_none()) {
            log::warn!(
                "no transport is loaded, nobody can send a command; add loadmodule \"mi_datagram.so\" and its socket_name"
            );
        }
        loop {
            self.tell_alive();
            self.wait(self.next_due().saturating_duration_since(Instant::now()));
            for event in self.signals.take() {
                match event {
                    Event::Stop => return,
                    Event::Child => self.reap(),
                    other => self.act_on(other),
                }
            }
            let now = Instant::now();
            self.retry_failed(now);
            if now >= self.next_tick {
                self.next_tick = now + TICK;
                self.mend();
                self.locks.look(&self.context, now);
                self.busy.look(&self.context, now);
                self.end_stopped(now);
                self.context.segment.note_clocks();
            }
        }
    }

    fn worker_slots(&self) -> Range<usize> {
        1..self.context.processes.len()
    }

    fn slot_of(&self, process: ProcessId) -> Option<usize> {
        self.worker_slots().find(|&slot| self.context.segment.slots()[slot].process() == Some(process))
    }

    /// Sleeps until a signal, a ready worker, or the time is up.
    fn wait(&mut self, limit: Duration) {
        datagram::wait_any(&[self.signals.descriptor(), self.ready.as_fd()], limit);
        let mut told = [0_u8; 256];
        if datagram::is_readable(self.ready.as_fd()) {
            // What the bytes mean stands in the slots.
            let _drained = self.ready.read(&mut told);
        }
    }

    /// Does what a signal asks for that does not concern workers.
    fn act_on(&mut self, event: Event) {
        match event {
            Event::Stop | Event::Child => {}
            Event::Reopen => {
                log::info!(
                    level = level::NOTICE;
                    "SIGHUP: looking for endpoints that have vanished; the configuration is not read again, \
                     restart the server for that"
                );
                self.mend();
            }
            Event::Report => self.report(),
            Event::Publish => self.context.segment.slots()[0].publish(memory::private()),
        }
    }

    /// Tells systemd that this process is alive, when that is due.
    fn tell_alive(&mut self) {
        let notifier = self.terminal.notifier();
        let now = Instant::now();
        if self.next_alive.is_none_or(|due| due <= now) {
            self.next_alive = notifier.interval().map(|interval| now + interval);
            if self.next_alive.is_some() {
                notifier.alive();
            }
        }
    }

    fn next_due(&self) -> Instant {
        let retries = self.fates.iter().filter_map(|fate| fate.retry_at);
        retries.chain(self.next_alive).fold(self.next_tick, Instant::min)
    }

    fn fork_worker(&mut self, slot: usize) -> Result<(), BootError> {
        let failed = |source| BootError::Step {
            step: format!("fork process {slot}"),
            source,
            remedy: "raise the limit of processes, or lower children_count",
        };
        let entry = &self.context.segment.slots()[slot];
        let attendant = ProcessId::own();
        let blocked = Blocked::new().map_err(failed)?;
        entry.begin();
        match process::fork().map_err(failed)? {
            Fork::Parent(child) => {
                entry.occupy(child);
                let fate = &mut self.fates[slot];
                (fate.retry_at, fate.began) = (None, Some(Instant::now()));
                drop(blocked);
                Ok(())
            }
            Fork::Child => {
                entry.occupy(ProcessId::own());
                if let Some(context) = Rc::get_mut(&mut self.context) {
                    context.slot = slot;
                }
                self.context.segment.set_own_slot(slot);
                let settled = Settled { terminal: &self.terminal, wake: &self.wake };
                let Some(pool) = self.pools.iter().find(|pool| pool.slots.contains(&slot)) else {
                    process::exit_child(1);
                };
                let number = slot - pool.slots.start;
                worker::run(pool.service.as_ref(), number, &self.context, &settled, attendant, blocked)
            }
        }
    }

    /// Takes a dead process out of the table. Gives its slot and whether it had been ready.
    fn bury(&mut self, process: ProcessId, ending: Ending) -> Option<(usize, bool)> {
        let is_retired = self.retiring.contains(&process);
        self.retiring.retain(|&retiring| retiring != process);
        let slot = self.slot_of(process)?;
        let name = self.name(slot);
        let entry = &self.context.segment.slots()[slot];
        let was_ready = entry.state() == SlotState::Ready;
        let command = entry.in_hand().and_then(capi::describe_command);
        let place = command.map_or(String::new(), |command| format!(" in {command}"));
        entry.vacate();
        let level = if is_retired { log::Level::Info } else { log::Level::Warn };
        log::log!(level, "{name} {ending}{place}");
        Some((slot, was_ready))
    }

    /// Reaps the next child that has ended. Notes which were stopped or go on.
    fn next_ended(&mut self) -> Option<(ProcessId, Ending)> {
        while let Some((process, change)) = process::next_change() {
            match change {
                Change::Stopped => self.stopped.add(process, Instant::now()),
                Change::Continued => self.stopped.remove(process),
                Change::Ended(ending) => {
                    self.stopped.remove(process);
                    return Some((process, ending));
                }
            }
        }
        None
    }

    /// While the server starts, a worker that ends by itself ends the start.
    fn reap_at_start(&mut self) -> Result<(), BootError> {
        while let Some((process, ending)) = self.next_ended() {
            let Some((slot, was_ready)) = self.bury(process, ending) else { continue };
            if !was_ready && ending != Ending::Killed(libc::SIGKILL) {
                let description = self.context.processes[slot].clone();
                return Err(BootError::Worker { description, id: slot, ending: ending.to_string() });
            }
            self.succeed(slot, was_ready, ending);
        }
        Ok(())
    }

    fn reap(&mut self) {
        while let Some((process, ending)) = self.next_ended() {
            if let Some((slot, was_ready)) = self.bury(process, ending) {
                self.succeed(slot, was_ready, ending);
            }
        }
    }

    /// Forks a successor: after a pause, when the process could not begin, or serves no endpoint and ended early.
    fn succeed(&mut self, slot: usize, was_ready: bool, ending: Ending) {
        let serves_clients =
            self.pools.iter().any(|pool| pool.slots.contains(&slot) && pool.service.load_name().is_some());
        let lived = self.fates[slot].began.map_or(Duration::ZERO, |began| began.elapsed());
        if ending == Ending::Killed(libc::SIGKILL) || was_ready && (serves_clients || lived >= LEAST_LIFE) {
            self.fates[slot].failures = 0;
            self.replace_or_retry(slot);
        } else {
            self.back_off(slot, if was_ready { "ended soon after its start" } else { "could not begin" });
        }
    }

    fn replace(&mut self, slot: usize) -> Result<(), BootError> {
        self.fork_worker(slot)?;
        self.context.segment.slots()[slot].count_restart();
        Ok(())
    }

    fn replace_or_retry(&mut self, slot: usize) {
        if let Err(error) = self.replace(slot) {
            log::error!("{error}");
            self.back_off(slot, "could not begin");
        }
    }

    fn back_off(&mut self, slot: usize, what: &str) {
        let fate = &mut self.fates[slot];
        let pause = FIRST_BACKOFF.saturating_mul(1 << fate.failures.min(10)).min(LONGEST_BACKOFF);
        fate.failures += 1;
        fate.retry_at = Some(Instant::now() + pause);
        log::error!("process {slot} {what}, the log says why; it is tried again in {pause:?}");
    }

    fn retry_failed(&mut self, now: Instant) {
        for slot in self.worker_slots() {
            if self.fates[slot].retry_at.is_some_and(|due| now >= due) {
                self.fates[slot].retry_at = None;
                self.replace_or_retry(slot);
            }
        }
    }

    /// Makes vanished endpoints again. Workers that serve the old one answer what is queued there and end, and
    /// their successors serve the new one.
    fn mend(&mut self) {
        for pool in &mut self.pools {
            if pool.service.repair() {
                let slots = &self.context.segment.slots()[pool.slots.clone()];
                self.retiring.extend(slots.iter().filter_map(Slot::process));
            }
        }
        // Each time anew, as one signal may come just before a worker goes to sleep, and not wake it.
        self.retiring.iter().for_each(|process| process.terminate());
    }

    /// Ends workers that have been stopped for too long; successors take their place.
    fn end_stopped(&mut self, now: Instant) {
        for process in self.stopped.late(now) {
            if let Some(slot) = self.slot_of(process) {
                let limit = stopped::LIMIT;
                log::error!(
                    "{} was stopped by a signal for more than {limit:?} and is replaced",
                    self.name(slot)
                );
                process.kill();
            }
        }
    }

    /// As messages name a process.
    fn name(&self, slot: usize) -> String {
        let pid = self.context.segment.slots()[slot].pid();
        format!("process {slot} ({}, PID {pid})", self.context.processes[slot])
    }
}
