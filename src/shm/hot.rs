//! The hot part of the segment: header and process table. Plain atomics, no lock.
//!
//! C: `pt` in pt.h, `debug` and `startup_time` in globals.h.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};

use crate::system::memory::Private;
use crate::system::process::ProcessId;

/// What all processes share.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    level: AtomicI32,
    bytes: AtomicU64,
    started_wall: AtomicI64,
    started_boot: AtomicU64,
    max_used: AtomicU64,
    spoke_json: AtomicBool,
    last_pending: AtomicU64,
    is_ending: AtomicBool,
}

impl Header {
    pub(super) fn initialize(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.started_wall.store(crate::system::clock::wall_seconds(), Ordering::Relaxed);
        self.started_boot.store(crate::system::clock::boot_seconds(), Ordering::Relaxed);
    }

    /// Bytes of all parts of the segment.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes how many bytes are in use, and gives the most that was ever noted.
    pub fn note_used(&self, bytes: u64) -> u64 {
        self.max_used.fetch_max(bytes, Ordering::Relaxed).max(bytes)
    }

    /// The log level of all processes: -3 alert … 4 debug.
    pub fn level(&self) -> i32 {
        self.level.load(Ordering::Relaxed)
    }

    /// Changes the log level of all processes that have none of their own.
    pub(super) fn set_level(&self, level: i32) {
        self.level.store(level, Ordering::Relaxed);
    }

    /// The number of the last pending reply.
    pub(super) fn last_pending(&self) -> &AtomicU64 {
        &self.last_pending
    }

    /// Whether the server ends, and no reply can be pending any more.
    pub(super) fn is_ending(&self) -> &AtomicBool {
        &self.is_ending
    }

    /// Whether the last datagram that was one or the other was JSON-RPC, and not text.
    pub fn spoke_json(&self) -> bool {
        self.spoke_json.load(Ordering::Relaxed)
    }

    /// Notes which it was. All workers read this: it is written only when it changes.
    pub fn set_spoke_json(&self, is_json: bool) {
        if self.spoke_json() != is_json {
            self.spoke_json.store(is_json, Ordering::Relaxed);
        }
    }

    /// Seconds since the epoch at which the server started, by the wall clock of then.
    pub fn started(&self) -> i64 {
        self.started_wall.load(Ordering::Relaxed)
    }

    /// Seconds the server has been running, untouched by changes of the wall clock.
    pub fn uptime(&self) -> u64 {
        crate::system::clock::boot_seconds().saturating_sub(self.started_boot.load(Ordering::Relaxed))
    }
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SlotState {
    /// No process, or one that has ended.
    Empty = 0,
    /// Forked, not serving yet.
    Starting = 1,
    /// Serving.
    Ready = 2,
}

/// What a slot's log level is stored above, so that zero can mean none.
const OWN_LEVEL: i64 = 1 << 32;

/// One process of the server. Its index is the `ID` that `ps` shows.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Slot {
    pid: AtomicI32,
    state: AtomicU32,
    /// Counts beginnings and ends of requests, modulo 2³²: odd while one is being handled.
    busy: AtomicU32,
    restarts: AtomicU64,
    figures_asked: AtomicU64,
    /// The process's own log level above [`OWN_LEVEL`]; 0 when it has none.
    level: AtomicI64,
    /// [`InHand`]: the turn above 32 bits of the command; these are 0 between commands.
    in_hand: AtomicU64,
    /// The number of the pending reply that the process is just sending; 0 for none.
    sending: AtomicU64,
    memory: PrivateMemory,
}

/// A C command that a process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InHand {
    /// Which one, as [`Slot::enter_command`] was told.
    pub command: u32,
    /// Which call of one, of this process: counts up, modulo 2³².
    pub turn: u32,
}

/// What a process has published of its own memory, in bytes. C: `pkg_status_holder` in mem.h.
#[repr(C)]
#[derive(Debug)]
pub struct PrivateMemory {
    /// Taken from the kernel.
    pub total: AtomicU64,
    /// In use.
    pub used: AtomicU64,
    /// In use, with the allocator's own share.
    pub real_used: AtomicU64,
    /// The highest `real_used` that was published.
    pub max_used: AtomicU64,
    /// Free pieces, a count.
    pub fragments: AtomicU64,
}

impl Slot {
    /// The process, while there is one.
    pub fn process(&self) -> Option<ProcessId> {
        ProcessId::from_number(self.pid.load(Ordering::Relaxed))
    }

    /// Its number; 0 while there is none.
    pub fn pid(&self) -> i32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Makes the slot ready for a process that is about to be forked.
    pub fn begin(&self) {
        self.set_busy(false);
        self.leave_command();
        self.state.store(SlotState::Starting as u32, Ordering::Release);
    }

    /// Enters the process. Parent and child both do it, whichever comes first; the state is left alone, as the
    /// child may be ready before its parent runs again.
    pub fn occupy(&self, process: ProcessId) {
        self.pid.store(process.number(), Ordering::Release);
    }

    /// Notes that the process has ended. Counters and the restart count stay.
    pub fn vacate(&self) {
        self.pid.store(0, Ordering::Relaxed);
        self.set_busy(false);
        self.state.store(SlotState::Empty as u32, Ordering::Release);
    }

    /// Notes that the process serves from now on.
    pub fn set_ready(&self) {
        self.state.store(SlotState::Ready as u32, Ordering::Release);
    }

    /// Where the process is in its life.
    pub fn state(&self) -> SlotState {
        match self.state.load(Ordering::Acquire) {
            1 => SlotState::Starting,
            2 => SlotState::Ready,
            _ => SlotState::Empty,
        }
    }

    /// Marks the process as handling a request, or not. For that process alone: a load and a store.
    pub fn set_busy(&self, busy: bool) {
        let turn = self.busy.load(Ordering::Relaxed);
        if (turn & 1 == 1) != busy {
            self.busy.store(turn.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Whether the process is handling a request.
    pub fn is_busy(&self) -> bool {
        self.busy_turn().is_some()
    }

    /// Which request the process is handling: a number that no request shortly before or after it has.
    pub fn busy_turn(&self) -> Option<u32> {
        Some(self.busy.load(Ordering::Relaxed)).filter(|turn| turn & 1 == 1)
    }

    /// Notes that the process enters the C command of that number, which is not 0. For that process alone.
    pub fn enter_command(&self, number: u32) {
        let turn = self.in_hand.load(Ordering::Relaxed) >> 32;
        self.in_hand.store(((turn + 1) << 32) | u64::from(number), Ordering::Relaxed);
    }

    /// Notes that the process is in no C command.
    pub fn leave_command(&self) {
        let turn = self.in_hand.load(Ordering::Relaxed) >> 32;
        self.in_hand.store(turn << 32, Ordering::Relaxed);
    }

    /// The C command that the process is in, or was in when it ended.
    pub fn in_hand(&self) -> Option<InHand> {
        let both = self.in_hand.load(Ordering::Relaxed);
        let [turn, command] =
            [both >> 32, both & u64::from(u32::MAX)].map(|it| u32::try_from(it).unwrap_or(0));
        (command != 0).then_some(InHand { command, turn })
    }

    /// The pending reply that the process is just sending, or was when it ended; 0 for none.
    pub(super) fn sending(&self) -> &AtomicU64 {
        &self.sending
    }

    /// Counts a replacement of the process.
    pub fn count_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the process was replaced.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// The log level of this process, when it is not that of all. It stays when the process is replaced.
    pub fn level(&self) -> Option<i32> {
        let level = self.level.load(Ordering::Relaxed);
        if level == 0 { None } else { i32::try_from(level - OWN_LEVEL).ok() }
    }

    /// Gives this process a log level of its own.
    pub fn set_level(&self, level: i32) {
        self.level.store(OWN_LEVEL + i64::from(level), Ordering::Relaxed);
    }

    /// Lets the level of all count for this process again.
    pub(super) fn forget_level(&self) {
        self.level.store(0, Ordering::Relaxed);
    }

    /// What the process last published of its memory.
    pub fn memory(&self) -> &PrivateMemory {
        &self.memory
    }

    /// Publishes the calling process's memory figures in its slot.
    pub fn publish(&self, figures: Private) {
        let memory = &self.memory;
        memory.total.store(figures.total, Ordering::Relaxed);
        memory.used.store(figures.used, Ordering::Relaxed);
        memory.real_used.store(figures.real_used, Ordering::Relaxed);
        memory.max_used.fetch_max(figures.real_used, Ordering::Relaxed);
        memory.fragments.store(figures.fragments, Ordering::Relaxed);
    }

    /// Whether fresh figures should be asked for: true at most once in a second, over all callers.
    pub fn figures_due(&self, now_seconds: u64) -> bool {
        let asked = self.figures_asked.load(Ordering::Relaxed);
        now_seconds > asked
            && self
                .figures_asked
                .compare_exchange(asked, now_seconds, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
