//! The order of the start.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::daemon::{self, Report, Side, Terminal};
use super::pid_file::{PidFile, PidFileError};
use super::prepare::{Plan, memory_bytes};
use super::relative;
use super::supervise::{Pool, Supervisor};
use super::time_keeper::TimeKeeper;
use crate::cachedb::Backends;
use crate::capi;
use crate::cli::Options;
use crate::config::Globals;
use crate::evi::{self, Events};
use crate::logging::Logger;
use crate::mi::{self, Command, CommandTable, Context, ModuleStates, StatisticRegistry};
use crate::module::{Lifecycles, Module, ModuleParts, OpenError, RunUser, Service};
use crate::modules;
use crate::shm::keyed::Space;
use crate::shm::{Contiguous, PendingRequests, Persistent, Segment, SegmentError};
use crate::system::pipe_notifier::PipeNotifier;
use crate::system::process::{self, ProcessId};
use crate::system::{leftovers, signal, user};
use crate::timer::Timer;
use crate::wire::http::Routes;

/// What a process is said to have for itself without `-M`, in bytes. C: `PKG_MEM_SIZE` in config.h.
const DEFAULT_PRIVATE_BYTES: u64 = 2 << 20;

/// Where state is kept without `restart_persistency_cache_file`, in the working folder if one is named. C: 3.x has the
/// same name, in whatever folder it was started in or became a daemon.
const STATE_FILE: &str = ".restart_persistency.cache";

/// And where it is kept without a working folder.
const STATE_FOLDER: &str = "/var/lib/opensips";

/// The timeout of deferred replies without `mi_reply_timeout`.
const DEFAULT_REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Descriptors of the attendant when it has begun, at a guess.
const DESCRIPTORS_AT_START: u64 = 16;

/// Descriptors that the attendant takes before it knows all services: for signals, the log and its files.
const DESCRIPTORS_TO_BEGIN: u64 = 32;

/// Descriptors that the attendant takes when it knows them, besides those of their endpoints: the memory, its pipe, and
/// what is opened for a moment.
const DESCRIPTORS_OF_SERVICES: u64 = 16;

/// Descriptors of a [`PipeNotifier`].
const DESCRIPTORS_PER_NOTIFIER: u64 = 2;

/// Ends replies that take longer.
const PENDING_TIMER: Timer = Timer {
    name: "pending replies",
    interval: Duration::from_secs(1),
    run: |context| {
        let late = mi::answer_overdue(context.pending) as u64;
        let row = context.segment.row(context.slot);
        let cell = context.statistics.counter(row, mi::STATISTICS[1].group, mi::TIMEOUTS);
        cell.into_iter().for_each(|cell| {
            cell.fetch_add(late, Ordering::Relaxed);
        });
    },
};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// One of the process-wide steps.
    #[error("cannot {step}: {source}; {remedy}")]
    Step {
        /// What was tried.
        step: String,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The file of `-P` or `-G`.
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    /// A module's own beginning.
    #[error("module {module}: {source}")]
    Module {
        /// The module.
        module: &'static str,
        /// Why, and what to do.
        source: OpenError,
    },
    /// A module's endpoint.
    #[error("{module}: {source}")]
    Endpoint {
        /// The module.
        module: &'static str,
        /// Why, and what to do.
        source: OpenError,
    },
    /// Shared memory.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// Two modules export the same command.
    #[error(
        "command {command} of module {module} exists already in module {other}; give it another name, or load one of the two"
    )]
    Command {
        /// The name.
        command: &'static str,
        /// Who comes later.
        module: &'static str,
        /// Who has it.
        other: &'static str,
    },
    /// The processes could not have as many files open as they need.
    #[error(
        "open files: the limit is {limit}, and this configuration needs {wanted}; set open_files_limit={wanted} or more, \
         ulimit -n, or LimitNOFILE of the unit"
    )]
    Descriptors {
        /// Of a process.
        limit: u64,
        /// What would do.
        wanted: u64,
    },
    /// A worker ended before it served.
    #[error("{description}, process {id}, {ending} before it was ready; the log says why")]
    Worker {
        /// As in `ps`.
        description: String,
        /// As in `ps`.
        id: usize,
        /// How it ended.
        ending: String,
    },
    /// A worker neither served nor ended.
    #[error("not all workers were ready within {0:?}; the log may say why")]
    Late(Duration),
    /// SIGTERM came first.
    #[error("told to stop before all workers were ready")]
    Stopped,
}

/// How [`run`] ended for this process.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has served and ended; or it serves as a daemon, and this was the starting process.
    Done,
    /// The daemon failed to start; its reason, to be shown by the starting process.
    Refused(String),
    /// The daemon failed, and the starting process knows why.
    Reported,
}

/// Starts the server and runs it to its end.
///
/// # Errors
/// [`BootError`], when the process in the foreground could not start. Nothing is left behind then.
pub fn run(
    options: &Options,
    plan: Plan,
    arguments: Vec<OsString>,
    logger: &'static Logger,
) -> Result<Outcome, BootError> {
    let options = &relative::resolve_options(options, &plan.globals);
    let terminal = Terminal::new(options, &plan.globals, logger)
        .map_err(step("open what stands in for the terminal", "make /dev/null usable"))?;
    change_folders(options, &plan)?;
    let mut report = Report::nobody();
    if !options.foreground(&plan.globals) {
        match daemon::daemonize().map_err(step("become a daemon", "see the system error"))? {
            Side::Starter(Ok(())) => return Ok(Outcome::Done),
            Side::Starter(Err(reason)) => return Ok(Outcome::Refused(reason)),
            Side::Server(server) => report = server,
        }
    }
    match start_and_serve(options, plan, arguments, logger, &terminal, &mut report) {
        Err(error) if report.is_awaited() => {
            report.failed(&error.to_string());
            Ok(Outcome::Reported)
        }
        // Whoever stopped a server in the foreground knows it.
        Err(BootError::Stopped) => Ok(Outcome::Done),
        result => result.map(|()| Outcome::Done),
    }
}

fn start_and_serve(
    options: &Options,
    plan: Plan,
    arguments: Vec<OsString>,
    logger: &'static Logger,
    terminal: &Terminal,
    report: &mut Report,
) -> Result<(), BootError> {
    let (globals, identity) = (plan.globals, plan.identity);
    let mut files = Vec::new();
    let mut supervisor = None;
    let result = (|| {
        limits(&globals)?;
        let services = plan.modules.iter().filter_map(|(_, made)| made.service.as_deref());
        let transports = plan.modules.iter().flat_map(|(_, made)| &made.transports);
        let of_events: u64 = transports.map(|transport| transport.shared_descriptors()).sum();
        check_descriptors(services, DESCRIPTORS_TO_BEGIN + of_events)?;
        // From here on a signal ends the start in order, and nothing is left behind.
        let signals = signal::Stream::new().map_err(step("take signals", "see the system error"))?;
        files = PidFile::make(options.pid_file.as_deref(), options.pgid_file.as_deref(), identity)?;
        leftovers::set(files.iter().map(PidFile::path));
        let (context, pools) = build(options, plan.modules, plan.contiguous, arguments, &globals, identity)?;
        context.segment.set_level(options.level(&globals));
        logger.follow(context.segment);
        let supervisor = supervisor.insert(
            Supervisor::new(context, pools, signals, terminal.clone())
                .map_err(step("make the workers' pipe", "see the system error"))?,
        );
        supervisor.open_endpoints()?;
        leftovers::set(files.iter().map(PidFile::path).chain(supervisor.endpoints()));
        user::become_user(identity.uid, identity.gid)
            .map_err(step("become the user and group asked for", "start as root, or without -u and -g"))?;
        limits(&globals)?; // a change of user forbids core dumps again
        supervisor.warn_of_folders();
        supervisor.start_workers()?;
        terminal.leave().map_err(step("let go of the terminal", "see the system error"))?;
        report.ready();
        terminal.notifier().ready();
        supervisor.serve();
        Ok(())
    })();
    if let Some(supervisor) = &mut supervisor {
        supervisor.end();
    }
    files.iter().for_each(PidFile::remove);
    result
}

pub(super) fn step(step: impl Into<String>, remedy: &'static str) -> impl FnOnce(io::Error) -> BootError {
    let step = step.into();
    move |source| BootError::Step { step, source, remedy }
}

/// Root and working folder. C: the beginning of `daemonize`.
fn change_folders(options: &Options, plan: &Plan) -> Result<(), BootError> {
    if let Some(folder) = options.chroot.as_deref().or(plan.globals.chroot.as_deref()) {
        let failed = step(
            format!("change the root folder to {}", folder.display()),
            "start as root, and name a folder that exists",
        );
        process::change_root(folder).map_err(failed)?;
    }
    let folder = working_folder(options, &plan.globals).unwrap_or(Path::new("/"));
    let failed = step(format!("change to the folder {}", folder.display()), "name a folder that exists");
    std::env::set_current_dir(folder).map_err(failed)
}

/// The working folder that was named.
pub(super) fn working_folder<'a>(options: &'a Options, globals: &'a Globals) -> Option<&'a Path> {
    options.working_folder.as_deref().or(globals.workdir.as_deref())
}

/// The file of what survives a restart.
pub(super) fn state_file(options: &Options, globals: &Globals) -> PathBuf {
    match &globals.restart_persistency_cache_file {
        Some(path) => path.clone(),
        None => working_folder(options, globals).unwrap_or(Path::new(STATE_FOLDER)).join(STATE_FILE),
    }
}

fn limits(globals: &Globals) -> Result<(), BootError> {
    let dumps = !globals.disable_core_dump.unwrap_or(false);
    process::allow_core_dumps(dumps).map_err(step("set the limit of core files", "see the system error"))?;
    if let Some(count) = globals.open_files_limit {
        process::raise_open_files(count.into())
            .map_err(step("raise the limit of open files", "lower open_files_limit, or start as root"))?;
    }
    Ok(())
}

/// Tables, statistics and segment, for all processes that will be.
fn build(
    options: &Options,
    mut loaded: Vec<(&'static Module, ModuleParts)>,
    contiguous: Option<&'static Contiguous>,
    arguments: Vec<OsString>,
    globals: &Globals,
    identity: RunUser,
) -> Result<(Context, Vec<Pool>), BootError> {
    let mut commands = CommandTable::default();
    let mut statistics = StatisticRegistry::default();
    let mut events = Events::default();
    let mut add_rows = |module: &'static Module, rows: &'static [Command]| {
        statistics.add(module.statistics);
        commands.add(module.name, rows).map_err(|taken| BootError::Command {
            command: taken.command.name,
            module: module.name,
            other: taken.module,
        })
    };
    for module in modules::ALWAYS {
        events.publish(module.events);
        add_rows(module, module.commands)?;
    }
    let mut lifecycles = Lifecycles::default();
    let mut services = Vec::new();
    for (module, made) in &mut loaded {
        if !modules::is_always_there(module) {
            events.publish(module.events);
            add_rows(module, module.commands)?;
        }
        services.extend(made.service.take().map(|service| (module.name, service)));
        if let Some(lifecycle) = made.lifecycle.take() {
            let module = *module;
            let failed = |source| BootError::Module { module: module.name, source };
            let exported = lifecycle.start(events.names()).map_err(failed)?;
            events.publish(&exported.events);
            add_rows(module, exported.commands.leak())?;
            made.statistics.extend(exported.statistics);
            services.extend(exported.services.into_iter().map(|service| (module.name, service)));
            lifecycles.add(lifecycle);
        }
    }

    let mut states = ModuleStates::default();
    let mut backends = Backends::default();
    // Each process may have a connection to each.
    let mut servers = 0;
    let mut routes = Routes::default();
    let mut timers = Vec::new();
    let mut keyed = Vec::new();
    let mut persistent = Vec::new();
    let mut restored = Vec::new();
    let made = loaded.into_iter().map(|(_, made)| made);
    statistics.add(&evi::STATISTICS);
    let core = modules::watch(globals.event_shm_threshold.unwrap_or(0));
    for made in std::iter::once(core).chain(made) {
        statistics.add(&made.statistics);
        made.state.into_iter().for_each(|state| states.add(state));
        servers += made.backends.len() as u64;
        made.backends.into_iter().for_each(|backend| backends.add(backend));
        let refused = step("open the sockets that events are sent from", "raise open_files_limit");
        made.transports.into_iter().try_for_each(|transport| events.add(transport)).map_err(refused)?;
        made.routes.into_iter().for_each(|route| routes.add(route));
        timers.extend(made.timers);
        keyed.extend(made.keyed);
        persistent.extend(made.persistent);
        restored.extend(made.restored);
    }
    states.add(Box::new(backends));
    keyed.extend(events.has_transport().then_some(Space::Subscription));
    states.add(Box::new(events));
    states.add(Box::new(routes));
    states.add(Box::new(lifecycles));
    let may_defer = commands.any_may_defer();
    if may_defer {
        statistics.add(&mi::STATISTICS);
        timers.push(PENDING_TIMER);
        keyed.push(Space::Pending);
    }
    services.push((modules::CORE, Box::new(TimeKeeper::new(timers))));
    services.extend(capi::timer_services().into_iter().map(|service| (modules::CORE, service)));

    let private_bytes = options.private_memory_bytes.unwrap_or(DEFAULT_PRIVATE_BYTES);
    let (processes, pools) = number_processes(services, private_bytes, &mut statistics);
    let bytes = memory_bytes(options, globals, !persistent.is_empty());
    let path = state_file(options, globals);
    let persistent = Persistent { path: &path, spaces: &persistent, run_user: identity.uid };
    let notifiers = if may_defer { processes.len() } else { 0 };
    let services = pools.iter().map(|pool| &*pool.service);
    check_descriptors(services, servers + DESCRIPTORS_PER_NOTIFIER * notifiers as u64)?;
    let segment = segment(bytes, contiguous, persistent, processes.len(), statistics.counters())?;
    segment.share(&keyed);
    let pending = pending(globals, segment, notifiers)?;
    let context = Context {
        segment,
        pending,
        commands,
        statistics,
        states,
        processes,
        arguments,
        attendant: ProcessId::own(),
        udp_sockets: Vec::new(),
        tcp_disabled: globals.disable_tcp.unwrap_or(false),
        slot: 0,
    };
    restored.into_iter().for_each(|look| look(&context));
    Ok((context, pools))
}

/// The descriptions of all processes by their slots, and the services with the slots of their workers. Adds the
/// statistics of these.
fn number_processes(
    services: Vec<(&'static str, Box<dyn Service>)>,
    private_bytes: u64,
    statistics: &mut StatisticRegistry,
) -> (Vec<String>, Vec<Pool>) {
    let mut processes = vec![String::from("attendant")];
    let mut pools = Vec::new();
    for (module, service) in services {
        let first = processes.len();
        processes.extend((0..service.workers()).map(|_| service.description().to_owned()));
        pools.push(Pool { module, service, slots: first..processes.len() });
    }
    // A process that serves no endpoint has no load, and clients do not miss it while it is replaced.
    let endpoints = || pools.iter().filter_map(|pool| Some((pool, pool.service.load_name()?)));
    for (pool, _) in endpoints() {
        statistics.add([&modules::restart_statistics(pool.module, pool.slots.clone())]);
    }
    statistics.add(&modules::private_memory_statistics(processes.len(), private_bytes));
    for (pool, name) in endpoints() {
        statistics.add([&modules::load_statistics(&name, pool.slots.clone())]);
    }
    (processes, pools)
}

/// Refuses a limit of descriptors with which a process could not do what it is there for, when the attendant is going to
/// have so many more than now.
fn check_descriptors<'a>(
    services: impl Iterator<Item = &'a dyn Service> + Clone,
    more: u64,
) -> Result<(), BootError> {
    let limit =
        process::open_files().map_err(step("read the limit of open files", "see the system error"))?;
    let shared: u64 = services.clone().map(Service::shared_descriptors).sum();
    let now = process::descriptors().unwrap_or(DESCRIPTORS_AT_START);
    let inherited = now + more + shared + DESCRIPTORS_OF_SERVICES;
    let wanted = services.map(|service| service.descriptors(inherited)).fold(inherited, std::cmp::Ord::max);
    if limit < wanted { Err(BootError::Descriptors { limit, wanted }) } else { Ok(()) }
}

/// Makes the table of pending requests, with a notifier for each of so many processes.
fn pending(
    globals: &Globals,
    segment: &'static Segment,
    processes: usize,
) -> Result<&'static PendingRequests, BootError> {
    let notifiers = (0..processes).map(|_| PipeNotifier::new()).collect::<Result<_, _>>();
    let notifiers = notifiers.map_err(step("get a pipe for each process", "raise open_files_limit"))?;
    let timeout =
        globals.mi_reply_timeout.map_or(DEFAULT_REPLY_TIMEOUT, |seconds| Duration::from_secs(seconds.into()));
    let pending = Box::leak(Box::new(PendingRequests::new(segment, notifiers, timeout)));
    capi::provide_pending(pending);
    Ok(pending)
}

/// The shared memory: for itself, or over the file that keeps what is to survive a restart.
fn segment(
    bytes: u64,
    contiguous: Option<&'static Contiguous>,
    persistent: Persistent<'_>,
    processes: usize,
    counters: usize,
) -> Result<&'static Segment, SegmentError> {
    let segment = if persistent.spaces.is_empty() {
        let left = bytes.saturating_sub(contiguous.map_or(0, Contiguous::bytes));
        Segment::create(left, processes, counters)?
    } else {
        Segment::restore(bytes, processes, counters, persistent)?
    };
    contiguous.into_iter().for_each(|memory| segment.count_in(memory));
    Ok(segment)
}
