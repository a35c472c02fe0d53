//! What an application holds while it leads.
//!
//! The end of the hold is two atomic numbers: a check needs no runtime, lock or channel, so a starved
//! runtime cannot make it lie. Whoever finds the hold over marks it, and a marked hold is over for good.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::elector::{Reason, Term, TermId};
use crate::record::FencingToken;
use crate::time::Instant;

/// The right to act, for one term.
///
/// Call [`check`](Leadership::check) before every side effect. Clones share the term; the guarded work
/// counts as stopped when the last clone has been dropped, and only then is the lease released. So give
/// a clone to every task of the work, and keep none elsewhere.
#[derive(Clone, Debug)]
pub struct Leadership {
    held: Arc<Held>,
}

/// The term is over, by a loss or by being given up, so nothing more may be done in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Lost {
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.reason.is_loss() { "leadership was lost" } else { "the term is over" };
        write!(f, "{what}: {}", self.reason)
    }
}

/// How a term was closed, seen from the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The lease was released: another candidate can take it at once.
    Released,
    /// It was not, or that is not known: another candidate takes it when it has run out.
    NotReleased,
    /// This candidate did not hold it.
    NotHeld,
}

/// What a term tells its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The last clone was dropped.
    Drained(TermId),
    /// A check found the hold over.
    ExpirySeen(TermId),
    /// The application gives the term up.
    Resign(TermId),
    /// The work has ended by itself, though clones may still be held.
    WorkEnded(TermId),
}

/// Where a term tells it.
pub(crate) trait Signals: fmt::Debug + Send + Sync {
    fn send(&self, signal: Signal);
}

/// One term, shared between its driver and its work.
#[derive(Debug)]
pub(crate) struct TermShared {
    term: Term,
    clock: Arc<dyn Clock>,
    hold: Hold,
    fence_boottime_ns: AtomicU64,
    fence_raw_ns: AtomicU64,
    draining: CancellationToken,
    ended: CancellationToken,
    /// Cancelled when it is lost, and also when its work has stopped.
    over: CancellationToken,
    drain_reason: OnceLock<Reason>,
    end_reason: OnceLock<Reason>,
    closed: watch::Sender<Option<Released>>,
    renewals: watch::Sender<u64>,
    signals: Box<dyn Signals>,
}

/// Tells the driver, by being dropped, that the work has stopped.
#[derive(Debug)]
struct Held {
    shared: Arc<TermShared>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before anybody can be told of a release: what is left of the term is not passed on behind it.
        self.shared.settle();
        self.shared.signals.send(Signal::Drained(self.shared.term.id));
    }
}

/// Whether a term still holds, for whoever must not hold it up: this does not count as work.
///
/// Data that was read in a term carries one, so that it can be dropped once the term is over.
#[derive(Clone, Debug)]
pub struct Validity {
    shared: Arc<TermShared>,
}

impl Validity {
    /// Whether the term still holds, as [`Leadership::check`] says.
    ///
    /// It stays so while the work drains, and ends when the work has stopped, before the lease is released. The reason is
    /// then why the term was given up.
    pub fn check(&self) -> Result<(), Lost> {
        self.shared.check()
    }

    /// Which term it is.
    pub fn term(&self) -> &Term {
        &self.shared.term
    }

    /// Cancelled when the term is over, for whoever waits with something that must not be done after that: when it is lost,
    /// and also when its work has stopped by itself or after a drain, before the lease is released.
    pub fn ended(&self) -> CancellationToken {
        self.shared.over.clone()
    }

    /// Whether it is of the very term that `other` is of: that of the same election, too.
    pub fn is_same_term(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

/// A leadership that does not count as work.
#[derive(Debug)]
pub(crate) struct WeakLeadership(Weak<Held>);

impl WeakLeadership {
    /// None when the work has stopped.
    pub(crate) fn upgrade(&self) -> Option<Leadership> {
        self.0.upgrade().map(|held| Leadership { held })
    }
}

impl Leadership {
    pub(crate) fn new(shared: Arc<TermShared>) -> Self {
        Self { held: Arc::new(Held { shared }) }
    }

    fn shared(&self) -> &TermShared {
        &self.held.shared
    }

    /// Whether this term still holds, as of now: two clock readings and a comparison.
    ///
    /// Once it has failed it fails for ever. It stays true while the work drains gracefully.
    pub fn check(&self) -> Result<(), Lost> {
        self.shared().check()
    }

    /// What tells others whether the term still holds, without being a part of the work.
    pub fn validity(&self) -> Validity {
        Validity { shared: Arc::clone(&self.held.shared) }
    }

    /// [`check`](Leadership::check) as a yes or no.
    pub fn is_valid(&self) -> bool {
        self.check().is_ok()
    }

    /// Greater than the token of every earlier term of anybody; none where the store has no order of writes.
    pub fn token(&self) -> Option<FencingToken> {
        self.shared().term.token
    }

    /// How and when the term was won.
    pub fn term(&self) -> &Term {
        &self.shared().term
    }

    /// When the hold ends unless it is renewed before; in the past once it was lost.
    pub fn valid_until(&self) -> Instant {
        self.shared().hold.end()
    }

    /// By when all work must have stopped if the hold is not renewed: rivals may act from then on.
    pub fn fence(&self) -> Instant {
        let shared = self.shared();
        Instant::from_nanos(
            shared.fence_boottime_ns.load(Ordering::Acquire),
            shared.fence_raw_ns.load(Ordering::Acquire),
        )
    }

    /// Cancelled when the work is to finish: after a resignation, a shutdown or a request to hand over,
    /// while the lease is still being renewed; and also when the term is lost.
    pub fn draining(&self) -> CancellationToken {
        self.shared().draining.clone()
    }

    /// Cancelled when the term is lost and the work must stop at once.
    pub fn ended(&self) -> CancellationToken {
        self.shared().ended.clone()
    }

    /// Why the work is to finish, once it is.
    pub fn drain_reason(&self) -> Option<Reason> {
        self.shared().drain_reason.get().copied()
    }

    /// Counts the renewals; changes whenever [`valid_until`](Leadership::valid_until) has moved.
    pub fn renewals(&self) -> watch::Receiver<u64> {
        self.shared().renewals.subscribe()
    }

    /// Waits until the term is lost.
    pub async fn lost(&self) -> Lost {
        self.shared().ended.cancelled().await;
        Lost { reason: self.shared().end_reason() }
    }

    /// Runs a future for as long as the term holds.
    ///
    /// It is dropped, at its next await, when the term is lost. What completed after the hold had ended
    /// does not count: its output is dropped too.
    pub async fn guard<F: Future>(&self, work: F) -> Result<F::Output, Lost> {
        self.check()?;
        let ended = self.shared().ended.clone();
        let mut work = pin!(work);
        let output = tokio::select! {
            biased;
            () = ended.cancelled() => return Err(Lost { reason: self.shared().end_reason() }),
            output = &mut work => output,
        };
        self.check()?;
        Ok(output)
    }

    /// A handle that does not count as work.
    pub(crate) fn downgrade(&self) -> WeakLeadership {
        WeakLeadership(Arc::downgrade(&self.held))
    }

    /// Says that the work has ended, so that whoever else holds a clone is told to drain.
    pub(crate) fn work_ended(&self) {
        self.shared().signals.send(Signal::WorkEnded(self.shared().term.id));
    }

    /// Gives the term up because the work cannot go on here: the other clones are told to drain, and the lease is
    /// released once the last of them is gone, so that another candidate may try.
    ///
    /// This candidate contends again after two retry periods, and twice as long each time up to sixteen times that, each
    /// time up to half as long again by chance, until a term has lasted two lease durations.
    pub fn step_down(self) {
        self.work_ended();
    }

    /// Gives the term up: the other clones are told to drain, and the lease is released once the last
    /// of them is gone.
    pub async fn resign(self) -> Released {
        let shared = Arc::clone(&self.held.shared);
        shared.signals.send(Signal::Resign(shared.term.id));
        drop(self);
        shared.closed().await
    }
}

impl TermShared {
    pub(crate) fn new(term: Term, clock: Arc<dyn Clock>, signals: Box<dyn Signals>) -> Self {
        Self {
            hold: Hold::new(term.valid_until),
            fence_boottime_ns: term.fence.boottime_nanos().into(),
            fence_raw_ns: term.fence.raw_nanos().into(),
            term,
            clock,
            draining: CancellationToken::new(),
            ended: CancellationToken::new(),
            over: CancellationToken::new(),
            drain_reason: OnceLock::new(),
            end_reason: OnceLock::new(),
            closed: watch::Sender::new(None),
            renewals: watch::Sender::new(0),
            signals,
        }
    }

    pub(crate) fn id(&self) -> TermId {
        self.term.id
    }

    fn check(&self) -> Result<(), Lost> {
        match self.hold.check(self.clock.instant()) {
            Check::Holds => Ok(()),
            Check::Over => Err(Lost { reason: self.end_reason() }),
            Check::JustExpired => {
                self.mark_ended(Reason::Expired);
                self.signals.send(Signal::ExpirySeen(self.term.id));
                Err(Lost { reason: self.end_reason() })
            }
        }
    }

    pub(crate) fn extend(&self, valid_until: Instant, fence: Instant) {
        self.fence_raw_ns.store(fence.raw_nanos(), Ordering::Release);
        self.fence_boottime_ns.store(fence.boottime_nanos(), Ordering::Release);
        if self.hold.extend(valid_until) {
            self.renewals.send_modify(|count| *count += 1);
        }
    }

    pub(crate) fn mark_draining(&self, why: Reason) {
        // The first reason is the reason.
        let _ = self.drain_reason.set(why);
        self.draining.cancel();
    }

    pub(crate) fn mark_ended(&self, why: Reason) {
        let _ = self.end_reason.set(why);
        self.hold.end_now();
        self.mark_draining(why);
        self.ended.cancel();
        self.over.cancel();
    }

    /// The work has stopped: nothing that carries the term is valid any more, whatever becomes of the lease.
    fn settle(&self) {
        let _ = self.end_reason.set(self.drain_reason.get().copied().unwrap_or(Reason::WorkEnded));
        self.hold.end_now();
        self.over.cancel();
    }

    pub(crate) fn close(&self, released: Released) {
        self.hold.end_now();
        self.closed.send_replace(Some(released));
    }

    pub(crate) async fn closed(&self) -> Released {
        let mut closed = self.closed.subscribe();
        let closed = closed.wait_for(Option::is_some).await;
        closed.ok().and_then(|released| *released).unwrap_or(Released::NotReleased)
    }

    fn end_reason(&self) -> Reason {
        self.end_reason.get().or(self.drain_reason.get()).copied().unwrap_or(Reason::Expired)
    }
}

/// The end of a hold, as two numbers that only rise until it is over.
///
/// The first is zero once it is over. It is moved last, so a reader that still sees the old one is
/// bound by it, and one that sees the new one sees the new second number too.
#[derive(Debug)]
struct Hold {
    boottime_ns: AtomicU64,
    raw_ns: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Holds,
    Over,
    /// This very check has found and marked it.
    JustExpired,
}

impl Hold {
    fn new(end: Instant) -> Self {
        Self { boottime_ns: end.boottime_nanos().into(), raw_ns: end.raw_nanos().into() }
    }

    fn end(&self) -> Instant {
        let boottime_ns = self.boottime_ns.load(Ordering::Acquire);
        Instant::from_nanos(boottime_ns, self.raw_ns.load(Ordering::Acquire))
    }

    fn check(&self, now: Instant) -> Check {
        loop {
            let end = self.end();
            if end.boottime_nanos() == OVER {
                return Check::Over;
            }
            if !now.has_reached_either(end) {
                return Check::Holds;
            }
            // R8: mark it, unless it was extended in this instant.
            let marked =
                self.boottime_ns.compare_exchange(end.boottime_nanos(), OVER, Ordering::AcqRel, Ordering::Acquire);
            if marked.is_ok() {
                return Check::JustExpired;
            }
        }
    }

    /// Whether it was extended, which it cannot be once it is over.
    fn extend(&self, end: Instant) -> bool {
        self.raw_ns.fetch_max(end.raw_nanos(), Ordering::AcqRel);
        let extend = |old| (old != OVER).then(|| end.boottime_nanos().max(old));
        self.boottime_ns.fetch_update(Ordering::AcqRel, Ordering::Acquire, extend).is_ok()
    }

    fn end_now(&self) {
        self.boottime_ns.store(OVER, Ordering::Release);
    }
}

const OVER: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns, ns)
    }

    #[test]
    fn only_a_loss_is_called_one() {
        let told = |reason| Lost { reason }.to_string();
        assert_eq!(told(Reason::TakenOver), "leadership was lost: taken_over");
        assert_eq!(told(Reason::Shutdown), "the term is over: shutdown");
    }

    #[test]
    fn a_marked_hold_cannot_be_extended() {
        let hold = Hold::new(at(100));
        assert_eq!(hold.check(at(99)), Check::Holds);
        assert!(hold.extend(at(200)));
        assert_eq!(hold.check(at(199)), Check::Holds);
        assert_eq!(hold.check(Instant::from_nanos(150, 200)), Check::JustExpired);
        assert!(!hold.extend(at(300)));
        assert_eq!(hold.check(at(1)), Check::Over);
    }

    #[test]
    fn a_hold_is_never_shortened_by_an_older_renewal() {
        let hold = Hold::new(at(100));
        assert!(hold.extend(at(50)));
        assert_eq!(hold.check(at(99)), Check::Holds);
    }

    #[test]
    fn a_check_racing_an_extension_marks_or_holds_but_never_both() {
        for _ in 0..200 {
            let hold = Hold::new(at(100));
            std::thread::scope(|scope| {
                let check = scope.spawn(|| hold.check(at(150)));
                let extended = hold.extend(at(200));
                let checked = check.join().expect("no panic");
                assert_eq!(checked == Check::Holds, extended, "{checked:?}");
            });
        }
    }
}
