//! The twins of the pictures for terminals: the same findings in characters, in the width that there is.

use std::time::Duration;

use super::axis::{Axis, label};
use super::ecdf::{self, Figures, HEAD};
use super::svg::whole;
use super::text::{columns, padded, shortened, visible, wrapped};
use super::timeline::{self, OVERLAP, PAUSED};
use super::{Ecdf, Latency, Span, Timeline, latency, span};

/// Who led when: a strip for each candidate.
pub(super) fn timeline(timeline: &Timeline, width: usize, colored: bool) -> String {
    let mut page = Page::new(&timeline.title, &timeline.subtitle, width, colored);
    let lanes = timeline::lanes(timeline);
    let kinds = timeline::kinds(timeline);
    let names = lanes.iter().map(|lane| lane.name.as_str()).chain(kinds.iter().copied());
    let instants = timeline::instants(timeline);
    let words = timeline::words(&instants);
    let rows = [(timeline.gaps.name.as_str(), &timeline.gaps.spans, GAP), (OVERLAP, &timeline.overlaps, OVER)];
    let names = names.chain(rows.iter().map(|row| row.0)).chain((!instants.is_empty()).then_some(EVENTS));
    let strip = page.strip(names, timeline.from, timeline.until);
    for kind in &kinds {
        page.row(kind, &strip, &[(timeline::of_kind(timeline, kind), BAND)]);
    }
    if !instants.is_empty() {
        let at = instants.iter().map(|mark| Span::new(mark.at, mark.at)).collect();
        page.row(EVENTS, &strip, &[(at, EVENT)]);
    }
    let overlaps = span::merged(&timeline.overlaps, Duration::ZERO);
    for lane in &lanes {
        let acts = span::merged(&lane.acts, Duration::ZERO);
        let over = span::common(&acts, &overlaps);
        page.row(
            &lane.name,
            &strip,
            &[(lane.holds.clone(), HOLDS), (lane.pauses.clone(), PAUSE), (acts, ACTS), (over, OVER)],
        );
    }
    if lanes.is_empty() {
        page.line("nobody was seen");
    }
    for (name, spans, ink) in rows {
        if !spans.is_empty() {
            page.row(name, &strip, &[(spans.clone(), ink)]);
        }
    }
    page.ticks(&strip);
    page.legend(&[
        (lanes.iter().any(|lane| !lane.acts.is_empty()), ACTS, "acts"),
        (lanes.iter().any(|lane| !lane.holds.is_empty()), HOLDS, "holds the record"),
        (lanes.iter().any(|lane| !lane.pauses.is_empty()), PAUSE, PAUSED),
        (!timeline.overlaps.is_empty(), OVER, "more than one acts"),
        (!timeline.gaps.spans.is_empty(), GAP, timeline.gaps.name.as_str()),
        (!kinds.is_empty(), BAND, "goes on"),
        (!instants.is_empty(), EVENT, words.as_str()),
    ]);
    page.text
}

/// How a duration is distributed: figures, and a curve in eight heights.
pub(super) fn ecdf(ecdf: &Ecdf, width: usize, colored: bool) -> String {
    let mut page = Page::new(&ecdf.title, &ecdf.subtitle, width, colored);
    let Some(longest) = ecdf::longest(ecdf) else {
        page.line("no samples");
        return page.text;
    };
    let names = ecdf.series.iter().map(|series| series.name.as_str()).chain([ecdf.measured.as_str()]);
    let strip = page.strip(names, Duration::ZERO, longest);
    page.line(&(padded(&visible(&ecdf.measured), strip.name) + &figures_line(HEAD.map(str::to_owned))));
    for series in &ecdf.series {
        let sorted = ecdf::sorted(series);
        let figures = Figures::of(&sorted).map_or_else(|| ["-"; 4].map(str::to_owned), Figures::cells);
        let [p50, p90, p99, max] = figures;
        let cells = figures_line([sorted.len().to_string(), p50, p90, p99, max]);
        page.line(&(padded(&visible(&series.name), strip.name) + &cells));
    }
    page.line("");
    for series in &ecdf.series {
        let sorted = ecdf::sorted(series);
        let heights = strip.cells().map(|cell| {
            let below = sorted.partition_point(|sample| *sample <= cell.until);
            height(below, sorted.len())
        });
        let curve: String = heights.collect();
        page.line(&(padded(&visible(&series.name), strip.name) + " " + &page.inked(&curve, ACTS)));
    }
    page.ticks(&strip);
    page.text
}

/// How long renewals took: the longest of each column, as a share of the lowest limit.
pub(super) fn latency(latency: &Latency, width: usize, colored: bool) -> String {
    let mut page = Page::new(&latency.title, &latency.subtitle, width, colored);
    let samples = latency::samples(latency);
    let mut sorted: Vec<Duration> = samples.iter().map(|sample| sample.took).collect();
    sorted.sort_unstable();
    let Some(figures) = Figures::of(&sorted) else {
        page.line("no samples");
        return page.text;
    };
    let limit = latency::lowest(latency);
    let full = limit.unwrap_or(figures.max).max(Duration::from_nanos(1));
    let strip = page.strip([latency.measured.as_str()], latency.from, latency.until);
    let mut line = padded(&visible(&latency.measured), strip.name) + " ";
    for cell in strip.cells() {
        let from = samples.partition_point(|sample| sample.at < cell.from);
        let until = samples.partition_point(|sample| sample.at < cell.until || cell.until == latency.until);
        line += &match samples[from..until.max(from)].iter().map(|sample| sample.took).max() {
            None => " ".to_owned(),
            Some(longest) if limit.is_some_and(|limit| longest >= limit) => page.inked("!", OVER),
            Some(longest) => {
                let percent = longest.as_nanos() * 100 / full.as_nanos();
                page.inked(&height(usize::try_from(percent).unwrap_or(100), 100).to_string(), ACTS)
            }
        };
    }
    page.line(&line);
    page.ticks(&strip);
    let of = limit.map_or_else(String::new, |limit| format!(", full height {}", label(limit)));
    let [p50, p90, p99, max] = figures.cells();
    page.wrapped(&format!("samples: {}, p50 {p50}, p90 {p90}, p99 {p99}, max {max}{of}", samples.len()));
    for limit in &latency.limits {
        page.wrapped(&format!("{}: {}", visible(&limit.name), label(limit.value)));
    }
    page.text
}

/// A character and its colour.
type Ink = (char, &'static str);

/// Where a row's name ends and what its cells stand for.
struct Strip {
    name: usize,
    cells: usize,
    window: Span,
}

struct Page {
    text: String,
    width: usize,
    colored: bool,
}

impl Page {
    fn new(title: &str, subtitle: &str, width: usize, colored: bool) -> Self {
        let mut page = Self { text: String::new(), width: width.max(WIDTH_MIN), colored };
        for line in wrapped(&visible(title), page.width) {
            let line = page.styled(&line, "1");
            page.line(&line);
        }
        // A command is copied, and half of one does something else.
        let (said, command) = subtitle.split_at(subtitle.find(DRAWN_BY).unwrap_or(subtitle.len()));
        let command = (!command.is_empty()).then(|| visible(command));
        for line in wrapped(&visible(said), page.width).into_iter().chain(command) {
            let line = page.styled(&line, "2");
            page.line(&line);
        }
        page.line("");
        page
    }

    fn strip<'a>(&self, names: impl IntoIterator<Item = &'a str>, from: Duration, until: Duration) -> Strip {
        let widest = names.into_iter().map(|name| columns(&visible(name))).max().unwrap_or(0);
        let name = widest.min(self.width / 3);
        let until = if until > from { until } else { from.saturating_add(Duration::from_secs(1)) };
        Strip { name, cells: self.width - name - 1, window: Span::new(from, until) }
    }

    /// Later spans are drawn over earlier ones.
    fn row(&mut self, name: &str, strip: &Strip, layers: &[(Vec<Span>, Ink)]) {
        let mut cells: Vec<Option<Ink>> = vec![None; strip.cells];
        for (spans, ink) in layers {
            for span in span::visible(spans, strip.window, Duration::ZERO) {
                let from = strip.cell_of(span.from).min(strip.cells - 1);
                // However short, it is seen.
                let until = strip.cell_of(span.until).clamp(from + 1, strip.cells);
                cells[from..until].fill(Some(*ink));
            }
        }
        let mut line = padded(&visible(name), strip.name) + " ";
        for run in cells.chunk_by(|a, b| a == b) {
            line += &match run[0] {
                Some(ink) => self.inked(&ink.0.to_string().repeat(run.len()), ink),
                None => EMPTY.repeat(run.len()),
            };
        }
        self.line(&line);
    }

    fn ticks(&mut self, strip: &Strip) {
        let end = f64::from(u32::try_from(strip.cells).unwrap_or(u32::MAX));
        let axis = Axis::linear(strip.window.from, strip.window.until, 0.0, end);
        let mut line = String::new();
        for tick in axis.ticks(u32::try_from(strip.cells / 10).unwrap_or(1).max(1)) {
            let at = whole(tick.at_px).min(strip.cells.saturating_sub(tick.label.len()));
            // One that would touch the last is left out.
            if line.is_empty() || at > line.len() {
                line = format!("{line:at$}{}", tick.label);
            }
        }
        let line = self.styled(&line, "2");
        self.line(&(" ".repeat(strip.name + 1) + &line));
    }

    fn legend(&mut self, keys: &[(bool, Ink, &str)]) {
        let (mut line, mut taken) = (String::new(), 0);
        for (_, ink, word) in keys.iter().filter(|key| key.0) {
            let word = &shortened(&visible(word), self.width - 2);
            let key = format!("{} {word}", self.inked(&ink.0.to_string(), *ink));
            let width = 2 + columns(word);
            if taken > 0 && taken + 3 + width > self.width {
                self.line(&std::mem::take(&mut line));
                taken = 0;
            }
            (line, taken) = if taken == 0 { (key, width) } else { (format!("{line}   {key}"), taken + 3 + width) };
        }
        if taken > 0 {
            self.line(&line);
        }
    }

    fn inked(&self, text: &str, ink: Ink) -> String {
        self.styled(text, ink.1)
    }

    fn styled(&self, text: &str, style: &str) -> String {
        if self.colored && !text.is_empty() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn wrapped(&mut self, text: &str) {
        for line in wrapped(text, self.width) {
            self.line(&line);
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

impl Strip {
    fn cell_of(&self, moment: Duration) -> usize {
        let share = moment.saturating_sub(self.window.from).as_secs_f64() / self.window.length().as_secs_f64();
        whole((share * f64::from(u32::try_from(self.cells).unwrap_or(u32::MAX))).round())
    }

    fn cells(&self) -> impl Iterator<Item = Span> {
        let count = u32::try_from(self.cells).unwrap_or(u32::MAX);
        let (window, share) = (self.window, self.window.length() / count);
        let edge = move |index: u32| window.from.saturating_add(share.saturating_mul(index));
        (0..count).map(move |index| {
            // Rounding must not lose what is last.
            let until = if index + 1 == count { window.until } else { edge(index + 1) };
            Span::new(edge(index), until)
        })
    }
}

fn figures_line(cells: [String; 5]) -> String {
    cells.map(|cell| format!("{:>9}", shortened(&cell, 9))).concat()
}

/// A part of a whole in eight heights; a space for nothing.
fn height(part: usize, of: usize) -> char {
    const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    HEIGHTS[(part * 8).div_ceil(of.max(1)).min(8)]
}

const ACTS: Ink = ('█', "34");
const HOLDS: Ink = ('▒', "36");
const PAUSE: Ink = ('=', "35");
const OVER: Ink = ('!', "1;31");
const GAP: Ink = ('x', "33");
const BAND: Ink = ('~', "33");
/// What a command in a subtitle follows upon.
const DRAWN_BY: &str = "Drawn by: ";
const EVENT: Ink = ('|', "35");
/// The row of what happens at a moment.
const EVENTS: &str = "events";
const EMPTY: &str = "·";
const WIDTH_MIN: usize = 30;
