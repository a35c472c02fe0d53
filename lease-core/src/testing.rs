//! For tests of programs that lead: a clock that a test moves, terms that a test grants and ends, and an election that
//! calls back in such terms.

mod scripted;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::{Clock, Timer};
use crate::elector::{Reason, Term, TermId, Won};
use crate::leadership::{Leadership, Released, Signal, Signals, TermShared};
use crate::record::FencingToken;
use crate::time::{Instant, Timestamp};

pub use self::scripted::ScriptedElection;

/// The time of the tokio runtime: under `tokio::time::pause` it moves only when every task waits.
///
/// Its wall clock starts at the same moment as its instants, in 1970.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that starts now. Must be called on the runtime whose time it shows.
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    fn elapsed(&self) -> Duration {
        // Not from zero: an instant of zero is reserved for a hold that has ended.
        self.start.elapsed() + Duration::from_secs(1)
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn instant(&self) -> Instant {
        let ns = u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(ns, ns)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_unix_micros(i64::try_from(self.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    fn timer(&self) -> io::Result<Box<dyn Timer>> {
        Ok(Box::new(SleepTimer::default()))
    }
}

/// A timer on the time of the tokio runtime.
#[derive(Debug, Default)]
pub(crate) struct SleepTimer {
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Timer for SleepTimer {
    fn arm(&mut self, after: Duration) {
        let deadline = tokio::time::Instant::now().checked_add(after);
        self.sleep = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
    }

    fn poll_fired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

/// A leadership for a test, with the control over its term.
///
/// ```
/// # use lease_core::{testing, FencingToken, Reason};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (leadership, mut term) = testing::grant(Some(FencingToken { epoch: 0, revision: 7 }));
/// assert!(leadership.is_valid());
/// term.lose(Reason::TakenOver);
/// assert_eq!(leadership.lost().await.reason, Reason::TakenOver);
/// drop(leadership);
/// term.drained().await;
/// # });
/// ```
pub fn grant(token: Option<FencingToken>) -> (Leadership, TermControl) {
    let (sender, signals) = mpsc::unbounded_channel();
    let forever = Instant::from_nanos(u64::MAX, u64::MAX);
    let term = Term {
        id: TermId(0),
        token,
        acquire_time: Timestamp::from_unix_micros(0),
        transitions: 0,
        valid_until: forever,
        fence: forever,
        won: Won::Created,
    };
    let shared = Arc::new(TermShared::new(term, Arc::new(crate::clock::SystemClock), Box::new(TestSignals(sender))));
    (Leadership::new(Arc::clone(&shared)), TermControl { shared, signals })
}

#[derive(Debug)]
struct TestSignals(mpsc::UnboundedSender<Signal>);

impl Signals for TestSignals {
    fn send(&self, signal: Signal) {
        // A test that no longer listens does not mind.
        let _ = self.0.send(signal);
    }
}

/// What a test does to a granted term.
#[derive(Debug)]
pub struct TermControl {
    shared: Arc<TermShared>,
    signals: mpsc::UnboundedReceiver<Signal>,
}

impl TermControl {
    /// Asks the work to finish, as a resignation or a shutdown does.
    pub fn drain(&self, why: Reason) {
        self.shared.mark_draining(why);
    }

    /// Ends the term, as a loss does.
    pub fn lose(&self, why: Reason) {
        self.shared.mark_ended(why);
    }

    /// Waits until the work [steps down](Leadership::step_down) or resigns: true, and the test is to end the term. False when
    /// the work has stopped without that.
    pub(crate) async fn stepped_down(&mut self) -> bool {
        match self.signals.recv().await {
            Some(Signal::Drained(_)) | None => {
                self.shared.close(Released::Released);
                false
            }
            Some(_) => true,
        }
    }

    /// Waits until every clone of the leadership is gone, that is, until the work has stopped.
    pub async fn drained(&mut self) {
        while let Some(signal) = self.signals.recv().await {
            if matches!(signal, Signal::Drained(_)) {
                self.shared.close(Released::Released);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_granted_term_is_drained_when_its_work_has_let_go_of_it() {
        let (leadership, mut term) = grant(None);
        term.drain(Reason::HandedOver);
        leadership.draining().cancelled().await;
        assert_eq!(leadership.drain_reason(), Some(Reason::HandedOver));
        let mut drained = Box::pin(term.drained());
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut drained).await.is_err());
        drop(leadership);
        drained.await;
    }

    #[tokio::test]
    async fn what_carries_a_term_is_over_when_its_work_has_stopped_and_that_is_no_loss() {
        for (drained, why) in [(Some(Reason::HandedOver), Reason::HandedOver), (None, Reason::WorkEnded)] {
            let (leadership, term) = grant(None);
            let (data, lost) = (leadership.validity(), leadership.ended());
            let over = data.ended();
            if let Some(why) = drained {
                term.drain(why);
            }
            assert!(data.check().is_ok() && !over.is_cancelled(), "while the work drains it may be passed on");
            drop(leadership);
            assert!(over.is_cancelled(), "nobody has to ask");
            assert_eq!(data.check().map_err(|lost| lost.reason), Err(why));
            assert!(!lost.is_cancelled());
        }
    }

    #[tokio::test]
    async fn a_term_that_is_lost_says_why() {
        let (leadership, term) = grant(None);
        term.lose(Reason::TakenOver);
        assert!(!leadership.is_valid());
        assert_eq!(leadership.lost().await.reason, Reason::TakenOver);
    }

    #[test]
    fn renewals_are_counted() {
        let (leadership, term) = grant(None);
        let renewals = leadership.renewals();
        let later = Instant::from_nanos(u64::MAX, u64::MAX);
        for _ in 0..2 {
            term.shared.extend(later, later);
        }
        assert_eq!(*renewals.borrow(), 2);
    }
}
