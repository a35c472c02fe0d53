//! The kinds of objects, each with no more than what the metrics need: the rest is skipped while it is read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $group:literal, $version:literal, $plural:literal;)*) => { $(
        impl Resource for $name {
            type DynamicType = ();
            type Scope = DynamicResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                stringify!($name).into()
            }
            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }
            fn version((): &()) -> Cow<'_, str> {
                $version.into()
            }
            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    )* };
}

kinds! {
    Pod: "", "v1", "pods";
    Node: "", "v1", "nodes";
    Namespace: "", "v1", "namespaces";
    ReplicationController: "", "v1", "replicationcontrollers";
    ResourceQuota: "", "v1", "resourcequotas";
    Deployment: "apps", "v1", "deployments";
    ReplicaSet: "apps", "v1", "replicasets";
    DaemonSet: "apps", "v1", "daemonsets";
    StatefulSet: "apps", "v1", "statefulsets";
    Job: "batch", "v1", "jobs";
    CronJob: "batch", "v1", "cronjobs";
    HorizontalPodAutoscaler: "autoscaling", "v2", "horizontalpodautoscalers";
}

/// A field that may be `null`, as those of Go's structs are when they are empty.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Name, namespace, uid and version. Labels, annotations and managed fields are most of an object, and of no use here.
fn thin_meta<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Thin {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
    }
    let Thin { name, namespace, uid, resource_version } = Thin::deserialize(from)?;
    Ok(ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() })
}

macro_rules! objects {
    ($($name:ident { $(spec: $spec:ty,)? $(status: $status:ty,)? })*) => { $(
        #[derive(Clone, Debug, Deserialize)]
        pub(super) struct $name {
            #[serde(deserialize_with = "thin_meta")]
            pub(super) metadata: ObjectMeta,
            $(#[serde(default, deserialize_with = "nullable")]
            pub(super) spec: $spec,)?
            $(#[serde(default, deserialize_with = "nullable")]
            pub(super) status: $status,)?
        }
    )* };
}

objects! {
    Pod { spec: PodSpec, status: PodStatus, }
    Node { status: NodeStatus, }
    Namespace { status: NamespaceStatus, }
    ReplicationController { spec: Replicas, status: Available, }
    ResourceQuota { status: QuotaStatus, }
    Deployment { spec: Replicas, status: Available, }
    ReplicaSet { spec: Replicas, status: Available, }
    DaemonSet { status: DaemonSetStatus, }
    StatefulSet { spec: Replicas, status: StatefulSetStatus, }
    Job { spec: JobSpec, status: JobStatus, }
    CronJob { status: CronJobStatus, }
    HorizontalPodAutoscaler { spec: HpaSpec, status: HpaStatus, }
}

macro_rules! parts {
    ($($name:ident { $($(#[$rename:meta])? $field:ident: $type:ty,)* })*) => { $(
        // The names are the API's.
        #[allow(clippy::struct_field_names)]
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(super) struct $name {
            $($(#[$rename])?
            #[serde(deserialize_with = "nullable")]
            pub(super) $field: $type,)*
        }
    )* };
}

/// Amounts by the name of the resource.
pub(super) type Amounts = BTreeMap<Box<str>, Box<str>>;

parts! {
    PodSpec { node_name: Box<str>, containers: Vec<Container>, }
    Container { name: Box<str>, resources: Resources, }
    Resources { limits: Amounts, requests: Amounts, }
    PodStatus { phase: Box<str>, reason: Box<str>, qos_class: Box<str>, container_statuses: Vec<ContainerStatus>, }
    ContainerStatus {
        name: Box<str>,
        image: Box<str>,
        #[serde(rename = "containerID")]
        container_id: Box<str>,
        ready: bool,
        restart_count: i64,
        state: ContainerState,
        last_state: ContainerState,
    }
    ContainerState { running: Option<Running>, waiting: Option<Reason>, terminated: Option<Reason>, }
    Running {}
    Reason { reason: Box<str>, }
    NodeStatus { conditions: Vec<Condition>, allocatable: Amounts, node_info: NodeInfo, }
    Condition {
        #[serde(rename = "type")]
        kind: Box<str>,
        status: Box<str>,
    }
    NodeInfo { kubelet_version: Box<str>, container_runtime_version: Box<str>, os_image: Box<str>, operating_system: Box<str>, }
    NamespaceStatus { phase: Box<str>, }
    Replicas { replicas: Option<i64>, }
    Available { available_replicas: i64, }
    QuotaStatus { hard: Amounts, used: Amounts, }
    DaemonSetStatus {
        current_number_scheduled: i64,
        desired_number_scheduled: i64,
        number_misscheduled: i64,
        number_ready: i64,
    }
    StatefulSetStatus { ready_replicas: i64, current_replicas: i64, updated_replicas: i64, }
    JobSpec { completions: Option<i64>, parallelism: Option<i64>, }
    JobStatus { active: i64, succeeded: i64, failed: i64, }
    CronJobStatus { active: Vec<serde::de::IgnoredAny>, }
    HpaSpec { min_replicas: Option<i64>, max_replicas: i64, scale_target_ref: ScaleTarget, }
    ScaleTarget { api_version: Box<str>, kind: Box<str>, name: Box<str>, }
    HpaStatus { current_replicas: i64, desired_replicas: i64, }
}
