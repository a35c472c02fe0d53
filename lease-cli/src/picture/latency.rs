//! How long renewals took, as an SVG: a dot for each, and a line for what they had to stay below.

use std::collections::BTreeSet;
use std::time::Duration;

use super::axis::{Axis, round_up};
use super::svg::{Anchor, Canvas, Drawing, Key, PAD, WIDTH, px, whole};
use super::{Latency, Sample};

/// The samples within the picture, in order.
pub(super) fn samples(latency: &Latency) -> Vec<Sample> {
    let within = |sample: &&Sample| (latency.from..=latency.until).contains(&sample.at);
    let mut samples: Vec<Sample> = latency.samples.iter().filter(within).copied().collect();
    samples.sort_by_key(|sample| (sample.at, sample.took));
    samples
}

/// The lowest of the limits: reaching it is what the picture warns of.
pub(super) fn lowest(latency: &Latency) -> Option<Duration> {
    latency.limits.iter().map(|limit| limit.value).min()
}

pub(super) fn draw(latency: &Latency) -> Drawing {
    let mut canvas = Canvas::titled(&latency.title, &latency.subtitle);
    let samples = samples(latency);
    let (late, dots): (Vec<_>, Vec<_>) =
        samples.iter().partition(|sample| lowest(latency).is_some_and(|limit| sample.took >= limit));
    let mut keys = vec![Key { class: "acts".to_owned(), label: latency.measured.clone() }];
    if !late.is_empty() {
        keys.push(Key { class: "over".to_owned(), label: "too long".to_owned() });
    }
    canvas.legend(&keys);
    let (top, bottom) = (canvas.y, canvas.y + HEIGHT);
    let x = Axis::linear(latency.from, latency.until, LEFT, WIDTH - PAD);
    let y = vertical(latency, &samples, top, bottom);
    for tick in y.ticks(5) {
        canvas.line("grid", (LEFT, tick.at_px), (WIDTH - PAD, tick.at_px));
        canvas.text("n", LEFT - 8.0, tick.at_px + 4.0, Anchor::End, &tick.label);
    }
    canvas.line("axis", (LEFT, bottom), (WIDTH - PAD, bottom));
    for tick in x.ticks(10) {
        canvas.line("axis", (tick.at_px, bottom), (tick.at_px, bottom + 5.0));
        canvas.text("n", tick.at_px, bottom + 19.0, Anchor::Middle, &tick.label);
    }
    canvas.path("dots", &scattered(&dots, x, y), None);
    canvas.path("dots late", &scattered(&late, x, y), None);
    if samples.is_empty() {
        let middle = (f64::midpoint(LEFT, WIDTH - PAD), f64::midpoint(top, bottom));
        canvas.text("n", middle.0, middle.1, Anchor::Middle, "no samples");
    }
    limits(&mut canvas, latency, y);
    canvas.y = bottom + 20.0;
    canvas.finished()
}

/// In powers of ten where what is common would otherwise lie on the ground.
fn vertical(latency: &Latency, samples: &[Sample], top: f64, bottom: f64) -> Axis {
    let mut durations: Vec<Duration> = samples.iter().map(|sample| sample.took).collect();
    durations.sort_unstable();
    let limits = latency.limits.iter().map(|limit| limit.value);
    let highest = durations.last().copied().into_iter().chain(limits).max().unwrap_or(Duration::from_secs(1));
    let median = durations.get(durations.len() / 2).copied().unwrap_or(highest);
    if median.saturating_mul(LOGARITHMIC_FROM) < highest {
        let lowest = durations.first().copied().unwrap_or(median).max(Duration::from_micros(1));
        let decade = 10_u64.pow(lowest.as_nanos().ilog10().min(18));
        return Axis::logarithmic(Duration::from_nanos(decade), highest.saturating_mul(2), bottom, top);
    }
    Axis::linear(Duration::ZERO, round_up(highest.saturating_add(highest / 20), 5), bottom, top)
}

/// A dot for each sample; those that would cover each other are one.
fn scattered(samples: &[Sample], x: Axis, y: Axis) -> String {
    let cell = |at: f64| whole(at / CELL);
    let cells: BTreeSet<_> = samples.iter().map(|sample| (cell(x.at(sample.at)), cell(y.at(sample.took)))).collect();
    let center = |cell: usize| px((f64::from(u32::try_from(cell).unwrap_or(u32::MAX)) + 0.5) * CELL);
    let dots: Vec<_> = cells
        .into_iter()
        .map(|(x, y)| ["M".to_owned(), center(x), " ".into(), center(y), "h0".into()].concat())
        .collect();
    dots.concat()
}

fn limits(canvas: &mut Canvas, latency: &Latency, y: Axis) {
    let mut limits: Vec<_> = latency.limits.iter().collect();
    limits.sort_by_key(|limit| limit.value);
    let mut taken_above = f64::MAX;
    for (index, limit) in limits.iter().enumerate() {
        let at = y.at(limit.value);
        canvas.line("limit", (LEFT, at), (WIDTH - PAD, at));
        let next = limits.get(index + 1).map_or(0.0, |next| y.at(next.value));
        // Above its line, or below where another line is in the way, or not at all.
        let is_above = at - next > WORDS_HEIGHT || index > 0 && index + 1 == limits.len();
        let baseline = if is_above { at - 5.0 } else { at + 14.0 };
        if baseline < taken_above {
            let words = format!("{} {}", limit.name, super::axis::label(limit.value));
            canvas.text_within("w", WIDTH - PAD, baseline, Anchor::End, &words, 400.0);
            taken_above = if is_above { at - WORDS_HEIGHT } else { at };
        }
    }
}

/// What a line of words takes, with some air.
const WORDS_HEIGHT: f64 = 18.0;
const LEFT: f64 = PAD + 48.0;
const HEIGHT: f64 = 220.0;
/// Dots closer than this many pixels are drawn as one.
const CELL: f64 = 2.0;
/// How many times the median the highest value must be before the axis is logarithmic.
const LOGARITHMIC_FROM: u32 = 20;
