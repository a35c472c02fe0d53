//! Start and stop callbacks: any number of pairs, in order, for every term.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{BoxedStart, BoxedStop};
use crate::leadership::{Leadership, WeakLeadership};

/// The registered pairs. They stay registered over terms.
#[derive(Default)]
pub(super) struct Callbacks {
    pairs: Mutex<Vec<(BoxedStart, BoxedStop)>>,
    registered: watch::Sender<usize>,
}

impl Callbacks {
    pub(super) fn register<S, E, SF, EF>(&self, start: S, stop: E)
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
    pub(super) async fn run_term(&self, weak: &WeakLeadership, draining: &CancellationToken) {
        let mut registered = self.registered.subscribe();
        let mut work = None;
        let mut started = 0;
        while !draining.is_cancelled() {
            let count = *registered.borrow_and_update();
            while started < count && !draining.is_cancelled() {
                let Some(leadership) = work.clone().or_else(|| weak.upgrade()) else { return };
                if let Some((start, _)) = self.pair(started) {
                    start(leadership.clone()).await;
                }
                work = Some(leadership);
                started += 1;
            }
            tokio::select! {
                biased;
                () = draining.cancelled() => {}
                _ = registered.changed() => {}
            }
        }
        for index in 0..started {
            if let Some((_, stop)) = self.pair(index) {
                stop().await;
            }
        }
        drop(work);
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callbacks({})", *self.registered.borrow())
    }
}
