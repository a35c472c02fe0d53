//! The memory store as the conformance suite sees it; other locks over the same store can be put in front.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use lease_core::conformance::{DeleteHarness, ForeignFieldsHarness, Harness, LostReplyHarness, MalformedHarness};
use lease_core::{Constraints, ResourceLock};
use lease_memory::{MemoryLock, MemoryStore, Outcome, Requests};

/// A store, and how to make the lock under test out of a handle on it.
pub(crate) struct Memory<F> {
    store: MemoryStore,
    constraints: Constraints,
    wrap: F,
    paused: bool,
    lease_count: AtomicU32,
}

/// One lease, with the plain handles beneath the locks under test.
pub(crate) struct Guard {
    store: MemoryStore,
    name: String,
    first: MemoryLock,
}

impl<L, F: Fn(MemoryLock) -> L> Memory<F> {
    /// On real threads, so that races are races.
    pub(crate) fn threaded(constraints: Constraints, wrap: F) -> Self {
        Self { store: MemoryStore::new(), constraints, wrap, paused: false, lease_count: AtomicU32::new(0) }
    }

    /// On one thread in virtual time, so that every run is the same and no patience is ever waited for.
    pub(crate) fn paused(constraints: Constraints, wrap: F) -> Self {
        Self { paused: true, ..Self::threaded(constraints, wrap) }
    }
}

impl<L: ResourceLock + 'static, F: Fn(MemoryLock) -> L> Harness for Memory<F> {
    type Lock = L;
    type Guard = Guard;

    async fn fresh(&self) -> Option<(Guard, L, L)> {
        let name = format!("lease-{}", self.lease_count.fetch_add(1, Ordering::Relaxed));
        let handle = || self.store.lock(name.as_str()).with_constraints(self.constraints);
        let (first, second) = (handle(), handle());
        let (one, two) = ((self.wrap)(first.clone()), (self.wrap)(second));
        Some((Guard { store: self.store.clone(), name, first }, one, two))
    }

    fn runtime(&self) -> tokio::runtime::Runtime {
        if self.paused {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().expect("a runtime without IO can be had")
        } else {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2).enable_time().build().expect("the operating system gives threads to a test")
        }
    }
}

impl<L: ResourceLock + 'static, F: Fn(MemoryLock) -> L> DeleteHarness for Memory<F> {
    async fn delete(&self, guard: &Guard) {
        assert!(guard.store.delete(&guard.name), "the suite deletes a lease that exists");
    }
}

impl<L: ResourceLock + 'static, F: Fn(MemoryLock) -> L> LostReplyHarness for Memory<F> {
    async fn lose_next_reply(&self, guard: &Guard) {
        guard.first.script(Requests::Writes, Outcome::LoseReply);
    }
}

impl<L: ResourceLock + 'static, F: Fn(MemoryLock) -> L> ForeignFieldsHarness for Memory<F> {
    type Foreign = BTreeMap<String, String>;

    async fn plant(&self, guard: &Guard) -> Self::Foreign {
        let label = |labels: &mut Self::Foreign| {
            let count = labels.len();
            labels.insert(format!("team-{count}"), "payments".to_owned());
        };
        guard.store.edit_labels(&guard.name, label).expect("the suite plants into a lease that exists");
        self.foreign(guard).await
    }

    async fn foreign(&self, guard: &Guard) -> Self::Foreign {
        guard.store.labels(&guard.name).expect("the suite looks at a lease that exists")
    }
}

impl<L: ResourceLock + 'static, F: Fn(MemoryLock) -> L> MalformedHarness for Memory<F> {
    async fn corrupt(&self, guard: &Guard) {
        assert!(guard.store.corrupt(&guard.name), "the suite corrupts a lease that exists");
    }
}
