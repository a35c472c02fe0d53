//! The elector `memory_leader_elector`: a lease that only this process knows, for tests and demonstrations.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lease_core::{Constraints, LeaderElection};
use lease_memory::MemoryStore;

use super::candidate::{Candidate, candidate};
use super::election::{Named, RunningElector};
use crate::component::{Extension, ExtensionFactory, Kind, Meter, RunningExtension, StartError};
use crate::config::{ComponentId, Fields};
use crate::elector::Candidacy;

/// The kind `memory_leader_elector`. It excludes nobody outside of this process.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `lease_name` | `default` | the lease |
/// | `lease_namespace` | `default` | the store that has it: one of each name in a process |
///
/// `auth_type` and `context` have no effect, with a warning, so that the kind is all that changes for a trial.
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
        let store = named(fields, "lease_namespace");
        fields.ignored(
            &["auth_type", "context"],
            "has no effect here; `k8s_leader_elector` knows it, and this lease is of this process alone",
        );
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
        let identity = candidate.identity(&self.store, &self.name)?;
        let candidacy = Candidacy { lease: self.name.clone(), identity: identity.to_string() };
        let election = LeaderElection::watched(lock, identity).timing(candidate.timing);
        let named = Named { lease: self.name.clone(), namespace: self.store.clone(), backend: "memory" };
        Ok(Box::new(RunningElector::start(id, election, named, candidacy, candidate.start_when, telemetry)?))
    }

    fn is_elector(&self) -> bool {
        true
    }

    fn claim(&self) -> Option<String> {
        Some(format!("the lease {}/{} of this process", self.store, self.name))
    }

    fn allow_stop(&mut self, stop_timeout: Duration) {
        if let Some(candidate) = &mut self.candidate {
            candidate.allow_stop(stop_timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use lease_core::HolderIdentity;
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::{Problems, parse};
    use crate::telemetry::Telemetry;

    async fn started(text: &str) -> Box<dyn RunningExtension> {
        started_beside(text, &Arc::new(Telemetry::new())).await
    }

    async fn started_beside(text: &str, telemetry: &Arc<Telemetry>) -> Box<dyn RunningExtension> {
        let mut problems = Problems::default();
        let node = parse(&"test".into(), text, &mut problems).expect("it is YAML");
        let mut fields = Fields::new(&node, "", &mut problems);
        let extension = MemoryElectorFactory.configure(&mut fields);
        fields.finish();
        assert!(problems.errors.is_empty(), "{problems:?}");
        let id = "memory_leader_elector".parse().expect("a name");
        extension.start(&id, Arc::clone(telemetry) as Arc<dyn Meter>).await.expect("it starts")
    }

    /// Says when a term begins.
    fn listen(elector: &dyn RunningExtension) -> mpsc::UnboundedReceiver<()> {
        let (sender, receiver) = mpsc::unbounded_channel();
        elector.elector().expect("it is one").set_callbacks(
            Box::new(move |_| {
                sender.send(()).expect("the test listens");
                Box::pin(async {})
            }),
            Box::new(|| Box::pin(async {})),
        );
        receiver
    }

    const FAST_KEYS: &str = "{lease_duration: 900ms, renew_deadline: 600ms, retry_period: 100ms}";
    const FAST: &str = "lease_duration: 900ms, renew_deadline: 600ms, retry_period: 100ms";

    #[tokio::test]
    async fn it_contends_when_the_pipelines_are_ready() {
        let elector = started(&format!("{{lease_namespace: ready, {FAST}}}")).await;
        let mut terms = listen(&*elector);
        // An election would have asked after one retry period.
        let waited = tokio::time::timeout(Duration::from_millis(300), terms.recv()).await;
        assert!(waited.is_err() && store("ready").revision() == 0, "nobody asked for the lease");
        elector.ready().expect("it contends");
        terms.recv().await.expect("it leads");
        elector.shutdown().await;
        let left = store("ready").read("default").expect("there is a record");
        assert_eq!(left.record.holder, None, "it was released");
    }

    /// Waits until a line is among the metrics.
    async fn until(telemetry: &Telemetry, line: &str) {
        let told = async {
            while !telemetry.text().lines().any(|found| found == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), told).await;
        assert!(waited.is_ok(), "{line} is not in {}", telemetry.text());
    }

    #[tokio::test]
    async fn its_metrics_tell_who_leads_what_was_lost_and_why_and_what_took_longer() {
        let telemetry = Arc::new(Telemetry::new());
        let text = format!("{{lease_namespace: metrics, start_when: immediately, {FAST}}}");
        let elector = started_beside(&text, &telemetry).await;
        let mut terms = listen(&*elector);
        terms.recv().await.expect("it leads");
        let component = "component=\"memory_leader_elector\"";
        let as_client_go = format!("name=\"default\",namespace=\"metrics\",{component}");
        let labels = format!("lease=\"default\",namespace=\"metrics\",backend=\"memory\",{component}");
        until(&telemetry, &format!("leader_election_master_status{{{as_client_go}}} 1.0")).await;
        until(&telemetry, &format!("lease_is_leader{{{labels}}} 1.0")).await;

        store("metrics").edit_labels("default", |labels| {
            labels.insert("a".to_owned(), "b".to_owned());
        });
        until(&telemetry, &format!("leader_election_slowpath_total{{{as_client_go}}} 1")).await;

        assert!(store("metrics").delete("default"), "there was a record");
        until(&telemetry, &format!("lease_losses_total{{{labels},reason=\"deleted\"}} 1")).await;
        terms.recv().await.expect("it leads again");
        until(&telemetry, &format!("lease_acquisitions_total{{{labels}}} 2")).await;
        until(&telemetry, &format!("lease_losses_total{{{labels},reason=\"expired\"}} 0")).await;
        elector.shutdown().await;
        until(&telemetry, &format!("leader_election_master_status{{{as_client_go}}} 0.0")).await;
    }

    #[tokio::test]
    async fn it_does_not_pretend_to_contend_when_it_cannot() {
        let lock = MemoryStore::new().lock("x").with_constraints(Constraints::WHOLE_SECONDS);
        let timing = lease_core::Timing::builder(
            Duration::from_millis(900),
            Duration::from_millis(600),
            Duration::from_millis(100),
        );
        let election = LeaderElection::watched(lock, HolderIdentity::exact("a").expect("a name"))
            .timing(timing.build().expect("they go together"));
        let named = Named { lease: "x".to_owned(), namespace: "y".to_owned(), backend: "memory" };
        let candidacy = Candidacy { lease: "x".to_owned(), identity: "a".to_owned() };
        let id = "memory_leader_elector".parse().expect("a name");
        let start_when = super::super::candidate::StartWhen::Ready;
        let elector = RunningElector::start(&id, election, named, candidacy, start_when, Arc::new(Telemetry::new()));
        let error = elector.expect("it waits").ready().expect_err("the store keeps whole seconds only");
        assert!(error.to_string().starts_with("retry period 100ms is below 1s"), "{error}");
    }

    #[test]
    fn it_holds_the_lease_as_long_as_its_receivers_may_take_to_stop() {
        let mut problems = Problems::default();
        let node = parse(&"test".into(), FAST_KEYS, &mut problems).expect("it is YAML");
        let mut candidate =
            candidate(&mut Fields::new(&node, "", &mut problems), Constraints::FINE).expect("it is good");
        let before = candidate.timing;
        candidate.allow_stop(Duration::from_secs(10));
        assert_eq!(candidate.timing, before, "there is that much anyway");
        candidate.allow_stop(Duration::from_secs(90));
        candidate.allow_stop(Duration::from_mins(1));
        assert_eq!(candidate.timing.drain_max(), Duration::from_secs(95));
        assert_eq!(candidate.timing.lease_duration(), before.lease_duration());
        assert_eq!(candidate.timing.stop_timeout(), before.stop_timeout());
    }

    #[tokio::test]
    async fn it_contends_at_once_where_it_is_told_to() {
        let elector =
            started(&format!("{{lease_namespace: immediately, identity: me, start_when: immediately, {FAST}}}")).await;
        let mut early = listen(&*elector);
        early.recv().await.expect("it leads");
        let holder =
            store("immediately").read("default").and_then(|seen| seen.record.holder).expect("somebody holds it");
        assert!(holder.as_str().starts_with("me") && holder.as_str() != "me", "a random part is added: {holder}");
        let mut late = listen(&*elector);
        late.recv().await.expect("who registers while it leads is started at once");
        elector.shutdown().await;
    }
}
