//! The section `service`: which components run, and how they are connected.

use std::collections::HashMap;
use std::str::FromStr;

use super::fields::Fields;
use super::id::ComponentId;
use super::problems::nearest;
use super::service::{Pipeline, PipelineId, Telemetry};
use super::telemetry;
use super::tree::{Located, Place};
use crate::data::Signal;

/// The section as it is written: what it names may not exist.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) extensions: Vec<Located<ComponentId>>,
    pub(super) pipelines: Vec<Written>,
    pub(super) telemetry: Telemetry,
}

/// A pipeline as it is written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) id: PipelineId,
    pub(super) receivers: Vec<Located<ComponentId>>,
    pub(super) processors: Vec<Located<ComponentId>>,
    pub(super) exporters: Vec<Located<ComponentId>>,
}

impl Service {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let mut service = Self::default();
        let Some(mut section) = fields.section("service") else {
            fields.error("service", NO_PIPELINE);
            return service;
        };
        service.extensions = once_each(&mut section, "extensions");
        match section.section("pipelines") {
            Some(mut pipelines) => service.pipelines = read_pipelines(&mut pipelines),
            None => section.error("pipelines", NO_PIPELINE),
        }
        if let Some(mut found) = section.section("telemetry") {
            service.telemetry = telemetry::read(&mut found);
            found.finish();
        }
        section.finish();
        service
    }
}

const NO_PIPELINE: &str = "at least one pipeline is needed: service.pipelines.metrics with receivers and exporters";

fn read_pipelines(section: &mut Fields<'_>) -> Vec<Written> {
    let mut pipelines = Vec::new();
    let mut lines: HashMap<PipelineId, Place> = HashMap::new();
    let entries = section.all();
    if entries.is_empty() {
        let (place, path) = (section.place().clone(), section.path().to_owned());
        section.problems().error(&place, path, NO_PIPELINE);
    }
    for (key, node) in entries {
        let path = section.path_of(&key.name);
        let id: PipelineId = match key.name.parse() {
            Ok(id) => id,
            Err(error) => {
                section.problems().error(&key.place, path, error);
                continue;
            }
        };
        if let Some(first) = lines.get(&id) {
            let message = format!("the pipeline `{id}` is defined twice; it is at {first} too");
            section.problems().error(&key.place, path, message);
            continue;
        }
        lines.insert(id.clone(), key.place.clone());
        let mut keys = Fields::new(node, path, section.problems());
        pipelines.push(Written {
            id,
            receivers: at_least_one(&mut keys, "receivers"),
            processors: once_each(&mut keys, "processors"),
            exporters: at_least_one(&mut keys, "exporters"),
        });
        keys.finish();
    }
    pipelines
}

/// The components that a key names; one that comes twice is noted, as their order means something.
fn once_each(fields: &mut Fields<'_>, key: &'static str) -> Vec<Located<ComponentId>> {
    let mut ids = ids(fields, key);
    let mut seen: Vec<ComponentId> = Vec::new();
    ids.retain(|id| {
        let is_new = !seen.contains(&id.value);
        if is_new {
            seen.push(id.value.clone());
        } else {
            fields.problems().error(&id.place, id.path.clone(), format_args!("`{}` comes twice", id.value));
        }
        is_new
    });
    ids
}

/// The components that a key names, of which there has to be one; one that comes twice counts once.
fn at_least_one(fields: &mut Fields<'_>, key: &'static str) -> Vec<Located<ComponentId>> {
    let before = fields.problems().errors.len();
    let mut ids = ids(fields, key);
    if ids.is_empty() && fields.problems().errors.len() == before {
        fields.error(key, format_args!("a pipeline needs at least one of its {key}"));
    }
    let mut seen: Vec<ComponentId> = Vec::new();
    ids.retain(|id| {
        let is_new = !seen.contains(&id.value);
        seen.push(id.value.clone());
        is_new
    });
    ids
}

fn ids(fields: &mut Fields<'_>, key: &'static str) -> Vec<Located<ComponentId>> {
    let mut ids = Vec::new();
    for Located { value, place, path } in fields.texts(key).unwrap_or_default() {
        match value.parse() {
            Ok(value) => ids.push(Located { value, place, path }),
            Err(error) => fields.problems().error(&place, path, error),
        }
    }
    ids
}

/// A text names no pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no pipeline: {way_out}")]
pub struct InvalidPipelineId {
    text: Box<str>,
    way_out: Box<str>,
}

impl FromStr for PipelineId {
    type Err = InvalidPipelineId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |way_out: String| InvalidPipelineId { text: text.into(), way_out: way_out.into() };
        let (signal, name) = match text.split_once('/') {
            Some((signal, name)) => (signal.trim(), Some(name.trim())),
            None => (text.trim(), None),
        };
        if name.is_some_and(str::is_empty) {
            return Err(invalid("write a signal, or SIGNAL/NAME".to_owned()));
        }
        let signals = [Signal::Metrics, Signal::Logs, Signal::Traces];
        if let Some(found) = signals.iter().find(|known| known.to_string() == signal) {
            return Ok(Self { signal: *found, name: name.unwrap_or_default().into() });
        }
        Err(invalid(match nearest(signal, ["metrics", "logs", "traces"]) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "it begins with metrics, logs or traces".to_owned(),
        }))
    }
}

impl Written {
    pub(super) fn into_pipeline(self) -> Pipeline {
        let values = |ids: Vec<Located<ComponentId>>| ids.into_iter().map(|id| id.value).collect();
        Pipeline {
            id: self.id,
            receivers: values(self.receivers),
            processors: values(self.processors),
            exporters: values(self.exporters),
        }
    }
}
