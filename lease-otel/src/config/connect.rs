//! Connects what `service` names with what the sections define.

use std::collections::HashSet;

use super::components::{Section, Sections};
use super::doubts;
use super::id::ComponentId;
use super::pipelines::{Service, Written};
use super::problems::{Problems, nearest};
use super::service::Collector;
use super::tree::Located;
use crate::component::ElectorChoice;
use crate::data::Signal;

/// The collector, of use only when no error was noted.
pub(super) fn connect(service: Service, sections: Sections, problems: &mut Problems) -> Collector {
    let Sections { receivers, processors, exporters, mut extensions, without_elector } = sections;
    doubts::without_elector(&without_elector, &extensions, problems);
    let mut used = Used::default();
    for reference in &service.extensions {
        used.extensions.extend(extensions.find(reference, problems));
    }
    for pipeline in &service.pipelines {
        let signal = pipeline.id.signal;
        used.receivers.extend(receivers.carriers(&pipeline.receivers, signal, problems));
        used.processors.extend(processors.carriers(&pipeline.processors, signal, problems));
        used.exporters.extend(exporters.carriers(&pipeline.exporters, signal, problems));
    }
    for at in &used.receivers {
        if let Some(ElectorChoice::Named(name)) = receivers.components[*at].component.elector() {
            check_elector(name, &extensions, &used.extensions, problems);
        }
    }
    for at in &used.receivers {
        let receiver = &receivers.components[*at].component;
        if let (Some(ElectorChoice::Named(name)), Some(timeout)) = (receiver.elector(), receiver.stop_timeout())
            && let Some(elector) = extensions.components.iter_mut().find(|defined| defined.id == name.value)
        {
            elector.component.allow_stop(timeout);
        }
    }
    doubts::electors(&receivers, &used.receivers, &extensions, &used.extensions, problems);
    doubts::collisions(&receivers, &used.receivers, &extensions, &used.extensions, problems);
    let files = used.exporters.iter().map(|at| &exporters.components[*at]);
    doubts::claimed_twice(files.filter_map(|defined| Some((defined.component.claim()?, defined.at()))), FILE, problems);
    extensions.warn_of_unused(&used.extensions, "is not in `service.extensions`", problems);
    receivers.warn_of_unused(&used.receivers, "is in no pipeline", problems);
    processors.warn_of_unused(&used.processors, "is in no pipeline", problems);
    exporters.warn_of_unused(&used.exporters, "is in no pipeline", problems);
    // The order in which they are started, and not that of their section.
    let order: Vec<ComponentId> = service.extensions.into_iter().map(|id| id.value).collect();
    extensions.components.sort_by_key(|defined| order.iter().position(|id| *id == defined.id));
    let is_started: HashSet<usize> =
        (0..extensions.components.len()).filter(|at| order.contains(&extensions.components[*at].id)).collect();
    Collector {
        extensions: extensions.only(&is_started),
        receivers: receivers.only(&used.receivers),
        processors: processors.only(&used.processors),
        exporters: exporters.only(&used.exporters),
        pipelines: service.pipelines.into_iter().map(Written::into_pipeline).collect(),
        telemetry: service.telemetry,
    }
}

/// What is named, by where it stands in its section.
#[derive(Debug, Default)]
struct Used {
    extensions: HashSet<usize>,
    receivers: HashSet<usize>,
    processors: HashSet<usize>,
    exporters: HashSet<usize>,
}

impl<T: ?Sized> Section<T> {
    /// Where a component stands that something names; none, and noted, when it is not defined.
    fn find(&self, reference: &Located<ComponentId>, problems: &mut Problems) -> Option<usize> {
        let Located { value: id, place, path } = reference;
        let found = self.components.iter().position(|defined| defined.id == *id);
        if found.is_none() && !self.unknown.contains(id) {
            let way_out = self
                .like(id)
                .map_or_else(|| format!("add it to `{}s`", self.what), |near| format!("did you mean `{near}`?"));
            problems.error(place, path.clone(), format_args!("the {} `{id}` is not defined; {way_out}", self.what));
        }
        found
    }

    /// One that is defined under a name like this.
    fn like(&self, id: &ComponentId) -> Option<String> {
        let names: Vec<String> = self.components.iter().map(|defined| defined.id.to_string()).collect();
        nearest(&id.to_string(), names.iter().map(String::as_str)).map(str::to_owned)
    }

    /// Where those stand that a pipeline names; one that is not defined or does not carry the signal is noted.
    fn carriers(&self, references: &[Located<ComponentId>], signal: Signal, problems: &mut Problems) -> Vec<usize> {
        let mut found = Vec::with_capacity(references.len());
        for reference in references {
            let Some(at) = self.find(reference, problems) else { continue };
            found.push(at);
            let signals = self.components[at].signals;
            if !signals.contains(&signal) {
                let carried: Vec<String> = signals.iter().map(Signal::to_string).collect();
                let Located { value: id, place, path } = reference;
                let carried = carried.join(" and ");
                let message = format!("the {} `{id}` carries {carried}, and no {signal}", self.what);
                problems.error(place, path.clone(), message);
            }
        }
        found
    }

    fn warn_of_unused(&self, used: &HashSet<usize>, why: &str, problems: &mut Problems) {
        for (at, defined) in self.components.iter().enumerate() {
            if !used.contains(&at) {
                problems.warning(&defined.place, defined.path.clone(), format_args!("{why}, so it does not run"));
            }
        }
    }

    fn only(self, used: &HashSet<usize>) -> Vec<(ComponentId, Box<T>)> {
        let all = self.components.into_iter().enumerate();
        all.filter(|(at, _)| used.contains(at)).map(|(_, defined)| (defined.id, defined.component)).collect()
    }
}

/// What comes of two exporters with the same file.
const FILE: &str = "what they write is mixed or lost; let pipelines share one exporter, or give each a path of its own";

/// Notes when the elector that a receiver names is not one that runs.
fn check_elector(
    name: &Located<ComponentId>,
    extensions: &Section<dyn crate::component::Extension>,
    started: &HashSet<usize>,
    problems: &mut Problems,
) {
    let Located { value: id, place, path } = name;
    if extensions.unknown.contains(id) {
        return;
    }
    let what = match extensions.components.iter().position(|defined| defined.id == *id) {
        None => {
            let near = extensions.like(id).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!("unknown k8s leader elector \"{id}\": there is no such extension{near}")
        }
        Some(at) if !extensions.components[at].component.is_elector() => {
            format!("the extension `{id}` is not a leader elector")
        }
        Some(at) if !started.contains(&at) => {
            format!("unknown k8s leader elector \"{id}\": add it to `service.extensions`")
        }
        Some(_) => return,
    };
    problems.error(place, path.clone(), what);
}
