//! What each kind of object tells. All of this is a function of the object alone.

use kube::api::ObjectMeta;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

use super::catalog::{Attribute, Metric};
use super::emit::{Emission, Object};
use super::kinds::{
    Amounts, Container, ContainerStatus, CronJob, DaemonSet, Deployment, HorizontalPodAutoscaler, Job, Namespace, Node,
    Pod, ReplicaSet, ReplicationController, ResourceQuota, StatefulSet,
};
use crate::receivers::kubernetes::quantity::Quantity;
use crate::receivers::kubernetes::snake::snake;
use crate::receivers::kubernetes::{image, truth};

/// An object from which metrics are made.
pub(super) trait Told: Send {
    /// Adds what it tells.
    fn tell(&self, to: &mut Emission<'_>);
}

/// What an object is named by: its namespace, if its kind has one, its name and its uid.
fn named(object: &mut Object<'_, '_>, meta: &ObjectMeta, name: Attribute, uid: Attribute) {
    object.name(Attribute::NamespaceName, text(meta.namespace.as_ref()));
    object.name(name, text(meta.name.as_ref())).name(uid, text(meta.uid.as_ref()));
}

fn text(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

fn cpus(quantity: Quantity) -> f64 {
    // A cluster has fewer than 2^53 thousandths of a processor.
    #[allow(clippy::cast_precision_loss)]
    let milli = quantity.milli_value() as f64;
    milli / 1000.0
}

impl Told for Pod {
    fn tell(&self, to: &mut Emission<'_>) {
        let mut object = to.object();
        object.int(Metric::PodPhase, phase(&self.status.phase));
        object.int(Metric::PodStatusReason, status_reason(&self.status.reason));
        named(&mut object, &self.metadata, Attribute::PodName, Attribute::PodUid);
        object.name(Attribute::NodeName, &self.spec.node_name).name(Attribute::PodQosClass, &self.status.qos_class);
        object.end();
        for container in &self.spec.containers {
            let status = self.status.container_statuses.iter().find(|status| status.name == container.name);
            self.tell_container(container, status, to);
        }
    }
}

fn phase(phase: &str) -> i64 {
    match phase {
        "Pending" => 1,
        "Running" => 2,
        "Succeeded" => 3,
        "Failed" => 4,
        _ => 5,
    }
}

fn status_reason(reason: &str) -> i64 {
    match reason {
        "Evicted" => 1,
        "NodeAffinity" => 2,
        "NodeLost" => 3,
        "Shutdown" => 4,
        "UnexpectedAdmissionError" => 5,
        _ => 6,
    }
}

const REQUESTS: [(&str, Metric); 4] = [
    ("cpu", Metric::ContainerCpuRequest),
    ("memory", Metric::ContainerMemoryRequest),
    ("storage", Metric::ContainerStorageRequest),
    ("ephemeral-storage", Metric::ContainerEphemeralRequest),
];
const LIMITS: [(&str, Metric); 4] = [
    ("cpu", Metric::ContainerCpuLimit),
    ("memory", Metric::ContainerMemoryLimit),
    ("storage", Metric::ContainerStorageLimit),
    ("ephemeral-storage", Metric::ContainerEphemeralLimit),
];
/// Every one of these is reported, so that none disappears when the reason changes.
const REASONS: [&str; 9] = [
    "ContainerCreating",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImagePull",
    "ImagePullBackOff",
    "OOMKilled",
    "Completed",
    "Error",
    "ContainerCannotRun",
];

impl Pod {
    fn tell_container(&self, container: &Container, status: Option<&ContainerStatus>, to: &mut Emission<'_>) {
        let mut object = to.object();
        amounts(&mut object, &container.resources.requests, &REQUESTS);
        amounts(&mut object, &container.resources.limits, &LIMITS);
        if let Some(status) = status {
            tell_status(&mut object, status);
        }
        let (image, id) = status.map_or(("", ""), |status| (&*status.image, &*status.container_id));
        let meta = &self.metadata;
        named(&mut object, meta, Attribute::PodName, Attribute::PodUid);
        object.name(Attribute::NodeName, &self.spec.node_name).name(Attribute::ContainerName, &container.name);
        object.name(Attribute::ContainerId, bare_id(id));
        if let Some((repository, tag)) = image::parse(image) {
            object.name(Attribute::ContainerImageName, repository).name(Attribute::ContainerImageTag, tag);
        }
        object.end();
    }
}

fn amounts(object: &mut Object<'_, '_>, amounts: &Amounts, metrics: &[(&str, Metric)]) {
    for (resource, metric) in metrics {
        let Some(quantity) = amounts.get(*resource).and_then(|amount| Quantity::parse(amount)) else { continue };
        if *resource == "cpu" {
            object.double(*metric, cpus(quantity));
        } else {
            object.int(*metric, quantity.value());
        }
    }
}

fn tell_status(object: &mut Object<'_, '_>, status: &ContainerStatus) {
    object.int(Metric::ContainerRestarts, status.restart_count);
    object.int(Metric::ContainerReady, i64::from(status.ready));
    if let Some(terminated) = &status.last_state.terminated {
        object.name(Attribute::ContainerLastTerminatedReason, &terminated.reason);
    }
    let state = &status.state;
    let (name, reason) = match (&state.running, &state.terminated, &state.waiting) {
        (Some(_), _, _) => (Some("running"), state.terminated.as_ref().or(state.waiting.as_ref())),
        (None, Some(terminated), _) => (Some("terminated"), Some(terminated)),
        (None, None, Some(waiting)) => (Some("waiting"), Some(waiting)),
        (None, None, None) => (None, None),
    };
    if let Some(name) = name {
        for each in ["running", "waiting", "terminated"] {
            let value = i64::from(each == name);
            object.summand_of(Metric::ContainerStatusState, value, "k8s.container.status.state", each);
        }
    }
    for each in REASONS {
        let value = i64::from(reason.is_some_and(|found| &*found.reason == each));
        object.summand_of(Metric::ContainerStatusReason, value, "k8s.container.status.reason", each);
    }
}

/// Without the name of the runtime: `containerd://abc` is `abc`.
fn bare_id(id: &str) -> &str {
    match id.split_once("://") {
        Some((runtime, rest))
            if !runtime.is_empty() && runtime.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) =>
        {
            rest
        }
        _ => id,
    }
}

impl Told for Node {
    /// Two resources where `k8s.node.condition` is on, as the reference has it.
    fn tell(&self, to: &mut Emission<'_>) {
        let report = to.report;
        let info = &self.status.node_info;
        let (name, uid) = (text(self.metadata.name.as_ref()), text(self.metadata.uid.as_ref()));
        let mut object = to.object();
        for condition in &report.node_conditions {
            let found = self.status.conditions.iter().find(|found| *found.kind == **condition);
            object.named(
                format!("k8s.node.condition_{}", snake(condition)),
                String::new(),
                format!("Condition {condition} of the node: 1 true, 0 false, -1 unknown"),
                Value::AsInt(found.map_or(-1, |found| truth(&found.status))),
            );
        }
        for resource in &report.allocatable_types {
            let amount = self.status.allocatable.get(&**resource);
            let Some(quantity) = amount.and_then(|amount| Quantity::parse(amount)) else { continue };
            let (unit, value) = match &**resource {
                "cpu" => ("{cpu}".to_owned(), Value::AsDouble(cpus(quantity))),
                "memory" | "ephemeral-storage" | "storage" => ("By".to_owned(), Value::AsInt(quantity.value())),
                "pods" => ("{pod}".to_owned(), Value::AsInt(quantity.value())),
                other => (format!("{{{other}}}"), Value::AsInt(quantity.value())),
            };
            let metric = format!("k8s.node.allocatable_{}", snake(resource));
            object.named(metric, unit, format!("How much {resource} pods can have on the node"), value);
        }
        object.name(Attribute::NodeName, name).name(Attribute::NodeUid, uid);
        object.name(Attribute::KubeletVersion, &info.kubelet_version).name(Attribute::OsType, &info.operating_system);
        // What is not RUNTIME://VERSION tells neither.
        if let Some((runtime, version)) = info.container_runtime_version.split_once("://")
            && !version.contains("://")
        {
            for (attribute, part) in
                [(Attribute::ContainerRuntime, runtime), (Attribute::ContainerRuntimeVersion, version)]
            {
                if !part.is_empty() {
                    object.name(attribute, part);
                }
            }
        }
        object.name(Attribute::OsDescription, &info.os_image);
        object.end();

        for condition in &self.status.conditions {
            object.int_of(Metric::NodeCondition, truth(&condition.status), "condition", &condition.kind);
        }
        object.name(Attribute::NodeName, name).name(Attribute::NodeUid, uid);
        object.name(Attribute::KubeletVersion, &info.kubelet_version);
        object.end();
    }
}

impl Told for Namespace {
    fn tell(&self, to: &mut Emission<'_>) {
        let phase = match &*self.status.phase {
            "Active" => 1,
            "" => -1,
            _ => 0,
        };
        let mut object = to.object();
        object.int(Metric::NamespacePhase, phase);
        object.name(Attribute::NamespaceUid, text(self.metadata.uid.as_ref()));
        object.name(Attribute::NamespaceName, text(self.metadata.name.as_ref()));
        object.end();
    }
}

macro_rules! told {
    ($($kind:ident as ($name:ident, $uid:ident) { $($metric:ident: $value:expr,)* })*) => { $(
        impl Told for $kind {
            fn tell(&self, to: &mut Emission<'_>) {
                let mut object = to.object();
                $({
                    let value: fn(&Self) -> Option<i64> = $value;
                    if let Some(value) = value(self) {
                        object.int(Metric::$metric, value);
                    }
                })*
                named(&mut object, &self.metadata, Attribute::$name, Attribute::$uid);
                object.end();
            }
        }
    )* };
}

told! {
    Deployment as (DeploymentName, DeploymentUid) {
        DeploymentDesired: |it| it.spec.replicas,
        DeploymentAvailable: |it| Some(it.status.available_replicas),
    }
    ReplicaSet as (ReplicasetName, ReplicasetUid) {
        ReplicasetDesired: |it| it.spec.replicas,
        ReplicasetAvailable: |it| it.spec.replicas.map(|_| it.status.available_replicas),
    }
    ReplicationController as (ReplicationControllerName, ReplicationControllerUid) {
        ReplicationControllerDesired: |it| it.spec.replicas,
        ReplicationControllerAvailable: |it| it.spec.replicas.map(|_| it.status.available_replicas),
    }
    StatefulSet as (StatefulsetName, StatefulsetUid) {
        StatefulsetDesired: |it| it.spec.replicas,
        StatefulsetReady: |it| it.spec.replicas.map(|_| it.status.ready_replicas),
        StatefulsetCurrent: |it| it.spec.replicas.map(|_| it.status.current_replicas),
        StatefulsetUpdated: |it| it.spec.replicas.map(|_| it.status.updated_replicas),
    }
    DaemonSet as (DaemonsetName, DaemonsetUid) {
        DaemonsetCurrent: |it| Some(it.status.current_number_scheduled),
        DaemonsetDesired: |it| Some(it.status.desired_number_scheduled),
        DaemonsetMisscheduled: |it| Some(it.status.number_misscheduled),
        DaemonsetReady: |it| Some(it.status.number_ready),
    }
    Job as (JobName, JobUid) {
        JobActive: |it| Some(it.status.active),
        JobFailed: |it| Some(it.status.failed),
        JobSuccessful: |it| Some(it.status.succeeded),
        JobDesired: |it| it.spec.completions,
        JobMaxParallel: |it| it.spec.parallelism,
    }
    CronJob as (CronjobName, CronjobUid) {
        CronjobActive: |it| i64::try_from(it.status.active.len()).ok(),
    }
}

impl Told for HorizontalPodAutoscaler {
    fn tell(&self, to: &mut Emission<'_>) {
        let mut object = to.object();
        object.int(Metric::HpaMax, self.spec.max_replicas);
        if let Some(min) = self.spec.min_replicas {
            object.int(Metric::HpaMin, min);
        }
        object.int(Metric::HpaCurrent, self.status.current_replicas);
        object.int(Metric::HpaDesired, self.status.desired_replicas);
        named(&mut object, &self.metadata, Attribute::HpaName, Attribute::HpaUid);
        let target = &self.spec.scale_target_ref;
        object.name(Attribute::HpaTargetApiVersion, &target.api_version);
        object.name(Attribute::HpaTargetKind, &target.kind).name(Attribute::HpaTargetName, &target.name);
        object.end();
    }
}

impl Told for ResourceQuota {
    fn tell(&self, to: &mut Emission<'_>) {
        let mut object = to.object();
        for (metric, amounts) in [(Metric::QuotaHardLimit, &self.status.hard), (Metric::QuotaUsed, &self.status.used)] {
            for (resource, amount) in amounts {
                let Some(quantity) = Quantity::parse(amount) else { continue };
                let is_cpu = resource.ends_with(".cpu");
                let value = if is_cpu { quantity.milli_value() } else { quantity.value() };
                object.int_of(metric, value, "resource", resource);
            }
        }
        named(&mut object, &self.metadata, Attribute::QuotaName, Attribute::QuotaUid);
        object.end();
    }
}
