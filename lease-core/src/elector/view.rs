//! What a candidate knows of the record, and from when on it may take it: rules R2, R6 and R12.
//!
//! Here is every decision about *others*. Nothing is decided by wall time or by what a watch says
//! alone: a wrong or missing hint can only make the wait longer.

use std::time::Duration;

use crate::record::{HolderIdentity, LeaseRecord, TermMark, Versioned};
use crate::time::{Instant, Timestamp};
use crate::timing::Timing;

/// The record as last seen, and the wait that it imposes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub(super) found: Found,
    /// When the wait that `wait_until` ends began: the receipt that first showed this renewal.
    pub(super) since: Instant,
    /// From when on the record may be replaced, or created.
    pub(super) wait_until: Instant,
    /// Whether a change without a renewal has already restarted the wait for this renew time.
    restarted: bool,
    /// Whether a holder that may still act was seen, and not seen to release.
    live_seen: bool,
    /// Whether nobody can act but the holder of the record that is found, so that its release, where it is told of, is the end.
    alone: bool,
    /// How long the others of the last live record wait.
    live_wait: Duration,
    /// Until when a holder may still act whose record has vanished, whatever became of the name since.
    pub(super) vanished_until: Instant,
    /// The highest revision of any reply, and the renew time that it showed; hints do not count.
    pub(super) revision_max: Option<u128>,
    pub(super) renewed_at_max: Option<Timestamp>,
    /// The highest epoch of any reply.
    pub(super) epoch_max: u32,
    /// The highest count of transitions that a reply has shown, also in a record that is gone.
    pub(super) transitions_max: Option<u32>,
}

/// What is known to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Found {
    /// Nothing was read yet.
    Unread,
    /// There is no record.
    Absent {
        /// The transitions of the record that was there before.
        transitions_before: Option<u32>,
    },
    /// There is this record.
    Present {
        seen: Versioned,
        /// Whether the wait ended before it began.
        free: Option<Free>,
        /// Whether the record could not be understood.
        malformed: bool,
    },
}

/// Why a record may be replaced at first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Free {
    /// Its holder released it.
    Released,
    /// It was never held.
    Untouched,
}

impl View {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            found: Found::Unread,
            since: now,
            wait_until: now,
            restarted: false,
            live_seen: false,
            alone: false,
            live_wait: Duration::ZERO,
            vanished_until: now,
            revision_max: None,
            renewed_at_max: None,
            epoch_max: 0,
            transitions_max: None,
        }
    }

    pub(super) fn seen(&self) -> Option<&Versioned> {
        match &self.found {
            Found::Present { seen, .. } => Some(seen),
            _ => None,
        }
    }

    pub(super) fn holder(&self) -> Option<&HolderIdentity> {
        self.seen()?.record.holder.as_ref()
    }

    /// R7: what the next term counts: above all that is known, also of a record that is gone, so that the mark of no term
    /// comes twice.
    pub(super) fn next_transitions(&self) -> u32 {
        let known = match &self.found {
            Found::Unread => None,
            Found::Absent { transitions_before } => *transitions_before,
            Found::Present { seen, .. } => Some(seen.record.transitions),
        };
        known.max(self.transitions_max).map_or(0, |count| count.saturating_add(1))
    }

    /// R12: whether a reply has shown another record at this revision, so that the store has lost writes and counts on.
    pub(super) fn is_given_out_again(&self, found: &Versioned) -> bool {
        found.revision.is_some()
            && found.revision == self.revision_max
            && found.record.renew_time != self.renewed_at_max
    }

    /// Whether a hint is older than what is known already.
    pub(super) fn is_old_news(&self, hinted: &Versioned) -> bool {
        is_regress(hinted.revision, self.revision_max)
            || self.seen().is_some_and(|seen| {
                seen.version == hinted.version
                    || matches!((hinted.revision, seen.revision), (Some(hint), Some(known)) if hint <= known)
            })
    }

    /// R12: what no later reply may fall below.
    pub(super) fn note_reply(&mut self, found: &Versioned) {
        if self.revision_max <= found.revision {
            (self.revision_max, self.renewed_at_max) = (found.revision, found.record.renew_time);
        }
        self.epoch_max = self.epoch_max.max(found.record.epoch);
    }

    /// A read found no record.
    ///
    /// A live holder may have renewed, unseen, just before its record vanished, so the wait is a whole
    /// one from now and not the rest of the last one that was seen.
    pub(super) fn saw_absence(&mut self, now: Instant) {
        let transitions_before = match &self.found {
            Found::Absent { .. } => return,
            Found::Unread => None,
            Found::Present { seen, .. } => Some(seen.record.transitions),
        };
        if self.live_seen {
            self.since = now;
            self.vanished_until = self.vanished_until.latest(now + self.live_wait);
            self.wait_until = self.wait_until.latest(self.vanished_until);
        } else {
            self.wait_until = self.wait_until.latest(now);
        }
        self.alone = false;
        self.found = Found::Absent { transitions_before };
    }

    /// A hint shows a record.
    ///
    /// R14: a release that only a hint has shown may be written upon, for the write proves it or fails. But it
    /// ends no wait: if the record then turns out to be gone, its holder may act on.
    pub(super) fn heard(&mut self, now: Instant, hinted: Versioned, timing: &Timing) {
        let live_seen = self.live_seen;
        let transitions_max = self.transitions_max;
        self.saw(now, hinted, timing);
        self.live_seen |= live_seen;
        self.transitions_max = transitions_max;
    }

    /// A reply shows a record that can be understood.
    pub(super) fn saw(&mut self, now: Instant, seen: Versioned, timing: &Timing) {
        let transitions = seen.record.transitions;
        match &self.found {
            Found::Present { seen: old, malformed: false, free } if *old == seen => {
                if *free == Some(Free::Released) {
                    self.live_seen = false;
                }
                self.keep(seen);
            }
            Found::Present { seen: old, malformed: false, .. } if same_renewal(&old.record, &seen.record) => {
                self.saw_change_without_renewal(now, seen, timing);
            }
            _ => self.saw_renewal(now, seen, timing),
        }
        self.transitions_max = self.transitions_max.max(Some(transitions));
    }

    /// A reply shows a record that cannot be understood: its version is all that tells a renewal.
    pub(super) fn saw_malformed(&mut self, now: Instant, seen: Versioned, timing: &Timing) {
        if matches!(&self.found, Found::Present { seen: old, malformed: true, .. } if old.version == seen.version) {
            return;
        }
        let wait = wait_for(&seen.record, timing);
        let wait = if self.live_seen { wait.max(self.live_wait) } else { wait };
        self.start_wait(now, wait, true);
        (self.live_seen, self.alone) = (true, false);
        self.found = Found::Present { seen, free: None, malformed: true };
    }

    /// The same content at, perhaps, another attachment.
    fn keep(&mut self, newer: Versioned) {
        if let Found::Present { seen, .. } = &mut self.found {
            *seen = newer;
        }
    }

    /// A new version with the old renew time: a label, a duration, a request, an older record restored. It restarts the
    /// wait, because a restored record hides renewals, also one that shows a request or shows none; but once, or any stranger
    /// could postpone takeover for ever.
    fn saw_change_without_renewal(&mut self, now: Instant, seen: Versioned, timing: &Timing) {
        self.note_another_object(now, &seen);
        let Found::Present { free, .. } = &self.found else { return };
        if free.is_none() {
            if !self.restarted {
                self.restarted = true;
                self.since = now;
            }
            // The holder's own duration is what came with a renewal, so this one counts until the next.
            let wait = wait_for(&seen.record, timing).max(self.live_wait);
            self.wait_until = self.wait_until.latest(self.since + wait);
        }
        // What was free stays free only while it still looks so: an edit may have taken the marks away.
        if free.is_some() && self.freedom(&seen.record).is_none() {
            self.saw_renewal(now, seen, timing);
            return;
        }
        self.keep(seen);
    }

    fn saw_renewal(&mut self, now: Instant, seen: Versioned, timing: &Timing) {
        let free = self.freedom(&seen.record);
        let wait = wait_for(&seen.record, timing);
        let readable = !matches!(self.found, Found::Present { malformed: true, .. });
        let before = self.seen().map(|old| old.record.transitions);
        self.note_another_object(now, &seen);
        match free {
            Some(Free::Released) if !self.live_seen || before.is_some() => {
                self.since = now;
                // It ends this record's term, and not that of a holder whose record vanished before.
                self.wait_until = now.latest(self.vanished_until);
                self.live_seen = false;
            }
            // The object was made anew, by whomever, after a live record had vanished: the wait for
            // that one still counts.
            Some(Free::Released | Free::Untouched) => {
                // Where its absence was not seen, a renewal before that may have gone unseen too.
                let missed = self.live_seen && before.is_some();
                let rest = if missed { self.live_wait } else { Duration::ZERO };
                self.since = now;
                self.wait_until = self.wait_until.latest(now + rest);
                self.alone = false;
            }
            None => {
                // A holder that was emptied in another way than by a release may have renewed just before, and somebody else
                // have held it since, unseen: so it is a whole wait, as after a deletion.
                let is_emptied = seen.record.holder.is_none();
                // A higher count says that somebody acquired in between; his own duration is what counts then.
                let acquired = readable && !is_emptied && before.is_some_and(|before| seen.record.transitions > before);
                // Within one term nobody but a stranger lowers the duration, and the holder may not know.
                let wait = if acquired || !self.live_seen { wait } else { wait.max(self.live_wait) };
                let is_early = wait < self.live_wait || !now.has_reached_both(self.wait_until);
                let is_next = acquired && (!is_early || self.tells_of_the_release(&seen.record));
                if acquired && self.live_seen && !is_next {
                    // Whoever acquired early, or with a shorter lease, may not have known of the one before, nor for how
                    // long that one holds. A wait that seems over was confirmed by nobody.
                    self.vanished_until = self.vanished_until.latest(now + self.live_wait);
                }
                // The rest of the last wait is within this one, unless a stranger had raised the duration.
                self.start_wait(now, wait, false);
                let is_same = self.seen().is_some_and(|old| own_mark(&old.record) == own_mark(&seen.record));
                self.alone = own_mark(&seen.record).is_some() && (!self.live_seen || is_next || self.alone && is_same);
                self.live_seen = true;
            }
        }
        self.restarted = false;
        self.found = Found::Present { seen, free, malformed: false };
    }

    /// Whether a record that was acquired tells that the holder of the one before has released, whose release went unseen.
    fn tells_of_the_release(&self, acquired: &LeaseRecord) -> bool {
        let mark = self.seen().and_then(|old| own_mark(&old.record)).filter(|_| self.alone);
        mark.is_some() && mark == acquired.released.as_ref()
    }

    /// R6: whoever held the object before may act on, whatever becomes of the name.
    fn note_another_object(&mut self, now: Instant, seen: &Versioned) {
        if self.live_seen && self.seen().is_some_and(|old| is_another_object(&old.record, &seen.record)) {
            self.vanished_until = self.vanished_until.latest(now + self.live_wait);
        }
    }

    fn start_wait(&mut self, now: Instant, wait: Duration, keep_rest: bool) {
        let until = now + wait;
        self.since = now;
        self.wait_until = until.latest(if keep_rest { self.wait_until } else { self.vanished_until });
        self.live_wait = wait;
    }

    /// R6: whether this record frees the lease at first sight.
    fn freedom(&self, record: &LeaseRecord) -> Option<Free> {
        if record.is_untouched() {
            return Some(Free::Untouched);
        }
        let is_believed = match &self.found {
            _ if !self.live_seen => true,
            // What it was before is all that is known of the live one.
            Found::Present { malformed: true, .. } => self.transitions_max.is_some_and(|max| record.transitions > max),
            Found::Present { seen, .. } => self.ends_the_term_of(record, &seen.record),
            Found::Absent { .. } | Found::Unread => true,
        };
        (is_release(record) && is_believed).then_some(Free::Released)
    }

    /// Whether a release can be that of the live record that was seen before it, or of a later one.
    ///
    /// A record that is made anew counts from nothing. What is above its count, and not above that of the one before, may be
    /// an old release that somebody has put back.
    fn ends_the_term_of(&self, release: &LeaseRecord, live: &LeaseRecord) -> bool {
        if release.transitions != live.transitions {
            return release.transitions > live.transitions.max(self.transitions_max.unwrap_or(0));
        }
        // One that was not believed hides whoever may act, however it is edited.
        if is_release(live) && matches!(self.found, Found::Present { free: None, .. }) {
            return false;
        }
        match own_mark(live) {
            mark @ Some(_) => release.released.as_ref() == mark,
            // Whoever leaves no marks releases without one, or beside that of a term before; a marked release of this count
            // that is not the holder's is an old one.
            None => release
                .released
                .as_ref()
                .is_none_or(|mark| mark.transitions < release.transitions || live.is_held_by(&mark.identity)),
        }
    }
}

/// R12: whether this is older than what was shown before, so that, in a reply, the store has lost writes.
pub(super) fn is_regress(revision: Option<u128>, before: Option<u128>) -> bool {
    matches!((revision, before), (Some(revision), Some(before)) if revision < before)
}

/// R2: how long a record must stay without a renewal before it may be replaced.
fn wait_for(record: &LeaseRecord, timing: &Timing) -> Duration {
    record.lease_duration.max(timing.lease_duration())
}

/// Whether a record cannot have come from that of a live holder by the protocol: whoever takes it over counts up, so the
/// object was deleted and made anew, or an older one restored.
fn is_another_object(live: &LeaseRecord, found: &LeaseRecord) -> bool {
    found.is_untouched()
        // No candidate takes away a mark.
        || live.acquired.is_some() && found.acquired.is_none()
        || found.transitions < live.transitions
        || found.transitions == live.transitions && found.holder.is_some() && found.holder != live.holder
}

/// The mark of the term that a record is of, also where its holder was emptied by hand; none where that leaves no marks.
fn own_mark(record: &LeaseRecord) -> Option<&TermMark> {
    let is_own = |mark: &&TermMark| {
        mark.transitions == record.transitions && record.holder.as_ref().is_none_or(|holder| *holder == mark.identity)
    };
    record.acquired.as_ref().filter(is_own)
}

/// R2: a renewal is a changed renew time or holder. Where both are as they were, the count tells whether somebody has
/// acquired it in between: where both were emptied, and where a peer of another rule has a wall clock that stands still.
fn same_renewal(a: &LeaseRecord, b: &LeaseRecord) -> bool {
    a.renew_time == b.renew_time && a.holder == b.holder && a.transitions == b.transitions
}

/// Whether a record has the form of a release, by us or by a client-go peer.
///
/// A peer can erase a record of ours with a release of its own, built on an older observation. Our mark
/// survives that and no longer fits, so such a record is not a release.
fn is_release(record: &LeaseRecord) -> bool {
    let form = record.holder.is_none() && record.renew_time.is_some() && record.lease_duration == RELEASE_DURATION;
    form && match &record.acquired {
        Some(acquired) if acquired.transitions >= record.transitions => {
            acquired.transitions == record.transitions && record.released.as_ref() == Some(acquired)
        }
        // Somebody who leaves no marks acquired it since, or nobody who does ever did.
        _ => true,
    }
}

/// The duration that a release writes, as client-go's does.
pub(super) const RELEASE_DURATION: Duration = Duration::from_secs(1);
