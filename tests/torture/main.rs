//! kill -9 against the keyed table: whatever a process is doing, its death must cost nobody else anything.
//! README.md beside this file says what each check proves. Owns the order of the checks and the exit status.
//!
//! The program has one thread and forks its workers, as the server does.

#![expect(clippy::print_stdout, reason = "the checks' lines are its output")]
#![expect(clippy::print_stderr, reason = "a process that finds something wrong says so there")]

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
mod storm;
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
    let measured = KEYS_MEASURED.into_iter().take(if options.measure { 2 } else { 1 });
    for keys in measured.filter(|_| options.wants("latency")) {
        if let Err(reason) = measure::latency(keys, seed) {
            eprintln!("latency: {reason}");
            return ExitCode::FAILURE;
        }
    }
    report.finish()
}
