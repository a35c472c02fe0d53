//! The presets of the proof: each seed draws a whole run, candidates and all, and every invariant is demanded.

use std::fmt::Write as _;

use lease_memory::sim::{Batch, Demands, Excuse, Family, Finding, Keep, Replay, Stats, run};
use serde::Serialize;

use super::replay::Scene;
use super::source::cannot_be_run;
use super::{Arguments, INTERRUPTED, outputs, progress};
use crate::cli::{Global, Output};
use crate::exit::{Code, Failure};
use crate::{show, signals};

pub(super) fn play(family: Family, arguments: &Arguments, global: &Global) -> Result<u8, Failure> {
    let changed = [
        (!arguments.compare.is_empty(), "--compare"),
        (!arguments.rule.is_empty(), "--rule"),
        (arguments.nodes.is_some(), "--nodes"),
        (arguments.until.is_some(), "--until"),
        (arguments.unsafe_timing, "--unsafe-timing"),
    ];
    if let Some((_, flag)) = changed.iter().find(|(is_given, _)| *is_given) {
        let what = format!("{flag} means nothing to preset {}: its seeds draw everything", family.as_str());
        return Err(
            Failure::new(Code::Usage, what).help("use it with crash, partition, skew, slow-api or rolling-update")
        );
    }
    outputs::check(arguments)?;
    let runs = arguments.runs.unwrap_or(if arguments.seed.is_some() { 1 } else { RUNS });
    let seed = arguments.seed.unwrap_or(0);
    if runs == 1 { one(family, seed, arguments, global) } else { many(family, seed, runs, arguments, global) }
}

/// One seed: what it shows, and what it breaks.
fn one(family: Family, seed: u64, arguments: &Arguments, global: &Global) -> Result<u8, Failure> {
    let schedule = family.draw(seed);
    let keep = Keep { timeline: true, ..Keep::default() };
    let outcome = run(&schedule, Demands::ALL, keep).map_err(|error| cannot_be_run(&error))?;
    let finding = outcome.violation.clone().map(|violation| Finding { family, seed, rule: None, violation });
    let name = format!("seed {seed} of {}", family.as_str());
    let command = format!("lease simulate --preset {} --seed {seed}", family.as_str());
    let violates = finding.as_ref().map(|finding| finding.violation.to_string());
    let scene = Scene { replay: Replay { origin: name, violates, schedule }, outcome, command };
    scene.draw(arguments)?;
    let saved = saved(arguments, &scene.replay)?;
    let found = finding.map_or_else(String::new, |finding| format!("\n{finding}\n"));
    scene.show(false, &(found + &saved), global)?;
    Ok(if scene.is_bad() { Code::No as u8 } else { 0 })
}

/// Keeps a run where that was asked for, and says so in a line.
fn saved(arguments: &Arguments, replay: &Replay) -> Result<String, Failure> {
    arguments.save.as_deref().map_or_else(|| Ok(String::new()), |path| outputs::save(path, replay))
}

/// Many seeds, until one breaks something.
fn many(family: Family, from: u64, runs: u64, arguments: &Arguments, global: &Global) -> Result<u8, Failure> {
    if !arguments.out.is_empty() {
        return Err(Failure::new(Code::Usage, "-O draws one run of a preset of the proof").help("name its --seed"));
    }
    let stop = signals::interruption(global.quiet == 0).map_err(|error| Failure::of(Code::System, &error))?;
    if global.output == Output::Table {
        show::offer(&format!("{}: {runs} runs from seed {from}, all invariants demanded\n\n", family.as_str()))?;
    }
    let bar = progress(runs, global);
    let batch = Batch { families: vec![family], from, seeds: runs, rule: None, threads: None };
    let outcome = batch.play_until(&stop, &|done| bar.set_position(done));
    bar.finish_and_clear();
    let is_interrupted = outcome.finding.is_none() && outcome.runs < runs;
    let kept = match &outcome.finding {
        Some(finding) => saved(arguments, &Replay::of(finding, family.draw(finding.seed), &finding.violation))?,
        None if arguments.save.is_some() => "nothing is saved: no run broke an invariant\n".to_owned(),
        None => String::new(),
    };
    let stats = &outcome.stats;
    let document = Document {
        preset: family.as_str(),
        runs: outcome.runs,
        seed: from,
        faults: stats.faults,
        terms: stats.terms,
        overlap_count: stats.overlaps.len(),
        overlaps: Kind::all(stats),
        interrupted: is_interrupted,
        violation: outcome.finding.as_ref().map(ToString::to_string),
    };
    match global.output {
        Output::Table => {
            let mut text = format!("{} runs, {} faults, {} terms\n", document.runs, document.faults, document.terms);
            text.extend(document.overlaps.iter().map(Kind::told));
            text += &document.violation.clone().map_or_else(|| "no violation\n".to_owned(), |found| found + "\n");
            if is_interrupted {
                let _ = writeln!(text, "interrupted after {} of {runs} runs", outcome.runs);
            }
            show::offer(&(text + &kept))?;
        }
        output => show::offer(&show::document(&document, output)?)?,
    }
    Ok(match () {
        () if is_interrupted => INTERRUPTED,
        () if outcome.finding.is_some() => Code::No as u8,
        () => 0,
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    preset: &'static str,
    runs: u64,
    seed: u64,
    faults: u64,
    terms: u64,
    overlap_count: usize,
    overlaps: Vec<Kind>,
    interrupted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<String>,
}

/// Overlaps for one reason.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    count: usize,
    /// None where a candidate follows client-go's rules, of which nothing is demanded, or where there is a violation.
    broken_assumption: Option<&'static str>,
}

impl Kind {
    /// Those that there were.
    fn all(stats: &Stats) -> Vec<Self> {
        let excuses = Excuse::ALL.into_iter().map(Some).chain([None]);
        let kinds = excuses.map(|excuse| Self {
            count: stats.overlaps.iter().filter(|overlap| overlap.excuse == excuse).count(),
            broken_assumption: excuse.map(Excuse::as_str),
        });
        kinds.filter(|kind| kind.count > 0).collect()
    }

    fn told(&self) -> String {
        let (count, plural) = (self.count, if self.count == 1 { "" } else { "s" });
        match self.broken_assumption {
            Some(why) => format!("{count} overlap{plural}, because {why}\n"),
            None => format!("{count} overlap{plural} beside client-go's rules, which promise no exclusion\n"),
        }
    }
}

/// How many seeds are played when nobody says.
const RUNS: u64 = 1_000;
