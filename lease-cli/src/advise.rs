//! `lease advise`: from goals to the three durations, confirmed by simulation.
//!
//! The search goes by derived figures; what it finds is then played, and so is the next setting that would cost less,
//! which has to be seen to miss a goal. Where no durations meet all goals, it says which of them stand against each
//! other, and what would be reachable.

mod confirm;
mod goals;
mod search;

use std::fmt::Write as _;
use std::time::Duration;

use clap::ArgGroup;
use lease_core::{Pretty, Timing};
use lease_memory::sim::Three;
use serde::Serialize;

use self::confirm::{Confirmed, Play};
use self::goals::{Goal, Goals};
use self::search::{Candidate, Grid};
use crate::cli::{Global, Output};
use crate::exit::{Code, Failure};
use crate::simulate::seed;
use crate::{duration, show};

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("goals").required(true).multiple(true)))]
pub(crate) struct Arguments {
    /// In 99 of 100 crashes somebody leads again within this time [default: as soon as the other goals allow]
    #[arg(long, value_name = "DURATION", group = "goals", value_parser = duration::parse)]
    failover_p99: Option<Duration>,
    /// No leader is lost by an outage of the backend of this length, which a lease duration of at most 10m has to leave
    /// room for [default: a fifth of the lease duration]
    #[arg(long, value_name = "DURATION", group = "goals", value_parser = duration::parse)]
    survive_outage: Option<Duration>,
    /// How many writes a minute a leader makes at most [default: as few as the other goals allow; 30 without
    /// --failover-p99]
    #[arg(long, value_name = "NUMBER", group = "goals", value_parser = rate)]
    max_writes_per_min: Option<f64>,
    /// How many runs confirm each figure
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    runs: u64,
    /// The seed of the first run
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
}

pub(crate) fn advise(arguments: &Arguments, global: &Global) -> Result<u8, Failure> {
    if global.output == Output::Name {
        return Err(Failure::new(Code::Usage, "advice has no names to list").help("use -o table, json or yaml"));
    }
    let goals = Goals {
        failover_p99: arguments.failover_p99,
        outage: arguments.survive_outage,
        writes_per_minute: arguments.max_writes_per_min,
    };
    let grid = Grid::of(&global.backend.backend)?;
    if global.output == Output::Table {
        show::offer(&format!("goals: {goals}\n\n"))?;
    }
    let play = Play { seed: arguments.seed, runs: arguments.runs, global };
    let Some((advised, confirmed)) = first_confirmed(&grid, &goals, &play)? else {
        return Err(impossible(&grid, &goals, &play)?);
    };
    let next = grid.next_cheaper(&goals, &advised);
    let next = match next {
        Some(next) => Some((next, Confirmed::of(&next, &goals, &play)?)),
        None => None,
    };
    let advice = Advice { goals, advised, confirmed, next };
    match global.output {
        Output::Json | Output::Yaml => show::offer(&show::document(&advice.document(), global.output)?)?,
        _ => show::offer(&advice.text())?,
    }
    Ok(0)
}

/// The cheapest that meets all goals by its derived figures, and by simulation too.
fn first_confirmed(grid: &Grid, goals: &Goals, play: &Play<'_>) -> Result<Option<(Candidate, Confirmed)>, Failure> {
    for candidate in grid.best(goals).into_iter().take(TRIES_MAX) {
        let confirmed = Confirmed::of(&candidate, goals, play)?;
        if confirmed.missed(goals).is_none() && !confirmed.loses_leaders() {
            return Ok(Some((candidate, confirmed)));
        }
    }
    Ok(None)
}

/// Which goals stand against each other, and what each would have to be for the others to be met.
fn impossible(grid: &Grid, goals: &Goals, play: &Play<'_>) -> Result<Failure, Failure> {
    let mut ways = Vec::new();
    for goal in goals.given() {
        ways.extend(way_out(grid, goals, goal, play)?);
    }
    let what = format!("no durations meet all goals: {goals} ({})", Grid::bounds());
    let failure = Failure::new(Code::Configuration, what);
    if ways.is_empty() {
        return Ok(failure.help(match goals.given().len() {
            1 => "ask for less",
            _ => "leave out one of the goals: they conflict in pairs",
        }));
    }
    Ok(failure.help(format!("what can be met instead is {}", ways.join(", or "))))
}

/// The flag of a goal with the nearest value that was seen to be met together with the others. It asks for less than
/// what was asked for, or there is none.
fn way_out(grid: &Grid, goals: &Goals, goal: Goal, play: &Play<'_>) -> Result<Option<String>, Failure> {
    let (Some(reachable), Some(wanted)) = (grid.reachable(goals, goal), goals.value(goal)) else { return Ok(None) };
    let mut value = goal.rounded(reachable);
    if goal.is_met(value, wanted) {
        // By its derived figure it could be had; the simulation has shown otherwise.
        value = goal.loosened(wanted);
    }
    for _ in 0..HINTS_MAX {
        if value <= 0.0 {
            return Ok(None);
        }
        if first_confirmed(grid, &goals.with(goal, value), play)?.is_some() {
            return Ok(Some(goal.flag(value)));
        }
        value = goal.loosened(value);
    }
    Ok(None)
}

struct Advice {
    goals: Goals,
    advised: Candidate,
    confirmed: Confirmed,
    /// What would cost less, and misses a goal.
    next: Option<(Candidate, Confirmed)>,
}

impl Advice {
    fn text(&self) -> String {
        let Self { goals, advised, confirmed, .. } = self;
        let mut table = vec![["", "GOAL", "DERIVED", "SIMULATED"].map(str::to_owned).to_vec()];
        table.extend(Goal::ALL.iter().map(|goal| {
            let derived = goal.shown(goal.derived(advised));
            vec![goal.name().to_owned(), goals.wanted_of(*goal, advised), derived, confirmed.told(*goal)]
        }));
        let mut text = format!("advice: {}\n\n{}\n", advised.three(), show::columns(&table));
        if Goal::ALL.iter().any(|goal| goals.wanted_of(*goal, advised).starts_with('(')) {
            text += "In parentheses is what is taken where no goal is given. ";
        }
        let _ = writeln!(text, "{}.\n", capitalized(&Grid::bounds()));
        let _ = writeln!(text, "{}\n", advised.timing);
        if let Some((next, measured)) = &self.next {
            let _ = writeln!(text, "{}\n", self.missed_by(next, measured));
        }
        let _ = writeln!(text, "{}", yaml(&advised.timing));
        let _ = writeln!(text, "lease run NAME {} -- COMMAND", flags(&advised.timing));
        text
    }

    /// Why the next one is not good enough.
    fn missed_by(&self, next: &Candidate, measured: &Confirmed) -> String {
        let kind = self.goals.next_is();
        let writes = Goal::Writes.shown(Goal::Writes.derived(next));
        let head = format!("next {kind}: {}, with {writes} writes a minute,", next.three());
        // Also what nobody asked for keeps it from being advised.
        let goals = self.goals.capped();
        match measured.missed(&goals) {
            Some(goal) => {
                format!("{head} misses {} ({}): {}", goal.name(), goals.wanted(goal), measured.told(goal))
            }
            // A worst case is seldom met by chance.
            None => match goals.missed(next).first() {
                Some(goal) => {
                    let derived = goal.shown(goal.derived(next));
                    format!("{head} misses {} ({}) in the worst case: {derived}", goal.name(), goals.wanted(*goal))
                }
                None => format!("{head} has no advantage"),
            },
        }
    }

    fn document(&self) -> Document {
        let timing = &self.advised.timing;
        Document {
            lease_duration: Pretty(timing.lease_duration()).to_string(),
            renew_deadline: Pretty(timing.renew_deadline()).to_string(),
            retry_period: Pretty(timing.retry_period()).to_string(),
            flags: flags(timing),
            goals: Figures::of(self),
            next: self.next.as_ref().map(|(next, measured)| Next {
                setting: next.three().to_string(),
                why_not: self.missed_by(next, measured),
            }),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    lease_duration: String,
    renew_deadline: String,
    retry_period: String,
    flags: String,
    goals: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Next>,
}

/// Each goal with its unit: what was asked for, what follows from the durations, and what was seen.
#[derive(Debug, Serialize)]
struct Figures {
    #[serde(rename = "failoverP99")]
    failover_p99: Failover,
    #[serde(rename = "outageSurvived")]
    outage_survived: Outages,
    #[serde(rename = "writesPerMinute")]
    writes_per_minute: Rate,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names, reason = "units are last in names")]
struct Failover {
    wanted_seconds: Option<f64>,
    derived_seconds: f64,
    simulated_seconds: f64,
}

/// What outages of one length have cost: how much longer they might have been was not tried.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outages {
    wanted_seconds: Option<f64>,
    derived_seconds: f64,
    played_seconds: f64,
    played: u64,
    leaders_lost: u64,
}

#[derive(Debug, Serialize)]
struct Rate {
    wanted: Option<f64>,
    derived: f64,
    simulated: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Next {
    setting: String,
    why_not: String,
}

impl Figures {
    fn of(advice: &Advice) -> Self {
        let wanted = |goal| advice.goals.value(goal);
        let derived = |goal: Goal| goal.derived(&advice.advised);
        let seen = &advice.confirmed;
        Self {
            failover_p99: Failover {
                wanted_seconds: wanted(Goal::Failover),
                derived_seconds: derived(Goal::Failover),
                simulated_seconds: seen.failover_p99.as_secs_f64(),
            },
            outage_survived: Outages {
                wanted_seconds: wanted(Goal::Outage),
                derived_seconds: derived(Goal::Outage),
                played_seconds: seen.outage.as_secs_f64(),
                played: seen.outages,
                leaders_lost: seen.lost,
            },
            writes_per_minute: Rate {
                wanted: wanted(Goal::Writes),
                derived: derived(Goal::Writes),
                simulated: seen.writes_per_minute,
            },
        }
    }
}

impl Candidate {
    fn three(&self) -> Three {
        let Self { timing } = self;
        Three { lease: timing.lease_duration(), renew: timing.renew_deadline(), retry: timing.retry_period() }
    }
}

fn yaml(timing: &Timing) -> String {
    let [lease, renew, retry] = [timing.lease_duration(), timing.renew_deadline(), timing.retry_period()].map(Pretty);
    format!("lease_duration: {lease}\nrenew_deadline: {renew}\nretry_period: {retry}\n")
}

fn flags(timing: &Timing) -> String {
    let [lease, renew, retry] = [timing.lease_duration(), timing.renew_deadline(), timing.retry_period()].map(Pretty);
    format!("--lease-duration {lease} --renew-deadline {renew} --retry-period {retry}")
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err(format!("{text:?} is not a number above zero")),
    }
}

pub(crate) const EXPLAINED: &str = "\
Only lease durations of at most 10m are advised: a leader that is gone for longer
before anybody notices is none. A tenth of them, at least 500ms, is left to the
work for stopping; `lease run` takes durations that leave less, too.";

/// The derived figures are close: what they promise and a simulation does not keep is off by a step or two.
const TRIES_MAX: usize = 20;
/// How often a goal is let down before there is no advice for it.
const HINTS_MAX: usize = 5;
