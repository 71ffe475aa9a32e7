//! What the bench prints: facts of the machine, one line for each command, server and number of clients, and the
//! raw rows. Owns medians and the verdict on a target; measures nothing.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::options::Options;
use crate::scale::Scale;
use crate::server::Server;

/// One round of each side, in round trips per second.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) floor: f64,
    pub(crate) server: f64,
}

/// What a line is about.
pub(crate) struct Line<'a> {
    pub(crate) command: &'a str,
    pub(crate) server: &'a str,
    pub(crate) clients: usize,
    pub(crate) workers: usize,
    pub(crate) request_bytes: usize,
    pub(crate) reply_bytes: usize,
    pub(crate) target: Option<f64>,
}

/// What a line says.
pub(crate) struct Outcome {
    pub(crate) command: String,
    pub(crate) server: String,
    pub(crate) clients: usize,
    pub(crate) target: Option<f64>,
    /// Of the server's rate to the floor's: the median.
    pub(crate) ratio: f64,
}

impl Outcome {
    /// Whether the target, if any, is met.
    pub(crate) fn is_met(&self) -> bool {
        self.target.is_none_or(|target| self.ratio >= target)
    }
}

/// Prints as it goes; the raw file grows with it.
pub(crate) struct Report {
    raw: Option<(File, PathBuf)>,
    table_begun: bool,
}

impl Report {
    /// Prints the header and creates the raw file.
    pub(crate) fn begin(options: &Options) -> Result<Report> {
        print_machine();
        let Scale { rounds, turns, .. } = &options.scale;
        let time = options.scale.round_time.as_millis();
        println!("rounds: {rounds} of {time} ms for each side, in {turns} turns; the ratio is their median");
        if cfg!(debug_assertions) {
            println!("debug build: this only shows that the bench works, the figures say nothing");
        }
        let mut report = Report { raw: None, table_begun: false };
        if let Some(path) = &options.scale.raw {
            let file = File::create(path).map_err(Error::os("create", path))?;
            report.raw = Some((file, path.clone()));
            report.raw_row(
                "command,server,clients,workers,request_bytes,reply_bytes,round,floor_per_s,server_per_s,ratio",
            )?;
        }
        Ok(report)
    }

    /// Names a server that was started or found.
    pub(crate) fn server(&mut self, server: &Server, version: &[u8]) {
        let text = String::from_utf8_lossy(version);
        let version =
            text.lines().find_map(|line| line.strip_prefix("Server:: ")).unwrap_or("version unknown");
        println!("server {}: {version}, {} workers", server.name, server.workers);
        self.table_begun = false;
    }

    /// One line of the table, from its rounds.
    pub(crate) fn line(&mut self, line: &Line<'_>, samples: &[Sample]) -> Result<Outcome> {
        if !self.table_begun {
            self.table_begun = true;
            println!(
                "{:<20} {:<14} {:>7} {:>7} {:>7} {:>7} {:>9} {:>9} {:>6} {:>11}  target",
                "command",
                "server",
                "clients",
                "workers",
                "request",
                "reply",
                "floor/s",
                "server/s",
                "ratio",
                "min..max"
            );
        }
        let mut ratios: Vec<f64> = samples.iter().map(|sample| sample.server / sample.floor).collect();
        self.raw_samples(line, samples)?;
        let ratio = median(&mut ratios);
        let floor = median(&mut samples.iter().map(|sample| sample.floor).collect::<Vec<_>>());
        let server = median(&mut samples.iter().map(|sample| sample.server).collect::<Vec<_>>());
        let outcome = Outcome {
            command: line.command.to_owned(),
            server: line.server.to_owned(),
            clients: line.clients,
            target: line.target,
            ratio,
        };
        let verdict = match line.target {
            None => "-".to_owned(),
            Some(target) => format!(">= {target:.2} {}", if outcome.is_met() { "met" } else { "MISSED" }),
        };
        let (least, most) = (ratios.first().unwrap_or(&f64::NAN), ratios.last().unwrap_or(&f64::NAN));
        println!(
            "{:<20} {:<14} {:>7} {:>7} {:>7} {:>7} {:>9.0} {:>9.0} {:>6.3} {:>11}  {verdict}",
            line.command,
            line.server,
            line.clients,
            line.workers,
            line.request_bytes,
            line.reply_bytes,
            floor,
            server,
            ratio,
            format!("{least:.2}..{most:.2}"),
        );
        Ok(outcome)
    }

    fn raw_samples(&mut self, line: &Line<'_>, samples: &[Sample]) -> Result<()> {
        let Line { command, server, clients, workers, request_bytes, reply_bytes, .. } = line;
        for (round, Sample { floor: below, server: measured }) in samples.iter().enumerate() {
            let ratio = measured / below;
            self.raw_row(&format!(
                "{command},{server},{clients},{workers},{request_bytes},{reply_bytes},{},{below:.0},{measured:.0},{ratio:.4}",
                round + 1
            ))?;
        }
        Ok(())
    }

    fn raw_row(&mut self, row: &str) -> Result<()> {
        match &mut self.raw {
            Some((file, path)) => writeln!(file, "{row}").map_err(Error::os("write", path)),
            None => Ok(()),
        }
    }
}

/// Cores, processor, kernel and load, as far as the machine tells.
pub(crate) fn print_machine() {
    let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("unknown");
    println!("machine: {cores} cores, {model}, Linux {}, load before {load}", kernel.trim_end());
}

/// Sorts `values`; the one in the middle, or the mean of the two there. NaN for none.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len(), values.get(middle)) {
        (0, _) | (_, None) => f64::NAN,
        (length, Some(upper)) if length.is_multiple_of(2) => f64::midpoint(values[middle - 1], *upper),
        (_, Some(value)) => *value,
    }
}
