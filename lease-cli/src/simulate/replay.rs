//! One run: as a file, as a story, and as a picture.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use lease_core::Pretty;
use lease_memory::sim::{Demands, Keep, Node, Outcome, Replay, ReplayError, Rule, run};
use serde::Serialize;

use super::source::cannot_be_run;
use super::{Arguments, UNSAFE, outputs, pictures};
use crate::cli::{Global, Output};
use crate::exit::{Code, Failure};
use crate::files::quoted;
use crate::picture::{Part, Picture, Report, rounded, visible};
use crate::plot::terminal_width;
use crate::show;

/// One run that was played, and where it comes from.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) replay: Replay,
    pub(super) outcome: Outcome,
    /// What shows it again.
    pub(super) command: String,
}

pub(super) fn replay(path: &Path, arguments: &Arguments, global: &Global) -> Result<u8, Failure> {
    let replay = read(path)?;
    outputs::check(arguments)?;
    if is_unsafe(&replay) && !arguments.unsafe_timing {
        let what = format!("{}: its durations break the inequality that exclusion rests on", path.display());
        return Err(Failure::new(Code::Configuration, what).help("--unsafe-timing runs them all the same"));
    }
    let keep = Keep { story: true, timeline: true, ..Keep::default() };
    let outcome = run(&replay.schedule, demands(&replay), keep).map_err(|error| cannot_be_run(&error))?;
    let flag = if is_unsafe(&replay) { " --unsafe-timing" } else { "" };
    let command = format!("lease simulate --replay {}{flag}", quoted(&path.display().to_string()));
    let scene = Scene { replay, outcome, command };
    scene.draw(arguments)?;
    scene.show(true, "", global)?;
    Ok(if scene.is_bad() { Code::No as u8 } else { 0 })
}

fn read(path: &Path) -> Result<Replay, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(Code::unread(&error), format!("replay file {shown} cannot be read: {error}"))
            .help("name a file that --save wrote")
    })?;
    Replay::from_json(&text).map_err(|error| {
        let help = match &error {
            ReplayError::Version { .. } => {
                "play it with the version of lease that wrote it, or save it again from its seed"
            }
            ReplayError::Edited => "save it again from its seed; to change what happens, write a scenario",
            _ => "name a file that --save wrote; a scenario is played without --replay",
        };
        Failure::new(Code::Data, format!("{shown}: {error}")).help(help)
    })
}

/// Exclusion always; a leader only where its absence is what was found.
pub(super) fn demands(replay: &Replay) -> Demands {
    let liveness = replay.violates.as_deref().is_some_and(|violates| violates.starts_with("liveness"));
    Demands { exclusion: true, liveness }
}

fn is_unsafe(replay: &Replay) -> bool {
    replay.schedule.nodes.iter().any(|node| node.rule.is_ours() && node.timing.unproven)
}

impl Scene {
    /// Whether two acted at once, for whatever reason, or an invariant broke.
    pub(super) fn is_bad(&self) -> bool {
        self.outcome.violation.is_some() || !self.outcome.stats.overlaps.is_empty()
    }

    /// What is shown first and above everything.
    fn heading(&self) -> String {
        let label = if is_unsafe(&self.replay) { format!("{UNSAFE}: ") } else { String::new() };
        format!("{label}{}", visible(&self.replay.origin))
    }

    /// The run for people, with its story or without and a last word, or as a document.
    pub(super) fn show(&self, with_story: bool, last: &str, global: &Global) -> Result<(), Failure> {
        if global.output != Output::Table {
            return show::offer(&show::document(&self.document(), global.output)?);
        }
        let mut text = self.heading() + "\n";
        for (index, node) in self.replay.schedule.nodes.iter().enumerate() {
            let _ = writeln!(text, "{}: {}", pictures::letter(index), candidate(node));
        }
        text.push('\n');
        if with_story {
            for line in &self.outcome.story {
                text += &(visible(line) + "\n");
            }
            text.push('\n');
        }
        text += &self.picture().terminal(terminal_width(), global.color.on_stdout());
        text += "\n";
        text += &(self.verdict() + "\n" + last);
        show::offer(&text)
    }

    /// What it breaks, or that it breaks nothing.
    fn verdict(&self) -> String {
        let label = if is_unsafe(&self.replay) { format!("{UNSAFE}: ") } else { String::new() };
        let overlaps = &self.outcome.stats.overlaps;
        let told = |overlap: &lease_memory::sim::Overlap| {
            let [one, other] = [overlap.nodes.0, overlap.nodes.1].map(pictures::letter);
            let (from, span) = (Duration::from_nanos(overlap.from_ns), Duration::from_nanos(overlap.span_ns()));
            let excuse = overlap.excuse.map_or_else(String::new, |excuse| format!(", because {}", excuse.as_str()));
            format!("{one} and {other} act at once from {} on for {}{excuse}", rounded(from), rounded(span))
        };
        match (&self.outcome.violation, overlaps.first()) {
            (Some(violation), _) => format!("{label}violates {violation}"),
            (None, Some(first)) if overlaps.len() == 1 => format!("{label}{}", told(first)),
            (None, Some(first)) => format!("{label}{}, and {} more", told(first), overlaps.len() - 1),
            (None, None) => format!("{label}no two act at once, and no invariant breaks"),
        }
    }

    fn picture(&self) -> Picture {
        let subtitle = format!("Drawn by: {}", self.command);
        Picture::Timeline(pictures::timeline(&self.heading(), subtitle, &self.replay.schedule, &self.outcome))
    }

    /// Draws it into a file, where one was named.
    pub(super) fn draw(&self, arguments: &Arguments) -> Result<(), Failure> {
        let page = |pictures: Vec<Picture>| {
            let parts = std::iter::once(Part::Text(self.verdict()));
            Report {
                title: self.heading(),
                subtitle: format!("Made by: {}", self.command),
                parts: parts.chain(pictures.into_iter().map(Part::Picture)).collect(),
            }
        };
        arguments.out.iter().try_for_each(|target| target.write(vec![self.picture()], page))
    }

    fn document(&self) -> Document<'_> {
        let stats = &self.outcome.stats;
        Document {
            origin: &self.replay.origin,
            unsafe_timing: is_unsafe(&self.replay),
            candidates: self.replay.schedule.nodes.iter().map(candidate).collect(),
            simulated_seconds: Duration::from_nanos(stats.simulated_ns).as_secs_f64(),
            leaderless_seconds: stats.leaderless_ns.iter().map(|ns| Duration::from_nanos(*ns).as_secs_f64()).collect(),
            overlaps: stats.overlaps.len(),
            violation: self.outcome.violation.as_ref().map(ToString::to_string),
            verdict: self.verdict(),
            story: &self.outcome.story,
        }
    }
}

/// A candidate in a line: its durations and whose rules it follows.
fn candidate(node: &Node) -> String {
    let [lease, renew, retry] =
        [node.timing.lease_ns, node.timing.renew_ns, node.timing.retry_ns].map(|ns| Pretty(Duration::from_nanos(ns)));
    let rule = match node.rule {
        Rule::Ours { .. } if node.timing.unproven => format!(" {UNSAFE}"),
        Rule::Ours { .. } => String::new(),
        Rule::ClientGo { .. } => " client-go".to_owned(),
    };
    format!("{lease}/{renew}/{retry}{rule}")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    origin: &'a str,
    unsafe_timing: bool,
    candidates: Vec<String>,
    simulated_seconds: f64,
    leaderless_seconds: Vec<f64>,
    overlaps: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<String>,
    verdict: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    story: &'a [String],
}
