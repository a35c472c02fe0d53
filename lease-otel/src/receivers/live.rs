//! On a real API server: what is created, changed, denied and deleted there.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::Config;
use lease_k8s::K8sClient;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value as Json, json};
use testbed::Cluster;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::testing;
use crate::component::{Scope, Work};
use crate::data::{Batch, Signal, Telemetry};

/// A client of one of the cluster's users.
pub(super) fn client(cluster: &Cluster, user: &str) -> kube::Client {
    let mut config = Config::new(cluster.api().url().parse().unwrap());
    config.root_cert = Some(vec![CertificateDer::from_pem_slice(cluster.api().ca_pem().as_bytes()).unwrap().to_vec()]);
    config.auth_info.token = Some(cluster.api().token(user).into());
    K8sClient::from_config(config).unwrap().reader()
}

/// A receiver that runs, and what it hands over.
pub(super) struct Running {
    batches: UnboundedReceiver<Batch>,
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl Running {
    /// Starts what `work` makes of a scope.
    pub(super) async fn start(signal: Signal, work: impl AsyncFnOnce(Scope) -> Work) -> Self {
        let (scope, batches, _) = testing::scope(signal);
        let stop = scope.stop.clone();
        let work = tokio::spawn(work(scope).await);
        Self { batches, stop, work }
    }

    /// The next batch, which comes soon.
    pub(super) async fn next(&mut self) -> Telemetry {
        let next = timeout(Duration::from_secs(20), self.batches.recv()).await;
        next.expect("a batch comes").expect("the receiver runs").telemetry
    }

    /// Waits for a batch that is so. Each comes soon, and they are few.
    pub(super) async fn until<T>(&mut self, so: impl Fn(&Telemetry) -> Option<T>) -> T {
        for _ in 0..200 {
            if let Some(found) = so(&self.next().await) {
                return found;
            }
        }
        panic!("no batch was so");
    }

    /// Stops it, which takes no time.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(1), self.work).await.expect("it stops at once").unwrap();
    }
}

/// Runs it twelve times, as in as many terms, and sees that they have left no task behind.
pub(super) async fn leaves_nothing(run: impl AsyncFn() -> Running) {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..12 {
        let mut running = run().await;
        running.next().await;
        assert!(tasks() > before, "it runs");
        running.stop().await;
    }
    // Connections end on tasks of their own, after what has used them.
    let gone = async {
        while tasks() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let is_gone = timeout(Duration::from_secs(20), gone).await.is_ok();
    assert!(is_gone, "{before} tasks before, {} after twelve terms", tasks());
}

/// The texts among some attributes.
fn texts(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |pair: &KeyValue| match pair.value.clone()?.value? {
        any_value::Value::StringValue(text) => Some((pair.key.clone(), text)),
        _ => None,
    };
    attributes.iter().filter_map(text).collect()
}

/// `ATTRIBUTE=VALUE METRIC=VALUE` for each point of a resource with this attribute.
pub(super) fn metrics_of(telemetry: &Telemetry, attribute: &str) -> BTreeSet<String> {
    let Telemetry::Metrics(resources) = telemetry else { panic!("metrics") };
    let mut found = BTreeSet::new();
    for resource in resources {
        let named = texts(&resource.resource.as_ref().unwrap().attributes);
        let Some((_, name)) = named.iter().find(|(key, _)| key == attribute) else { continue };
        for metric in &resource.scope_metrics[0].metrics {
            let json = serde_json::to_value(metric).unwrap();
            for point in json["gauge"]["dataPoints"].as_array().into_iter().flatten() {
                let value = point["asInt"].as_str().map_or_else(|| point["asDouble"].to_string(), str::to_owned);
                found.insert(format!("{name} {}={value}", metric.name));
            }
        }
    }
    found
}

/// Body and texts of the attributes of each record, as JSON.
pub(super) fn records_of(telemetry: &Telemetry) -> Vec<(Json, Vec<(String, String)>)> {
    let Telemetry::Logs(resources) = telemetry else { panic!("logs") };
    let records = resources.iter().flat_map(|resource| &resource.scope_logs).flat_map(|scope| &scope.log_records);
    records.map(|record| (serde_json::to_value(&record.body).unwrap(), texts(&record.attributes))).collect()
}

/// Objects for a namespace: a pod with one container, a deployment.
pub(super) fn pod(namespace: &str, name: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": "nginx:1",
            "resources": {"limits": {"cpu": "250m", "memory": "64Mi"}}}]}})
}

pub(super) fn deployment(namespace: &str, name: &str, replicas: u32) -> Json {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}})
}

mod logs {
    use super::*;
    use crate::receivers::kubernetes::Configured;
    use crate::receivers::kubernetes::follow::{Begin, Follow};
    use crate::receivers::kubernetes::rest::{Resource, Selectors};
    use crate::receivers::testing::section;
    use crate::receivers::{k8s_events, k8sobjects, kymastats};
    use futures_util::StreamExt;

    fn config_map(namespace: &str, name: &str, value: &str) -> Json {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
            "data": {"key": value}})
    }

    /// What became of which object, and of a field of it.
    fn watched(telemetry: &Telemetry) -> Vec<String> {
        let text = |map: &Json, path: &[&str]| {
            path.iter().fold(map.clone(), |at, key| {
                let pairs = at["kvlistValue"]["values"].as_array().cloned().unwrap_or_default();
                pairs.into_iter().find(|pair| pair["key"] == **key).map_or(Json::Null, |pair| pair["value"].clone())
            })["stringValue"]
                .as_str()
                .unwrap_or("-")
                .to_owned()
        };
        let said = |(body, _): (Json, _)| {
            let name = text(&body, &["object", "metadata", "name"]);
            format!("{} {name} {}", text(&body, &["type"]), text(&body, &["object", "data", "key"]))
        };
        records_of(telemetry).into_iter().map(said).collect()
    }

    async fn objects(user: &str, cluster: &Cluster, config: &Json) -> Running {
        let (configured, problems) = section(config, Configured::<k8sobjects::Config>::read);
        assert!(problems.errors.is_empty(), "{problems:?}");
        let client = client(cluster, user);
        Running::start(Signal::Logs, async move |scope| configured.work(client, scope)).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_watch_tells_what_becomes_of_each_object() {
        let Some(cluster) = testbed::cluster() else { return };
        let namespace = cluster.namespace("objects");
        cluster.api().apply(&config_map(&namespace, "before", "0"));
        let section = json!({"include_initial_state": true,
            "objects": [{"name": "configmaps", "mode": "watch", "namespaces": [namespace]}]});
        let mut running = objects("admin", cluster, &section).await;
        assert_eq!(watched(&running.next().await), ["ADDED before 0"]);
        cluster.api().apply(&config_map(&namespace, "a", "1"));
        assert_eq!(watched(&running.next().await), ["ADDED a 1"]);
        cluster.api().apply(&config_map(&namespace, "a", "2"));
        assert_eq!(watched(&running.next().await), ["MODIFIED a 2"]);
        cluster.api().admin("DELETE", &format!("/api/v1/namespaces/{namespace}/configmaps/a"), None).ok();
        let last = running.next().await;
        assert_eq!(watched(&last), ["DELETED a 2"]);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let expected = [pair("k8s.resource.name", "configmaps"), pair("event.domain", "k8s"), pair("event.name", "a")];
        assert_eq!(records_of(&last)[0].1, expected);
        running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_pull_tells_whole_objects_with_their_kind() {
        let Some(cluster) = testbed::cluster() else { return };
        let namespace = cluster.namespace("pull");
        for name in ["a", "b", "other"] {
            cluster.api().apply(&config_map(&namespace, name, "x"));
        }
        let section = json!({"objects": [{"name": "configmaps", "namespaces": [namespace], "interval": "100ms",
            "field_selector": "metadata.name!=other"}]});
        let mut running = objects("admin", cluster, &section).await;
        for _ in 0..2 {
            let bodies: Vec<String> =
                records_of(&running.next().await).into_iter().map(|(body, _)| body.to_string()).collect();
            assert_eq!(bodies.len(), 2);
            assert!(bodies.iter().all(|body| body.contains(r#""stringValue":"ConfigMap""#)), "{bodies:?}");
        }
        running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_resource_that_the_server_has_not_ends_the_work_unless_that_is_ignored() {
        let Some(cluster) = testbed::cluster() else { return };
        let section_ = json!({"objects": [{"name": "widgets"}, {"name": "pods"}]});
        let mut running = objects("admin", cluster, &section_).await;
        let ended = timeout(Duration::from_secs(20), &mut running.work).await;
        ended.expect("it ends by itself").unwrap();
        let mut ignoring = section_;
        ignoring["error_mode"] = json!("ignore");
        ignoring["objects"] = json!([{"name": "widgets"}, {"name": "namespaces"}]);
        let mut running = objects("admin", cluster, &ignoring).await;
        assert!(!records_of(&running.next().await).is_empty(), "the namespaces");
        running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_version_that_is_forgotten_loses_nothing_and_tells_nothing_twice() {
        let Some(cluster) = testbed::cluster() else { return };
        let namespace = cluster.namespace("gone");
        let old = cluster.api().apply(&config_map(&namespace, "old", "1"));
        let resource = Resource {
            group: String::new(),
            version: "v1".to_owned(),
            plural: "configmaps".to_owned(),
            namespace: Some(namespace.clone()),
        };
        let version = old["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        cluster.api().apply(&config_map(&namespace, "new", "2"));
        let admin = client(cluster, "admin");
        let expired = |version: &str| {
            let follow = Follow::new(
                "x".parse().unwrap(),
                admin.clone(),
                resource.clone(),
                Selectors::default(),
                Begin::After(version.to_owned()),
            );
            follow.expired().changes().boxed()
        };
        let said = async |changes: &mut futures_util::stream::BoxStream<'static, _>| -> String {
            let change: crate::receivers::kubernetes::follow::Change =
                timeout(Duration::from_secs(20), changes.next()).await.unwrap().unwrap();
            format!("{} {}", change.kind, change.object["metadata"]["name"].as_str().unwrap())
        };
        let mut after = expired(&version);
        assert_eq!(said(&mut after).await, "ADDED new");
        cluster.api().apply(&config_map(&namespace, "newer", "3"));
        assert_eq!(said(&mut after).await, "ADDED newer");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_configured_version_that_is_forgotten_begins_with_what_changes() {
        let Some(cluster) = Cluster::own() else { return };
        let namespace = cluster.namespace("forgotten");
        cluster.api().apply(&config_map(&namespace, "old", "1"));
        // The server's memory of changes begins when it starts.
        cluster.api().restart().unwrap();
        let section = json!({"objects": [
            {"name": "configmaps", "mode": "watch", "namespaces": [namespace], "resource_version": "1"}]});
        let mut running = objects("admin", &cluster, &section).await;
        let mut told = Vec::new();
        for count in 0..200 {
            cluster.api().apply(&config_map(&namespace, "new", &count.to_string()));
            if let Ok(Some(batch)) = timeout(Duration::from_millis(100), running.batches.recv()).await {
                told = watched(&batch.telemetry);
                break;
            }
        }
        assert!(!told.is_empty() && told.iter().all(|change| change.contains(" new ")), "{told:?}");
        running.stop().await;
    }

    fn event(namespace: &str, name: &str, count: u32) -> Json {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {"kind": "Pod", "name": "web", "namespace": namespace}, "reason": "Tested",
            "message": format!("{name} {count}"), "type": "Normal", "count": count,
            "lastTimestamp": "2026-01-02T03:04:05Z", "source": {"component": "test"}})
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn events_are_told_from_the_start_of_the_term_on_and_not_when_they_expire() {
        let Some(cluster) = testbed::cluster() else { return };
        let namespace = cluster.namespace("events");
        cluster.api().apply(&event(&namespace, "before", 1));
        let configured = section(&json!({"namespaces": [namespace]}), Configured::<k8s_events::Config>::read).0;
        let admin = client(cluster, "admin");
        // What is created until the watch is there may be told or not, so one is created until one is told.
        let mut running = Running::start(Signal::Logs, async move |scope| configured.work(admin, scope)).await;
        let bodies = |telemetry: &Telemetry| -> Vec<String> {
            records_of(telemetry)
                .into_iter()
                .map(|(body, _)| body["stringValue"].as_str().unwrap().to_owned())
                .collect()
        };
        let mut first = Vec::new();
        for count in 1..200 {
            cluster.api().apply(&event(&namespace, "during", count));
            if let Ok(Some(batch)) = timeout(Duration::from_millis(100), running.batches.recv()).await {
                first = bodies(&batch.telemetry);
                break;
            }
        }
        assert!(!first.is_empty() && first.iter().all(|body| body.starts_with("during ")), "{first:?}");
        cluster.api().admin("DELETE", &format!("/api/v1/namespaces/{namespace}/events/before"), None).ok();
        cluster.api().apply(&event(&namespace, "after", 7));
        let after =
            running.until(|batch| bodies(batch).iter().any(|body| body == "after 7").then(|| bodies(batch))).await;
        assert!(after.iter().all(|body| !body.starts_with("before")), "{after:?}");
        running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn terms_leave_nothing_running() {
        let Some(cluster) = testbed::cluster() else { return };
        let namespace = cluster.namespace("objects-terms");
        cluster.api().apply(&config_map(&namespace, "a", "x"));
        let one = |mode: &str| json!({"name": "configmaps", "mode": mode, "namespaces": [namespace], "interval": "1s"});
        for mode in ["watch", "pull"] {
            let section = json!({"include_initial_state": mode == "watch", "objects": [one(mode)]});
            leaves_nothing(async || objects("admin", cluster, &section).await).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_status_of_custom_resources_is_told() {
        let Some(cluster) = Cluster::own() else { return };
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        cluster.api().apply(&json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.test.example"},
            "spec": {"group": "test.example", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}}));
        let configured = section(
            &json!({"collection_interval": "100ms", "resources": [
                {"group": "no.such.example", "version": "v1", "resource": "things"},
                {"group": "test.example", "version": "v1", "resource": "widgets"}]}),
            Configured::<kymastats::Config>::read,
        );
        assert!(configured.1.errors.is_empty());
        let admin = client(&cluster, "admin");
        let mut running = Running::start(Signal::Metrics, async move |scope| configured.0.work(admin, scope)).await;
        let namespace = cluster.namespace("kyma");
        let widget = json!({"apiVersion": "test.example/v1", "kind": "Widget",
            "metadata": {"name": "w", "namespace": namespace}, "status": {"state": "Ready", "conditions": [
                {"type": "Healthy", "status": "False", "reason": "Broken"}]}});
        let path = format!("/apis/test.example/v1/namespaces/{namespace}/widgets/w?fieldManager=test&force=true");
        // The definition takes a moment to be served.
        let served = testbed::process::wait_until(Duration::from_secs(10), || {
            cluster.api().admin("PATCH", &path, Some(&widget)).status < 300
        });
        assert!(served, "the custom resource is served");
        let told =
            running.until(|batch| Some(metrics_of(batch, "k8s.resource.name")).filter(|told| !told.is_empty())).await;
        let told: Vec<String> = told.into_iter().collect();
        assert_eq!(told, ["w kyma.resource.status.conditions=0", "w kyma.resource.status.state=1"]);
        running.stop().await;
    }
}
