//! kill -9 against the keyed table, and against the memory of C modules: whatever a process is doing, its death must cost nobody else anything.
//! README.md beside this file says what each check proves. Owns the order of the checks and the exit status.
//!
//! The program has one thread and forks its workers, as the server does.

#![expect(clippy::print_stdout, reason = "the checks' lines are its output")]
#![expect(clippy::print_stderr, reason = "a process that finds something wrong says so there")]

mod blocks;
mod children;
mod common;
mod full;
mod holder;
mod ledger;
mod load;
mod measure;
mod options;
mod report;
mod stage;
mod step;
mod stepped;
mod storm;
mod sweep;
mod values;

use std::process::ExitCode;

use options::Options;
use report::{Outcome, Report};

/// The command line was wrong.
const EXIT_USAGE: u8 = 2;

/// Keys whose latency is measured; the larger number with `--measure`.
const KEYS_MEASURED: [usize; 2] = [10_000, 1_000_000];

fn main() -> ExitCode {
    match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => run(&options),
        Ok(None) => {
            print!("{}", options::HELP);
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("torture: {reason}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn run(options: &Options) -> ExitCode {
    println!("seed {}", options.seed);
    let seed = options.seed;
    let mut report = Report::default();
    let mut check = |name: &str, check: &mut dyn FnMut() -> Outcome| {
        if options.wants(name) {
            report.check(name, check);
        }
    };
    check("torture", &mut || storm::torture(options.seconds, seed));
    check("quiet after a kill", &mut || storm::quiet(options.rounds, seed));
    check("holder stopped, then continued", &mut || holder::stopped(false));
    check("holder stopped, then killed", &mut || holder::stopped(true));
    check("recovery killed at random moments", &mut || holder::moments(seed));
    check("full: workers are killed", &mut || full::storm(seed));
    check("full: replace and remove", &mut full::replace);
    for row in stage::OPERATIONS.into_iter().filter(|row| options.is_complete() || row.in_sample) {
        check(&format!("step: {}", row.name), &mut || step::operation(row, options.every, seed));
    }
    for row in stage::OPERATIONS.into_iter().filter(|row| options.is_complete() && row.after_death) {
        for again in [false, true] {
            let deaths = if again { "two deaths" } else { "a death" };
            let name = format!("step after {deaths}: {}", row.name);
            check(&name, &mut || step::recovery(row, again, options.every, seed));
        }
    }
    for row in stage::OPERATIONS.into_iter().filter(|_| options.sweep) {
        check(&format!("sweep: {}", row.name), &mut || sweep::operation(row, seed));
    }
    for row in stage::OPERATIONS.into_iter().filter(|row| options.sweep && row.after_death) {
        check(&format!("sweep after deaths: {}", row.name), &mut || sweep::recovery(row, seed));
    }
    for (name, call, changes) in blocks::CALLS {
        check(&format!("blocks: {name}"), &mut || blocks::call(call, changes, seed));
    }
    let measured = KEYS_MEASURED.into_iter().take(if options.measure { 2 } else { 1 });
    let latencies = || {
        measured.into_iter().try_for_each(|keys| measure::latency(keys, seed))?;
        if options.measure { measure::nearly_full(seed) } else { Ok(()) }
    };
    if options.wants("latency")
        && let Err(reason) = latencies()
    {
        eprintln!("latency: {reason}");
        return ExitCode::FAILURE;
    }
    report.finish()
}
