//! What has been told of a store that fails, so that it is told once in a while, and that it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::LastError;
use crate::elector::Purpose;
use crate::lock::LockErrorKind;
use crate::time::Instant;

/// Keeps repeated failures from filling the log.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    reads: u64,
    writes: u64,
    /// The last write that was denied, until one is not.
    pub(super) write_denied: Option<LastError>,
    /// When each kind was told last: kinds that alternate are no news.
    told: BTreeMap<LockErrorKind, Instant>,
    outage: Option<Outage>,
}

/// Failures of which it has not been told yet that they are over.
#[derive(Debug)]
struct Outage {
    /// When the first request of those that failed was sent.
    since: Instant,
    failures: u64,
    /// The first answer since the last failure.
    answered: Option<Instant>,
    /// The answers since the last failure.
    answers: u64,
}

/// Failures that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    /// From the first request that failed to the first answer after the last.
    pub(super) lasted: Duration,
    /// How many have failed.
    pub(super) failures: u64,
}

impl Complaints {
    fn of(&mut self, purpose: Purpose) -> &mut u64 {
        if purpose == Purpose::Read { &mut self.reads } else { &mut self.writes }
    }

    /// A request has failed. Gives how many of its kind have failed in a row.
    pub(super) fn count(&mut self, purpose: Purpose, sent_at: Instant) -> u64 {
        let outage = self.outage.get_or_insert(Outage { since: sent_at, failures: 0, answered: None, answers: 0 });
        outage.failures += 1;
        (outage.answered, outage.answers) = (None, 0);
        let count = self.of(purpose);
        *count += 1;
        *count
    }

    /// A request has succeeded.
    pub(super) fn settle(&mut self, purpose: Purpose) {
        *self.of(purpose) = 0;
        if purpose != Purpose::Read {
            self.write_denied = None;
        }
        if self.reads == 0 && self.writes == 0 {
            self.told.clear();
        }
    }

    /// The store has answered. What has failed is over with a write that succeeds, or with the second answer in a row: one
    /// answer alone may be the read between two writes whose replies are lost. A write that is denied is not over with reads.
    pub(super) fn answered(&mut self, now: Instant, written: bool) -> Option<Over> {
        if self.write_denied.is_some() {
            return None;
        }
        let outage = self.outage.as_mut()?;
        let first = *outage.answered.get_or_insert(now);
        outage.answers += 1;
        if !written && outage.answers < 2 {
            return None;
        }
        let over = Over { lasted: first.since(outage.since), failures: outage.failures };
        self.outage = None;
        (self.reads, self.writes) = (0, 0);
        self.told.clear();
        Some(over)
    }

    /// Whether a failure of this kind is to be told now.
    pub(super) fn is_due(&mut self, now: Instant, kind: LockErrorKind) -> bool {
        let due = self.told.get(&kind).is_none_or(|at| now.since(*at) >= COMPLAINT_INTERVAL);
        if due {
            self.told.insert(kind, now);
        }
        due
    }
}

const COMPLAINT_INTERVAL: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000, secs * 1_000_000_000)
    }

    #[test]
    fn failures_are_counted_for_reads_and_writes_apart_until_each_works_again() {
        let mut complaints = Complaints::default();
        let mut count = |purpose| complaints.count(purpose, at(1));
        assert_eq!((count(Purpose::Read), count(Purpose::Read)), (1, 2));
        assert_eq!((count(Purpose::Renew), count(Purpose::Acquire)), (1, 2));
        let now = at(1);
        assert!(complaints.is_due(now, LockErrorKind::Denied) && !complaints.is_due(now, LockErrorKind::Denied));
        complaints.settle(Purpose::Read);
        assert_eq!(complaints.count(Purpose::Release, at(1)), 3);
        assert!(!complaints.is_due(now, LockErrorKind::Denied));
        complaints.settle(Purpose::Renew);
        assert!(complaints.is_due(now, LockErrorKind::Denied));
    }

    #[test]
    fn an_outage_is_over_with_a_write_or_with_the_second_answer_in_a_row() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.answered(at(1), true), None, "nothing has failed");
        for (second, expected) in [(9, None), (11, Some(Over { lasted: Duration::from_secs(5), failures: 2 }))] {
            complaints.count(Purpose::Renew, at(2));
            complaints.count(Purpose::Read, at(4));
            assert_eq!(complaints.answered(at(7), false), None);
            if expected.is_none() {
                complaints.count(Purpose::Renew, at(8));
                assert_eq!(complaints.answered(at(second), false), None, "a failure was in between");
                assert_eq!(complaints.answered(at(second), true).map(|over| over.failures), Some(3));
            } else {
                assert_eq!(complaints.answered(at(second), false), expected);
            }
            assert_eq!(complaints.answered(at(12), true), None, "it is told once");
        }
    }
}
