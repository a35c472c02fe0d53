//! `lease simulate`: elections in virtual time. It touches no cluster, and a seed always gives the same runs.
//!
//! A scenario (a preset or a file) is played many times for each set of durations; the presets of the proof draw whole
//! runs of their own; a replay file is one run. Whatever shows two candidates acting at once ends with exit code 1.

mod figures;
mod outputs;
mod pictures;
mod proof;
mod replay;
mod source;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lease_memory::sim::{Family, Measure, NODES_MAX, Preset, RuleName, SPAN_MAX_NS, Scenario, Three};

use self::figures::Played;
pub(crate) use self::figures::shown_ns;
use self::source::Plan;
use crate::cli::{Global, Output};
use crate::exit::{Code, Failure};
use crate::plot::Target;
use crate::{duration, show, signals};

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("source").required(true).args(["scenario", "preset", "replay"])))]
pub(crate) struct Arguments {
    /// A scenario file (YAML; its keys are described in docs/simulate.md)
    #[arg(value_name = "SCENARIO")]
    scenario: Option<PathBuf>,
    /// A scenario that everybody needs, or a kind of run that the protocol was proven with
    #[arg(long, value_parser = PresetName::parser(), value_name = "PRESET")]
    preset: Option<PresetName>,
    /// One run from a file: its story, who led when, and what it breaks
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["compare", "rule", "nodes", "runs", "seed", "until", "save"])]
    replay: Option<PathBuf>,
    /// Lease duration, renew deadline and retry period of each setting [default: that of the scenario, 15s/10s/2s]
    #[arg(long, value_delimiter = ',', value_name = "D/H/P,...")]
    compare: Vec<Three>,
    /// Whose rules the candidates follow; both for each setting when both are named [default: ours]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "RULE")]
    rule: Vec<Rule>,
    /// How many candidates there are, 1 to 7 [default: that of the scenario, 3]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=NODES_MAX as i64))]
    nodes: Option<u8>,
    /// How many runs are played of each setting [default: that of the scenario, 1000; 1 for a --seed of the proof]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    runs: Option<u64>,
    /// The seed of the first run; the next ones have the numbers that follow [default: that of the scenario, 1; 0 for a
    /// preset of the proof]
    #[arg(long, value_name = "NUMBER", value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// When each run ends [default: that of the scenario]
    #[arg(long, value_name = "DURATION", value_parser = run_length)]
    until: Option<Duration>,
    /// Run durations that break the inequality too, for which nothing is promised
    #[arg(long)]
    unsafe_timing: bool,
    /// Where to draw: FILE.svg or FILE.html; more than once for several files [default: in the terminal]
    #[arg(short = 'O', long, value_name = "FILE", value_parser = Target::parse)]
    out: Vec<Target>,
    /// Write the run that is shown to a file for --replay; one that breaks an invariant is first made as small as still
    /// breaks it
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// What can be played without a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PresetName {
    /// A scenario that everybody needs.
    Scenario(Preset),
    /// A kind of run that the protocol was proven with.
    Proof(Family),
}

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rule {
    /// Those of this program.
    Ours,
    /// Those of client-go's leader election, with its `ReleaseOnCancel`.
    ClientGo,
}

impl From<Rule> for RuleName {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Ours => Self::Ours,
            Rule::ClientGo => Self::ClientGo,
        }
    }
}

pub(crate) fn simulate(arguments: &Arguments, global: &Global) -> Result<u8, Failure> {
    if global.output == Output::Name {
        return Err(Failure::new(Code::Usage, "a simulation has no names to list").help("use -o table, json or yaml"));
    }
    if let Some(path) = &arguments.replay {
        return replay::replay(path, arguments, global);
    }
    if let Some(PresetName::Proof(family)) = arguments.preset {
        return proof::play(family, arguments, global);
    }
    let plan = Plan::of(arguments)?;
    outputs::check(arguments)?;
    let stop = signals::interruption(global.quiet == 0).map_err(|error| Failure::of(Code::System, &error))?;
    if global.output == Output::Table {
        // Before anything is played, so that nobody waits for the first word.
        show::offer(&(plan.heading() + "\n\n"))?;
    }
    let settings = plan.settings.len() as u64;
    let bar = progress(plan.runs * settings, global);
    let measure =
        Measure { scenario: &plan.scenario, settings: &plan.settings, seed: plan.seed, runs: plan.runs, threads: None };
    let measured =
        measure.play_until(&stop, &|done| bar.set_position(done)).map_err(|error| source::cannot_be_run(&error))?;
    bar.finish_and_clear();
    let played = Played::of(&plan, measured)?;
    // The files first: whoever reads the text may leave before its end.
    for target in &arguments.out {
        target.write(played.pictures(), |pictures| played.report(pictures))?;
    }
    let saved = match &arguments.save {
        Some(path) => outputs::save(path, &played.shown_run())?,
        None => String::new(),
    };
    match global.output {
        Output::Json | Output::Yaml => show::offer(&show::document(&played.document(), global.output)?)?,
        _ => show::offer(&(played.text(global.color.on_stdout()) + &saved))?,
    }
    Ok(match () {
        () if played.is_interrupted() => INTERRUPTED,
        () if played.is_bad() => Code::No as u8,
        () => 0,
    })
}

/// How far it has come, on a terminal only.
pub(crate) fn progress(runs: u64, global: &Global) -> ProgressBar {
    let target = if global.quiet > 0 { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(runs), target);
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} runs, {eta} to go");
    bar.with_style(style.expect("the template is well-formed"))
}

impl PresetName {
    fn all() -> impl Iterator<Item = Self> {
        let scenarios = Preset::ALL.into_iter().map(Self::Scenario);
        scenarios.chain(Family::ALL.into_iter().map(Self::Proof))
    }

    fn parser() -> impl TypedValueParser<Value = Self> {
        let values = Self::all().map(|preset| PossibleValue::new(preset.name()).help(preset.about()));
        PossibleValuesParser::new(values)
            .map(|name| Self::all().find(|preset| preset.name() == name).expect("it is one of those above"))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Scenario(preset) => preset.as_str(),
            Self::Proof(family) => family.as_str(),
        }
    }

    fn about(self) -> String {
        match self {
            Self::Scenario(preset) => Scenario::preset(preset).about,
            Self::Proof(_) => "of the proof: each seed draws a whole run".to_owned(),
        }
    }
}

pub(crate) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a seed: seeds are whole numbers from 0 to {}", u64::MAX))
}

fn run_length(text: &str) -> Result<Duration, String> {
    let length = duration::parse(text).map_err(|error| error.to_string())?;
    if length > Duration::from_nanos(SPAN_MAX_NS) { Err(format!("{text} is too long")) } else { Ok(length) }
}

/// As a shell tells of a program that SIGINT has ended.
const INTERRUPTED: u8 = 130;
/// What every line about durations outside of what is proven says.
const UNSAFE: &str = "UNSAFE TIMING";
pub(crate) const EXAMPLES: &str = "Examples:
  lease simulate --preset crash --compare 15s/10s/2s,8s/5s/1s
  lease simulate --preset partition --rule ours,client-go --compare 15s/14s/2s -O report.html
  lease simulate scenario.yaml --seed 17 --runs 1
  lease simulate --preset edits --seed 8812
  lease simulate --replay violation.json

Exit code: 0 when nobody ever acted beside another, 1 when somebody did or an
invariant broke; of many seeds of the proof only the latter counts, because they
break assumptions on purpose.";
