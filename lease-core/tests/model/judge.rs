//! The invariants, checked on everything that a machine says and sends, and what an exploration has come across.

use std::sync::atomic::{AtomicU64, Ordering};

use lease_core::{Instant, Notice, Purpose, Reason, Term, Won};

use crate::plan::{Ignorance, millis};
use crate::turn::Turn;
use crate::world::Work;

/// The invariant that a step has violated. Nothing is explored beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// I1: two act at once; and if so, why one of them could not know of the other.
    Overlap(Option<Ignorance>),
    /// I2: a token is not greater than all before.
    Token(Option<Ignorance>),
    /// I4: a hold is longer than an applied write gives, or the time to stop is longer than `S`.
    Hold,
    /// I6: a release is sent while the work acts.
    EarlyRelease,
    /// I7: something is sent for a term that is lost or drained.
    Noise,
    /// I8: a lost term is renewed.
    Revival,
    /// I9: starts and stops do not alternate.
    Alternation,
}

/// What an exploration can come across; what it must is up to its test, or it would prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Created,
    TakenAfterExpiry,
    TakenAfterRelease,
    SecondTerm,
    UnknownFoundApplied,
    UnknownFoundNotApplied,
    LateWriteApplied,
    LateWriteRefused,
    HoldExpired,
    Contradicted,
    Deleted,
    Regressed,
    Released,
    NotReleased,
    Crash,
    Finished,
}

/// How often each was come across.
#[derive(Debug, Default)]
pub(crate) struct Sights([AtomicU64; SIGHTS]);

impl Sights {
    pub(crate) fn saw(&self, sight: Sight) {
        self.0[sight as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, sight: Sight) -> u64 {
        self.0[sight as usize].load(Ordering::Relaxed)
    }
}

impl Turn<'_> {
    pub(crate) fn judge(&mut self, node: usize, now: Instant, notice: &Notice) {
        self.found_own |= self.reading && matches!(notice, Notice::Started(_) | Notice::Renewed { .. });
        self.discarded |= *notice == Notice::LateAcknowledgement;
        match notice {
            Notice::Started(term) => self.started(node, now, term),
            Notice::Renewed { valid_until, .. } => {
                let left_ms = millis(now.until_either(*valid_until));
                let process = self.process(node);
                if left_ms > process.authority_ms {
                    self.violates(Verdict::Hold);
                } else if matches!(process.work, Work::Stopping(_) | Work::Stopped | Work::None) {
                    self.violates(Verdict::Revival);
                }
            }
            Notice::Drain { .. } => match self.process(node).work {
                Work::Acting => self.process(node).work = Work::Draining,
                _ => self.violates(Verdict::Alternation),
            },
            Notice::MustStop { by, why, .. } => self.must_stop(node, now, *by, *why),
            Notice::Stopped { released, .. } => {
                self.saw(if *released { Sight::Released } else { Sight::NotReleased });
                match self.process(node).work {
                    Work::Stopped => self.process(node).work = Work::None,
                    _ => self.violates(Verdict::Alternation),
                }
            }
            _ => {}
        }
    }

    fn started(&mut self, node: usize, now: Instant, term: &Term) {
        self.saw(match term.won {
            Won::Created => Sight::Created,
            Won::Released => Sight::TakenAfterRelease,
            Won::Expired => Sight::TakenAfterExpiry,
        });
        let why = self.excuse_of(node);
        let others: Vec<usize> = self
            .state
            .processes()
            .filter(|(other, p)| *other != node && p.work.acts())
            .map(|(other, _)| other)
            .collect();
        for other in others {
            let why = why.or_else(|| self.excuse_of(other));
            self.violates(Verdict::Overlap(why));
        }
        let token = term.token.map(|token| token.revision);
        if self.state.token_max.is_some() {
            self.saw(Sight::SecondTerm);
            if token <= self.state.token_max {
                let why = why.or_else(|| (0..self.plan.candidates).find_map(|node| self.excuse_of(node)));
                self.violates(Verdict::Token(why));
            }
        }
        self.state.token_max = token;
        let process = self.process(node);
        let left_ms = millis(now.until_either(term.valid_until));
        let (alternates, within) = (process.work == Work::None, left_ms <= process.authority_ms);
        process.work = Work::Acting;
        if !alternates {
            self.violates(Verdict::Alternation);
        }
        if !within {
            self.violates(Verdict::Hold);
        }
    }

    fn excuse_of(&self, node: usize) -> Option<Ignorance> {
        if self.state.excused_for > 0 { self.state.nodes[node].ignorance } else { None }
    }

    fn must_stop(&mut self, node: usize, now: Instant, by: Instant, why: Reason) {
        self.saw(match why {
            Reason::Expired => Sight::HoldExpired,
            Reason::Deleted => Sight::Deleted,
            Reason::Regressed => Sight::Regressed,
            _ => Sight::Contradicted,
        });
        let stop_ms = millis(self.plan.timing.stop_timeout());
        let left_ms = millis(now.until_either(by));
        let late_ms = self.plan.stops_late_ms;
        let process = self.process(node);
        if left_ms > stop_ms || left_ms > process.authority_ms + stop_ms {
            return self.violates(Verdict::Hold);
        }
        match process.work {
            Work::Acting | Work::Draining => process.work = Work::Stopping(left_ms + late_ms),
            // The machine learns of the end of the work and of that of its time in one step.
            Work::Stopped => {}
            _ => self.violates(Verdict::Alternation),
        }
    }

    pub(crate) fn judge_request(&mut self, node: usize, purpose: Purpose) {
        let work = self.process(node).work;
        match (purpose, work) {
            (Purpose::Release, work) if work.acts() => self.violates(Verdict::EarlyRelease),
            (Purpose::Renew, Work::Stopping(_) | Work::Stopped) => self.violates(Verdict::Noise),
            (Purpose::Acquire, work) if work != Work::None => self.violates(Verdict::Noise),
            _ => {}
        }
    }
}

const SIGHTS: usize = Sight::Finished as usize + 1;
