//! The elector `memory_leader_elector`: a lease that only this process knows, for tests and demonstrations.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use async_trait::async_trait;
use lease_core::{Constraints, HolderIdentity, LeaderElection};
use lease_memory::MemoryStore;

use super::candidate::{Candidate, candidate};
use super::election::{Named, RunningElector};
use crate::component::{Extension, ExtensionFactory, Kind, Meter, RunningExtension, StartError};
use crate::config::{ComponentId, Fields};

/// The kind `memory_leader_elector`. It excludes nobody outside of this process.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `lease_name` | `default` | the lease |
/// | `store` | `default` | the store that has it: one of each name in a process |
///
/// And the durations, `identity` and `start_when` of `k8s_leader_elector`; here durations need not be whole seconds.
#[derive(Clone, Copy, Debug)]
pub struct MemoryElectorFactory;

impl ExtensionFactory for MemoryElectorFactory {
    fn kind(&self) -> Kind {
        Kind {
            name: "memory_leader_elector",
            aliases: &[],
            summary: "leads where it holds a lease of this process; for tests and demonstrations",
            signals: &[],
        }
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Extension> {
        let name = named(fields, "lease_name");
        let store = named(fields, "store");
        Box::new(Memory { name, store, candidate: candidate(fields, Constraints::FINE) })
    }
}

fn named(fields: &mut Fields<'_>, key: &'static str) -> String {
    let found = fields.text(key).map_or_else(|| "default".to_owned(), |found| found.value);
    if found.is_empty() {
        fields.error(key, "a name is missing; leave the key out for `default`");
    }
    found
}

/// The store of this name, the same for the whole process.
pub(crate) fn store(name: &str) -> MemoryStore {
    static STORES: LazyLock<Mutex<HashMap<String, MemoryStore>>> = LazyLock::new(Mutex::default);
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    stores.entry(name.to_owned()).or_default().clone()
}

#[derive(Debug)]
struct Memory {
    name: String,
    store: String,
    /// None where the configuration is wrong, and nothing is started.
    candidate: Option<Candidate>,
}

#[async_trait]
impl Extension for Memory {
    async fn start(
        &self,
        id: &ComponentId,
        telemetry: Arc<dyn Meter>,
    ) -> Result<Box<dyn RunningExtension>, StartError> {
        let Some(candidate) = &self.candidate else { return Err("its configuration is wrong".into()) };
        let lock = store(&self.store).lock(self.name.as_str());
        let identity = HolderIdentity::unique(&candidate.name)?;
        let election = LeaderElection::watched(lock, identity).timing(candidate.timing);
        let named = Named { lease: self.name.clone(), namespace: self.store.clone(), backend: "memory" };
        Ok(Box::new(RunningElector::start(id, election, named, candidate.start_when, telemetry)?))
    }

    fn is_elector(&self) -> bool {
        true
    }
}
