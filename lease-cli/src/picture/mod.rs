//! Pictures of elections: who led when, how long nobody did, how long renewals took.
//!
//! Plain data in, text out: an SVG that needs nothing but itself, a page of them, or a twin for terminals. It knows no
//! simulator and no recording; it draws nothing that was not given to it, and shows every span that was, however short.
//! Names and other texts may come from anybody's record, so each is escaped where it is written. A general plotting
//! library was passed over: none has lanes, and those that look well need a script.

mod axis;
mod ecdf;
mod html;
mod latency;
mod span;
mod svg;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod timeline;

use std::time::Duration;

pub use self::axis::rounded;
pub use self::html::html;
pub use self::span::{covered, merged, without};
pub use self::text::visible;

/// A time between two moments, each given as the time since whatever the picture counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Its start.
    pub from: Duration,
    /// Its end; a span that ends before it starts is not drawn.
    pub until: Duration,
}

/// What one candidate did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// The candidate, as its identity or otherwise.
    pub name: String,
    /// When it acted.
    pub acts: Vec<Span>,
    /// When the record named it and had not run out.
    pub holds: Vec<Span>,
    /// When it was stopped, and could not act.
    pub pauses: Vec<Span>,
}

/// A time in which something was wrong, such as a partition, or unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// What was wrong: bands of one kind share a row and a colour.
    pub kind: String,
    /// When.
    pub span: Span,
}

/// A moment worth a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Duration,
    /// The word; it is left out where it would cover another, but not the mark itself.
    pub label: String,
}

/// A row of its own under the lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// When it applies.
    pub spans: Vec<Span>,
}

/// Who led when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// What the picture shows, as a finding.
    pub title: String,
    /// Where it comes from: the seed and the command that draws it again.
    pub subtitle: String,
    /// The start of what is drawn.
    pub from: Duration,
    /// The end of what is drawn; what lies beyond either is cut off.
    pub until: Duration,
    /// The candidates, from top to bottom.
    pub lanes: Vec<Lane>,
    /// What was wrong meanwhile, shaded behind the lanes.
    pub bands: Vec<Band>,
    /// When more than one acted: drawn over everything else, in the colour of a warning.
    pub overlaps: Vec<Span>,
    /// When nobody acted, or nobody held the record; its name says which.
    pub gaps: Row,
    /// Single moments.
    pub marks: Vec<Mark>,
}

/// The samples of one setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// The setting.
    pub name: String,
    /// The samples, in any order.
    pub samples: Vec<Duration>,
}

/// How a duration is distributed, for several settings: the share of samples that are no longer than each value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ecdf {
    /// What the picture shows, as a finding.
    pub title: String,
    /// Where it comes from.
    pub subtitle: String,
    /// What was measured, for the axis: "time without a leader".
    pub measured: String,
    /// The settings.
    pub series: Vec<Series>,
}

/// How long something took, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Duration,
    /// How long.
    pub took: Duration,
}

/// A duration that samples should stay below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What it is: "renew deadline".
    pub name: String,
    /// The duration.
    pub value: Duration,
}

/// How long renewals took over time, and what they had to stay below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// What the picture shows, as a finding.
    pub title: String,
    /// Where it comes from.
    pub subtitle: String,
    /// What was measured, for the axis: "time to an acknowledgement".
    pub measured: String,
    /// The start of what is drawn.
    pub from: Duration,
    /// The end of what is drawn.
    pub until: Duration,
    /// The samples, in any order.
    pub samples: Vec<Sample>,
    /// The limits; a sample that reaches the lowest is drawn in the colour of a warning.
    pub limits: Vec<Limit>,
}

/// Any of the pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Who led when.
    Timeline(Timeline),
    /// How a duration is distributed.
    Ecdf(Ecdf),
    /// How long renewals took.
    Latency(Latency),
}

/// A table of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The names of the columns.
    pub head: Vec<String>,
    /// The rows; the first cell of each names it.
    pub rows: Vec<Vec<String>>,
}

/// A piece of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A heading.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A command, to be pasted.
    Command(String),
    /// A table.
    Table(Table),
    /// A picture, with its twin as text.
    Picture(Picture),
}

/// A page that needs nothing but itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The finding.
    pub title: String,
    /// Where it comes from.
    pub subtitle: String,
    /// From top to bottom.
    pub parts: Vec<Part>,
}

impl Picture {
    /// The picture as an SVG document.
    pub fn svg(&self) -> String {
        svg(std::slice::from_ref(self))
    }

    /// The picture in a terminal of so many columns.
    pub fn terminal(&self, width: usize, colored: bool) -> String {
        match self {
            Self::Timeline(timeline) => terminal::timeline(timeline, width, colored),
            Self::Ecdf(ecdf) => terminal::ecdf(ecdf, width, colored),
            Self::Latency(latency) => terminal::latency(latency, width, colored),
        }
    }

    /// Its finding.
    pub fn title(&self) -> &str {
        match self {
            Self::Timeline(timeline) => &timeline.title,
            Self::Ecdf(ecdf) => &ecdf.title,
            Self::Latency(latency) => &latency.title,
        }
    }

    fn drawn(&self) -> svg::Drawing {
        match self {
            Self::Timeline(timeline) => timeline::draw(timeline),
            Self::Ecdf(ecdf) => ecdf::draw(ecdf),
            Self::Latency(latency) => latency::draw(latency),
        }
    }
}

/// Several pictures as one SVG document, from top to bottom.
pub fn svg(pictures: &[Picture]) -> String {
    let titles: Vec<&str> = pictures.iter().map(Picture::title).collect();
    let drawings: Vec<svg::Drawing> = pictures.iter().map(Picture::drawn).collect();
    svg::document(&titles.join("; "), &drawings)
}
