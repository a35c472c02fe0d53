//! Every kind of component that the collector has.

use crate::component::Registry;
use crate::extensions::{HealthCheckFactory, KubernetesElectorFactory, MemoryElectorFactory};
use crate::receivers::{CreatorFactory, DummyFactory};

/// All kinds, one line each. `exec` is not among them: [it](crate::receivers::exec::ExecFactory) needs a keeper.
pub fn registry() -> Registry {
    Registry::default()
        .with_extension(HealthCheckFactory)
        .with_extension(KubernetesElectorFactory)
        .with_extension(MemoryElectorFactory)
        .with_receiver(CreatorFactory)
        .with_receiver(DummyFactory)
}
