//! What is measured, how often, and where the results go.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{CompareError, root};

pub(super) const USAGE: &str = "usage: cargo xtask compare [OPTIONS]
  --only PARTS   of steps,cpu,idle,graceful,crash,edits,simulated,collector (idle: memory of a leader, requests of a
                 standby)
  --samples N    handovers and crashes, each, for each peer [default: 100]
  --tries N      of each edit by hand, for each peer [default: 20]
  --rounds N     of each thing that happens to a leading collector [default: 10]
  --quick        5 samples, 2 tries, 2 rounds and short measurements of use, to see that all is well
  --out DIR      where raw samples and the logs of odd ones go [default: target/compare/SECONDS]";

/// What is measured, how often, and where the results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    only: Vec<Part>,
    pub(super) samples: usize,
    pub(super) tries: usize,
    /// Of each event of the collector.
    pub(super) rounds: usize,
    /// How many seeds are played, each for hours, by each rule.
    pub(super) seeds: u64,
    /// How long the processor time of renewals is measured.
    pub(super) cpu_window: Duration,
    /// How long a leader has led when its memory is read.
    pub(super) memory_after: Duration,
    /// How long the requests of a standby are counted.
    pub(super) idle_window: Duration,
    pub(super) out: PathBuf,
    /// The command line, for the page; without the folder, which is a path of somebody's machine.
    pub(super) command: String,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Graceful,
    Crash,
    Edits,
    Cpu,
    Idle,
    Steps,
    Simulated,
    Collector,
}

impl Part {
    /// In the order in which they run: those that need a quiet machine most come first.
    const ALL: [Self; 8] = [
        Self::Steps,
        Self::Cpu,
        Self::Idle,
        Self::Graceful,
        Self::Crash,
        Self::Edits,
        Self::Collector,
        Self::Simulated,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Graceful => "graceful",
            Self::Crash => "crash",
            Self::Edits => "edits",
            Self::Cpu => "cpu",
            Self::Idle => "idle",
            Self::Steps => "steps",
            Self::Simulated => "simulated",
            Self::Collector => "collector",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Options {
    /// Understands a command line.
    ///
    /// # Errors
    /// The argument that means nothing, with the usage.
    pub fn parse(args: &[String]) -> Result<Self, CompareError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut options = Self {
            only: Part::ALL.to_vec(),
            samples: 100,
            tries: 20,
            rounds: 10,
            seeds: 4_000,
            cpu_window: Duration::from_mins(1),
            memory_after: Duration::from_secs(30),
            idle_window: Duration::from_secs(90),
            out: root().join(format!("target/compare/{}", now.as_secs())),
            command: "cargo xtask compare".to_owned(),
        };
        let mut rest = args.iter();
        while let Some(argument) = rest.next() {
            if argument == "--quick" {
                options.be_quick();
                options.command += " --quick";
                continue;
            }
            let refused = || CompareError::Usage { argument: argument.clone() };
            let value = rest.next().ok_or_else(refused)?;
            match argument.as_str() {
                "--out" => {
                    options.out = value.into();
                    continue;
                }
                "--only" => options.only = parts(value)?,
                "--samples" => options.samples = count(value)?,
                "--tries" => options.tries = count(value)?,
                "--rounds" => options.rounds = count(value)?,
                _ => return Err(refused()),
            }
            options.command = format!("{} {argument} {value}", options.command);
        }
        Ok(options)
    }

    fn be_quick(&mut self) {
        (self.samples, self.tries, self.rounds, self.seeds) = (5, 2, 2, 200);
        self.cpu_window = Duration::from_secs(15);
        self.memory_after = Duration::from_secs(10);
        self.idle_window = Duration::from_secs(30);
    }

    /// The parts to run, in their order.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(|part| self.only.contains(part))
    }
}

fn parts(list: &str) -> Result<Vec<Part>, CompareError> {
    let part = |name: &str| Part::ALL.into_iter().find(|part| part.name() == name);
    list.split(',').map(|name| part(name).ok_or_else(|| CompareError::Usage { argument: name.to_owned() })).collect()
}

fn count(text: &str) -> Result<usize, CompareError> {
    let refused = || CompareError::Usage { argument: text.to_owned() };
    text.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count)).ok_or_else(refused)
}

const COUNT_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, CompareError> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_command_line_is_understood() {
        let options = parse("--only crash,graceful --samples 7 --out somewhere/else --quick --tries 3").unwrap();
        assert_eq!(options.parts().collect::<Vec<_>>(), [Part::Graceful, Part::Crash]);
        assert_eq!((options.samples, options.tries, options.out), (5, 3, "somewhere/else".into()));
        assert_eq!(options.command, "cargo xtask compare --only crash,graceful --samples 7 --quick --tries 3");
        assert_eq!(parse("").unwrap().parts().count(), Part::ALL.len());
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for line in ["--only crush", "--samples 0", "--samples", "--tries many", "--sample 3"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
