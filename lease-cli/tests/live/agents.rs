//! Replicas of `lease collector` with one configuration, what they collect, and what has been sent of it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::Cluster;
use testbed::otlp::Sink;
use testbed::process::{Program, wait_until};
use testbed::sent::{self, Batch, Term};

use super::{Fleet, LEASE, SOON};

/// The receivers of the configuration, as their points name them.
pub(crate) const CLUSTER: &str = "k8scluster";
pub(crate) const KYMA: &str = "kymastats";
/// So many batches show that a replica goes on.
pub(crate) const SOME: usize = 3;
/// From the last data of a replica that was asked to end to the first of the next. A collection interval and a little more, but
/// on a busy machine; without a release it is 3 s at the least, which a lease has left right before it is renewed.
pub(crate) const GAP_MAX: Duration = Duration::from_millis(2900);

/// A configuration, and where its replicas send to: a receiver of OTLP, and a file for each.
pub(crate) struct Agents<'f> {
    pub(crate) fleet: &'f Fleet<'f>,
    sink: Sink,
    dir: TempDir,
    /// The leases of the receivers, by the electors of the configuration.
    leases: [(&'static str, String); 2],
}

/// One replica.
pub(crate) struct Agent {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
}

/// An elector on this lease, with short durations.
pub(crate) fn elector(fleet: &Fleet<'_>, lease: &str) -> Value {
    json!({"auth_type": "kubeConfig", "lease_name": lease, "lease_namespace": fleet.namespace,
        "lease_duration": "4s", "renew_deadline": "3s", "retry_period": "1s"})
}

/// The receivers `k8s_cluster` and `kymastats`, each with its elector.
pub(crate) fn receivers(cluster: &str, kyma: &str) -> Value {
    json!({
        "k8s_cluster": {"auth_type": "kubeConfig", "collection_interval": "1s", "k8s_leader_elector": cluster},
        "kymastats": {"auth_type": "kubeConfig", "collection_interval": "1s", "k8s_leader_elector": kyma,
            "resources": [{"group": "test.example", "version": "v1", "resource": "gadgets"}]},
    })
}

impl<'f> Agents<'f> {
    /// Both receivers on one elector.
    pub(crate) fn new(fleet: &'f Fleet<'f>) -> Self {
        let electors = json!({"k8s_leader_elector": elector(fleet, LEASE)});
        Self::with(fleet, &electors, &receivers("k8s_leader_elector", "k8s_leader_elector"))
    }

    /// These electors and receivers, in one pipeline.
    pub(crate) fn with(fleet: &'f Fleet<'f>, electors: &Value, receivers: &Value) -> Self {
        furnish(fleet.cluster, &fleet.namespace);
        let (sink, dir) = (Sink::start(), TempDir::new().expect("a directory"));
        let names = |section: &Value| section.as_object().expect("a map").keys().cloned().collect::<Vec<_>>();
        let file = dir.path().join("${env:REPLICA}.json");
        let config = json!({
            "extensions": electors,
            "receivers": receivers,
            "exporters": {
                "otlp": {"endpoint": sink.grpc().to_string(), "tls": {"insecure": true},
                    "headers": {(sent::REPLICA): "${env:REPLICA}"}},
                "file": {"path": file},
            },
            "service": {
                "extensions": names(electors),
                "pipelines": {"metrics": {"receivers": names(receivers), "exporters": ["otlp", "file"]}},
            },
        });
        fs::write(dir.path().join("agent.yaml"), config.to_string()).expect("it can be written");
        let lease = |receiver: &str| {
            let elector = receivers[receiver]["k8s_leader_elector"].as_str().expect("each receiver has one");
            electors[elector]["lease_name"].as_str().expect("an elector has a lease").to_owned()
        };
        let leases = [(CLUSTER, lease("k8s_cluster")), (KYMA, lease("kymastats"))];
        Self { fleet, sink, dir, leases }
    }

    /// Starts a replica with the rights of the administrator.
    pub(crate) fn start(&self, name: &'static str) -> Agent {
        self.start_as(name, "admin")
    }

    pub(crate) fn start_as(&self, name: &'static str, user: &str) -> Agent {
        let mut command = self.fleet.lease(user);
        command.env("REPLICA", name).env("LEASE_HOLDER_ID", name);
        command.args(["collector", "--config"]).arg(self.dir.path().join("agent.yaml"));
        Agent { name, program: Program::spawn(command).expect("lease starts") }
    }

    /// What has been received.
    pub(crate) fn sent(&self) -> Vec<Batch> {
        sent::received(&self.sink.received())
    }

    /// The terms of a receiver, as far as they have sent; nobody has sent in between.
    #[track_caller]
    pub(crate) fn terms(&self, receiver: &str) -> Vec<Term> {
        sent::terms(&self.sent(), receiver).unwrap_or_else(|mixed| panic!("two senders: {mixed}"))
    }

    /// Waits until so many terms of this receiver have sent, the last of them several times; returns it.
    #[track_caller]
    pub(crate) fn wait_for_term(&self, receiver: &str, count: usize) -> Term {
        let is_there = || self.terms(receiver).get(count - 1).is_some_and(|term| term.batches.len() >= SOME);
        assert!(wait_until(SOON, is_there), "no term {count} of {receiver} in {:?}", self.overview());
        self.terms(receiver).swap_remove(count - 1)
    }

    /// Waits until a term goes on after now.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, receiver: &str, count: usize) {
        let batches = || self.terms(receiver).get(count - 1).map_or(0, |term| term.batches.len());
        let before = batches();
        assert!(wait_until(SOON, || batches() >= before + SOME), "term {count} has ended in {:?}", self.overview());
    }

    /// Who has sent how much, for messages.
    fn overview(&self) -> Vec<(String, String, u64, u64)> {
        let of = |batch: Batch| (batch.replica, batch.receiver, batch.started_ns, batch.time_ns);
        self.sent().into_iter().map(of).collect()
    }

    /// What the replica's file has.
    pub(crate) fn filed(&self, name: &str) -> Vec<Batch> {
        let path: PathBuf = self.dir.path().join(format!("{name}.json"));
        sent::filed(name, &fs::read_to_string(path).unwrap_or_default())
    }

    /// Nothing was wrong: so many terms of each receiver have sent, one after the other, each began with all there is, and
    /// nothing came twice; the same is true of the files. Nothing was read in a term that was closed by then.
    #[track_caller]
    pub(crate) fn acquit(&self, agents: &[Agent], count: usize) {
        let sent = self.sent();
        assert_eq!(sent::twice(&sent), [""; 0], "sent twice");
        let filed: Vec<Batch> = agents.iter().flat_map(|agent| self.filed(agent.name)).collect();
        assert_eq!(sent::twice(&filed), [""; 0], "written twice");
        for (receiver, lease) in &self.leases {
            let terms = self.terms(receiver);
            assert_eq!(terms.len(), count, "terms of {receiver} in {:?}", self.overview());
            for term in &terms {
                self.begins_with_everything(receiver, &term.batches[0]);
            }
            for agent in agents {
                let own = terms.iter().filter(|term| term.replica == agent.name);
                for (term, closed_ns) in own.zip(closed(&agent.program, lease)) {
                    assert!(
                        term.last_ns() <= closed_ns,
                        "{}: read at {}, closed at {closed_ns}",
                        agent.name,
                        term.last_ns()
                    );
                }
            }
            sent::terms(&filed, receiver).unwrap_or_else(|mixed| panic!("two in the files: {mixed}"));
        }
    }

    #[track_caller]
    fn begins_with_everything(&self, receiver: &str, batch: &Batch) {
        let namespace = format!("k8s.namespace.name={} ", self.fleet.namespace);
        let expected: &[&[&str]] = if receiver == CLUSTER {
            &[
                &["k8s.node.name=node-a ", "k8s.node.condition_ready "],
                &[&namespace, "k8s.pod.name=web ", "k8s.pod.phase "],
                &[&namespace, "k8s.container.name=c ", "k8s.container.cpu_limit "],
                &[&namespace, "k8s.deployment.name=web ", "k8s.deployment.desired "],
            ]
        } else {
            &[
                &[&namespace, "k8s.resource.name=g ", "kyma.resource.status.state "],
                &[&namespace, "k8s.resource.name=g ", "kyma.resource.status.conditions "],
            ]
        };
        for texts in expected {
            assert!(batch.tells(texts), "no {texts:?} in {batch:#?}");
        }
    }
}

/// When each term of this replica on this lease was closed, by the wall clock of its log: its work had stopped.
fn closed(program: &Program, lease: &str) -> Vec<u64> {
    let (lines, lease) = (program.lines(), format!("/{lease} "));
    let closed = lines.iter().filter(|l| l.text.contains("the term is closed") && l.text.contains(&lease));
    let stamp = |text: &str| {
        let stamp: jiff::Timestamp = text.split_whitespace().next()?.parse().ok()?;
        u64::try_from(stamp.as_nanosecond()).ok()
    };
    closed.map(|line| stamp(&line.text).unwrap_or_else(|| panic!("no time in {:?}", line.text))).collect()
}

/// Waits until it has seen that this one leads.
#[track_caller]
pub(crate) fn sees(agent: &Agent, leader: &str) {
    agent.program.wait_for_line(&format!("holder={leader}"), SOON).expect("it sees the leader");
}

/// Creates what is collected: a node, a pod, a deployment and a custom resource.
fn furnish(cluster: &Cluster, namespace: &str) {
    let api = cluster.api();
    let node = |more: Value| {
        let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}});
        node.as_object_mut().expect("a map").extend(more.as_object().cloned().unwrap_or_default());
        node
    };
    api.apply(&node(json!({})));
    let ready = node(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
    api.admin("PATCH", "/api/v1/nodes/node-a/status?fieldManager=testbed&force=true", Some(&ready)).ok();
    let container = json!({"name": "c", "image": "nginx:1", "resources": {"limits": {"cpu": "250m"}}});
    api.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": namespace},
        "spec": {"containers": [container]}}));
    api.apply(&json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}}}));
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    api.apply(&json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.test.example"},
        "spec": {"group": "test.example", "scope": "Namespaced", "names": {"plural": "gadgets", "kind": "Gadget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}}));
    let conditions = json!([{"type": "Healthy", "status": "True", "reason": "Fine"}]);
    let gadget = json!({"apiVersion": "test.example/v1", "kind": "Gadget",
        "metadata": {"name": "g", "namespace": namespace}, "status": {"state": "Ready", "conditions": conditions}});
    let path = format!("/apis/test.example/v1/namespaces/{namespace}/gadgets/g?fieldManager=testbed&force=true");
    // The definition takes a moment to be served.
    let is_taken = || api.admin("PATCH", &path, Some(&gadget)).status < 300;
    assert!(wait_until(SOON, is_taken), "the custom resource is served");
}
