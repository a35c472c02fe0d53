//! Every kind of component that the collector has.

use crate::component::Registry;
use crate::receivers::k8s_cluster::K8sCluster;
use crate::receivers::k8s_events::K8sEvents;
use crate::receivers::k8sobjects::K8sObjects;
use crate::receivers::kymastats::KymaStats;

/// All kinds, one line each.
pub fn registry() -> Registry {
    Registry::default()
        .with_receiver(K8sCluster)
        .with_receiver(K8sEvents)
        .with_receiver(K8sObjects)
        .with_receiver(KymaStats)
}
