//! What is judged of requests, of what the store makes of them, and of answers.

use std::sync::Arc;

use lease_core::{Failure, Instant, LeaseRecord, LockErrorKind, Op, Purpose, Request, Versioned};

use super::Oracle;
use crate::sim::conduct::PeerWrite;
use crate::sim::invariants::i05_full_wait::{self, Taken};
use crate::sim::invariants::i10_request_rate::Sent;
use crate::sim::invariants::rules::{self, Shown};
use crate::sim::invariants::{
    Verdict, i04_bounded_hold, i06_release_after_stop, i07_order_of_writes, i11_foreign_fields, letter, requests,
};
use crate::sim::process::Process;
use crate::sim::schedule::nanos;
use crate::sim::stats::Seen;
use crate::sim::store::Store;
use crate::sim::world::Message;
use crate::store::Labels;

/// A write that the store has just applied, and what was there before.
pub(in crate::sim) struct Arrival<'a> {
    pub(in crate::sim) node: usize,
    pub(in crate::sim) life: u32,
    pub(in crate::sim) request: &'a Message,
    /// The record before, where it could be understood.
    pub(in crate::sim) before: Option<&'a LeaseRecord>,
    pub(in crate::sim) labels: (Option<&'a Arc<Labels>>, Option<&'a Arc<Labels>>),
    /// When it was renewed, and whether one of ours or a peer had stored it.
    pub(in crate::sim) renewed_at_ns: u64,
    pub(in crate::sim) was_ours: bool,
    pub(in crate::sim) was_peers: bool,
    pub(in crate::sim) now_ns: u64,
    pub(in crate::sim) error_ppm: u32,
}

impl Oracle {
    /// A reply that the machine waits for, or not, is about to reach it.
    pub(in crate::sim) fn replied(
        &mut self,
        node: usize,
        process: &Process,
        result: &Result<Option<Versioned>, Failure>,
        local: Instant,
        purpose: Purpose,
        now_ns: u64,
    ) -> Shown {
        let judged = &mut self.nodes[node];
        let in_term = process.elector.term().is_some();
        let is_read = purpose == Purpose::Read;
        let mut resolved = None;
        match result {
            Ok(_) => {
                let unresolved = judged.unresolved.take().filter(|_| is_read);
                resolved = unresolved.map(|(sent_at, _)| judged.applied.contains(&sent_at));
            }
            Err(failure) if matches!(failure.kind, LockErrorKind::Unavailable | LockErrorKind::Denied) && !is_read => {
                judged.unresolved = None;
            }
            Err(_) => {}
        }
        if let Some(applied) = resolved {
            self.saw(if applied { Seen::UnknownFoundApplied } else { Seen::UnknownFoundNotApplied });
        }
        let judged = &mut self.nodes[node];
        match result {
            Ok(found) => {
                if is_read {
                    judged.read_at_ns = now_ns;
                    judged.count_max = judged.count_max.max(found.as_ref().map(|found| found.record.transitions));
                }
                let held = found.as_ref().map(|found| &found.record).filter(|record| record.holder.is_some());
                judged.answered = held.map(|record| (record.transitions, record.lease_duration));
                judged.saw_marks(found.as_ref().map(|found| &found.record));
                judged.epoch_max = judged.epoch_max.max(found.as_ref().map_or(0, |found| found.record.epoch));
                let revision = found.as_ref().and_then(|found| found.revision).unwrap_or(0);
                let loss = judged.saw_revision(revision, found.as_ref());
                Shown {
                    gone: is_read && found.is_none(),
                    loss,
                    ..judged.shown(found.as_ref(), &process.elector.config().identity)
                }
            }
            Err(failure) => {
                let unreadable = failure.unreadable.as_deref().filter(|_| is_read);
                if unreadable.is_some() {
                    judged.read_at_ns = now_ns;
                }
                let loss = unreadable.and_then(|unreadable| judged.saw_unreadable(unreadable));
                if let (Some(asked), false, Purpose::Read | Purpose::Acquire) = (failure.retry_after, in_term, purpose)
                {
                    judged.leave_alone_until = Some(local + asked);
                }
                let gone = purpose == Purpose::Renew && failure.kind == LockErrorKind::NotFound;
                Shown { gone, loss, foreign: unreadable.is_some(), ..Shown::default() }
            }
        }
    }

    /// What explains that a candidate sends more than in calm.
    pub(in crate::sim) fn disturbed(&mut self, node: usize, process: &Process, until_ns: u64) {
        self.nodes[node].requests.disturbed(until_ns, process.spec.timing.retry_ns);
    }

    pub(in crate::sim) fn count_request(&mut self, purpose: Purpose) {
        if purpose == Purpose::Read {
            self.stats.reads += 1;
        } else {
            self.stats.writes += 1;
        }
    }

    pub(in crate::sim) fn sent(
        &mut self,
        node: usize,
        process: &Process,
        request: &Request,
        store: &Store,
        local: Instant,
        now_ns: u64,
    ) -> Verdict {
        let purpose = request.purpose;
        self.count_request(purpose);
        let judged = &mut self.nodes[node];
        if purpose != Purpose::Read {
            judged.unresolved = Some((local, purpose));
        }
        judged.requests.sent(&Sent {
            node,
            purpose,
            in_term: process.elector.term().is_some(),
            is_kept: store.current().is_some_and(|stored| {
                stored.record.holder.is_some() && now_ns - store.renewed_at_ns < nanos(stored.record.lease_duration) / 2
            }),
            retry_ns: process.spec.timing.retry_ns,
            has_phase: process.elector.config().renew_phase.is_some(),
            error_ppm: process.clocks.errors_ppm().into_iter().fold(0, u32::max),
            now_ns,
        })?;
        rules::sent(node, judged, &process.timing, purpose, local)?;
        let (own, hold) = (&process.elector.config().identity, process.elector.term().map(|term| term.valid_until));
        requests::sent(node, judged, request, own, local, hold)?;
        if purpose == Purpose::Release {
            i06_release_after_stop::releases(node, judged)?;
        }
        if purpose != Purpose::Read {
            let valid_until = process.elector.term().map(|term| term.valid_until);
            if let Some(valid_until) = valid_until.filter(|_| judged.work.is_some()) {
                // While it releases it need not tell anybody of what an unknown outcome turns out to be worth.
                i04_bounded_hold::holds_until(node, judged, &process.timing, valid_until)?;
            }
            i07_order_of_writes::writes(node, judged, purpose, local, valid_until)?;
        }
        Ok(())
    }

    /// The store has applied a write of a peer.
    pub(in crate::sim) fn peer_applied(&mut self, arrival: &Arrival<'_>) {
        let (Op::Create(written) | Op::Update { record: written, .. }) = &arrival.request.op else { return };
        self.conduct.stored(&PeerWrite {
            node: arrival.node,
            purpose: arrival.request.purpose,
            written,
            before: arrival.before,
            was_ours: arrival.was_ours,
            renewed_at_ns: arrival.renewed_at_ns,
            now_ns: arrival.now_ns,
            error_ppm: arrival.error_ppm,
        });
    }

    /// The store has applied a write of ours.
    pub(in crate::sim) fn applied(&mut self, arrival: &Arrival<'_>, processes: &mut [Process]) -> Verdict {
        let &Arrival { node, life, request, before, now_ns, .. } = arrival;
        let sent_at = request.sent_at;
        let process = &mut processes[node];
        let lives = process.is(life);
        if lives {
            let judged = &mut self.nodes[node];
            judged.note_applied(sent_at);
            if matches!(request.op, Op::Create(_)) {
                judged.created_at_ns = now_ns;
            }
        } else if process.life == life + 1
            && process.has_shut_down
            && request.purpose == Purpose::Acquire
            && process.local(now_ns).since(sent_at) <= request.timeout
        {
            let what = format!("{} has shut down although its acquisition was under way", letter(node));
            return Err((rules::LEAK, what));
        }
        let (Op::Update { record, .. }, Some(before)) = (&request.op, before) else { return Ok(()) };
        if !self.assumptions.is_rolled_back(now_ns) {
            // A version that is given out again is another record than the one that was read.
            i11_foreign_fields::updated(node, arrival.labels, before, record)?;
        }
        if request.purpose != Purpose::Acquire {
            return Ok(());
        }
        rules::acquires(node, &request.op, before)?;
        if !(arrival.was_ours || arrival.was_peers) || self.assumptions.is_rolled_back(now_ns) {
            return Ok(());
        }
        i05_full_wait::taken(&Taken {
            node,
            timing: &processes[node].timing,
            before,
            renewed_at_ns: arrival.renewed_at_ns,
            read_at_ns: lives.then_some(self.nodes[node].read_at_ns),
            now_ns,
            error_ppm: arrival.error_ppm,
        })
    }
}

/// R16, for an acquisition that is on its way.
pub(in crate::sim) fn succeeds(
    node: usize,
    process: &Process,
    request: &Request,
    store: &Store,
    now_ns: u64,
) -> Verdict {
    let error_ppm = process.error_ppm(now_ns);
    let Op::Update { seen, .. } = &request.op else { return Ok(()) };
    let Some(stored) = store.current().filter(|stored| stored.version == seen.version && store.is_ours) else {
        return Ok(());
    };
    rules::succeeds(node, &process.elector, &stored.record, now_ns - store.stored_at_ns, error_ppm)
}
