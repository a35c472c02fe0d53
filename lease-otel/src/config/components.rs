//! The sections of components: each entry is configured by the factory of its kind.

use std::collections::{HashMap, HashSet};

use super::fields::Fields;
use super::id::ComponentId;
use super::problems::nearest;
use super::tree::Place;
use crate::component::{Exporter, Extension, Kind, Processor, Receiver, Registry};
use crate::data::Signal;
use crate::elector::ELECTOR_KEYS;

/// Everything that the sections define.
#[derive(Debug)]
pub(super) struct Sections {
    pub(super) receivers: Section<dyn Receiver>,
    pub(super) processors: Section<dyn Processor>,
    pub(super) exporters: Section<dyn Exporter>,
    pub(super) extensions: Section<dyn Extension>,
    /// Where a receiver has the key of an elector, and no elector behind it.
    pub(super) without_elector: Vec<(Place, String)>,
}

/// What one section defines.
#[derive(Debug)]
pub(super) struct Section<T: ?Sized> {
    /// What one of them is called: `receiver`.
    pub(super) what: &'static str,
    pub(super) components: Vec<Defined<T>>,
    /// What has been complained about already, as it is of an unknown kind: nobody is told that it is not there.
    pub(super) unknown: HashSet<ComponentId>,
}

/// A component as defined.
#[derive(Debug)]
pub(super) struct Defined<T: ?Sized> {
    pub(super) id: ComponentId,
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) signals: &'static [Signal],
    pub(super) component: Box<T>,
}

impl<T: ?Sized> Defined<T> {
    /// Where it is defined.
    pub(super) fn at(&self) -> (&Place, &str) {
        (&self.place, &self.path)
    }
}

impl Sections {
    pub(super) fn read(fields: &mut Fields<'_>, registry: &Registry) -> Self {
        let mut without_elector = Vec::new();
        let receivers = section(fields, "receivers", "receiver", &registry.receivers(), |kind, fields| {
            let factory = registry.receiver(kind)?;
            let receiver = factory.configure(fields, registry);
            without_elector.extend(fields.asked_and_blank(&ELECTOR_KEYS));
            let signals = receiver.signals().unwrap_or(factory.kind().signals);
            Some((Kind { signals, ..factory.kind() }, receiver))
        });
        let processors = section(fields, "processors", "processor", &registry.processors(), |kind, fields| {
            let factory = registry.processor(kind)?;
            Some((factory.kind(), factory.configure(fields)))
        });
        let exporters = section(fields, "exporters", "exporter", &registry.exporters(), |kind, fields| {
            let factory = registry.exporter(kind)?;
            Some((factory.kind(), factory.configure(fields)))
        });
        let extensions = section(fields, "extensions", "extension", &registry.extensions(), |kind, fields| {
            let factory = registry.extension(kind)?;
            Some((factory.kind(), factory.configure(fields)))
        });
        let mut sections = Self { receivers, processors, exporters, extensions, without_elector };
        sections.refuse_connectors(fields);
        sections
    }

    /// Connectors are complained about once, and not again where a pipeline names one.
    fn refuse_connectors(&mut self, fields: &mut Fields<'_>) {
        let Some(mut connectors) = fields.section("connectors") else { return };
        let ids: Vec<ComponentId> = connectors.all().iter().filter_map(|(key, _)| key.name.parse().ok()).collect();
        if ids.is_empty() {
            return;
        }
        fields.error("connectors", "there are no connectors here; let the pipelines name receivers and exporters only");
        self.receivers.unknown.extend(ids.iter().cloned());
        self.exporters.unknown.extend(ids);
    }
}

/// Reads one section. `configure` gives none for a kind that does not exist.
fn section<T: ?Sized>(
    fields: &mut Fields<'_>,
    name: &'static str,
    what: &'static str,
    kinds: &[Kind],
    mut configure: impl FnMut(&str, &mut Fields<'_>) -> Option<(Kind, Box<T>)>,
) -> Section<T> {
    let mut section = Section { what, components: Vec::new(), unknown: HashSet::new() };
    let mut lines: HashMap<ComponentId, Place> = HashMap::new();
    let Some(mut found) = fields.section(name) else { return section };
    for (key, node) in found.all() {
        let path = found.path_of(&key.name);
        let id: ComponentId = match key.name.parse() {
            Ok(id) => id,
            Err(error) => {
                found.problems().error(&key.place, path, error);
                continue;
            }
        };
        if let Some(first) = lines.get(&id) {
            let message = format!("the {what} `{id}` is defined twice; it is at {first} too");
            found.problems().error(&key.place, path, message);
            continue;
        }
        lines.insert(id.clone(), key.place.clone());
        let mut keys = Fields::new(node, path.clone(), found.problems());
        if let Some((kind, component)) = configure(id.kind(), &mut keys) {
            keys.finish();
            let place = key.place.clone();
            section.components.push(Defined { id, place, path, signals: kind.signals, component });
        } else {
            found.problems().error(&key.place, path, unknown_kind(what, id.kind(), kinds));
            section.unknown.insert(id);
        }
    }
    section
}

/// What is said of a kind that does not exist.
pub(crate) fn unknown_kind(what: &str, kind: &str, kinds: &[Kind]) -> String {
    let names = kinds.iter().flat_map(|kind| std::iter::once(&kind.name).chain(kind.aliases)).copied();
    if let Some(near) = nearest(kind, names) {
        return format!("unknown kind of {what} `{kind}`; did you mean `{near}`?");
    }
    let known: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
    format!("unknown kind of {what} `{kind}`; known: {}", known.join(", "))
}
