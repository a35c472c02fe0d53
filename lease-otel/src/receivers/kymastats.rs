//! `kymastats`: state and conditions in the status of any resources, as Kyma's modules report them.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use kube::Client;
use lease_k8s::Access;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric as Sent, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource as Named;
use serde::Deserialize;
use serde_json::Value as Json;

use super::hand_over::Outlet;
use super::kubernetes::keys::{Switches, interval};
use super::kubernetes::rest::{Resource, Selectors};
use super::kubernetes::rounds::Rounds;
use super::kubernetes::trouble::Trouble;
use super::kubernetes::{Configured, Reader, access, otlp, truth};
use crate::component::{Kind, Receiver, ReceiverFactory, Registry};
use crate::config::{Fields, Value as Section};
use crate::data::{Signal, Telemetry, points_of};

/// The kind `kymastats`.
#[derive(Clone, Copy, Debug, Default)]
pub struct KymaStats;

#[derive(Clone, Debug)]
pub(super) struct Config {
    access: Access,
    interval: Duration,
    resources: Vec<Resource>,
    metrics: [bool; METRICS.len()],
    attributes: [bool; ATTRIBUTES.len()],
}

const METRICS: [&str; 2] = ["kyma.resource.status.conditions", "kyma.resource.status.state"];
const ATTRIBUTES: [&str; 5] =
    ["k8s.namespace.name", "k8s.resource.group", "k8s.resource.version", "k8s.resource.kind", "k8s.resource.name"];

impl ReceiverFactory for KymaStats {
    fn kind(&self) -> Kind {
        Kind {
            name: "kymastats",
            aliases: &[],
            summary: "state and conditions in the status of Kubernetes resources",
            signals: &[Signal::Metrics],
        }
    }

    fn configure(&self, fields: &mut Fields<'_>, _: &Registry) -> Box<dyn Receiver> {
        Box::new(Configured::<Config>::read(fields))
    }
}

impl Reader for Config {
    const SIGNAL: Signal = Signal::Metrics;

    fn read(fields: &mut Fields<'_>) -> Self {
        let mut config = Self {
            access: access(fields),
            interval: interval(fields, Duration::from_mins(1)),
            resources: Vec::new(),
            metrics: [true; METRICS.len()],
            attributes: [true; ATTRIBUTES.len()],
        };
        let metrics = Switches { key: "metrics", known: &METRICS, others: &[], filters: &[] };
        metrics.read(fields, &mut config.metrics);
        let filters = ["metrics_include", "metrics_exclude"];
        let attributes = Switches { key: "resource_attributes", known: &ATTRIBUTES, others: &[], filters: &filters };
        attributes.read(fields, &mut config.attributes);
        fields.accepted(&["initial_delay", "timeout"]);
        config.resources = resources(fields);
        config
    }

    fn access(&self) -> &Access {
        &self.access
    }

    async fn run(self, client: Client, outlet: Outlet) {
        run(&self, &client, &outlet).await;
    }
}

fn resources(fields: &mut Fields<'_>) -> Vec<Resource> {
    let path = fields.path_of("resources");
    let items = match fields.node("resources").map(|node| (&node.value, node)) {
        Some((Section::List(items), _)) => items.as_slice(),
        Some((Section::Null, _)) | None => {
            fields.error("resources", "is missing; write `resources: [{group: G, version: V, resource: PLURAL}]`");
            return Vec::new();
        }
        Some((other, _)) => {
            fields.error("resources", format_args!("a list is expected here, not {}", other.kind()));
            return Vec::new();
        }
    };
    let mut resources = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let mut item = Fields::new(item, format!("{path}[{index}]"), fields.problems());
        let group = item.text("group").map(|found| found.value).unwrap_or_default();
        let version = item.text("version").map(|found| found.value).filter(|version| !version.is_empty());
        let plural = item.text("resource").map(|found| found.value).filter(|plural| !plural.is_empty());
        match (version, plural) {
            (Some(version), Some(plural)) => resources.push(Resource { group, version, plural, namespace: None }),
            (None, _) => item.error("version", "is missing; write for example `version: v1`"),
            (_, None) => item.error("resource", "is missing; write the name in the plural, as in a path of the API"),
        }
        item.finish();
    }
    resources
}

/// Reads everything at once and then at every interval; what cannot be read, again after a pause. Never ends.
async fn run(config: &Config, client: &Client, outlet: &Outlet) {
    let started = otlp::nanos(SystemTime::now());
    let mut states = vec![State { is_due: true, said: None }; config.resources.len()];
    let mut rounds = Rounds::new(config.interval);
    loop {
        let mut read = outlet.reading();
        let mut told = Vec::new();
        for (resource, state) in config.resources.iter().zip(&mut states).filter(|(_, state)| state.is_due) {
            let mut trouble = None;
            let mut pages = resource.pages::<Item>(client, &Selectors::default(), None);
            // A list that breaks off is read again as a whole.
            let before = told.len();
            while let Some(page) = pages.next().await {
                match page {
                    Ok(page) => {
                        let times = (started, otlp::nanos(SystemTime::now()));
                        told.extend(page.items.iter().filter_map(|item| tell(config, resource, item, times)));
                        read.holds(points_of(&told));
                    }
                    Err(error) => {
                        trouble = Some(Trouble::of(&error, "list"));
                        told.truncate(before);
                        read.holds(points_of(&told));
                        break;
                    }
                }
            }
            state.is_due = trouble.is_some();
            if let Some(trouble) = trouble.as_ref().filter(|trouble| state.said.as_ref() != Some(trouble)) {
                tracing::warn!(receiver = %outlet.id(), "{}; the others go on", trouble.about_list(&resource.target()));
            }
            state.said = trouble;
        }
        read.hand_over(Telemetry::Metrics(told)).await;
        if rounds.wait(states.iter().any(|state| state.is_due)).await {
            for state in &mut states {
                state.is_due = true;
            }
        }
    }
}

/// How it stands with a resource.
#[derive(Clone, Debug)]
struct State {
    is_due: bool,
    /// What was said of it last, so that a retry does not say it again.
    said: Option<Trouble>,
}

/// Of an object, what is told.
#[derive(Debug, Deserialize)]
struct Item {
    metadata: Meta,
    #[serde(default)]
    status: Json,
}

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

/// What an object tells; nothing when its status has neither a state nor conditions.
fn tell(config: &Config, resource: &Resource, item: &Item, (started, now): (u64, u64)) -> Option<ResourceMetrics> {
    let point = |value: i64, attributes: Vec<KeyValue>| NumberDataPoint {
        attributes,
        start_time_unix_nano: started,
        time_unix_nano: now,
        value: Some(Value::AsInt(value)),
        ..NumberDataPoint::default()
    };
    let state_point = item.status["state"].as_str().map(|state| point(1, vec![otlp::text("state", state)]));
    let conditions = item.status["conditions"].as_array().into_iter().flatten().filter_map(|condition| {
        let of = |key: &str| condition[key].as_str();
        let (reason, status, kind) = (of("reason")?, of("status")?, of("type")?);
        let attributes = vec![otlp::text("reason", reason), otlp::text("status", status), otlp::text("type", kind)];
        Some(point(truth(status), attributes))
    });
    let about = ["Each condition in the status: True is 1, False 0, anything else -1", "1 for the state in the status"];
    let points = [conditions.collect::<Vec<_>>(), state_point.into_iter().collect()];
    let metrics: Vec<Sent> = METRICS
        .iter()
        .zip(about)
        .zip(points)
        .zip(config.metrics)
        .filter(|((_, points), is_on)| *is_on && !points.is_empty())
        .map(|(((name, about), data_points), _)| Sent {
            name: (*name).to_owned(),
            description: about.to_owned(),
            unit: "1".to_owned(),
            data: Some(metric::Data::Gauge(Gauge { data_points })),
            ..Sent::default()
        })
        .collect();
    if metrics.is_empty() {
        return None;
    }
    // The reference calls the plural the kind.
    let Resource { group, version, plural, .. } = resource;
    let values: [&str; ATTRIBUTES.len()] = [&item.metadata.namespace, group, version, plural, &item.metadata.name];
    let attributes = ATTRIBUTES
        .iter()
        .zip(values)
        .zip(config.attributes)
        .filter(|((name, value), is_on)| *is_on && (**name != "k8s.namespace.name" || !value.is_empty()))
        .map(|((name, value), _)| otlp::text(name, value))
        .collect();
    let scope = otlp::scope("github.com/kyma-project/opentelemetry-collector-components/receiver/kymastatsreceiver");
    Some(ResourceMetrics {
        resource: Some(Named { attributes, ..Named::default() }),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }],
        schema_url: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::receivers::testing::{Server, refusal, scope, section};

    fn config() -> Config {
        let section = section(
            &json!({"resources": [{"group": "operator.kyma-project.io", "version": "v1", "resource": "telemetries"}]}),
            Config::read,
        );
        assert!(section.1.errors.is_empty(), "{:?}", section.1);
        section.0
    }

    /// Everything as JSON, which is shorter to compare.
    fn told(config: &Config, item: Json) -> Json {
        let item: Item = serde_json::from_value(item).unwrap();
        let told = tell(config, &config.resources[0], &item, (7, 9));
        serde_json::to_value(told).unwrap()
    }

    fn texts(pairs: &Json) -> Vec<(String, String)> {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        pairs.as_array().unwrap().iter().map(|pair| (text(&pair["key"]), text(&pair["value"]["stringValue"]))).collect()
    }

    #[test]
    fn state_and_conditions_are_told() {
        let status = json!({"state": "Ready", "conditions": [
            {"type": "A", "status": "True", "reason": "Fine"}, {"type": "B", "status": "False", "reason": "Not"},
            {"type": "C", "status": "Unknown", "reason": "Who"}, {"type": "D", "status": "True"}, "odd",
        ]});
        let told =
            told(&config(), json!({"metadata": {"name": "default", "namespace": "kyma-system"}, "status": status}));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            texts(&told["resource"]["attributes"]),
            [
                pair("k8s.namespace.name", "kyma-system"),
                pair("k8s.resource.group", "operator.kyma-project.io"),
                pair("k8s.resource.version", "v1"),
                pair("k8s.resource.kind", "telemetries"),
                pair("k8s.resource.name", "default"),
            ]
        );
        let metrics = &told["scopeMetrics"][0]["metrics"];
        let points = &metrics[0]["gauge"]["dataPoints"];
        assert_eq!((&metrics[0]["name"], &metrics[0]["unit"]), (&json!(METRICS[0]), &json!("1")));
        let values: Vec<&Json> = points.as_array().unwrap().iter().map(|point| &point["asInt"]).collect();
        assert_eq!(values, [&json!("1"), &json!("0"), &json!("-1")]);
        assert_eq!(
            texts(&points[1]["attributes"]),
            [pair("reason", "Not"), pair("status", "False"), pair("type", "B")]
        );
        assert_eq!((&points[0]["startTimeUnixNano"], &points[0]["timeUnixNano"]), (&json!("7"), &json!("9")));
        let state = &metrics[1]["gauge"]["dataPoints"][0];
        assert_eq!((&metrics[1]["name"], &state["asInt"]), (&json!(METRICS[1]), &json!("1")));
        assert_eq!(texts(&state["attributes"]), [pair("state", "Ready")]);
    }

    #[test]
    fn what_has_no_status_tells_nothing_and_what_is_in_no_namespace_names_none() {
        for status in [json!(null), json!({}), json!({"state": 1, "conditions": {}}), json!({"conditions": []})] {
            assert_eq!(told(&config(), json!({"metadata": {"name": "x"}, "status": status})), json!(null), "{status}");
        }
        let told = told(&config(), json!({"metadata": {"name": "x"}, "status": {"state": "Error"}}));
        assert_eq!(texts(&told["resource"]["attributes"])[0].0, "k8s.resource.group");
        assert_eq!(told["scopeMetrics"][0]["metrics"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn keys_are_read_and_mistakes_told() {
        let (config, problems) = section(
            &json!({"collection_interval": "30s", "initial_delay": "1s",
                "metrics": {"kyma.resource.status.state": {"enabled": false}},
                "resources": [{"group": "g", "version": "v1", "resource": "r"}, {"version": "v1"}, {"resource": "x", "verison": "v1"}]}),
            Config::read,
        );
        assert_eq!((config.interval, config.metrics), (Duration::from_secs(30), [true, false]));
        assert_eq!(config.resources.len(), 1);
        let mut errors: Vec<&str> = problems.errors.iter().map(|error| error.path.as_str()).collect();
        errors.sort_unstable();
        assert_eq!(errors, ["x.resources[1].resource", "x.resources[2].verison", "x.resources[2].version"]);
        assert_eq!(problems.warnings[0].path, "x.initial_delay");
        let (_, problems) = section(&json!(null), Config::read);
        assert!(problems.errors[0].message.starts_with("is missing"), "{problems:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_read_again_before_the_next_interval_and_the_rest_is_not() {
        let broken = AtomicUsize::new(0);
        let server = Server::new(move |path, _| {
            let name = path.rsplit('/').next().unwrap();
            if name == "b" && broken.fetch_add(1, Ordering::SeqCst) < 2 {
                return refusal(500);
            }
            (200, json!({"items": [{"metadata": {"name": name}, "status": {"state": "Ready"}}]}))
        });
        let (configured, problems) = section(
            &json!({"collection_interval": "1h", "resources": [{"version": "v1", "resource": "a"}, {"version": "v1", "resource": "b"}]}),
            Configured::<Config>::read,
        );
        assert!(problems.errors.is_empty(), "{problems:?}");
        let (scope, mut batches, _) = scope(Signal::Metrics);
        let began = Instant::now();
        let work = tokio::spawn(configured.work(server.client(), scope));
        let mut next = async || {
            let batch = timeout(Duration::from_hours(10), batches.recv()).await.expect("a batch comes").unwrap();
            let json = match batch.telemetry {
                Telemetry::Metrics(resources) => serde_json::to_value(resources).unwrap(),
                other => panic!("{other:?}"),
            };
            let told = json.as_array().unwrap().iter();
            told.map(|resource| texts(&resource["resource"]["attributes"]).pop().unwrap().1).collect::<Vec<_>>()
        };
        assert_eq!(next().await, ["a"]);
        assert_eq!(next().await, ["b"]);
        assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
        assert_eq!(next().await, ["a", "b"]);
        assert!(began.elapsed() >= Duration::from_hours(1), "{:?}", began.elapsed());
        work.abort();
    }
}
