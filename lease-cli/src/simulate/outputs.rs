//! The files that a simulation writes: whether they can be written, and a run that is kept.

use std::io;
use std::path::Path;
use std::time::Duration;

use lease_memory::sim::{Replay, Schedule, shrink};

use super::{Arguments, replay};
use crate::exit::{Code, Failure};
use crate::files;
use crate::picture::{rounded, visible};

/// Refuses files that could not be written, before the first run: nobody waits for what would be lost.
pub(super) fn check(arguments: &Arguments) -> Result<(), Failure> {
    let read = [(arguments.scenario.as_deref(), "the scenario"), (arguments.replay.as_deref(), "the replay file")];
    for (index, target) in arguments.out.iter().enumerate() {
        let saved = (arguments.save.as_deref(), "the run that is saved");
        let before = arguments.out[..index].iter().map(|other| (Some(other.path()), "another picture"));
        let others: Vec<_> = [read[0], read[1], saved].into_iter().chain(before).collect();
        spare(target.path(), &others, "the picture", "use another -O FILE")?;
        target.check()?;
    }
    let Some(path) = &arguments.save else { return Ok(()) };
    spare(path, &read, "the run", "use another --save FILE")?;
    files::writable(path).map_err(|error| refused(path, &error))
}

/// Refuses to write over any of these.
fn spare(path: &Path, others: &[(Option<&Path>, &str)], what: &str, help: &str) -> Result<(), Failure> {
    let found = others.iter().find(|(other, _)| other.is_some_and(|other| files::are_same(path, other)));
    found
        .map_or(Ok(()), |(_, name)| Err(Failure::new(Code::Usage, format!("{what} would overwrite {name}")).help(help)))
}

/// Writes a run to a file, made smaller where it breaks something, and says so in a line.
pub(super) fn save(path: &Path, replay: &Replay) -> Result<String, Failure> {
    let (text, how) = match shrink(&replay.schedule, replay::demands(replay), SHRINK_TIME) {
        Some((schedule, violation)) => {
            let how = smaller(&replay.schedule, &schedule);
            let violates = Some(violation.to_string());
            (Replay { schedule, violates, origin: replay.origin.clone() }.to_json(), how)
        }
        None => (replay.to_json(), "whole, for it breaks no invariant".to_owned()),
    };
    files::write(path, &text).map_err(|error| refused(path, &error))?;
    Ok(format!("\nsaved: {} ({}; {how})\n", visible(&path.display().to_string()), visible(&replay.origin)))
}

/// By what a run was made smaller.
fn smaller(before: &Schedule, after: &Schedule) -> String {
    let mut parts = Vec::new();
    for (what, before, after) in
        [("candidates", before.nodes.len(), after.nodes.len()), ("events", before.faults.len(), after.faults.len())]
    {
        if after < before {
            parts.push(format!("{after} of {before} {what}"));
        }
    }
    if after.until_ns < before.until_ns {
        let [after, before] = [after.until_ns, before.until_ns].map(|ns| rounded(Duration::from_nanos(ns)));
        parts.push(format!("{after} of {before}"));
    }
    match (parts.is_empty(), before == after) {
        (false, _) => format!("made smaller: {}", parts.join(", ")),
        (true, false) => "made simpler".to_owned(),
        (true, true) => "whole, for nothing can be left out".to_owned(),
    }
}

fn refused(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::System, format!("{} cannot be written: {error}", path.display())).help("use another --save FILE")
}

/// A smaller run is worth a few seconds, and not more.
const SHRINK_TIME: Duration = Duration::from_secs(10);
