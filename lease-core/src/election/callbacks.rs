//! Start and stop callbacks: any number of pairs, in order, for every term.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{BoxedStart, BoxedStop, Panicked, catch_panic};
use crate::leadership::{Leadership, WeakLeadership};

/// The registered pairs. They stay registered over terms.
#[derive(Default)]
pub(crate) struct Callbacks {
    pairs: Mutex<Vec<(BoxedStart, BoxedStop)>>,
    registered: watch::Sender<usize>,
}

impl Callbacks {
    pub(crate) fn register<S, E, SF, EF>(&self, start: S, stop: E)
    where
        S: Fn(Leadership) -> SF + Send + Sync + 'static,
        SF: Future<Output = ()> + Send + 'static,
        E: Fn() -> EF + Send + Sync + 'static,
        EF: Future<Output = ()> + Send + 'static,
    {
        let start: BoxedStart = std::sync::Arc::new(move |leadership| Box::pin(start(leadership)));
        let stop: BoxedStop = std::sync::Arc::new(move || Box::pin(stop()));
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.push((start, stop));
        self.registered.send_replace(pairs.len());
    }

    fn pair(&self, index: usize) -> Option<(BoxedStart, BoxedStop)> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned()
    }

    /// Runs all pairs through one term. From the first start to the last stop they count as work, so
    /// that the lease is not released before; where there are no pairs, nothing is held.
    ///
    /// A start that panics ends the term, and no other is called in it. Whatever panics, every pair that
    /// was started is stopped.
    pub(crate) async fn run_term(&self, weak: &WeakLeadership, draining: &CancellationToken) -> Result<(), Panicked> {
        let mut registered = self.registered.subscribe();
        let mut work: Option<Leadership> = None;
        let mut started = 0;
        let mut outcome = Ok(());
        while !draining.is_cancelled() {
            let count = *registered.borrow_and_update();
            while started < count && outcome.is_ok() && !draining.is_cancelled() {
                let Some(leadership) = work.clone().or_else(|| weak.upgrade()) else { return outcome };
                work = Some(leadership.clone());
                if let Some((start, _)) = self.pair(started) {
                    outcome = run_start(&start, &leadership).await;
                }
                started += 1;
            }
            tokio::select! {
                biased;
                () = draining.cancelled() => {}
                _ = registered.changed() => {}
            }
        }
        for index in 0..started {
            let Some((_, stop)) = self.pair(index) else { continue };
            if catch_panic(async move { stop().await }).await.is_err() {
                tracing::error!("a stop callback panicked");
                outcome = Err(Panicked);
            }
        }
        drop(work);
        outcome
    }
}

/// A start that is still under way when the term is lost is dropped: its stop must not wait for it.
async fn run_start(start: &BoxedStart, leadership: &Leadership) -> Result<(), Panicked> {
    let given = leadership.clone();
    let ended = leadership.ended();
    let outcome = tokio::select! {
        biased;
        outcome = catch_panic(async move { start(given).await }) => outcome,
        () = ended.cancelled() => Ok(()),
    };
    if outcome.is_err() {
        tracing::error!("a start callback panicked; the lease is given up");
        leadership.work_ended();
    }
    outcome
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callbacks({})", *self.registered.borrow())
    }
}
