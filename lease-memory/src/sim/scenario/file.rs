//! A scenario as a file: read strictly, and every refusal says where.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_saphyr::Spanned;

use super::{Amount, RATE_PPM_MAX, RUNS_MAX, SETTINGS_MAX, Scenario, ScenarioFault, Span, Three, UNTIL_MAX, UNTIL_MIN};
use crate::sim::schedule::NODES_MAX;

/// A file that is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ScenarioError {
    /// The line, from 1 on; none when it is about the whole.
    pub line: Option<u64>,
    /// The column.
    pub column: Option<u64>,
    /// What is wrong there.
    pub what: String,
    /// What else is wrong.
    pub others: Vec<Self>,
}

/// Where things are that only the whole can tell to be wrong.
#[derive(Deserialize)]
struct Places {
    #[serde(default)]
    events: Vec<Spanned<BTreeMap<String, Spanned<de::IgnoredAny>>>>,
    #[serde(default)]
    compare: Vec<Spanned<de::IgnoredAny>>,
    #[serde(default)]
    latency: Option<Spanned<de::IgnoredAny>>,
    #[serde(default)]
    drain: Option<Spanned<de::IgnoredAny>>,
}

impl Places {
    fn of(&self, event: Option<usize>, fault: &ScenarioFault) -> Option<(u64, u64)> {
        let found = match (event, fault) {
            (Some(index), fault) => {
                let event = self.events.get(index)?;
                // The value that is wrong, where one is, and otherwise the event.
                let value = fault.key().and_then(|key| event.value.get(key));
                return Some(value.map_or_else(|| place(event), place));
            }
            (None, ScenarioFault::Outlasts { key: "latency", .. }) => self.latency.as_ref(),
            (None, ScenarioFault::Outlasts { .. }) => self.drain.as_ref(),
            (None, _) => None,
        };
        found.map(place)
    }
}

fn place<T>(spanned: &Spanned<T>) -> (u64, u64) {
    (spanned.defined.line(), spanned.defined.column())
}

pub(super) fn place_of_compared(text: &str, index: usize) -> Option<(u64, u64)> {
    let places: Places = serde_saphyr::from_str(text).ok()?;
    places.compare.get(index).map(place)
}

pub(super) fn read(text: &str) -> Result<Scenario, ScenarioError> {
    let scenario: Scenario = serde_saphyr::from_str(text).map_err(|error| refusal(&error))?;
    let faults = scenario.faults();
    if faults.is_empty() {
        return Ok(scenario);
    }
    let places = serde_saphyr::from_str::<Places>(text).ok();
    let mut errors = faults.into_iter().map(|(event, fault)| {
        let place = places.as_ref().and_then(|places| places.of(event, &fault));
        let (line, column) = place.unzip();
        ScenarioError { line, column, what: fault.to_string(), others: Vec::new() }
    });
    let Some(first) = errors.next() else { return Ok(scenario) };
    Err(ScenarioError { others: errors.collect(), ..first })
}

/// What the parser says, in one line and without the text around it.
fn refusal(error: &serde_saphyr::Error) -> ScenarioError {
    let place = error.location().filter(|place| place.line() > 0);
    let place = place.map(|place| (place.line(), place.column()));
    let said = error.without_snippet().to_string();
    ScenarioError {
        line: place.map(|place| place.0),
        column: place.map(|place| place.1),
        what: super::refusal::told(&said, place),
        others: Vec::new(),
    }
}

pub(super) fn nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let nodes = usize::deserialize(deserializer)?;
    demand((1..=NODES_MAX).contains(&nodes), nodes, ScenarioFault::Nodes(nodes))
}

pub(super) fn until<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let Span(until) = Span::deserialize(deserializer)?;
    demand((UNTIL_MIN..=UNTIL_MAX).contains(&until), until, ScenarioFault::Until(until))
}

pub(super) fn runs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let runs = u64::deserialize(deserializer)?;
    demand((1..=RUNS_MAX).contains(&runs), runs, ScenarioFault::Runs(runs))
}

pub(super) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let ppm = u32::deserialize(deserializer)?;
    demand(ppm <= RATE_PPM_MAX.unsigned_abs(), ppm, ScenarioFault::Rate(ppm))
}

pub(super) fn stop_percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
    let percent = Amount::deserialize(deserializer)?;
    demand(percent.from >= 0 && percent.until <= 100, percent, ScenarioFault::StopPercent(percent))
}

pub(super) fn compare<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Three>, D::Error> {
    let compared = Vec::<Three>::deserialize(deserializer)?;
    let count = compared.len();
    demand((1..=SETTINGS_MAX).contains(&count), compared, ScenarioFault::Settings(count))
}

/// The value, or the fault at the place where the value is.
fn demand<T, E: de::Error>(is_met: bool, value: T, fault: ScenarioFault) -> Result<T, E> {
    if is_met { Ok(value) } else { Err(E::custom(fault)) }
}
