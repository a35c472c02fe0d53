//! Objects to metrics: every phase, condition and form of a value.

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, metric, number_data_point};
use serde_json::{Value, json};

use super::config::{Config, Report};
use super::emit::Emission;
use super::kinds::{Deployment, HorizontalPodAutoscaler, Namespace, Node, Pod};
use super::objects::Told;
use crate::receivers::testing::section;

fn tell<K: Told + serde::de::DeserializeOwned>(report: &Report, object: &Value) -> Vec<ResourceMetrics> {
    let object: K = serde_json::from_value(object.clone()).unwrap();
    let mut emission = Emission { report, started: 7, now: 9, resources: Vec::new() };
    object.tell(&mut emission);
    emission.resources
}

/// The values of a metric in these resources, with the text of the first attribute of each point.
fn values(resources: &[ResourceMetrics], name: &str) -> Vec<(String, f64)> {
    let metrics = resources.iter().flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
    let points = metrics.filter(|metric| metric.name == name).flat_map(|metric| match metric.data.as_ref().unwrap() {
        metric::Data::Gauge(gauge) => &gauge.data_points,
        metric::Data::Sum(sum) => &sum.data_points,
        other => panic!("{other:?}"),
    });
    let value = |value: Option<number_data_point::Value>| match value.unwrap() {
        number_data_point::Value::AsDouble(value) => value,
        number_data_point::Value::AsInt(value) => f64::from(i32::try_from(value).unwrap()),
    };
    points
        .map(|point| {
            let text = point.attributes.first().and_then(|pair| pair.value.clone()?.value);
            let text = match text {
                Some(any_value::Value::StringValue(text)) => text,
                _ => String::new(),
            };
            (text, value(point.value))
        })
        .collect()
}

fn one(resources: &[ResourceMetrics], name: &str) -> f64 {
    let values = values(resources, name);
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values[0].1
}

fn report(config: &Value) -> Report {
    section(config, Config::of).0.report
}

fn pod(status: &Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"containers": [{"name": "c", "resources": null}]}, "status": status})
}

#[test]
fn each_phase_of_a_pod_has_its_number() {
    let table =
        [("Pending", 1.0), ("Running", 2.0), ("Succeeded", 3.0), ("Failed", 4.0), ("Unknown", 5.0), ("Odd", 5.0)];
    for (phase, value) in table {
        let told = tell::<Pod>(&Report::default(), &pod(&json!({"phase": phase})));
        assert_eq!(one(&told, "k8s.pod.phase").to_bits(), f64::to_bits(value), "{phase}");
    }
    assert_eq!(values(&tell::<Pod>(&Report::default(), &pod(&Value::Null)), "k8s.pod.phase"), [(String::new(), 5.0)]);
}

#[test]
fn each_phase_of_a_namespace_has_its_number() {
    for (phase, value) in [("Active", 1.0), ("Terminating", 0.0), ("", -1.0)] {
        let object = json!({"metadata": {"name": "n"}, "status": {"phase": phase}});
        let told = tell::<Namespace>(&Report::default(), &object);
        assert_eq!(one(&told, "k8s.namespace.phase").to_bits(), f64::to_bits(value), "{phase}");
    }
}

#[test]
fn each_status_of_a_condition_has_its_number_and_nodes_have_no_start_time() {
    for (conditions, value) in [
        (json!([{"type": "Ready", "status": "True"}]), 1.0),
        (json!([{"type": "Ready", "status": "False"}]), 0.0),
        (json!([{"type": "Ready", "status": "Unknown"}]), -1.0),
        (json!([{"type": "Ready", "status": "maybe"}]), -1.0),
        (json!([{"type": "DiskPressure", "status": "True"}]), -1.0),
        (Value::Null, -1.0),
    ] {
        let object = json!({"metadata": {"name": "n"}, "status": {"conditions": conditions}});
        let told = tell::<Node>(&Report::default(), &object);
        assert_eq!(values(&told, "k8s.node.condition_ready"), [(String::new(), value)], "{conditions}");
        let Some(metric::Data::Gauge(gauge)) = &told[0].scope_metrics[0].metrics[0].data else { panic!("a gauge") };
        assert_eq!((gauge.data_points[0].start_time_unix_nano, gauge.data_points[0].time_unix_nano), (0, 9));
    }
}

#[test]
fn of_all_states_and_reasons_of_a_container_one_is_1() {
    let on = report(&json!({"metrics": {
        "k8s.container.status.state": {"enabled": true}, "k8s.container.status.reason": {"enabled": true}}}));
    for (state, name, reason) in [
        (json!({"running": {}}), Some("running"), None),
        (json!({"waiting": {"reason": "ImagePullBackOff"}}), Some("waiting"), Some("ImagePullBackOff")),
        (json!({"waiting": {"reason": "PodInitializing"}}), Some("waiting"), None),
        (json!({"terminated": {"reason": "Error"}}), Some("terminated"), Some("Error")),
        (json!({}), None, None),
    ] {
        let status = json!({"containerStatuses": [{"name": "c", "state": state, "restartCount": 2, "ready": true}]});
        let told = tell::<Pod>(&on, &pod(&status));
        let ones = |metric: &str| -> Vec<String> {
            values(&told, metric).into_iter().filter(|(_, value)| *value > 0.0).map(|(text, _)| text).collect()
        };
        assert_eq!(ones("k8s.container.status.state"), Vec::from_iter(name.map(str::to_owned)), "{state}");
        assert_eq!(ones("k8s.container.status.reason"), Vec::from_iter(reason.map(str::to_owned)), "{state}");
        assert_eq!(values(&told, "k8s.container.status.state").len(), if name.is_some() { 3 } else { 0 });
        assert_eq!(values(&told, "k8s.container.status.reason").len(), 9);
        assert_eq!((one(&told, "k8s.container.restarts"), one(&told, "k8s.container.ready")), (2.0, 1.0));
    }
}

#[test]
fn what_is_off_is_left_out_and_what_is_left_without_metrics_too() {
    let off = report(&json!({
        "metrics": {"k8s.deployment.desired": {"enabled": false}, "k8s.deployment.available": {"enabled": false},
            "k8s.pod.phase": {"enabled": false}},
        "resource_attributes": {"k8s.pod.uid": {"enabled": false}},
    }));
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1}, "status": {}});
    assert!(tell::<Deployment>(&off, &deployment).is_empty());
    let status =
        json!({"containerStatuses": [{"name": "c", "state": {"running": {}}, "restartCount": 0, "ready": true}]});
    let told = tell::<Pod>(&off, &pod(&status));
    assert_eq!(told.len(), 1, "the container alone: {told:?}");
    let keys: Vec<&str> = told[0].resource.iter().flat_map(|it| &it.attributes).map(|pair| pair.key.as_str()).collect();
    assert!(
        keys.contains(&"k8s.pod.name") && keys.contains(&"container.id") && !keys.contains(&"k8s.pod.uid"),
        "{keys:?}"
    );
}

#[test]
fn what_a_server_would_have_filled_in_may_be_missing() {
    let hpa = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3}});
    let told = tell::<HorizontalPodAutoscaler>(&Report::default(), &hpa);
    assert!(values(&told, "k8s.hpa.min_replicas").is_empty());
    assert_eq!(values(&told, "k8s.hpa.max_replicas"), [(String::new(), 3.0)]);
    let told = tell::<Deployment>(&Report::default(), &json!({"metadata": {"name": "d"}}));
    assert!(
        values(&told, "k8s.deployment.desired").is_empty() && !values(&told, "k8s.deployment.available").is_empty()
    );
}
