//! The presets of the proof: each seed draws a whole run, candidates and all, and every invariant is demanded.

use lease_memory::sim::{Batch, Demands, Excuse, Family, Finding, Keep, Replay, run};
use serde::Serialize;

use super::replay::{self, Scene};
use super::source::cannot_be_run;
use super::{Arguments, progress};
use crate::cli::{Global, Output};
use crate::exit::{Code, Failure};
use crate::show;

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
    let runs = arguments.runs.unwrap_or(if arguments.seed.is_some() { 1 } else { RUNS });
    let seed = arguments.seed.unwrap_or(0);
    if runs == 1 { one(family, seed, arguments, global) } else { many(family, seed, runs, arguments, global) }
}

/// One seed: what it shows, and what it breaks.
fn one(family: Family, seed: u64, arguments: &Arguments, global: &Global) -> Result<u8, Failure> {
    let schedule = family.draw(seed);
    let keep = Keep { timeline: true, ..Keep::default() };
    let outcome = run(&schedule, Demands::ALL, keep).map_err(|error| cannot_be_run(&error))?;
    let finding = outcome.violation.clone().map(|violation| Finding { family, seed, violation });
    let name = format!("seed {seed} of {}", family.as_str());
    let command = format!("lease simulate --preset {} --seed {seed}", family.as_str());
    let violates = finding.as_ref().map(|finding| finding.violation.to_string());
    let scene = Scene { replay: Replay { origin: name, violates, schedule }, outcome, command };
    scene.show(false, global)?;
    if let (Some(finding), Output::Table) = (&finding, global.output) {
        show::print(&format!("\n{finding}\n"))?;
    }
    scene.draw(arguments)?;
    if let Some(path) = &arguments.save {
        replay::save(path, &scene.replay)?;
    }
    Ok(if scene.is_bad() { Code::No as u8 } else { 0 })
}

/// Many seeds, until one breaks something.
fn many(family: Family, from: u64, runs: u64, arguments: &Arguments, global: &Global) -> Result<u8, Failure> {
    if arguments.out.is_some() {
        return Err(Failure::new(Code::Usage, "-O draws one run of a preset of the proof").help("name its --seed"));
    }
    if global.output == Output::Table {
        show::print(&format!("{}: {runs} runs from seed {from}, all invariants demanded\n\n", family.as_str()))?;
    }
    let bar = progress(runs, global);
    let batch = Batch { families: vec![family], from, seeds: runs, rule: None, threads: None };
    let outcome = batch.play(&|done| bar.set_position(done));
    bar.finish_and_clear();
    let stats = &outcome.stats;
    let excuses = [Excuse::ClockRate, Excuse::Frozen, Excuse::Edited, Excuse::RolledBack, Excuse::Late];
    let told: Vec<(usize, &str)> = excuses
        .into_iter()
        .map(|excuse| (stats.overlaps.iter().filter(|one| one.excuse == Some(excuse)).count(), excuse.as_str()))
        .filter(|(count, _)| *count > 0)
        .collect();
    let document = Document {
        preset: family.as_str(),
        runs: outcome.runs,
        seed: from,
        faults: stats.faults,
        terms: stats.terms,
        overlaps: stats.overlaps.len(),
        violation: outcome.finding.as_ref().map(ToString::to_string),
    };
    match global.output {
        Output::Table => {
            let mut text = format!("{} runs, {} faults, {} terms\n", document.runs, document.faults, document.terms);
            text.extend(told.iter().map(|(count, why)| format!("{count} overlaps, because {why}\n")));
            text += &document.violation.clone().map_or_else(|| "no violation\n".to_owned(), |found| found + "\n");
            show::print(&text)?;
        }
        output => show::print(&show::document(&document, output)?)?,
    }
    let Some(finding) = outcome.finding else { return Ok(0) };
    if let Some(path) = &arguments.save {
        let schedule = family.draw(finding.seed);
        replay::save(path, &Replay::of(&finding, schedule, &finding.violation))?;
    }
    Ok(Code::No as u8)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    preset: &'static str,
    runs: u64,
    seed: u64,
    faults: u64,
    terms: u64,
    /// All of them with a broken assumption, or there is a violation.
    overlaps: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<String>,
}

/// How many seeds are played when nobody says.
const RUNS: u64 = 1_000;
