//! Who led when, as an SVG: a lane for each candidate, what was wrong behind them, overlaps over them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::axis::{Axis, label};
use super::svg::{Anchor, Canvas, Drawing, Key, PAD, WIDTH, bar, px, text_width};
use super::text::visible as harmless;
use super::{Lane, Mark, Span, Timeline, span};

/// The lanes that are drawn: all, or the first ones and the rest as one.
pub(super) fn lanes(timeline: &Timeline) -> Vec<Lane> {
    if timeline.lanes.len() <= LANES_MAX {
        return timeline.lanes.clone();
    }
    let (shown, rest) = timeline.lanes.split_at(LANES_MAX - 1);
    let mut lanes = shown.to_vec();
    lanes.push(Lane {
        name: format!("{} more", rest.len()),
        acts: rest.iter().flat_map(|lane| lane.acts.iter().copied()).collect(),
        holds: rest.iter().flat_map(|lane| lane.holds.iter().copied()).collect(),
        pauses: rest.iter().flat_map(|lane| lane.pauses.iter().copied()).collect(),
    });
    lanes
}

/// The kinds of bands in the order of their first appearance.
pub(super) fn kinds(timeline: &Timeline) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for band in &timeline.bands {
        if !kinds.contains(&band.kind.as_str()) {
            kinds.push(&band.kind);
        }
    }
    kinds
}

/// The spans of one kind of bands.
pub(super) fn of_kind(timeline: &Timeline, kind: &str) -> Vec<Span> {
    timeline.bands.iter().filter(|band| band.kind == kind).map(|band| band.span).collect()
}

/// What happens at a moment, and is no band that begins then.
pub(super) fn instants(timeline: &Timeline) -> Vec<&Mark> {
    let begins: BTreeSet<Duration> = timeline.bands.iter().map(|band| band.span.from).collect();
    timeline.marks.iter().filter(|mark| !begins.contains(&mark.at)).collect()
}

/// Each of their words once, as far as anybody reads on.
pub(super) fn words(marks: &[&Mark]) -> String {
    let mut words: Vec<&str> = Vec::new();
    for mark in marks {
        if !words.contains(&mark.label.as_str()) {
            words.push(&mark.label);
        }
    }
    let more = if words.len() > WORDS_MAX { ", ..." } else { "" };
    words.truncate(WORDS_MAX);
    words.join(", ") + more
}

pub(super) fn draw(timeline: &Timeline) -> Drawing {
    let mut sketch = Sketch::new(timeline);
    sketch.canvas.legend(&keys(timeline));
    sketch.marks();
    sketch.bands();
    sketch.lanes();
    sketch.rows();
    sketch.axis();
    sketch.canvas.finished()
}

/// Only what there is to see.
fn keys(timeline: &Timeline) -> Vec<Key> {
    let acts = timeline.lanes.iter().any(|lane| !lane.acts.is_empty());
    let holds = timeline.lanes.iter().any(|lane| !lane.holds.is_empty());
    let pauses = timeline.lanes.iter().any(|lane| !lane.pauses.is_empty());
    let overlaps = !timeline.overlaps.is_empty();
    let gaps = !timeline.gaps.spans.is_empty();
    [
        (acts, "acts", "acts"),
        (holds, "holds", "holds the record"),
        (pauses, "paused", PAUSED),
        (overlaps, "over", "more than one acts"),
        (gaps, "gap", timeline.gaps.name.as_str()),
    ]
    .into_iter()
    .filter(|(is_there, ..)| *is_there)
    .map(|(_, class, label)| Key { class: class.to_owned(), label: label.to_owned() })
    .collect()
}

struct Sketch<'a> {
    timeline: &'a Timeline,
    canvas: Canvas,
    axis: Axis,
    window: Span,
    lanes: Vec<Lane>,
    kinds: Vec<&'a str>,
    /// Where the lanes begin to the right of their names.
    left: f64,
    /// Where what is shaded begins; the end follows from the lanes.
    top: f64,
    /// Whether each bar says its times. Of too many the file would grow.
    titled: bool,
}

impl<'a> Sketch<'a> {
    fn new(timeline: &'a Timeline) -> Self {
        let (lanes, kinds) = (lanes(timeline), kinds(timeline));
        let names = lanes.iter().map(|lane| lane.name.as_str()).chain(kinds.iter().copied());
        let widest = names.chain([OVERLAP, timeline.gaps.name.as_str()]).map(|name| text_width(&harmless(name)));
        let left = PAD + widest.fold(0.0, f64::max).min(NAME_WIDTH_MAX) + 12.0;
        let spans: usize = lanes.iter().map(|lane| lane.acts.len() + lane.holds.len() + lane.pauses.len()).sum();
        Self {
            timeline,
            canvas: Canvas::titled(&timeline.title, &timeline.subtitle),
            axis: Axis::linear(timeline.from, timeline.until, left, WIDTH - PAD),
            window: Span::new(timeline.from, timeline.until),
            lanes,
            kinds,
            left,
            top: 0.0,
            titled: spans + timeline.bands.len() + timeline.gaps.spans.len() <= TITLES_MAX,
        }
    }

    fn lane_height(&self) -> f64 {
        match self.lanes.len() {
            ..=12 => 30.0,
            13..=24 => 22.0,
            _ => 16.0,
        }
    }

    /// Where the lanes end.
    fn bottom(&self) -> f64 {
        let count = u32::try_from(self.lanes.len().max(1)).unwrap_or(u32::MAX);
        self.canvas.y + f64::from(count) * self.lane_height()
    }

    fn marks_within(&self) -> impl Iterator<Item = &'a Mark> {
        let window = self.window;
        self.timeline.marks.iter().filter(move |mark| (window.from..=window.until).contains(&mark.at))
    }

    /// Words above, wherever there is room for them.
    fn marks(&mut self) {
        let mut marks: Vec<&Mark> = self.marks_within().collect();
        if marks.is_empty() {
            return;
        }
        marks.sort_by_key(|mark| mark.at);
        let mut free_from = f64::MIN;
        for mark in marks {
            let word = harmless(&mark.label);
            let (at, half) = (self.axis.at(mark.at), text_width(&word) / 2.0);
            let middle = at.clamp(self.left + half, (WIDTH - PAD - half).max(self.left + half));
            if middle - half >= free_from {
                self.canvas.text("n", middle, self.canvas.y + 10.0, Anchor::Middle, &word);
                free_from = middle + half + 10.0;
            }
        }
        self.canvas.y += 18.0;
    }

    /// A row for each kind.
    fn bands(&mut self) {
        self.top = self.canvas.y;
        self.canvas.y += 18.0 * f64::from(u32::try_from(self.kinds.len()).unwrap_or(u32::MAX));
        self.ground();
        let mut y = self.top;
        for (index, kind) in self.kinds.clone().into_iter().enumerate() {
            self.name(kind, y + 8.0);
            let spans = of_kind(self.timeline, kind);
            self.bars(&format!("b{}", index % BAND_COLORS), &spans, y + 4.0, 8.0, kind);
            y += 18.0;
        }
    }

    /// What lies behind the lanes, from the farthest to the nearest.
    fn ground(&mut self) {
        let (top, bottom) = (self.canvas.y, self.bottom());
        // Every other lane on a ground of its own, for the eye to follow.
        for y in self.tops().into_iter().step_by(2) {
            self.canvas.area("lane", self.left, y, WIDTH - PAD - self.left, self.lane_height());
        }
        for (index, kind) in self.kinds.clone().into_iter().enumerate() {
            let path = self.path(&of_kind(self.timeline, kind), top, bottom - top);
            self.canvas.path(&format!("b{} shade", index % BAND_COLORS), &path, None);
        }
        for tick in self.axis.ticks(TICKS_MAX) {
            self.canvas.line("grid", (tick.at_px, self.top), (tick.at_px, bottom));
        }
        let path = self.path(&self.timeline.overlaps, top, bottom - top);
        self.canvas.path("over shade", &path, None);
    }

    fn lanes(&mut self) {
        let (top, bottom, height) = (self.canvas.y, self.bottom(), self.lane_height());
        let middle = f64::midpoint(self.left, WIDTH - PAD);
        if self.lanes.is_empty() {
            self.canvas.text("n", middle, top + 19.0, Anchor::Middle, "nobody was seen");
        }
        let overlaps = span::visible(&self.timeline.overlaps, self.window, Duration::ZERO);
        for (lane, y) in self.lanes.clone().iter().zip(self.tops()) {
            self.name(&lane.name, y + height / 2.0);
            self.bars(
                "holds",
                &lane.holds,
                y + height * 0.16,
                height * 0.68,
                &format!("{} holds the record", lane.name),
            );
            self.bars("acts", &lane.acts, y + height * 0.3, height * 0.4, &format!("{} acts", lane.name));
            self.bars("paused", &lane.pauses, y + height * 0.42, height * 0.16, &format!("{} is {PAUSED}", lane.name));
            let acts = span::visible(&lane.acts, self.window, Duration::ZERO);
            let path = self.path(&span::common(&acts, &overlaps), y + height * 0.16, height * 0.68);
            self.canvas.path("over", &path, None);
        }
        let at: BTreeSet<String> = self.marks_within().map(|mark| px(self.axis.at(mark.at).round())).collect();
        let (from, length) = (px(self.top), px(bottom - self.top));
        let lines: Vec<String> = at.iter().map(|x| format!("M{x} {from}v{length}")).collect();
        self.canvas.path("mark", &lines.concat(), None);
        self.canvas.y = bottom;
    }

    /// What concerns all lanes, below them.
    fn rows(&mut self) {
        let timeline = self.timeline;
        for (class, name, spans) in
            [("gap", timeline.gaps.name.as_str(), &timeline.gaps.spans), ("over", OVERLAP, &timeline.overlaps)]
        {
            if !spans.is_empty() {
                self.canvas.y += 6.0;
                self.name(name, self.canvas.y + 8.0);
                self.bars(class, spans, self.canvas.y + 3.0, 10.0, name);
                self.canvas.y += 16.0;
            }
        }
    }

    fn axis(&mut self) {
        let y = self.canvas.y + 4.0;
        self.canvas.line("axis", (self.left, y), (WIDTH - PAD, y));
        for tick in self.axis.ticks(TICKS_MAX) {
            self.canvas.line("axis", (tick.at_px, y), (tick.at_px, y + 5.0));
            self.canvas.text("n", tick.at_px, y + 19.0, Anchor::Middle, &tick.label);
        }
        self.canvas.y = y + 20.0;
    }

    fn tops(&self) -> Vec<f64> {
        let height = self.lane_height();
        let tops = std::iter::successors(Some(self.canvas.y), |y| Some(y + height));
        tops.take(self.lanes.len().max(1)).collect()
    }

    fn name(&mut self, name: &str, middle: f64) {
        let width = self.left - PAD - 12.0;
        self.canvas.text_within("l", self.left - 10.0, middle + 4.0, Anchor::End, name, width.max(1.0) + 1.0);
    }

    /// Bars that each say what they are, or one shape for all of them.
    fn bars(&mut self, class: &str, spans: &[Span], y: f64, height: f64, what: &str) {
        if !self.titled {
            let path = self.path(spans, y, height);
            return self.canvas.path(class, &path, None);
        }
        for span in span::visible(spans, self.window, Duration::ZERO) {
            let path = self.path(&[span], y, height);
            let (from, until, length) = (millis(span.from), millis(span.until), millis(span.length()));
            let title = format!("{what}: {} to {}, {}", label(from), label(until), label(length));
            self.canvas.path(class, &path, Some(&title));
        }
    }

    fn path(&self, spans: &[Span], y: f64, height: f64) -> String {
        let (mut path, mut last) = (String::new(), None);
        for span in span::visible(spans, self.window, self.axis.pixel() / 2) {
            let (from, until) = (self.axis.at(span.from), self.axis.at(span.until));
            // However short, it is seen.
            let width = (until - from).max(BAR_WIDTH_MIN);
            let from = from.min(WIDTH - PAD - width);
            if self.titled {
                path += &bar(from, y, width, height);
                continue;
            }
            // Whole pixels, each counted from the bar before: half the length.
            let (from, width, height) = (from.round(), width.round(), px(height.round()));
            let start = match last {
                None => ["M".to_owned(), px(from), " ".to_owned(), px(y.round())].concat(),
                Some(last) => ["m".to_owned(), px(from - last), " 0".to_owned()].concat(),
            };
            path.extend([&start, "h", &px(width), "v", &height, "h-", &px(width), "z"]);
            last = Some(from);
        }
        path
    }
}

fn millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// More lanes than this are drawn as one: nobody could tell them apart.
const LANES_MAX: usize = 40;
/// Names above this are shortened.
const NAME_WIDTH_MAX: f64 = 210.0;
/// Above so many bars they no longer say what each is.
const TITLES_MAX: usize = 400;
const TICKS_MAX: u32 = 10;
/// More words fill a legend.
const WORDS_MAX: usize = 6;
const BAR_WIDTH_MIN: f64 = 1.5;
const BAND_COLORS: usize = 5;
/// What a candidate is that does nothing, because it is stopped.
pub(super) const PAUSED: &str = "paused";
/// The row below the lanes.
pub(super) const OVERLAP: &str = "overlap";
