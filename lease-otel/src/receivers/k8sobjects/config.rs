//! The section of a `k8sobjects`.

use std::time::Duration;

use lease_k8s::Access;

use crate::config::{Fields, Value};
use crate::receivers::kubernetes::access;
use crate::receivers::kubernetes::follow::Begin;
use crate::receivers::kubernetes::keys::long_enough;
use crate::receivers::kubernetes::rest::Selectors;

/// What is read, and what becomes of resources that the server does not have.
#[derive(Clone, Debug)]
pub(in crate::receivers) struct Config {
    pub(super) access: Access,
    pub(super) objects: Vec<Object>,
    pub(super) error_mode: ErrorMode,
}

/// What becomes of a resource that the server does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorMode {
    /// The receiver fails.
    Propagate,
    /// It is said, and the others are read.
    Ignore,
    /// The others are read.
    Silent,
}

/// A resource that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// Its name in the plural.
    pub(super) name: String,
    /// None for that which the server names first.
    pub(super) group: Option<String>,
    /// Empty for all of them.
    pub(super) namespaces: Vec<String>,
    pub(super) selectors: Selectors,
    pub(super) mode: Mode,
}

/// How it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// All of it at intervals.
    Pull { interval: Duration, version: Option<String> },
    /// What changes.
    Watch { begin: Begin, excluded: Vec<&'static str> },
}

/// The types of changes. The last two are never told, and may be excluded all the same.
const TYPES: [&str; 5] = ["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"];

impl Config {
    /// Reads all keys but that of the elector.
    pub(super) fn of(fields: &mut Fields<'_>) -> Self {
        let modes = [("propagate", ErrorMode::Propagate), ("ignore", ErrorMode::Ignore), ("silent", ErrorMode::Silent)];
        let error_mode = fields.word("error_mode", &modes).unwrap_or(ErrorMode::Propagate);
        let with_all = fields.truth("include_initial_state").unwrap_or(false);
        fields.accepted(&["storage"]);
        let access = access(fields);
        let path = fields.path_of("objects");
        let mut objects = Vec::new();
        match fields.node("objects").map(|node| &node.value) {
            Some(Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let mut item = Fields::new(item, format!("{path}[{index}]"), fields.problems());
                    objects.extend(Object::read(&mut item, with_all));
                    item.finish();
                }
            }
            Some(Value::Null) | None => {
                fields.error("objects", "is missing; write `objects: [{name: pods, mode: watch}]`");
            }
            Some(other) => fields.error("objects", format_args!("a list is expected here, not {}", other.kind())),
        }
        Self { access, objects, error_mode }
    }
}

impl Object {
    fn read(fields: &mut Fields<'_>, with_all: bool) -> Option<Self> {
        let name = fields.text("name").map(|found| found.value).filter(|name| !name.is_empty());
        if name.is_none() {
            fields.error("name", "is missing; write a resource in the plural, such as `name: pods`");
        }
        let text =
            |fields: &mut Fields<'_>, key| fields.text(key).map(|found| found.value).filter(|text| !text.is_empty());
        let group = text(fields, "group");
        let selectors = Selectors { labels: text(fields, "label_selector"), fields: text(fields, "field_selector") };
        let version = text(fields, "resource_version").filter(|version| version != "0");
        let namespaces = fields.texts("namespaces").unwrap_or_default().into_iter().map(|found| found.value).collect();
        let interval = fields.duration("interval").map(|found| found.value).filter(|interval| !interval.is_zero());
        let interval = interval.map_or(INTERVAL, |interval| long_enough(fields, "interval", interval));
        let excluded = excluded(fields);
        fields.accepted(&["exclude_namespaces"]);
        let is_watch = fields.word("mode", &[("pull", false), ("watch", true)]).unwrap_or(false);
        let mode = if is_watch {
            let begin = match version {
                _ if with_all => Begin::All,
                Some(version) => Begin::After(version),
                None => Begin::Now,
            };
            Mode::Watch { begin, excluded }
        } else {
            if !excluded.is_empty() {
                fields.error("exclude_watch_type", "needs `mode: watch`");
            }
            if with_all {
                fields.error(
                    "mode",
                    "`include_initial_state` of the receiver needs `mode: watch` for all of its objects",
                );
            }
            Mode::Pull { interval, version }
        };
        Some(Self { name: name?, group, namespaces, selectors, mode })
    }
}

fn excluded(fields: &mut Fields<'_>) -> Vec<&'static str> {
    let mut excluded = Vec::new();
    for found in fields.texts("exclude_watch_type").unwrap_or_default() {
        if let Some(kind) = TYPES.iter().find(|kind| **kind == found.value) {
            excluded.push(*kind);
        } else {
            let message = format!("`{}` is none of {}", found.value, TYPES.join(", "));
            fields.problems().error(&found.place, found.path, message);
        }
    }
    excluded
}

const INTERVAL: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::receivers::testing::section;

    #[test]
    fn every_key_is_read() {
        let (config, problems) = section(
            &json!({"error_mode": "ignore", "objects": [
                {"name": "pods", "label_selector": "tier in (a,b)", "field_selector": "status.phase=Running", "interval": "15m"},
                {"name": "events", "mode": "watch", "group": "events.k8s.io", "namespaces": ["default"],
                    "exclude_watch_type": ["DELETED"], "resource_version": "12"},
                {"name": "widgets"},
            ]}),
            Config::of,
        );
        assert!(problems.errors.is_empty() && problems.warnings.is_empty(), "{problems:?}");
        assert_eq!(config.error_mode, ErrorMode::Ignore);
        let [pods, events, widgets] = config.objects.try_into().unwrap();
        assert_eq!(pods.selectors.labels.as_deref(), Some("tier in (a,b)"));
        assert_eq!(pods.selectors.fields.as_deref(), Some("status.phase=Running"));
        assert_eq!(pods.mode, Mode::Pull { interval: Duration::from_mins(15), version: None });
        assert_eq!((events.group.as_deref(), events.namespaces), (Some("events.k8s.io"), vec!["default".to_owned()]));
        assert_eq!(events.mode, Mode::Watch { begin: Begin::After("12".to_owned()), excluded: vec!["DELETED"] });
        assert_eq!(widgets.mode, Mode::Pull { interval: Duration::from_hours(1), version: None });
    }

    #[test]
    fn where_a_watch_begins_follows_from_the_keys() {
        let begin = |section_: serde_json::Value| match section(&section_, Config::of).0.objects.remove(0).mode {
            Mode::Watch { begin, .. } => begin,
            pull @ Mode::Pull { .. } => panic!("{pull:?}"),
        };
        let objects = |version: Option<&str>| json!([{"name": "pods", "mode": "watch", "resource_version": version}]);
        assert_eq!(begin(json!({"objects": objects(None)})), Begin::Now);
        assert_eq!(begin(json!({"objects": objects(Some("0"))})), Begin::Now);
        assert_eq!(begin(json!({"objects": objects(None), "include_initial_state": true})), Begin::All);
    }

    #[test]
    fn mistakes_are_told() {
        let (_, problems) = section(
            &json!({"error_mode": "loud", "storage": "x", "include_initial_state": true, "objects": [
                {"mode": "watch"}, {"name": "pods", "mode": "poll"}, {"name": "a", "exclude_watch_type": ["ADDED"]},
                {"name": "b", "mode": "watch", "exclude_watch_type": ["GONE"], "selector": "x"},
            ]}),
            Config::of,
        );
        let mut errors: Vec<&str> = problems.errors.iter().map(|error| error.path.as_str()).collect();
        errors.sort_unstable();
        let expected = [
            "x.error_mode",
            "x.objects[0].name",
            "x.objects[1].mode",
            "x.objects[1].mode",
            "x.objects[2].exclude_watch_type",
            "x.objects[2].mode",
            "x.objects[3].exclude_watch_type[0]",
            "x.objects[3].selector",
        ];
        assert_eq!(errors, expected, "{problems:?}");
        assert_eq!(problems.warnings[0].path, "x.storage");
        assert_eq!(section(&json!({}), Config::of).1.errors[0].path, "x.objects");
    }
}
