//! Every kind of component that the collector has.

use crate::component::Registry;
use crate::exporters::debug::Debug;
use crate::exporters::file::File;
use crate::exporters::otlp_grpc::OtlpGrpc;
use crate::exporters::otlp_http::OtlpHttp;
use crate::extensions::{HealthCheckFactory, KubernetesElectorFactory, MemoryElectorFactory};
use crate::processors::batch::BatchKind;
use crate::processors::memory_limiter::MemoryLimiter;
use crate::receivers::k8s_cluster::K8sCluster;
use crate::receivers::k8s_events::K8sEvents;
use crate::receivers::k8sobjects::K8sObjects;
use crate::receivers::kymastats::KymaStats;
use crate::receivers::{CreatorFactory, DummyFactory};

/// All kinds, one line each. `exec` is not among them: [it](crate::receivers::exec::ExecFactory) needs a keeper.
pub fn registry() -> Registry {
    Registry::default()
        .with_extension(HealthCheckFactory)
        .with_extension(KubernetesElectorFactory)
        .with_extension(MemoryElectorFactory)
        .with_receiver(CreatorFactory)
        .with_receiver(DummyFactory)
        .with_processor(BatchKind)
        .with_processor(MemoryLimiter)
        .with_exporter(Debug)
        .with_exporter(File)
        .with_exporter(OtlpGrpc)
        .with_exporter(OtlpHttp)
        .with_receiver(K8sCluster)
        .with_receiver(K8sEvents)
        .with_receiver(K8sObjects)
        .with_receiver(KymaStats)
}
