//! What the reference exports for the objects of `testdata/k8s_cluster`, and what this does. `testbed/go/contrib` says how
//! it was recorded.

use serde_json::{Map, Value, json};

use super::config::Config;
use super::emit::Emission;
use super::kinds::{
    CronJob, DaemonSet, Deployment, HorizontalPodAutoscaler, Job, Namespace, Node, Pod, ReplicaSet,
    ReplicationController, ResourceQuota, StatefulSet,
};
use super::objects::Told;
use crate::receivers::testing::section;

const OBJECTS: &str = include_str!("../../../testdata/k8s_cluster/objects.json");

/// What is made of the objects with this section.
fn told(config: &Value) -> Value {
    let (config, problems) = section(config, Config::of);
    assert!(problems.errors.is_empty(), "{problems:?}");
    let mut emission = Emission { report: &config.report, started: 1, now: 1, resources: Vec::new() };
    for object in serde_json::from_str::<Vec<Value>>(OBJECTS).unwrap() {
        let namespace = object["metadata"]["namespace"].as_str();
        let is_in =
            config.namespaces.is_empty() || namespace.is_some_and(|name| config.namespaces.iter().any(|n| n == name));
        if is_in && let Some(object) = read(object) {
            object.tell(&mut emission);
        }
    }
    json!({"resourceMetrics": serde_json::to_value(emission.resources).unwrap()})
}

fn read(object: Value) -> Option<Box<dyn Told>> {
    fn of<K: Told + serde::de::DeserializeOwned + 'static>(object: Value) -> Box<dyn Told> {
        Box::new(serde_json::from_value::<K>(object).unwrap())
    }
    let read = match object["kind"].as_str().unwrap() {
        "Pod" => of::<Pod>,
        "Node" => of::<Node>,
        "Namespace" => of::<Namespace>,
        "ReplicationController" => of::<ReplicationController>,
        "ResourceQuota" => of::<ResourceQuota>,
        "Deployment" => of::<Deployment>,
        "ReplicaSet" => of::<ReplicaSet>,
        "DaemonSet" => of::<DaemonSet>,
        "StatefulSet" => of::<StatefulSet>,
        "Job" => of::<Job>,
        "CronJob" => of::<CronJob>,
        "HorizontalPodAutoscaler" => of::<HorizontalPodAutoscaler>,
        // Only for the reference, which asks for all kinds that it knows.
        "Service" => return None,
        other => panic!("{other} is not expected in the objects"),
    };
    Some(read(object))
}

/// In one order, without words, and without what says nothing: the recordings are so too.
fn normal(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(key, _)| key != "description" && key != "version")
                .map(|(key, value)| (key, normal(value)))
                .filter(|(key, value)| !is_nothing(key, value))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(normal).collect();
            items.sort_by_cached_key(ToString::to_string);
            Value::Array(items)
        }
        // 1 and 1.0 are one number.
        Value::Number(number) => number.as_f64().into(),
        other => other,
    }
}

/// The default of a field, which one side writes and the other leaves out. A value is never left out.
fn is_nothing(key: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => !key.starts_with("as") && number.as_f64() == Some(0.0),
        Value::String(text) if key.ends_with("UnixNano") => text == "0",
        Value::String(text) => key != "stringValue" && text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The resources on one side that are not on the other: shorter to read than both sides.
fn assert_same(ours: &Value, theirs: &str, name: &str) {
    let (ours, theirs) = (normal(ours.clone()), normal(serde_json::from_str(theirs).unwrap()));
    let items = |side: &Value| side["resourceMetrics"].as_array().unwrap().clone();
    let (ours, theirs) = (items(&ours), items(&theirs));
    let missing: Vec<&Value> = theirs.iter().filter(|item| !ours.contains(item)).collect();
    let added: Vec<&Value> = ours.iter().filter(|item| !theirs.contains(item)).collect();
    assert!(
        missing.is_empty() && added.is_empty() && ours.len() == theirs.len(),
        "{name}: only theirs: {}\nonly ours: {}\n{} and {}",
        serde_json::to_string(&missing).unwrap(),
        serde_json::to_string(&added).unwrap(),
        theirs.len(),
        ours.len(),
    );
    assert!(!ours.is_empty());
}

macro_rules! recording {
    ($name:literal) => {
        include_str!(concat!("../../../testdata/k8s_cluster/", $name, ".json"))
    };
}

#[test]
fn by_default_the_same_is_exported() {
    assert_same(&told(&json!({})), recording!("default"), "default");
}

#[test]
fn conditions_and_allocatable_types_are_the_same() {
    let section = json!({
        "node_conditions_to_report": ["Ready", "MemoryPressure", "PIDPressure", "NetworkUnavailable", "NeverHeardOf"],
        "allocatable_types_to_report":
            ["cpu", "memory", "ephemeral-storage", "storage", "pods", "hugepages-2Mi", "nvidia.com/gpu"],
    });
    assert_same(&told(&section), recording!("nodes"), "nodes");
}

#[test]
fn what_is_off_by_default_is_the_same_too() {
    let on = |names: &[&str]| -> Value {
        names.iter().map(|name| ((*name).to_owned(), json!({"enabled": true}))).collect::<Map<_, _>>().into()
    };
    let section = json!({
        "metrics": on(&["k8s.container.status.reason", "k8s.container.status.state", "k8s.node.condition",
            "k8s.pod.status_reason"]),
        "resource_attributes": on(&["container.runtime", "container.runtime.version",
            "k8s.container.status.last_terminated_reason", "k8s.hpa.scaletargetref.apiversion",
            "k8s.hpa.scaletargetref.kind", "k8s.hpa.scaletargetref.name", "k8s.kubelet.version", "k8s.pod.qos_class",
            "os.description", "os.type"]),
    });
    assert_same(&told(&section), recording!("everything"), "everything");
}

#[test]
fn in_some_namespaces_the_same_is_exported() {
    assert_same(&told(&json!({"namespaces": ["shop"]})), recording!("namespaces"), "namespaces");
}
