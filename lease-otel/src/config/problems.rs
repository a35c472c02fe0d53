//! What is wrong with a configuration, all of it.

use std::fmt;

use super::named::Named;
use super::tree::Place;

/// One thing that is wrong, or doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// The keys that lead there, with dots between them; empty at the top.
    pub path: String,
    /// What is wrong, and the way out.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A `--set` is called by its path.
        let said = self.place.source.strip_prefix("--set ").is_some_and(|keys| keys == self.path);
        if self.path.is_empty() || said {
            write!(f, "{}: {}", self.place, self.message)
        } else {
            write!(f, "{}: {}: {}", self.place, self.path, self.message)
        }
    }
}

/// Everything that was found wrong or doubtful so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// What keeps the configuration from being run.
    pub errors: Vec<Problem>,
    /// What does not, as a key that the reference knows and this does not.
    pub warnings: Vec<Problem>,
    /// What is named that has to be where the collector runs, wrong or not.
    pub named: Vec<Named>,
}

impl Problems {
    /// Notes an error.
    pub fn error(&mut self, place: &Place, path: impl Into<String>, message: impl fmt::Display) {
        self.errors.push(Problem { place: place.clone(), path: path.into(), message: message.to_string() });
    }

    /// Notes a warning.
    pub fn warning(&mut self, place: &Place, path: impl Into<String>, message: impl fmt::Display) {
        self.warnings.push(Problem { place: place.clone(), path: path.into(), message: message.to_string() });
    }

    /// Puts them in the order of their places: the sources in this order, and those that are not named after them.
    pub(crate) fn sort(&mut self, sources: &[String]) {
        let order = |problem: &Problem| {
            let Place { source, line, column } = &problem.place;
            let at = sources.iter().position(|known| **known == **source).unwrap_or(sources.len());
            (at, source.to_string(), *line, *column)
        };
        self.errors.sort_by_cached_key(order);
        self.warnings.sort_by_cached_key(order);
    }
}

/// The candidate that is meant by a text that was mistyped, if one is near.
pub(crate) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (likeness(text, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn likeness(text: &str, candidate: &str) -> f64 {
    let alike = strsim::jaro_winkler(text, candidate);
    // In a short word two letters that changed places are much to it.
    if text.len() > 2 && strsim::osa_distance(text, candidate) == 1 { alike.max(LIKENESS_MIN) } else { alike }
}

/// Below this two words have little in common.
const LIKENESS_MIN: f64 = 0.8;
