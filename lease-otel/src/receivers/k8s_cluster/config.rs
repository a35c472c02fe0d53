//! The section of a `k8s_cluster`.

use std::time::Duration;

use lease_k8s::Access;

use super::catalog::{Attribute, Metric, OTHER_ATTRIBUTES, OTHER_METRICS};
use crate::config::Fields;
use crate::receivers::kubernetes;
use crate::receivers::kubernetes::keys::{Switches, interval};

/// What is reported, and how often.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) access: Access,
    pub(super) interval: Duration,
    /// Empty for the whole cluster.
    pub(super) namespaces: Vec<String>,
    pub(super) report: Report,
}

/// What is reported of each object.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) node_conditions: Vec<String>,
    pub(super) allocatable_types: Vec<String>,
    metrics: Vec<bool>,
    attributes: Vec<bool>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            node_conditions: vec!["Ready".to_owned()],
            allocatable_types: Vec::new(),
            metrics: Metric::ALL.iter().map(|metric| metric.is_on).collect(),
            attributes: Attribute::ALL.iter().map(|attribute| attribute.is_on).collect(),
        }
    }
}

impl Report {
    /// Whether a metric is on.
    pub(super) fn has(&self, metric: Metric) -> bool {
        self.metrics[metric as usize]
    }

    /// Whether a resource attribute is on.
    pub(super) fn names(&self, attribute: Attribute) -> bool {
        self.attributes[attribute as usize]
    }
}

impl Config {
    /// Reads all keys but that of the elector.
    pub(super) fn of(fields: &mut Fields<'_>) -> Self {
        let access = kubernetes::access(fields);
        let interval = interval(fields, Duration::from_secs(10));
        let mut report = Report::default();
        if let Some(conditions) = fields.texts("node_conditions_to_report") {
            report.node_conditions = conditions.into_iter().map(|found| found.value).collect();
        }
        if let Some(types) = fields.texts("allocatable_types_to_report") {
            report.allocatable_types = types.into_iter().map(|found| found.value).collect();
        }
        let metrics: Vec<&'static str> = Metric::ALL.iter().map(|metric| metric.name).collect();
        let known = Switches { key: "metrics", known: &metrics, others: &OTHER_METRICS, filters: &[] };
        known.read(fields, &mut report.metrics);
        let attributes: Vec<&'static str> = Attribute::ALL.iter().map(|attribute| attribute.name).collect();
        let filters = ["metrics_include", "metrics_exclude"];
        let known =
            Switches { key: "resource_attributes", known: &attributes, others: &OTHER_ATTRIBUTES, filters: &filters };
        known.read(fields, &mut report.attributes);
        let namespaces = namespaces(fields);
        distribution(fields);
        fields.accepted(&["metadata_collection_interval", "metadata_exporters"]);
        Self { access, interval, namespaces, report }
    }
}

/// Reads `namespaces`, and its older form `namespace`.
fn namespaces(fields: &mut Fields<'_>) -> Vec<String> {
    let found: Vec<String> =
        fields.texts("namespaces").unwrap_or_default().into_iter().map(|found| found.value).collect();
    let one = fields.text("namespace").map(|found| found.value).filter(|one| !one.is_empty());
    if found.is_empty() { one.into_iter().collect() } else { found }
}

fn distribution(fields: &mut Fields<'_>) {
    if fields.word("distribution", &[("kubernetes", false), ("openshift", true)]) == Some(true)
        && let Some(found) = fields.text("distribution")
    {
        let message = "the metrics of OpenShift's quotas are not collected here; all others are";
        fields.problems().warning(&found.place, found.path, message);
    }
}

#[cfg(test)]
mod tests {
    use lease_k8s::AuthType;
    use serde_json::json;

    use super::*;
    use crate::receivers::testing::section;

    fn read(text: &serde_json::Value) -> (Config, crate::config::Problems) {
        section(text, Config::of)
    }

    #[test]
    fn the_defaults_are_those_of_the_reference() {
        let (config, problems) = read(&json!(null));
        assert!(problems.errors.is_empty() && problems.warnings.is_empty(), "{problems:?}");
        assert_eq!((config.access, config.interval), (Access::default(), Duration::from_secs(10)));
        assert!(config.namespaces.is_empty() && config.report.allocatable_types.is_empty());
        assert_eq!(config.report.node_conditions, ["Ready"]);
        let off = Metric::ALL.iter().filter(|metric| !metric.is_on).map(|metric| metric.name);
        let expected = [
            "k8s.container.status.reason",
            "k8s.container.status.state",
            "k8s.node.condition",
            "k8s.pod.status_reason",
        ];
        assert_eq!(off.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_key_is_read() {
        let (config, problems) = read(&json!({
            "auth_type": "kubeConfig", "context": "prod", "collection_interval": "1m",
            "node_conditions_to_report": ["Ready", "MemoryPressure"], "allocatable_types_to_report": ["cpu", "memory"],
            "namespaces": ["a", "b"],
            "metrics": {"k8s.container.cpu_limit": {"enabled": false}, "k8s.node.condition": {"enabled": true}},
            "resource_attributes": {"container.id": {"enabled": false}, "k8s.pod.qos_class": {"enabled": true}},
        }));
        assert!(problems.errors.is_empty() && problems.warnings.is_empty(), "{problems:?}");
        assert_eq!((config.access.auth_type, config.access.context.as_deref()), (AuthType::KubeConfig, Some("prod")));
        assert_eq!(
            (config.interval, config.namespaces),
            (Duration::from_mins(1), vec!["a".to_owned(), "b".to_owned()])
        );
        let report = config.report;
        assert!(!report.has(Metric::ContainerCpuLimit) && report.has(Metric::ContainerCpuRequest));
        assert!(report.has(Metric::NodeCondition) && !report.names(Attribute::ContainerId));
        assert!(report.names(Attribute::PodQosClass));
    }

    #[test]
    fn what_the_reference_knows_is_accepted_with_a_warning_each() {
        let (_, problems) = read(&json!({
            "metadata_exporters": ["signalfx"], "metadata_collection_interval": "5m", "distribution": "openshift",
            "metrics": {"openshift.clusterquota.limit": {"enabled": true}},
            "resource_attributes": {"container.id": {"metrics_include": []}},
        }));
        assert!(problems.errors.is_empty(), "{problems:?}");
        let mut paths: Vec<&str> = problems.warnings.iter().map(|warning| warning.path.as_str()).collect();
        paths.sort_unstable();
        let expected = [
            "x.distribution",
            "x.metadata_collection_interval",
            "x.metadata_exporters",
            "x.metrics.openshift.clusterquota.limit",
            "x.resource_attributes.container.id.metrics_include",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn a_context_needs_a_kubeconfig() {
        let (_, problems) = read(&json!({"context": "prod"}));
        let errors: Vec<String> =
            problems.errors.iter().map(|error| format!("{}: {}", error.path, error.message)).collect();
        assert!(
            errors.len() == 1 && errors[0].starts_with("x.context: ") && errors[0].contains("kubeConfig"),
            "{errors:?}"
        );
        assert!(read(&json!({"context": ""})).1.errors.is_empty(), "none is named");
    }

    #[test]
    fn mistakes_are_told_with_the_way_out() {
        let (_, problems) = read(&json!({
            "auth_type": "tls", "collection_interval": "10ms", "metrics": {"k8s.container.cpu_limits": {"enabled": false}},
            "k8s.pod.phase": {"enabled": false}, "interval": "1s",
        }));
        let said = |path: &str| {
            let found = problems.errors.iter().find(|error| error.path == path);
            found.unwrap_or_else(|| panic!("{path}: {problems:?}")).message.clone()
        };
        assert!(said("x.auth_type").contains("serviceAccount, kubeConfig, none"));
        assert_eq!(said("x.metrics.k8s.container.cpu_limits"), "unknown key; did you mean `k8s.container.cpu_limit`?");
        assert_eq!(said("x.k8s.pod.phase"), "belongs under `metrics`: indent it by two spaces more than `metrics:`");
        assert!(said("x.collection_interval").contains("100ms") && said("x.interval").contains("unknown key"));
        assert_eq!(problems.errors.len(), 5, "{problems:?}");
    }
}
