//! The extensions: electors, and what tells others how the collector is.

mod candidate;
mod election;
mod health;
mod kubernetes;
mod memory;

pub use self::health::HealthCheckFactory;
pub use self::kubernetes::KubernetesElectorFactory;
pub(crate) use self::kubernetes::{Kubernetes, Lease, access, unreachable};
pub use self::memory::MemoryElectorFactory;
