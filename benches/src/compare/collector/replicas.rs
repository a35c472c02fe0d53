//! Replicas of `lease collector` that send to one place, and what they collect.

use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::Cluster;
use testbed::otlp::Sink;
use testbed::process::{Program, Signal, wait_until};
use testbed::sent::{self, Batch, Term};
use testbed::server::ADMIN;

use super::super::{CompareError, Rig};
use super::WITHIN;

/// An elector at client-go's defaults.
pub(super) fn elector(namespace: &str, lease: &str) -> Value {
    json!({"k8s_leader_elector": {"auth_type": "kubeConfig", "lease_name": lease, "lease_namespace": namespace,
        "lease_duration": "15s", "renew_deadline": "10s", "retry_period": "2s"}})
}

/// A configuration, and where its replicas send to.
pub(super) struct Replicas<'c> {
    cluster: &'c Cluster,
    namespace: String,
    sink: Sink,
    dir: TempDir,
}

impl<'c> Replicas<'c> {
    pub(super) fn new(
        cluster: &'c Cluster,
        namespace: &str,
        electors: &Value,
        interval: &str,
    ) -> Result<Self, CompareError> {
        let (sink, dir) = (Sink::start(), tempfile::tempdir().map_err(CompareError::io("temporary directory"))?);
        let config = json!({
            "extensions": electors,
            "receivers": {"k8s_cluster": {"auth_type": "kubeConfig", "collection_interval": interval,
                "k8s_leader_elector": "k8s_leader_elector"}},
            "exporters": {"otlp": {"endpoint": sink.grpc().to_string(), "tls": {"insecure": true},
                "headers": {(sent::REPLICA): "${env:REPLICA}"}}},
            "service": {"extensions": ["k8s_leader_elector"],
                "pipelines": {"metrics": {"receivers": ["k8s_cluster"], "exporters": ["otlp"]}}},
        });
        let path = dir.path().join("agent.yaml");
        std::fs::write(&path, config.to_string()).map_err(CompareError::io(path))?;
        Ok(Self { cluster, namespace: namespace.to_owned(), sink, dir })
    }

    pub(super) fn start(&self, rig: &Rig<'_>, name: &str) -> Result<Replica, CompareError> {
        let mut command = Command::new(&rig.lease);
        command.args(["--namespace", &self.namespace, "collector", "--config"]).arg(self.dir.path().join("agent.yaml"));
        command.env("KUBECONFIG", self.cluster.api().kubeconfig(ADMIN)).env_remove("LEASE_BACKEND");
        command.env("REPLICA", name).env("LEASE_HOLDER_ID", name);
        command.env_remove("RUST_LOG").env("NO_COLOR", "1").env("NO_PROXY", "*");
        Ok(Replica { program: Program::spawn(command).map_err(CompareError::io(&rig.lease))? })
    }

    /// What has arrived.
    pub(super) fn batches(&self) -> Vec<Batch> {
        sent::received(&self.sink.received())
    }
}

/// A collector that runs.
pub(super) struct Replica {
    program: Program,
}

impl Replica {
    pub(super) fn id(&self) -> u32 {
        self.program.id()
    }

    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), CompareError> {
        self.program.signal(signal).map_err(CompareError::io("a collector"))
    }

    /// Waits for this line, and says when it was printed.
    pub(super) fn wait_for(&self, text: &str) -> Result<u64, CompareError> {
        Ok(self.program.wait_for_line(text, WITHIN)?.at_ns)
    }
}

/// One that leads and sends, and one that has seen it.
pub(super) struct Pair<'c> {
    replicas: Replicas<'c>,
    pub(super) leader: Replica,
    pub(super) standby: Replica,
}

impl<'c> Pair<'c> {
    pub(super) fn start(rig: &'c Rig<'_>, lease: &str) -> Result<Self, CompareError> {
        let electors = elector(&rig.namespace, lease);
        let replicas = Replicas::new(&rig.cluster, &rig.namespace, &electors, "1s")?;
        let leader = replicas.start(rig, "a")?;
        if !wait_until(WITHIN, || !replicas.batches().is_empty()) {
            return Err(CompareError::scene("the leader sends nothing"));
        }
        let standby = replicas.start(rig, "b")?;
        standby.wait_for("holder=a")?;
        Ok(Self { replicas, leader, standby })
    }

    /// The terms before and after the event, once the later one has sent for a while.
    pub(super) fn two_terms(&self) -> Result<[Term; 2], CompareError> {
        let terms = || sent::terms(&self.replicas.batches(), RECEIVER);
        let is_mixed = || terms().is_err();
        wait_until(WITHIN, || {
            is_mixed() || terms().is_ok_and(|terms| terms.len() > 1 && terms[1].batches.len() >= SOME)
        });
        let terms = terms().map_err(|mixed| CompareError::scene(format!("two senders: {mixed}")))?;
        let count = terms.len();
        terms.try_into().map_err(|_| CompareError::scene(format!("{count} terms have sent, and not two")))
    }
}

/// Creates so many pods and nodes, and a deployment.
pub(super) fn furnish(cluster: &Cluster, namespace: &str, pods: usize, nodes: usize) -> Result<(), CompareError> {
    let container = json!({"name": "c", "image": "registry.example/app:1.2.3",
        "resources": {"limits": {"cpu": "250m", "memory": "64Mi"}}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "app", "namespace": namespace},
        "spec": {"replicas": pods, "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container]}}}});
    let mut all = vec![(format!("/apis/apps/v1/namespaces/{namespace}/deployments"), deployment)];
    for number in 0..nodes {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{number}")}});
        all.push(("/api/v1/nodes".to_owned(), node));
    }
    for number in 0..pods {
        let name = format!("app-{number}");
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": "a"}},
            "spec": {"nodeName": format!("node-{}", number % nodes.max(1)), "containers": [container]}});
        all.push((format!("/api/v1/namespaces/{namespace}/pods"), pod));
    }
    let create = |objects: &[(String, Value)]| {
        objects.iter().try_for_each(|(path, object)| match cluster.api().admin("POST", path, Some(object)) {
            answer if answer.status == 201 => Ok(()),
            answer => Err(CompareError::scene(format!("{path} answers {}: {}", answer.status, answer.text))),
        })
    };
    thread::scope(|scope| {
        let size = all.len().div_ceil(CREATORS);
        let running: Vec<_> = all.chunks(size).map(|part| scope.spawn(move || create(part))).collect();
        running.into_iter().try_for_each(|creator| creator.join().expect("a request does not panic"))
    })
}

const RECEIVER: &str = "k8scluster";
/// So many batches show that a replica goes on.
const SOME: usize = 3;
/// Objects that are created at once.
const CREATORS: usize = 8;
