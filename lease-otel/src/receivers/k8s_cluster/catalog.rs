//! Every metric and every resource attribute that the receiver has, by the reference's names.

macro_rules! catalog {
    ($(#[$doc:meta])* $name:ident, $entry:ident { $($variant:ident: $text:literal, $on:literal $(, $more:ident: $value:expr)*;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name {
            $(#[allow(missing_docs)] $variant,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub(super) const ALL: &'static [$entry] =
                &[$($entry { name: $text, is_on: $on $(, $more: $value)* },)*];

            /// What is known of it.
            pub(super) fn entry(self) -> &'static $entry {
                &Self::ALL[self as usize]
            }
        }
    };
}

/// What is known of a metric.
#[derive(Debug)]
pub(super) struct MetricEntry {
    /// Its name.
    pub(super) name: &'static str,
    /// Whether it is on where the configuration does not say.
    pub(super) is_on: bool,
    /// Its unit.
    pub(super) unit: &'static str,
    /// What it tells.
    pub(super) about: &'static str,
}

/// What is known of a resource attribute.
#[derive(Debug)]
pub(super) struct AttributeEntry {
    /// Its name.
    pub(super) name: &'static str,
    /// Whether it is on where the configuration does not say.
    pub(super) is_on: bool,
}

catalog! {
    /// A metric that can be turned on and off.
    Metric, MetricEntry {
        ContainerCpuLimit: "k8s.container.cpu_limit", true, unit: "{cpu}", about: "CPU limit of the container";
        ContainerCpuRequest: "k8s.container.cpu_request", true, unit: "{cpu}", about: "CPU requested for the container";
        ContainerEphemeralLimit: "k8s.container.ephemeralstorage_limit", true, unit: "By", about: "Ephemeral storage limit of the container";
        ContainerEphemeralRequest: "k8s.container.ephemeralstorage_request", true, unit: "By", about: "Ephemeral storage requested for the container";
        ContainerMemoryLimit: "k8s.container.memory_limit", true, unit: "By", about: "Memory limit of the container";
        ContainerMemoryRequest: "k8s.container.memory_request", true, unit: "By", about: "Memory requested for the container";
        ContainerReady: "k8s.container.ready", true, unit: "", about: "Whether the container is ready: 1 or 0";
        ContainerRestarts: "k8s.container.restarts", true, unit: "{restart}", about: "Restarts of the container, as far as the kubelet remembers";
        ContainerStatusReason: "k8s.container.status.reason", false, unit: "{container}", about: "1 for the reason of the container's state, 0 for every other reason";
        ContainerStatusState: "k8s.container.status.state", false, unit: "{container}", about: "1 for the container's state, 0 for every other state";
        ContainerStorageLimit: "k8s.container.storage_limit", true, unit: "By", about: "Storage limit of the container";
        ContainerStorageRequest: "k8s.container.storage_request", true, unit: "By", about: "Storage requested for the container";
        CronjobActive: "k8s.cronjob.active_jobs", true, unit: "{job}", about: "Jobs of the cron job that run";
        DaemonsetCurrent: "k8s.daemonset.current_scheduled_nodes", true, unit: "{node}", about: "Nodes that run the daemon pod and should";
        DaemonsetDesired: "k8s.daemonset.desired_scheduled_nodes", true, unit: "{node}", about: "Nodes that should run the daemon pod";
        DaemonsetMisscheduled: "k8s.daemonset.misscheduled_nodes", true, unit: "{node}", about: "Nodes that run the daemon pod and should not";
        DaemonsetReady: "k8s.daemonset.ready_nodes", true, unit: "{node}", about: "Nodes whose daemon pod is ready";
        DeploymentAvailable: "k8s.deployment.available", true, unit: "{pod}", about: "Available pods of the deployment";
        DeploymentDesired: "k8s.deployment.desired", true, unit: "{pod}", about: "Desired pods of the deployment";
        HpaCurrent: "k8s.hpa.current_replicas", true, unit: "{pod}", about: "Replicas that the autoscaler sees";
        HpaDesired: "k8s.hpa.desired_replicas", true, unit: "{pod}", about: "Replicas that the autoscaler wants";
        HpaMax: "k8s.hpa.max_replicas", true, unit: "{pod}", about: "Most replicas that the autoscaler may set";
        HpaMin: "k8s.hpa.min_replicas", true, unit: "{pod}", about: "Fewest replicas that the autoscaler may set";
        JobActive: "k8s.job.active_pods", true, unit: "{pod}", about: "Pods of the job that run";
        JobDesired: "k8s.job.desired_successful_pods", true, unit: "{pod}", about: "Pods that are to succeed for the job";
        JobFailed: "k8s.job.failed_pods", true, unit: "{pod}", about: "Pods of the job that failed";
        JobMaxParallel: "k8s.job.max_parallel_pods", true, unit: "{pod}", about: "Most pods of the job that run at once";
        JobSuccessful: "k8s.job.successful_pods", true, unit: "{pod}", about: "Pods of the job that succeeded";
        NamespacePhase: "k8s.namespace.phase", true, unit: "", about: "Phase of the namespace: 1 active, 0 terminating, -1 unknown";
        NodeCondition: "k8s.node.condition", false, unit: "{condition}", about: "Each condition of the node: 1 true, 0 false, -1 unknown";
        PodPhase: "k8s.pod.phase", true, unit: "", about: "Phase of the pod: 1 pending, 2 running, 3 succeeded, 4 failed, 5 unknown";
        PodStatusReason: "k8s.pod.status_reason", false, unit: "", about: "Reason of the pod's status: 1 Evicted, 2 NodeAffinity, 3 NodeLost, 4 Shutdown, 5 UnexpectedAdmissionError, 6 another";
        ReplicasetAvailable: "k8s.replicaset.available", true, unit: "{pod}", about: "Available pods of the replica set";
        ReplicasetDesired: "k8s.replicaset.desired", true, unit: "{pod}", about: "Desired pods of the replica set";
        ReplicationControllerAvailable: "k8s.replication_controller.available", true, unit: "{pod}", about: "Available pods of the replication controller";
        ReplicationControllerDesired: "k8s.replication_controller.desired", true, unit: "{pod}", about: "Desired pods of the replication controller";
        QuotaHardLimit: "k8s.resource_quota.hard_limit", true, unit: "{resource}", about: "Limit of the quota, in thousandths for requests.cpu and limits.cpu";
        QuotaUsed: "k8s.resource_quota.used", true, unit: "{resource}", about: "Use of the quota, in thousandths for requests.cpu and limits.cpu";
        StatefulsetCurrent: "k8s.statefulset.current_pods", true, unit: "{pod}", about: "Pods of the stateful set's current revision";
        StatefulsetDesired: "k8s.statefulset.desired_pods", true, unit: "{pod}", about: "Desired pods of the stateful set";
        StatefulsetReady: "k8s.statefulset.ready_pods", true, unit: "{pod}", about: "Ready pods of the stateful set";
        StatefulsetUpdated: "k8s.statefulset.updated_pods", true, unit: "{pod}", about: "Pods of the stateful set's new revision";
    }
}

/// Metrics that the reference knows and this does not have; only the last four are on there, for `OpenShift`.
pub(super) const OTHER_METRICS: [&str; 6] = [
    "k8s.service.endpoint.count",
    "k8s.service.load_balancer.ingress.count",
    "openshift.appliedclusterquota.limit",
    "openshift.appliedclusterquota.used",
    "openshift.clusterquota.limit",
    "openshift.clusterquota.used",
];

catalog! {
    /// A resource attribute that can be turned on and off.
    Attribute, AttributeEntry {
        ContainerId: "container.id", true;
        ContainerImageName: "container.image.name", true;
        ContainerImageTag: "container.image.tag", true;
        ContainerRuntime: "container.runtime", false;
        ContainerRuntimeVersion: "container.runtime.version", false;
        ContainerName: "k8s.container.name", true;
        ContainerLastTerminatedReason: "k8s.container.status.last_terminated_reason", false;
        CronjobName: "k8s.cronjob.name", true;
        CronjobUid: "k8s.cronjob.uid", true;
        DaemonsetName: "k8s.daemonset.name", true;
        DaemonsetUid: "k8s.daemonset.uid", true;
        DeploymentName: "k8s.deployment.name", true;
        DeploymentUid: "k8s.deployment.uid", true;
        HpaName: "k8s.hpa.name", true;
        HpaTargetApiVersion: "k8s.hpa.scaletargetref.apiversion", false;
        HpaTargetKind: "k8s.hpa.scaletargetref.kind", false;
        HpaTargetName: "k8s.hpa.scaletargetref.name", false;
        HpaUid: "k8s.hpa.uid", true;
        JobName: "k8s.job.name", true;
        JobUid: "k8s.job.uid", true;
        KubeletVersion: "k8s.kubelet.version", false;
        NamespaceName: "k8s.namespace.name", true;
        NamespaceUid: "k8s.namespace.uid", true;
        NodeName: "k8s.node.name", true;
        NodeUid: "k8s.node.uid", true;
        PodName: "k8s.pod.name", true;
        PodQosClass: "k8s.pod.qos_class", false;
        PodUid: "k8s.pod.uid", true;
        ReplicasetName: "k8s.replicaset.name", true;
        ReplicasetUid: "k8s.replicaset.uid", true;
        ReplicationControllerName: "k8s.replicationcontroller.name", true;
        ReplicationControllerUid: "k8s.replicationcontroller.uid", true;
        QuotaName: "k8s.resourcequota.name", true;
        QuotaUid: "k8s.resourcequota.uid", true;
        StatefulsetName: "k8s.statefulset.name", true;
        StatefulsetUid: "k8s.statefulset.uid", true;
        OsDescription: "os.description", false;
        OsType: "os.type", false;
    }
}

/// Resource attributes of what this does not have.
pub(super) const OTHER_ATTRIBUTES: [&str; 7] = [
    "k8s.service.name",
    "k8s.service.publish_not_ready_addresses",
    "k8s.service.traffic_distribution",
    "k8s.service.type",
    "k8s.service.uid",
    "openshift.clusterquota.name",
    "openshift.clusterquota.uid",
];
