//! How a duration is distributed, as an SVG: one curve for each setting, and its figures below.

use std::time::Duration;

use super::axis::{Axis, round_up, rounded};
use super::svg::{Anchor, Canvas, Drawing, PAD, WIDTH, px};
use super::{Ecdf, Series};

/// What people compare settings by. Percentiles are by nearest rank, so each is a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) p50: Duration,
    pub(super) p90: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

impl Figures {
    /// Of samples in order; none of none.
    pub(super) fn of(sorted: &[Duration]) -> Option<Self> {
        let max = *sorted.last()?;
        let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)];
        Some(Self { p50: rank(50), p90: rank(90), p99: rank(99), max })
    }

    /// In the order of [`HEAD`], without the count.
    pub(super) fn cells(self) -> [String; 4] {
        [self.p50, self.p90, self.p99, self.max].map(rounded)
    }
}

/// The samples of a series in order.
pub(super) fn sorted(series: &Series) -> Vec<Duration> {
    let mut samples = series.samples.clone();
    samples.sort_unstable();
    samples
}

/// The longest of all samples; none when there is no sample.
pub(super) fn longest(ecdf: &Ecdf) -> Option<Duration> {
    ecdf.series.iter().flat_map(|series| series.samples.iter().copied()).max()
}

pub(super) fn draw(ecdf: &Ecdf) -> Drawing {
    let mut canvas = Canvas::titled(&ecdf.title, &ecdf.subtitle);
    let (top, bottom) = (canvas.y + 8.0, canvas.y + 8.0 + HEIGHT);
    let longest = longest(ecdf);
    let end = round_up(longest.unwrap_or(Duration::from_secs(1)), TICKS_MAX);
    let axis = Axis::linear(Duration::ZERO, end, LEFT, WIDTH - PAD);
    for percent in [0_u8, 25, 50, 75, 100] {
        let y = bottom - HEIGHT * f64::from(percent) / 100.0;
        canvas.line(if percent == 0 { "axis" } else { "grid" }, (LEFT, y), (WIDTH - PAD, y));
        canvas.text("n", LEFT - 8.0, y + 4.0, Anchor::End, &format!("{percent} %"));
    }
    for tick in axis.ticks(TICKS_MAX) {
        canvas.line("grid", (tick.at_px, top), (tick.at_px, bottom));
        // The last one would stick out.
        let anchor = if tick.at_px > WIDTH - PAD - 20.0 { Anchor::End } else { Anchor::Middle };
        canvas.text("n", tick.at_px, bottom + 18.0, anchor, &tick.label);
    }
    let middle = f64::midpoint(LEFT, WIDTH - PAD);
    canvas.text("n", middle, bottom + 36.0, Anchor::Middle, &ecdf.measured);
    if longest.is_none() {
        canvas.text("n", middle, f64::midpoint(top, bottom), Anchor::Middle, "no samples");
    }
    // The first setting is drawn last, so that it is seen where curves coincide.
    for (index, series) in ecdf.series.iter().enumerate().rev() {
        let path = curve(&sorted(series), &axis, bottom);
        canvas.path(&class(index), &path, Some(&series.name));
    }
    canvas.y = bottom + 58.0;
    figures(&mut canvas, ecdf);
    canvas.finished()
}

/// Steps, no more of them than pixels.
fn curve(sorted: &[Duration], axis: &Axis, bottom: f64) -> String {
    let Some(longest) = sorted.last() else { return String::new() };
    let share = |rank: usize| count(rank) / count(sorted.len());
    let mut path = format!("M{} {}", px(axis.at(Duration::ZERO)), px(bottom));
    let mut rank = 0;
    while rank < sorted.len() {
        let pixel_ends = sorted[rank].saturating_add(axis.pixel() / 2);
        let next = rank + sorted[rank..].partition_point(|sample| *sample <= pixel_ends);
        let (x, y) = (px(axis.at(sorted[rank])), px(bottom - HEIGHT * share(next)));
        path.extend(["H", &x, "V", &y]);
        rank = next;
    }
    // All of its samples lie to the left of here.
    if axis.at(*longest) < WIDTH - PAD { path + &format!("H{}", px(WIDTH - PAD)) } else { path }
}

fn count(samples: usize) -> f64 {
    f64::from(u32::try_from(samples).unwrap_or(u32::MAX))
}

/// The legend, which is a table.
fn figures(canvas: &mut Canvas, ecdf: &Ecdf) {
    for (head, x) in HEAD.iter().zip(COLUMNS) {
        canvas.text("n", x, canvas.y, Anchor::End, head);
    }
    for (index, series) in ecdf.series.iter().enumerate() {
        canvas.y += 22.0;
        let y = canvas.y;
        canvas.line(&class(index), (LEFT, y - 4.0), (LEFT + 28.0, y - 4.0));
        canvas.text_within("l", LEFT + 38.0, y, Anchor::Start, &series.name, COLUMNS[0] - LEFT - 90.0);
        let sorted = sorted(series);
        let figures = Figures::of(&sorted).map_or_else(|| ["-"; 4].map(str::to_owned), Figures::cells);
        for (cell, x) in [sorted.len().to_string()].iter().chain(&figures).zip(COLUMNS) {
            canvas.text("l", x, y, Anchor::End, cell);
        }
    }
}

/// The colour of a series; from the eighth on the same ones, dashed.
fn class(index: usize) -> String {
    let dashes = if index / COLORS % 2 == 1 { " dash" } else { "" };
    format!("curve s{}{dashes}", index % COLORS)
}

/// The columns of figures.
pub(super) const HEAD: [&str; 5] = ["samples", "p50", "p90", "p99", "max"];
/// Where each column ends.
const COLUMNS: [f64; 5] = [560.0, 650.0, 740.0, 830.0, 920.0];
const LEFT: f64 = PAD + 48.0;
const HEIGHT: f64 = 280.0;
const TICKS_MAX: u32 = 9;
const COLORS: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<Duration> = (1..=100).map(Duration::from_secs).collect();
        let figures = Figures::of(&samples).expect("there are some");
        assert_eq!(figures.cells(), ["50s", "1m30s", "1m39s", "1m40s"]);
        assert_eq!(Figures::of(&samples[..1]).expect("one").cells(), ["1s"; 4]);
        assert_eq!(Figures::of(&[]), None);
    }
}
