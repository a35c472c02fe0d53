//! What the runs have come to: a table, what went wrong, one run to look at, and the same as a document.

use std::fmt::Write as _;
use std::time::Duration;

use lease_memory::sim::{Excuse, Keep, Measured, Replay, Schedule, SeedOverlap, Setting, run};
use serde::Serialize;

use super::source::{Plan, cannot_be_run};
use super::{UNSAFE, pictures};
use crate::exit::Failure;
use crate::picture::{Part, Picture, Report, Table, rounded};
use crate::plot::terminal_width;
use crate::show;

/// Everything that was played.
#[derive(Debug)]
pub(super) struct Played<'a> {
    pub(super) plan: &'a Plan,
    pub(super) measured: Vec<Measured>,
    /// For each setting the run that is shown.
    shown: Vec<Shown>,
}

/// One run, once more and with its picture.
#[derive(Debug)]
pub(super) struct Shown {
    seed: u64,
    pub(super) schedule: Schedule,
    pub(super) outcome: lease_memory::sim::Outcome,
}

impl<'a> Played<'a> {
    pub(super) fn of(plan: &'a Plan, measured: Vec<Measured>) -> Result<Self, Failure> {
        let keep = Keep { timeline: true, ..Keep::default() };
        let mut shown = Vec::with_capacity(plan.settings.len());
        for (setting, measured) in plan.settings.iter().zip(&measured) {
            let seed = worth_showing(measured).unwrap_or(plan.seed);
            let schedule = plan.scenario.draw(setting, seed).map_err(|error| cannot_be_run(&error))?;
            let outcome = run(&schedule, setting.demands(), keep).map_err(|error| cannot_be_run(&error))?;
            shown.push(Shown { seed, schedule, outcome });
        }
        Ok(Self { plan, measured, shown })
    }

    fn runs(&self) -> u64 {
        self.measured.iter().map(|measured| measured.runs).sum()
    }

    fn runs_wanted(&self) -> u64 {
        self.plan.runs * self.plan.settings.len() as u64
    }

    /// Whether somebody did not want to wait for all runs.
    pub(super) fn is_interrupted(&self) -> bool {
        self.runs() < self.runs_wanted()
    }

    /// Whether no run of any setting ever had a leader.
    fn is_leaderless(&self) -> bool {
        self.measured.iter().all(|measured| measured.never_led == measured.runs)
    }

    /// Whether two acted at once, for whatever reason, or an invariant broke.
    pub(super) fn is_bad(&self) -> bool {
        self.measured.iter().any(|one| !one.overlaps.is_empty() || one.violation.is_some())
    }

    fn each(&self) -> impl Iterator<Item = (&Setting, &Measured)> {
        self.plan.settings.iter().zip(&self.measured)
    }

    /// The table, what went wrong, and who led when in one run.
    pub(super) fn text(&self, colored: bool) -> String {
        let table = std::iter::once(HEAD.map(str::to_owned).to_vec());
        let table: Vec<Vec<String>> = table.chain(self.rows()).collect();
        let mut text = show::columns(&table);
        let findings = self.findings();
        if !findings.is_empty() {
            text.push('\n');
        }
        for line in findings {
            text += &(line + "\n");
        }
        let pictures: Vec<Picture> = self.timelines().collect();
        for picture in pictures.iter().take(STRIPS_MAX) {
            text += &("\n".to_owned() + &picture.terminal(terminal_width(), colored));
        }
        if pictures.len() > STRIPS_MAX {
            let more = pictures.len() - STRIPS_MAX;
            let _ = writeln!(text, "\nthe run in {more} more settings: -O report.html");
        }
        text
    }

    fn rows(&self) -> impl Iterator<Item = Vec<String>> {
        self.each().map(|(setting, measured)| {
            let of = |percent| measured.leaderless_percentile_ns(percent).map_or_else(|| "-".to_owned(), shown_ns);
            let longest = measured.overlaps.iter().map(|found| found.overlap.span_ns()).max();
            let count = measured.overlaps.len();
            vec![
                setting.to_string(),
                of(50),
                of(99),
                of(100),
                format!("{:.1}", measured.writes_per_minute()),
                format!("{:.1}", measured.false_failovers_per_day()),
                longest.map_or_else(|| "0".to_owned(), |ns| format!("{count}, up to {}", shown_ns(ns))),
            ]
        })
    }

    /// What went wrong, a line each, with the way to see it.
    fn findings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.is_interrupted() {
            lines.push(format!("interrupted after {} of {} runs", self.runs(), self.runs_wanted()));
        }
        for (setting, measured) in self.each() {
            for found in measured.overlaps.iter().take(FINDINGS_MAX) {
                lines.push(format!(
                    "{setting}: {}; replay:\n  {}",
                    told(found),
                    self.plan.command_of(setting, found.seed)
                ));
            }
            if measured.overlaps.len() > FINDINGS_MAX {
                let more = measured.overlaps.len() - FINDINGS_MAX;
                lines.push(format!("{setting}: and {more} more overlap{}", if more == 1 { "" } else { "s" }));
            }
            if let Some((seed, violation)) = &measured.violation {
                lines.push(format!(
                    "{setting}: seed {seed} violates {violation}; replay:\n  {}",
                    self.plan.command_of(setting, *seed)
                ));
            }
            if measured.never_led > 0 {
                let (never, runs) = (measured.never_led, measured.runs);
                lines.push(format!("{setting}: {never} of {runs} runs never had a leader"));
            }
            if measured.ended_leaderless > 0 {
                let (ended, runs) = (measured.ended_leaderless, measured.runs);
                lines.push(format!(
                    "{setting}: {ended} of {runs} runs end without a leader; those times are not counted"
                ));
            }
        }
        lines
    }

    fn timelines(&self) -> impl Iterator<Item = Picture> {
        self.plan.settings.iter().zip(&self.shown).map(|(setting, shown)| {
            let subtitle = format!("Seed {}. Drawn by: {}", shown.seed, self.plan.command_of(setting, shown.seed));
            let name = format!("{}, {setting}", self.plan.name);
            Picture::Timeline(pictures::timeline(&name, subtitle, &shown.schedule, &shown.outcome))
        })
    }

    /// The distribution, and who led when in one run.
    pub(super) fn pictures(&self) -> Vec<Picture> {
        let ecdf = Picture::Ecdf(pictures::ecdf(self.plan, self.each()));
        std::iter::once(ecdf).chain(self.timelines()).collect()
    }

    pub(super) fn report(&self, pictures: Vec<Picture>) -> Report {
        let head = HEAD.map(|head| head[..1].to_owned() + &head[1..].to_lowercase()).to_vec();
        let mut parts = vec![Part::Table(Table { head, rows: self.rows().collect() })];
        parts.extend(self.findings().iter().flat_map(|finding| finding.lines()).map(|line| {
            // The second line of a finding is the way to see it.
            match line.strip_prefix("  ") {
                Some(command) => Part::Command(command.to_owned()),
                None => Part::Text(line.to_owned()),
            }
        }));
        parts.push(Part::Text(EXPLAINED.to_owned()));
        if self.plan.is_unsafe() {
            parts.insert(0, Part::Text(format!("{UNSAFE}: {UNSAFE_EXPLAINED}")));
        }
        parts.extend(pictures.into_iter().map(Part::Picture));
        let (heading, command) = (self.plan.heading(), self.plan.command());
        Report { title: self.finding(), subtitle: format!("{heading}. Made by: {command}"), parts }
    }

    /// What came of it, in a sentence.
    fn finding(&self) -> String {
        let label = if self.plan.is_unsafe() { format!("{UNSAFE}: ") } else { String::new() };
        let name = &self.plan.name;
        let bad = self.each().filter(|(_, measured)| !measured.overlaps.is_empty() || measured.violation.is_some());
        let bad: Vec<String> = bad.map(|(setting, _)| setting.to_string()).collect();
        match bad.len() {
            0 if self.is_leaderless() => format!("{label}{name}: nobody ever led"),
            0 => format!("{label}{name}: no two act at once"),
            count if count == self.measured.len() => format!("{label}{name}: two act at once"),
            _ => format!("{label}{name}: two act at once with {}", bad.join(" and ")),
        }
    }

    /// The run that is shown, for a file: that of the first setting in which something went wrong.
    pub(super) fn shown_run(&self) -> Replay {
        let is_bad = |shown: &Shown| shown.outcome.violation.is_some() || !shown.outcome.stats.overlaps.is_empty();
        let index = self.shown.iter().position(is_bad).unwrap_or(0);
        let (setting, shown) = (&self.plan.settings[index], &self.shown[index]);
        Replay {
            origin: format!("seed {} of {}, {setting}", shown.seed, self.plan.name),
            violates: shown.outcome.violation.as_ref().map(ToString::to_string),
            schedule: shown.schedule.clone(),
        }
    }

    pub(super) fn document(&self) -> Document<'_> {
        let plan = self.plan;
        Document {
            scenario: &plan.name,
            about: &plan.scenario.about,
            candidates: plan.scenario.nodes,
            runs: plan.runs,
            seed: plan.seed,
            until_seconds: plan.scenario.until.as_secs_f64(),
            unsafe_timing: plan.is_unsafe(),
            command: plan.command(),
            interrupted: self.is_interrupted(),
            settings: self.each().map(|(setting, measured)| Figures::of(setting, measured)).collect(),
        }
    }
}

/// The run that shows most: an invariant that broke, the longest overlap, or the longest time without a leader.
fn worth_showing(measured: &Measured) -> Option<u64> {
    let violation = measured.violation.as_ref().map(|(seed, _)| *seed);
    // Of equal ones the first.
    let overlap = measured.overlaps.iter().rev().max_by_key(|found| found.overlap.span_ns()).map(|found| found.seed);
    violation.or(overlap).or(measured.longest.map(|(seed, _)| seed))
}

/// An overlap in words, with its excuse where it has one.
fn told(found: &SeedOverlap) -> String {
    let SeedOverlap { seed, overlap } = found;
    let (from, span) = (shown_ns(overlap.from_ns), shown_ns(overlap.span_ns()));
    let (one, other) = (pictures::letter(overlap.nodes.0), pictures::letter(overlap.nodes.1));
    let excuse = overlap.excuse.map_or_else(String::new, |excuse| format!(", because {}", excuse.as_str()));
    format!("seed {seed}: {one} and {other} act at once from {from} on for {span}{excuse}")
}

/// With as many digits as its neighbours in the column, which is easier to compare.
pub(crate) fn shown_ns(ns: u64) -> String {
    let duration = Duration::from_nanos(ns);
    let is_seconds = (Duration::from_secs(1)..Duration::from_mins(1)).contains(&duration);
    if is_seconds { format!("{:.2}s", duration.as_secs_f64()) } else { rounded(duration) }
}

/// The figures as a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    scenario: &'a str,
    about: &'a str,
    candidates: usize,
    runs: u64,
    seed: u64,
    until_seconds: f64,
    unsafe_timing: bool,
    command: String,
    interrupted: bool,
    settings: Vec<Figures>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    setting: String,
    rule: &'static str,
    lease_duration_seconds: f64,
    renew_deadline_seconds: f64,
    retry_period_seconds: f64,
    unsafe_timing: bool,
    runs: u64,
    /// Of these runs, those in which nobody ever led.
    never_led: u64,
    simulated_seconds: f64,
    leaderless: Leaderless,
    writes_per_minute: f64,
    false_failovers_per_day: f64,
    overlap_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_overlap_seconds: Option<f64>,
    /// Whether all of them are listed, or only the first ones.
    overlaps_complete: bool,
    overlaps: Vec<OverlapFound>,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Leaderless {
    count: usize,
    p50_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    max_seconds: Option<f64>,
    /// Times that the end of the run has cut off.
    uncounted: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OverlapFound {
    seed: u64,
    candidates: [char; 2],
    from_seconds: f64,
    for_seconds: f64,
    broken_assumption: Option<&'static str>,
}

impl Figures {
    fn of(setting: &Setting, measured: &Measured) -> Self {
        let of = |percent| measured.leaderless_percentile_ns(percent).map(seconds);
        Self {
            setting: setting.to_string(),
            rule: setting.name.as_str(),
            lease_duration_seconds: setting.three.lease.as_secs_f64(),
            renew_deadline_seconds: setting.three.renew.as_secs_f64(),
            retry_period_seconds: setting.three.retry.as_secs_f64(),
            unsafe_timing: setting.is_unsafe,
            runs: measured.runs,
            never_led: measured.never_led,
            simulated_seconds: seconds(measured.stats.simulated_ns),
            leaderless: Leaderless {
                count: measured.stats.leaderless_ns.len(),
                p50_seconds: of(50),
                p99_seconds: of(99),
                max_seconds: of(100),
                uncounted: measured.ended_leaderless,
            },
            writes_per_minute: measured.writes_per_minute(),
            false_failovers_per_day: measured.false_failovers_per_day(),
            overlap_count: measured.overlaps.len(),
            max_overlap_seconds: measured.overlaps.iter().map(|found| found.overlap.span_ns()).max().map(seconds),
            overlaps_complete: measured.overlaps.len() <= DOCUMENT_OVERLAPS_MAX,
            overlaps: measured.overlaps.iter().take(DOCUMENT_OVERLAPS_MAX).map(OverlapFound::of).collect(),
            violation: measured.violation.as_ref().map(|(seed, violation)| format!("seed {seed} violates {violation}")),
        }
    }
}

impl OverlapFound {
    fn of(found: &SeedOverlap) -> Self {
        let overlap = found.overlap;
        Self {
            seed: found.seed,
            candidates: [pictures::letter(overlap.nodes.0), pictures::letter(overlap.nodes.1)],
            from_seconds: seconds(overlap.from_ns),
            for_seconds: seconds(overlap.span_ns()),
            broken_assumption: overlap.excuse.map(Excuse::as_str),
        }
    }
}

fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}

const HEAD: [&str; 7] = ["SETTING", "LEADERLESS P50", "P99", "MAX", "WRITES/MIN", "FALSE FAILOVERS/DAY", "OVERLAPS"];
/// Each setting's first findings say enough.
const FINDINGS_MAX: usize = 3;
const DOCUMENT_OVERLAPS_MAX: usize = 100;
/// More strips than that fill a terminal.
const STRIPS_MAX: usize = 4;
const EXPLAINED: &str = "Leaderless is each time in which nobody acted, from the end of one leader's work to the start \
                         of the next one's; one that is paused does not act. Writes and false failovers (terms lost by processes that were alive) are \
                         counted over all simulated time. Where two act at once less time is without a leader, which is no \
                         advantage. All settings are played on the same seeds.";
const UNSAFE_EXPLAINED: &str = "some of these durations break the inequality that exclusion rests on. Nothing is \
                                promised for them, and the program refuses them everywhere else.";
