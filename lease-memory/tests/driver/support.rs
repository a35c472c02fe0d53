//! Candidates, clocks, observers and locks for the tests.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use lease_core::testing::TokioClock;
use lease_core::{
    Builder, Clock, Constraints, Election, HolderIdentity, Instant, LeaderElection, LeaseRecord, LockError,
    LockErrorKind, Observation, Observer, PhaseKind, ResourceLock, Status, Timer, Timestamp, Timing, Versioned,
    WatchEvent, WatchLock,
};
use lease_memory::{MemoryLock, MemoryStore};
use tokio::time::timeout;

pub(crate) const D: Duration = Duration::from_secs(4);
pub(crate) const H: Duration = Duration::from_millis(2_500);
pub(crate) const P: Duration = Duration::from_millis(500);
/// How much later than armed a timer of tokio may fire.
pub(crate) const TICK: Duration = Duration::from_millis(2);

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The profile for quick runs: 4 s / 2.5 s / 0.5 s, and 3 s to drain.
pub(crate) fn timing() -> Timing {
    Timing::builder(D, H, P).drain_max(Duration::from_secs(3)).build().unwrap()
}

pub(crate) fn identity(name: &str) -> HolderIdentity {
    HolderIdentity::exact(name).unwrap()
}

/// A candidate that polls, in virtual time.
pub(crate) fn polling(lock: &MemoryLock, name: &str) -> Builder {
    LeaderElection::new(lock.clone(), identity(name)).timing(timing()).clock(TokioClock::new()).seed(seed(name))
}

/// A candidate that watches, in virtual time.
pub(crate) fn watching(lock: &MemoryLock, name: &str) -> Builder {
    LeaderElection::watched(lock.clone(), identity(name)).timing(timing()).clock(TokioClock::new()).seed(seed(name))
}

fn seed(name: &str) -> u64 {
    name.bytes().fold(7, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()))
}

/// Waits until the status is so. What is over before the next task runs may go unseen.
pub(crate) async fn until(election: &Election, so: impl FnMut(&Status) -> bool) -> Status {
    let mut status = election.status();
    // Virtual time would go on for ever.
    let Ok(found) = timeout(Duration::from_mins(10), status.wait_for(so)).await else {
        panic!("never so; at last {:?}", *election.status().borrow());
    };
    found.unwrap().clone()
}

pub(crate) async fn until_phase(election: &Election, phase: PhaseKind) -> Status {
    until(election, |status| status.phase == phase).await
}

/// Waits until the candidate has seen somebody else hold the lease.
pub(crate) async fn until_standby(election: &Election) {
    until(election, |status| status.holder.as_ref().is_some_and(|holder| *holder != status.identity)).await;
}

pub(crate) fn holder(store: &MemoryStore) -> Option<String> {
    Some(store.read("jobs")?.record.holder?.as_str().to_owned())
}

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// What happened since the last look.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Observer for Log {
    fn observe(&self, _at: Instant, what: Observation<'_>) {
        self.add(match what {
            Observation::Notice(notice) => {
                let text = format!("{notice:?}");
                text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
            }
            Observation::Request { purpose, error, .. } => match error {
                None => format!("{purpose}"),
                Some(error) => format!("{purpose}: {}", error.kind()),
            },
            Observation::Abandoned(purpose) => format!("{purpose} abandoned"),
            Observation::Watching(live) => format!("watching: {live}"),
            other => format!("{other:?}"),
        });
    }
}

/// A clock that stands still until a test moves it, and its timers with it.
#[derive(Clone, Debug)]
pub(crate) struct ManualClock(Arc<Mutex<Manual>>);

#[derive(Debug)]
struct Manual {
    now: Duration,
    wakers: Vec<Waker>,
}

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Manual { now: Duration::from_secs(1), wakers: Vec::new() })))
    }

    pub(crate) fn now_is(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    pub(crate) fn set(&self, now: Duration) {
        let wakers = {
            let mut manual = self.0.lock().unwrap();
            manual.now = now;
            std::mem::take(&mut manual.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Clock for ManualClock {
    fn instant(&self) -> Instant {
        let ns = u64::try_from(self.now_is().as_nanos()).unwrap();
        Instant::from_nanos(ns, ns)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_unix_micros(i64::try_from(self.now_is().as_micros()).unwrap())
    }

    fn timer(&self) -> io::Result<Box<dyn Timer>> {
        Ok(Box::new(ManualTimer { clock: self.clone(), fires_at: None }))
    }
}

struct ManualTimer {
    clock: ManualClock,
    fires_at: Option<Duration>,
}

impl Timer for ManualTimer {
    fn arm(&mut self, after: Duration) {
        self.fires_at = self.clock.now_is().checked_add(after);
    }

    fn poll_fired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut manual = self.clock.0.lock().unwrap();
        if self.fires_at.is_some_and(|at| manual.now >= at) {
            return Poll::Ready(());
        }
        manual.wakers.push(context.waker().clone());
        Poll::Pending
    }
}

/// A lock whose backend has a bug: once it is broken, every request panics.
#[derive(Debug)]
pub(crate) struct Panicking {
    pub(crate) lock: MemoryLock,
    pub(crate) broken: Arc<AtomicBool>,
}

impl fmt::Display for Panicking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.lock, f)
    }
}

impl Panicking {
    fn check(&self) {
        assert!(!self.broken.load(Ordering::SeqCst), "a bug in the backend, as the test wants it");
    }
}

#[async_trait]
impl ResourceLock for Panicking {
    fn constraints(&self) -> Constraints {
        self.lock.constraints()
    }

    async fn get(&self) -> Result<Option<Versioned>, LockError> {
        self.check();
        self.lock.get().await
    }

    async fn create(&self, record: &LeaseRecord) -> Result<Versioned, LockError> {
        self.check();
        self.lock.create(record).await
    }

    async fn update(&self, seen: &Versioned, record: &LeaseRecord) -> Result<Versioned, LockError> {
        self.check();
        self.lock.update(seen, record).await
    }
}

/// A lock whose watch is refused, again and again: a Role without the right to watch.
#[derive(Debug)]
pub(crate) struct WatchRefused(pub(crate) MemoryLock);

impl fmt::Display for WatchRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[async_trait]
impl ResourceLock for WatchRefused {
    fn constraints(&self) -> Constraints {
        self.0.constraints()
    }

    async fn get(&self) -> Result<Option<Versioned>, LockError> {
        self.0.get().await
    }

    async fn create(&self, record: &LeaseRecord) -> Result<Versioned, LockError> {
        self.0.create(record).await
    }

    async fn update(&self, seen: &Versioned, record: &LeaseRecord) -> Result<Versioned, LockError> {
        self.0.update(seen, record).await
    }
}

impl WatchLock for WatchRefused {
    fn watch(&self) -> BoxStream<'static, WatchEvent> {
        let refused = |_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            WatchEvent::Lost(Some(LockError::new(LockErrorKind::Denied, "watching is forbidden")))
        };
        stream::iter(0..).then(refused).boxed()
    }
}
