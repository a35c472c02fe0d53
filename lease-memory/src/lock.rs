//! One client's handle on one lease.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use lease_core::{Constraints, LeaseRecord, LockError, LockErrorKind, ResourceLock, Versioned, WatchEvent, WatchLock};

use crate::script::{Gate, Held, Outcome, Requests, Script, Step, lost_reply};
use crate::store::{Answer, MemoryStore, Request, unreadable};
use crate::watch::Watch;

/// A handle on one lease of a [`MemoryStore`].
///
/// Its clones share its script and its counts, and stand for the same client; another client's handle
/// comes from [`MemoryStore::lock`].
#[derive(Clone)]
pub struct MemoryLock {
    store: MemoryStore,
    name: Arc<str>,
    constraints: Constraints,
    client: Arc<Mutex<Client>>,
}

/// How many requests a handle has sent, whatever became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestCounts {
    /// Calls of `get`.
    pub gets: u64,
    /// Calls of `create`.
    pub creates: u64,
    /// Calls of `update`.
    pub updates: u64,
}

#[derive(Default)]
struct Client {
    script: Script,
    counts: RequestCounts,
}

impl MemoryLock {
    pub(crate) fn new(store: MemoryStore, name: Arc<str>) -> Self {
        Self { store, name, constraints: Constraints::FINE, client: Arc::default() }
    }

    /// The same handle with other demands. With [`Constraints::whole_second_durations`] a record whose
    /// duration has a part below the second is refused as `Denied`. Default [`Constraints::FINE`].
    #[must_use]
    pub fn with_constraints(mut self, constraints: Constraints) -> Self {
        self.constraints = constraints;
        self
    }

    /// The store behind it.
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// The name of its lease.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What shall happen to the next request of this kind that no earlier entry of the script waits for.
    pub fn script(&self, requests: Requests, outcome: Outcome) {
        self.client().script.push(requests, Step::Do(outcome));
    }

    /// Holds the next request of this kind that no earlier entry of the script waits for, until the test
    /// says what becomes of it.
    pub fn hold(&self, requests: Requests) -> Held {
        let gate = Gate::new();
        self.client().script.push(requests, Step::Hold(gate.clone()));
        Held { gate }
    }

    /// What happens from now on to all requests of this kind that no entry of the script waits for; the
    /// latest such rule wins.
    pub fn always(&self, requests: Requests, outcome: Outcome) {
        self.client().script.set_always(requests, outcome);
    }

    /// Forgets the script and every standing rule. Requests that are being held stay held.
    pub fn heal(&self) {
        self.client().script.clear();
    }

    /// How many requests this handle has sent.
    pub fn counts(&self) -> RequestCounts {
        self.client().counts
    }

    async fn perform(&self, request: Request) -> Answer {
        match self.next_step(&request) {
            Step::Hold(gate) => gate.pass(self.store.clone(), self.name.clone(), request).await,
            Step::Do(Outcome::Pass) => self.store.apply(&self.name, &request),
            Step::Do(Outcome::Fail(error)) => Err(error),
            Step::Do(Outcome::LoseReply) => {
                // Whatever the store answered is what gets lost.
                drop(self.store.apply(&self.name, &request));
                lost_reply(&self.name, &request)
            }
            Step::Do(Outcome::LoseRequest) => lost_reply(&self.name, &request),
            Step::Do(Outcome::Malformed) => Err(unreadable(&self.name, self.store.read(&self.name))),
            Step::Do(Outcome::Hang) => std::future::pending().await,
        }
    }

    fn next_step(&self, request: &Request) -> Step {
        let mut client = self.client();
        match request {
            Request::Get => client.counts.gets += 1,
            Request::Create(_) => client.counts.creates += 1,
            Request::Update(..) => client.counts.updates += 1,
        }
        client.script.next(request)
    }

    fn check(&self, record: &LeaseRecord) -> Result<(), LockError> {
        if !self.constraints.whole_second_durations || record.lease_duration.subsec_nanos() == 0 {
            return Ok(());
        }
        let context = format!("{self} keeps whole seconds; lease duration is {:?}", record.lease_duration);
        Err(LockError::new(LockErrorKind::Denied, context))
    }

    fn client(&self) -> MutexGuard<'_, Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ResourceLock for MemoryLock {
    fn constraints(&self) -> Constraints {
        self.constraints
    }

    async fn get(&self) -> Result<Option<Versioned>, LockError> {
        self.perform(Request::Get).await
    }

    async fn create(&self, record: &LeaseRecord) -> Result<Versioned, LockError> {
        self.check(record)?;
        self.perform(Request::Create(record.clone())).await.map(written)
    }

    async fn update(&self, seen: &Versioned, record: &LeaseRecord) -> Result<Versioned, LockError> {
        self.check(record)?;
        self.perform(Request::Update(Box::new(seen.clone()), record.clone())).await.map(written)
    }
}

impl WatchLock for MemoryLock {
    fn watch(&self) -> BoxStream<'static, WatchEvent> {
        Box::pin(Watch::open(self.store.clone(), self.name.clone()))
    }
}

fn written(answer: Option<Versioned>) -> Versioned {
    answer.expect("a write that succeeds answers with what it wrote")
}

impl fmt::Display for MemoryLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory:{}", self.name)
    }
}

impl fmt::Debug for MemoryLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryLock({:?})", &*self.name)
    }
}
