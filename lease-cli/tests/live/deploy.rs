//! The manifests of `deploy/`: the server takes them, and what they grant is enough.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testbed::process::{Program, Signal, wait_until};

use super::{Fleet, SOON};

const FILES: [&str; 5] = ["rbac.yaml", "role-reference.yaml", "config.yaml", "deployment.yaml", "daemonset.yaml"];

fn manifests(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/collector").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(file: &str, kind: &str) -> Value {
    manifests(file).into_iter().find(|object| object["kind"] == kind).expect("the file has one of that kind")
}

pub(crate) fn the_server_would_take_every_manifest() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "deploy");
    for file in FILES {
        for mut object in manifests(file) {
            let is_everywhere = object["kind"].as_str().is_some_and(|kind| kind.starts_with("Cluster"));
            if !is_everywhere {
                object["metadata"]["namespace"] = fleet.namespace.as_str().into();
            }
            let taken = cluster.api().dry_run(&object);
            assert_eq!(taken["metadata"]["name"], object["metadata"]["name"], "{file}");
        }
    }
}

/// The agent's configuration as a replica reads it, with the points in a file of its own and the user's own credentials.
fn agent(fleet: &Fleet<'_>, points: &Path) -> String {
    let text = manifest("config.yaml", "ConfigMap")["data"]["agent.yaml"].as_str().expect("a text").to_owned();
    let config = fleet.acts.path().join("agent.yaml");
    fs::write(&config, text).expect("it can be written");
    let own = json!({
        "extensions": {"k8s_leader_elector": {"auth_type": "kubeConfig"}, "health_check": {"endpoint": "127.0.0.1:0"}},
        "receivers": {"k8s_cluster": {"auth_type": "kubeConfig", "collection_interval": "1s"}},
        "exporters": {"file": {"path": points}},
        "service": {"pipelines": {"metrics": {"exporters": ["file"]}}},
    });
    fs::write(fleet.acts.path().join("own.yaml"), own.to_string()).expect("it can be written");
    config.display().to_string()
}

fn collector(fleet: &Fleet<'_>, user: &str, points: &Path) -> Program {
    let mut command = fleet.lease(user);
    command.env("POD_NAMESPACE", &fleet.namespace).args(["collector", "--config", &agent(fleet, points)]);
    command.arg("--config").arg(fleet.acts.path().join("own.yaml"));
    Program::spawn(command).expect("lease starts")
}

pub(crate) fn a_collector_with_the_least_rights_works() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "least-rights");
    let user = "user-6";
    cluster.api().grant(&fleet.namespace, user, &manifest("rbac.yaml", "Role")["rules"]);
    let pods = json!({"resource": "pods", "verb": "watch"});
    fleet.grant_everywhere(user, &manifest("rbac.yaml", "ClusterRole")["rules"], &pods);

    let points: PathBuf = fleet.acts.path().join("points.json");
    let mut replica = collector(&fleet, user, &points);
    let has_namespaces = || fs::read_to_string(&points).is_ok_and(|text| text.contains("k8s.namespace.phase"));
    assert!(wait_until(SOON, has_namespaces), "it collects: {:?}", replica.lines());
    replica.signal(Signal::TERM).expect("it runs");
    assert_eq!(replica.wait(SOON).expect("it ends").code(), Some(0));
    let lines = replica.lines();
    assert!(!lines.iter().any(|line| line.text.contains("does not let us")), "{lines:?}");
    let lease = cluster.api().lease(&fleet.namespace, "cluster-receiver").expect("it was acquired");
    assert_eq!(lease["spec"]["holderIdentity"], "", "and released");
}
