//! Plays seeds until one breaks an invariant or all have been played: the work behind `cargo xtask prove`.
//!
//! `prove [--families F,..] [--from N] [--seeds N] [--rule ours|client-go|client-go-releasing] [--cpu-seconds N]
//! [--threads N] [--out FILE]`. It exits 1 after a violation, with the shrunken run in the file, which is `violation.json`
//! in the directory of what was built unless it is named; the path is printed. With `--rule` all candidates follow that one
//! (`ours` is the machine as it is by default), and without it those that are drawn. With a limit of processor
//! time it stops at the first few seeds after it. Everything it prints is meant to be kept: figures of a run are worth
//! nothing without the command. The last line is for programs.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use lease_memory::sim::{Batch, BatchOutcome, Family, Finding, Replay, Rule, Seen, shrink};
use serde_json::{Value, json};

fn main() -> ExitCode {
    match options().and_then(|options| prove(&options)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(64)
        }
    }
}

struct Options {
    batch: Batch,
    /// After how much processor time no more seeds are begun.
    cpu_seconds: f64,
    out: PathBuf,
}

fn options() -> Result<Options, String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut given: HashMap<&str, &str> = HashMap::new();
    for pair in args.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} has no value", pair[0])) };
        given.insert(name, value);
    }
    let mut take = |name: &str| given.remove(name);
    let families = match take("--families") {
        None => Family::ALL.to_vec(),
        Some(list) => list.split(',').map(family).collect::<Result<_, _>>()?,
    };
    let from = number(take("--from"))?.unwrap_or(0);
    let seeds = number(take("--seeds"))?.unwrap_or(1_000);
    let cpu_seconds = number(take("--cpu-seconds"))?.unwrap_or(f64::INFINITY);
    let threads = number(take("--threads"))?;
    let out = take("--out").map_or_else(beside_what_was_built, PathBuf::from);
    let rule = match given.remove("--rule") {
        None => None,
        Some(name) => Some(rule(name)?),
    };
    match given.keys().next() {
        Some(unknown) => Err(format!(
            "unknown option {unknown}; there are --families, --from, --seeds, --rule, --cpu-seconds, --threads and --out"
        )),
        None => Ok(Options { batch: Batch { families, from, seeds, rule, threads }, cpu_seconds, out }),
    }
}

/// The rules that all candidates can be given; without one they follow those that are drawn.
fn rule(name: &str) -> Result<Rule, String> {
    let known = [false, true].map(|release_on_cancel| Rule::ClientGo { release_on_cancel });
    [Rule::OURS]
        .into_iter()
        .chain(known)
        .find(|rule| rule.as_str() == name)
        .ok_or_else(|| format!("no rule {name}; there are ours, client-go and client-go-releasing"))
}

fn number<N: FromStr>(value: Option<&str>) -> Result<Option<N>, String> {
    value.map(|text| text.parse().map_err(|_| format!("{text} is no number"))).transpose()
}

fn family(name: &str) -> Result<Family, String> {
    let known = Family::ALL.map(Family::as_str);
    Family::ALL
        .into_iter()
        .find(|family| family.as_str() == name)
        .ok_or_else(|| format!("no family {name}; there are {known:?}"))
}

fn prove(options: &Options) -> Result<ExitCode, String> {
    let begun = Instant::now();
    let outcome = play(options)?;
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), processor_seconds()?);
    let stats = &outcome.stats;
    #[allow(clippy::cast_precision_loss, reason = "printed with three digits")]
    let years = stats.simulated_ns as f64 / 1e9 / SECONDS_PER_YEAR;
    println!(
        "{} runs, {} of them twice; {} faults, {} terms, {} steps",
        outcome.runs, outcome.repeated, stats.faults, stats.terms, stats.steps
    );
    println!(
        "{years:.3} cluster-years in {wall:.1} s, {cpu:.1} s of processor time: {:.2} a minute of it",
        years * 60.0 / cpu
    );
    let (excused, other): (Vec<_>, Vec<_>) = stats.overlaps.iter().partition(|overlap| overlap.excuse.is_some());
    let longest = |overlaps: &[&lease_memory::sim::Overlap]| {
        Duration::from_nanos(overlaps.iter().map(|overlap| overlap.span_ns()).max().unwrap_or(0)).as_secs_f64()
    };
    println!(
        "overlaps: {} with a broken assumption (longest {:.3} s), {} without (longest {:.3} s)",
        excused.len(),
        longest(&excused),
        other.len(),
        longest(&other),
    );
    for seen in Seen::ALL {
        println!("  {:>9}  {}", stats.seen.get(seen.as_str()).copied().unwrap_or(0), seen.as_str());
    }
    let mut result = json!({ "runs": outcome.runs, "cpu_seconds": cpu });
    if let Some(finding) = &outcome.finding {
        report(finding, options, &mut result)?;
    }
    println!("{result}");
    Ok(if outcome.finding.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All seeds at once, or a few at a time for as long as there is processor time.
fn play(options: &Options) -> Result<BatchOutcome, String> {
    let Options { batch, cpu_seconds, .. } = options;
    if cpu_seconds.is_infinite() {
        return Ok(batch.play(&|_| {}));
    }
    let mut outcome = BatchOutcome::default();
    let mut played = 0;
    while played < batch.seeds && outcome.finding.is_none() && processor_seconds()? < *cpu_seconds {
        let seeds = PORTION_SEEDS.min(batch.seeds - played);
        outcome.add(Batch { from: batch.from + played, seeds, ..batch.clone() }.play(&|_| {}));
        played += seeds;
    }
    Ok(outcome)
}

fn report(finding: &Finding, Options { batch, out, .. }: &Options, result: &mut Value) -> Result<(), String> {
    println!("{finding}");
    result["invariant"] = finding.violation.invariant.into();
    result["family"] = finding.family.as_str().into();
    result["seed"] = finding.seed.into();
    let begun = Instant::now();
    let schedule = batch.schedule(finding.family, finding.seed);
    if let Some((smaller, violation)) = shrink(&schedule, batch.demands(), SHRINK_TIME) {
        println!("shrunk from {} events to {}: {violation}", schedule.faults.len(), smaller.faults.len());
        result["events"] = smaller.faults.len().into();
        result["shrink_seconds"] = begun.elapsed().as_secs_f64().into();
        let replay = Replay::of(finding, smaller, &violation);
        let path = out.display();
        fs::write(out, replay.to_json()).map_err(|error| format!("{path}: {error}"))?;
        println!("replay: lease simulate --replay {path}");
    }
    Ok(())
}

/// `violation.json` in the directory of what was built (`target`), and never among the sources.
fn beside_what_was_built() -> PathBuf {
    let program = std::env::current_exe().ok();
    let target = program.as_deref().and_then(|program| program.ancestors().nth(3)).map(Path::to_path_buf);
    target.unwrap_or_else(std::env::temp_dir).join("violation.json")
}

/// User and system time of this process, of all its threads.
fn processor_seconds() -> Result<f64, String> {
    let stat = fs::read_to_string("/proc/self/stat").map_err(|error| format!("/proc/self/stat: {error}"))?;
    // The name, in parentheses, may have spaces in it.
    let after = stat.rsplit_once(')').ok_or("a process without a name")?.1;
    let words: Vec<&str> = after.split_whitespace().collect();
    let of = |index: usize| words.get(index).and_then(|word| word.parse::<f64>().ok());
    match (of(11), of(12)) {
        (Some(user), Some(system)) => Ok((user + system) / TICKS_PER_SECOND),
        _ => Err(format!("a process with {} numbers", words.len())),
    }
}

/// How many seeds are played between two looks at the processor time.
const PORTION_SEEDS: u64 = 10;
const SHRINK_TIME: Duration = Duration::from_secs(10);
const SECONDS_PER_YEAR: f64 = 31_557_600.0;
/// What Linux counts in for every program, whatever the kernel's own rate is.
const TICKS_PER_SECOND: f64 = 100.0;
