//! On a real API server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::Cluster;

use super::config::Config;
use crate::data::Signal;
use crate::receivers::kubernetes::Configured;
use crate::receivers::live::{Running, client, deployment, leaves_nothing, metrics_of, pod};
use crate::receivers::testing::section;

async fn start(cluster: &Cluster, user: &str, config: &Value) -> Running {
    let mut configured = section(config, Configured::<Config>::read).0;
    configured.reader.interval = Duration::from_millis(100);
    let client = client(cluster, user);
    Running::start(Signal::Metrics, async move |scope| configured.work(client, scope)).await
}

/// Waits until the pods in the cluster tell this.
async fn until_told(running: &mut Running, attribute: &str, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|&text| text.to_owned()).collect();
    running.until(|batch| (metrics_of(batch, attribute) == expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_told_as_they_come_change_and_go() {
    let Some(cluster) = Cluster::own() else { return };
    let namespace = cluster.namespace("told");
    let api = cluster.api();
    api.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}}));
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "1500m", "memory": "1Gi"}}});
    api.admin(
        "PATCH",
        "/api/v1/nodes/node-a/status?fieldManager=test&force=true",
        Some(&merged(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}}), &status)),
    )
    .ok();
    api.apply(&pod(&namespace, "web"));
    api.apply(&deployment(&namespace, "web", 3));

    let begun = Instant::now();
    let mut running = start(&cluster, "admin", &json!({"allocatable_types_to_report": ["cpu", "memory"]})).await;
    let first = running.next().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "the first export took {:?}", begun.elapsed());
    let all = |attribute| metrics_of(&first, attribute).into_iter().collect::<Vec<_>>();
    assert_eq!(all("k8s.node.uid").into_iter().collect::<Vec<_>>().len(), 3, "a condition and two allocatable types");
    let node: Vec<String> = all("k8s.node.name").into_iter().filter(|text| text.starts_with("node-a ")).collect();
    assert_eq!(
        node,
        [
            "node-a k8s.node.allocatable_cpu=1.5",
            "node-a k8s.node.allocatable_memory=1073741824",
            "node-a k8s.node.condition_ready=1"
        ]
    );
    assert_eq!(all("k8s.deployment.name"), ["web k8s.deployment.available=0", "web k8s.deployment.desired=3"]);
    assert_eq!(
        all("k8s.pod.name"),
        [
            "web k8s.container.cpu_limit=0.25",
            "web k8s.container.cpu_request=0.25",
            "web k8s.container.memory_limit=67108864",
            "web k8s.container.memory_request=67108864",
            "web k8s.pod.phase=1"
        ]
    );
    assert!(all("k8s.namespace.name").iter().any(|text| *text == format!("{namespace} k8s.namespace.phase=1")));

    api.apply(&deployment(&namespace, "web", 5));
    until_told(
        &mut running,
        "k8s.deployment.name",
        &["web k8s.deployment.available=0", "web k8s.deployment.desired=5"],
    )
    .await;
    api.admin("DELETE", &format!("/apis/apps/v1/namespaces/{namespace}/deployments/web"), None).ok();
    api.admin("DELETE", &format!("/api/v1/namespaces/{namespace}/pods/web?gracePeriodSeconds=0"), None).ok();
    until_told(&mut running, "k8s.deployment.name", &[]).await;
    until_told(&mut running, "k8s.pod.name", &[]).await;

    // What changes while the server is away is known when it is back.
    api.restart().unwrap();
    api.apply(&deployment(&namespace, "after", 1));
    until_told(
        &mut running,
        "k8s.deployment.name",
        &["after k8s.deployment.available=0", "after k8s.deployment.desired=1"],
    )
    .await;
    running.stop().await;
}

fn merged(object: &Value, more: &Value) -> Value {
    let mut merged = object.clone();
    for (key, value) in more.as_object().unwrap() {
        merged[key] = value.clone();
    }
    merged
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_is_left_out_until_it_is_granted() {
    let Some(cluster) = testbed::cluster() else { return };
    let namespace = cluster.namespace("denied");
    let rule = |group: &str, resource: &str| json!([{"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]}]);
    cluster.api().grant(&namespace, "user-0", &rule("", "pods"));
    cluster.api().apply(&pod(&namespace, "web"));
    cluster.api().apply(&deployment(&namespace, "web", 2));
    let mut running = start(cluster, "user-0", &json!({"namespaces": [namespace]})).await;
    let first = running.next().await;
    assert!(!metrics_of(&first, "k8s.pod.name").is_empty() && metrics_of(&first, "k8s.deployment.name").is_empty());
    cluster.api().grant(&namespace, "user-0", &rule("apps", "deployments"));
    until_told(
        &mut running,
        "k8s.deployment.name",
        &["web k8s.deployment.available=0", "web k8s.deployment.desired=2"],
    )
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_and_given_back_hides_objects_and_shows_them_all_again() {
    let Some(cluster) = Cluster::own() else { return };
    let namespace = cluster.namespace("revoked");
    let api = cluster.api();
    let rule = json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"]}]);
    api.grant(&namespace, "user-1", &rule);
    api.apply(&deployment(&namespace, "web", 2));
    // Another kind that can be read, so that there are batches without deployments.
    let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]);
    api.grant(&namespace, "user-1", &pods);
    api.apply(&pod(&namespace, "web"));
    let told = ["web k8s.deployment.available=0", "web k8s.deployment.desired=2"];
    let mut running = start(&cluster, "user-1", &json!({"namespaces": [namespace]})).await;
    until_told(&mut running, "k8s.deployment.name", &told).await;

    let bindings = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    api.admin("DELETE", &format!("{bindings}/user-1-0"), None).ok();
    // A watch that is open goes on without the right; one that is opened anew does not.
    api.restart().unwrap();
    until_told(&mut running, "k8s.deployment.name", &[]).await;
    api.grant(&namespace, "user-1", &rule);
    until_told(&mut running, "k8s.deployment.name", &told).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_leave_nothing_running() {
    let Some(cluster) = testbed::cluster() else { return };
    leaves_nothing(async || start(cluster, "admin", &json!({})).await).await;
}
