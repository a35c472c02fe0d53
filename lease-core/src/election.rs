//! Runs an [`Elector`](crate::Elector) on a lock and a clock, and hands its terms to the application.
//!
//! ```no_run
//! # async fn example(lock: impl lease_core::WatchLock + 'static) -> Result<(), Box<dyn std::error::Error>> {
//! use lease_core::{HolderIdentity, LeaderElection};
//!
//! let election = LeaderElection::watched(lock, HolderIdentity::unique("pod-0")?).start()?;
//! election
//!     .run(async |leadership| {
//!         while leadership.check().is_ok() && !leadership.draining().is_cancelled() {
//!             // act
//!         }
//!     })
//!     .await;
//! # Ok(()) }
//! ```

mod callbacks;
mod complaints;
mod driver;
mod report;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_core::future::BoxFuture;

use tokio::sync::{Notify, mpsc, watch};

pub(crate) use self::callbacks::Callbacks;
use self::driver::{Command, Driver, Lock};
pub use self::report::{LastError, Status};
use crate::clock::{Clock, SystemClock};
use crate::elector::{Config, Elector, PhaseKind, Reason};
use crate::leadership::{Leadership, Lost, Released};
use crate::lock::{ResourceLock, WatchLock};
use crate::observe::Observer;
use crate::record::HolderIdentity;
use crate::timing::{Timing, TimingError};

/// Where an election begins.
#[derive(Debug)]
pub enum LeaderElection {}

impl LeaderElection {
    /// An election on a lock that is polled.
    #[allow(clippy::new_ret_no_self, reason = "the words say what comes next: a builder, then an election")]
    pub fn new(lock: impl ResourceLock + 'static, identity: HolderIdentity) -> Builder {
        Builder::new(Lock::Polled(Arc::new(lock)), identity)
    }

    /// An election on a lock that is watched too, so that a standby learns of a release at once.
    pub fn watched(lock: impl WatchLock + 'static, identity: HolderIdentity) -> Builder {
        Builder::new(Lock::Watched(Arc::new(lock)), identity)
    }
}

/// An election that is being described.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    lock: Lock,
    identity: HolderIdentity,
    timing: Timing,
    epoch: u32,
    strict: bool,
    dedicated_thread: bool,
    clock: Option<Arc<dyn Clock>>,
    observer: Option<Box<dyn Observer>>,
    seed: Option<u64>,
    callbacks: Callbacks,
}

/// Why an election could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The backend cannot carry these durations.
    #[error(transparent)]
    Timing(#[from] TimingError),
    /// No tokio runtime is running here; start it within one, or on a thread of its own.
    #[error("no tokio runtime is running here; call start() within one, or use dedicated_thread()")]
    NoRuntime,
    /// The system gave no thread or timer.
    #[error("election could not start")]
    System(#[source] std::io::Error),
}

/// The election is over: it was shut down, or its driver has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the election has ended")]
pub struct Ended;

impl Builder {
    fn new(lock: Lock, identity: HolderIdentity) -> Self {
        Self {
            lock,
            identity,
            timing: Timing::default(),
            epoch: 0,
            strict: false,
            dedicated_thread: false,
            clock: None,
            observer: None,
            seed: None,
            callbacks: Callbacks::default(),
        }
    }

    /// The durations; by default 15 s / 10 s / 2 s.
    pub fn timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// The epoch of the tokens, to be raised on all candidates after the store was restored from a
    /// backup; by default 0.
    pub fn epoch(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }

    /// Whether a term that was won by creating the record starts only one lease duration later.
    ///
    /// A process that never saw the record cannot know that one was deleted under a live holder. With
    /// this it waits as if one had been. By default false.
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// Runs the driver on a thread with a runtime of its own, so that an application whose runtime is
    /// starved does not lose the lease. By default it is a task of the present runtime.
    pub fn dedicated_thread(self) -> Self {
        Self { dedicated_thread: true, ..self }
    }

    /// Another clock than the system's, for tests.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// Sees everything that happens.
    pub fn observer(self, observer: impl Observer + 'static) -> Self {
        Self { observer: Some(Box::new(observer)), ..self }
    }

    /// The seed of all jitter, so that a test can repeat a run. By default it is random.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Calls `start` when each term begins and `stop` when it ends; any number of pairs, in this order.
    ///
    /// See [`Election::on_term`].
    pub fn on_term<S, E, SF, EF>(self, start: S, stop: E) -> Self
    where
        S: Fn(Leadership) -> SF + Send + Sync + 'static,
        SF: Future<Output = ()> + Send + 'static,
        E: Fn() -> EF + Send + Sync + 'static,
        EF: Future<Output = ()> + Send + 'static,
    {
        self.callbacks.register(start, stop);
        self
    }

    /// Starts to contend.
    pub fn start(self) -> Result<Election, StartError> {
        self.timing.check(&self.lock.get().constraints())?;
        let runtime = tokio::runtime::Handle::try_current();
        if runtime.is_err() && !self.dedicated_thread {
            return Err(StartError::NoRuntime);
        }
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let (commands, inbox) = mpsc::unbounded_channel();
        let config = Config {
            identity: self.identity.clone(),
            timing: self.timing,
            renew_time_tick: self.lock.get().constraints().renew_time_tick,
            epoch: self.epoch,
            strict: self.strict,
            renew_phase: self.seed.is_none().then(process_phase),
            seed: Some(self.seed.unwrap_or_else(|| fastrand::u64(..))),
        };
        let shared = Arc::new(Shared {
            commands,
            pending: Mutex::new(None),
            granted: Notify::new(),
            status: watch::Sender::new(Status::new(&config)),
            callbacks: self.callbacks,
        });
        let elector = Elector::new(config, clock.instant());
        let parts =
            driver::Parts { elector, lock: self.lock, clock, observer: self.observer, callback_runtime: runtime.ok() };
        spawn(Driver::new(parts, Arc::clone(&shared), inbox), self.dedicated_thread)?;
        Ok(Election { shared, identity: self.identity })
    }
}

fn spawn(driver: Driver, dedicated_thread: bool) -> Result<(), StartError> {
    if !dedicated_thread {
        let driver = driver.with_timer().map_err(StartError::System)?;
        tokio::spawn(driver.run());
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::System)?;
    let driver = {
        let _guard = runtime.enter();
        driver.with_timer().map_err(StartError::System)?
    };
    std::thread::Builder::new()
        .name("lease-election".to_owned())
        .spawn(move || runtime.block_on(driver.run()))
        .map_err(StartError::System)?;
    Ok(())
}

/// An election that is under way: it contends, again and again, until it is shut down.
///
/// Dropping it shuts it down in the background, with a graceful release.
#[derive(Debug)]
pub struct Election {
    shared: Arc<Shared>,
    identity: HolderIdentity,
}

/// What a driver and its handle share.
#[derive(Debug)]
struct Shared {
    commands: mpsc::UnboundedSender<Command>,
    /// The term that nobody has asked for yet.
    pending: Mutex<Option<Leadership>>,
    granted: Notify,
    status: watch::Sender<Status>,
    callbacks: Callbacks,
}

impl Shared {
    fn set_pending(&self, leadership: Option<Leadership>) {
        let before = std::mem::replace(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner), leadership);
        // Outside the lock, because dropping it signals the driver.
        drop(before);
        self.granted.notify_waiters();
    }

    fn take_pending(&self) -> Option<Leadership> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Election {
    /// Who this candidate is.
    pub fn identity(&self) -> &HolderIdentity {
        &self.identity
    }

    /// Waits for the next term. Each is given once; a term that nobody takes is held idle.
    pub async fn campaign(&self) -> Result<Leadership, Ended> {
        loop {
            let granted = self.shared.granted.notified();
            let mut granted = pin!(granted);
            // Registered before the look, so that a grant in between is not missed.
            granted.as_mut().enable();
            if let Some(leadership) = self.shared.take_pending() {
                return Ok(leadership);
            }
            if self.shared.commands.is_closed() {
                return Err(Ended);
            }
            tokio::select! {
                () = granted => {}
                () = self.shared.commands.closed() => {}
            }
        }
    }

    /// Runs the work in every term, until the election ends.
    ///
    /// The work is dropped at its next await when the term is lost; on a graceful stop it is told by
    /// [`Leadership::draining`] and may finish. When it returns, or panics, whoever else holds the term is
    /// told to drain; then the lease is released so that another candidate may try, and contended for
    /// again after a while.
    pub async fn run(&self, mut work: impl AsyncFnMut(Leadership)) -> Ended {
        while let Ok(leadership) = self.campaign().await {
            let term = leadership.clone();
            // The call is inside too: a closure may panic before it has made its future.
            let outcome = leadership.guard(catch_panic(async { work(term).await })).await;
            // Callbacks, and tasks that the work has left behind, may hold the term too.
            leadership.work_ended();
            match outcome {
                Ok(Err(Panicked)) => {
                    tracing::error!("the work panicked; the lease is released and contended for again later");
                    self.shared.status.send_modify(|status| status.work_panics += 1);
                }
                Ok(Ok(())) => tracing::info!("the work has ended"),
                Err(Lost { reason }) => tracing::warn!(%reason, "the work was stopped"),
            }
        }
        Ended
    }

    /// Calls `start` when each term begins and `stop` when it ends.
    ///
    /// Any number of pairs, in the order of registration, each called again in every term. A pair that
    /// is registered while this candidate leads is started at once. `start` is to spawn the work, and
    /// give each task a clone of the leadership; the next pair waits until it has returned, and it is
    /// dropped at its next await when the term is lost. `stop` returns when its part of the work has
    /// stopped. It is called exactly once for each `start`, when the term drains or is lost. A `start`
    /// that panics ends the term, which is contended for again after a while.
    pub fn on_term<S, E, SF, EF>(&self, start: S, stop: E)
    where
        S: Fn(Leadership) -> SF + Send + Sync + 'static,
        SF: Future<Output = ()> + Send + 'static,
        E: Fn() -> EF + Send + Sync + 'static,
        EF: Future<Output = ()> + Send + 'static,
    {
        self.shared.callbacks.register(start, stop);
    }

    /// What is known now, and whenever it changes. When the election has ended its phase is
    /// [`PhaseKind::Stopped`], with [`Reason::DriverEnded`] if it failed.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// Gives up the present term, if there is one, in favour of a candidate (by identity, or the name
    /// before its suffix) or of anyone; then contends again.
    pub fn resign(&self, to: Option<&str>) {
        // An election that has ended holds nothing to give up.
        let _ = self.shared.commands.send(Command::Resign { to: to.map(Into::into) });
    }

    /// Drains the work, releases the lease once it has stopped, and ends the election.
    ///
    /// This waits for the work, however long it takes: nobody else can say when it has stopped. What
    /// hangs is told by the status: [`PhaseKind::Stopping`] with
    /// [`Reason::DrainTimeout`], after which the lease runs out by itself.
    /// [`Released::NotReleased`] when the driver has failed.
    pub async fn shutdown(self) -> Released {
        let status = self.status();
        let (held_before, terms_before) = {
            let status = status.borrow();
            (!matches!(status.phase, PhaseKind::Candidate | PhaseKind::Stopped), status.terms)
        };
        let _ = self.shared.commands.send(Command::Shutdown);
        self.shared.commands.closed().await;
        let status = status.borrow();
        if status.reason == Some(Reason::DriverEnded) {
            Released::NotReleased
        } else if held_before || status.terms > terms_before {
            status.released.unwrap_or(Released::NotReleased)
        } else {
            Released::NotHeld
        }
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        let _ = self.shared.commands.send(Command::Shutdown);
        // Whoever dropped the handle will not come for the term.
        self.shared.set_pending(None);
    }
}

#[derive(Debug)]
pub(crate) struct Panicked;

/// The phase of this process's renewals. Processes of one machine share its clock, so each draws its own.
fn process_phase() -> Duration {
    static PHASE: OnceLock<Duration> = OnceLock::new();
    *PHASE.get_or_init(|| Duration::from_nanos(fastrand::u64(..)))
}

/// Turns a panic of the work into a value, so that it ends its term and not the election.
async fn catch_panic(work: impl Future<Output = ()>) -> Result<(), Panicked> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        match polled {
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

type BoxedStart = Arc<dyn Fn(Leadership) -> BoxFuture<'static, ()> + Send + Sync>;
type BoxedStop = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;
