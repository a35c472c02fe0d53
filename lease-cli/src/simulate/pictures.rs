//! Simulated runs as pictures: who led when, and how long nobody did.

use std::time::Duration;

use lease_memory::sim::{Measured, Outcome, Schedule, Setting, What};

use super::UNSAFE;
use super::source::Plan;
use crate::picture::{Band, Ecdf, Lane, Mark, Row, Series, Span, Timeline, rounded, without};

/// Who led when in one run.
pub(super) fn timeline(name: &str, subtitle: String, schedule: &Schedule, outcome: &Outcome) -> Timeline {
    let told = outcome.timeline.clone().unwrap_or_default();
    let until = outcome.violation.as_ref().map_or(schedule.until_ns, |violation| violation.at_ns);
    let mut lanes: Vec<Lane> =
        (0..schedule.nodes.len()).map(|node| Lane { name: letter(node).to_string(), ..Lane::default() }).collect();
    for (node, from_ns, until_ns) in told.acts {
        lanes[node].acts.push(span(from_ns, until_ns));
    }
    for (node, from_ns, until_ns) in told.pauses {
        lanes[node].pauses.push(span(from_ns, until_ns));
    }
    for lane in &mut lanes {
        lane.acts = without(&lane.acts, &lane.pauses);
    }
    for (node, from_ns, until_ns) in told.holds {
        lanes[node].holds.push(span(from_ns, until_ns));
    }
    let acts: Vec<Span> = lanes.iter().flat_map(|lane| lane.acts.iter().copied()).collect();
    let first = acts.iter().map(|act| act.from).min();
    // Where nobody ever acts, nobody is waited for: that is missed from the beginning.
    let gaps = without(&[Span::new(first.unwrap_or_default(), ns(until))], &acts);
    let overlaps: Vec<Span> =
        outcome.stats.overlaps.iter().map(|overlap| span(overlap.from_ns, overlap.until_ns)).collect();
    let (bands, marks) = faults(schedule, until);
    Timeline {
        title: format!("{name}: {}", finding(first.is_some(), &gaps, &overlaps)),
        subtitle,
        from: Duration::ZERO,
        until: ns(until),
        lanes,
        bands,
        overlaps,
        gaps: Row { name: "nobody acts".to_owned(), spans: gaps },
        marks,
    }
}

/// What there is to see, in a few words.
fn finding(somebody_led: bool, gaps: &[Span], overlaps: &[Span]) -> String {
    let longest = |spans: &[Span]| spans.iter().map(|span| span.length()).max();
    match (longest(overlaps), longest(gaps)) {
        (Some(overlap), _) => format!("two act at once for {}", rounded(overlap)),
        _ if !somebody_led => "nobody ever led".to_owned(),
        (None, None) => "never without a leader".to_owned(),
        (None, Some(gap)) => format!("nobody acts for {}", rounded(gap)),
    }
}

/// What goes on for a while is a band, and what happens at a moment a mark.
fn faults(schedule: &Schedule, end_ns: u64) -> (Vec<Band>, Vec<Mark>) {
    let (mut bands, mut marks) = (Vec::new(), Vec::<Mark>::new());
    for fault in schedule.faults.iter().filter(|fault| fault.at_ns <= end_ns) {
        let kind = fault.what.kind();
        let span_ns = match fault.what {
            What::Crash { back_ns: None, .. } | What::Shutdown { back_ns: None, .. } => end_ns - fault.at_ns,
            ref what => what.span_ns(),
        };
        if span_ns > 0 {
            let span = span(fault.at_ns, fault.at_ns.saturating_add(span_ns));
            bands.push(Band { kind: kind.to_owned(), span });
        }
        let whom: Vec<String> = fault.what.nodes().iter().flatten().map(|node| letter(*node).to_string()).collect();
        let mark = Mark { at: ns(fault.at_ns), label: format!("{kind} {}", whom.join(" ")).trim().to_owned() };
        match marks.last_mut() {
            // What happens to everybody at once is one mark.
            Some(last) if last.at == mark.at => kind.clone_into(&mut last.label),
            _ => marks.push(mark),
        }
    }
    (bands, marks)
}

/// How long nobody led, in each setting.
pub(super) fn ecdf<'a>(plan: &Plan, each: impl Iterator<Item = (&'a Setting, &'a Measured)>) -> Ecdf {
    let (mut series, mut medians) = (Vec::new(), Vec::new());
    let mut somebody_led = false;
    for (setting, measured) in each {
        somebody_led |= measured.never_led < measured.runs;
        let samples: Vec<Duration> = measured.stats.leaderless_ns.iter().copied().map(ns).collect();
        if let Some(median) = measured.leaderless_percentile_ns(50) {
            medians.push(format!("{} with {setting}", rounded(ns(median))));
        }
        series.push(Series { name: setting.to_string(), samples });
    }
    let label = if plan.is_unsafe() { format!("{UNSAFE}: ") } else { String::new() };
    let title = match medians.len() {
        0 if !somebody_led => format!("{label}{}: nobody ever led", plan.name),
        0 => format!("{label}{}: never without a leader", plan.name),
        1..=3 => {
            format!("{label}{}: half of the times without a leader last at most {}", plan.name, medians.join(", "))
        }
        _ => format!("{label}{}: how long nobody leads", plan.name),
    };
    Ecdf {
        title,
        subtitle: format!("Drawn by: {} -O FILE.svg", plan.command()),
        measured: "time without a leader".to_owned(),
        series,
    }
}

/// The name of a candidate.
pub(super) fn letter(node: usize) -> char {
    u8::try_from(node).map_or('?', |node| char::from(b'a' + node))
}

fn span(from_ns: u64, until_ns: u64) -> Span {
    Span::new(ns(from_ns), ns(until_ns))
}

fn ns(ns: u64) -> Duration {
    Duration::from_nanos(ns)
}
