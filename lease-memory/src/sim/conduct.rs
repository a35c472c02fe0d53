//! What ours and peers by client-go's rule owe each other on one lease.
//!
//! A peer keeps other rules: it may act beyond its own lease, and take or erase another's too early. Ours cannot stop it,
//! but they are held to what they promise: nobody of ours acts while a peer's stored lease still keeps others away, and
//! where a peer takes over as its rule has it, nobody of ours acts any more.

use lease_core::{LeaseRecord, Purpose};

use super::clocks::unscale;
use super::schedule::nanos;

/// The leases that peers have stored, and what they did to those of ours.
#[derive(Debug)]
#[allow(clippy::struct_field_names, reason = "units are last in names")]
pub(super) struct Conduct {
    /// For how long somebody from before may still act at most.
    hold_max_ns: u64,
    /// Until when the record that a peer has stored keeps everybody else away: on the fastest of clocks, from when it was
    /// stored.
    lease_until_ns: Vec<u64>,
    /// Until when somebody of ours may act whose lease a peer has taken or erased before its time.
    intruded_until_ns: u64,
}

/// A write of a peer that the store has just applied, and what was there before.
pub(super) struct PeerWrite<'a> {
    pub(super) node: usize,
    pub(super) purpose: Purpose,
    pub(super) written: &'a LeaseRecord,
    pub(super) before: Option<&'a LeaseRecord>,
    /// Whether one of ours had stored that, and when.
    pub(super) was_ours: bool,
    pub(super) renewed_at_ns: u64,
    pub(super) now_ns: u64,
    pub(super) error_ppm: u32,
}

impl Conduct {
    pub(super) fn new(nodes: usize, hold_max_ns: u64) -> Self {
        Self { hold_max_ns, lease_until_ns: vec![0; nodes], intruded_until_ns: 0 }
    }

    pub(super) fn stored(&mut self, write: &PeerWrite<'_>) {
        let &PeerWrite { node, purpose, written, before, now_ns, error_ppm, .. } = write;
        let early = before
            .filter(|before| before.holder.is_some() && write.was_ours)
            .is_some_and(|before| now_ns - write.renewed_at_ns < unscale(nanos(before.lease_duration), error_ppm));
        if early && purpose != Purpose::Renew {
            self.intruded_until_ns = self.intruded_until_ns.max(now_ns.saturating_add(self.hold_max_ns));
        }
        if purpose != Purpose::Renew {
            // Whoever acts on after another peer's write acts on a lease that is no longer there.
            self.lease_until_ns.fill(0);
        }
        // A renewal that shows the same renew time, by a wall clock that stands still, cannot be told from none.
        let is_told = before.is_none_or(|before| {
            let renewal = |record: &LeaseRecord| (record.renew_time, record.transitions, record.holder.clone());
            renewal(before) != renewal(written)
        });
        if written.holder.is_some() && is_told {
            self.lease_until_ns[node] = now_ns.saturating_add(unscale(nanos(written.lease_duration), error_ppm));
        }
    }

    /// The record was changed by somebody who is no candidate: what a peer leaves tells nobody what it was.
    pub(super) fn edited(&mut self, now_ns: u64) {
        self.lease_until_ns.fill(0);
        self.intruded_until_ns = self.intruded_until_ns.max(now_ns.saturating_add(self.hold_max_ns));
    }

    /// Whether the lease that a peer has stored keeps ours away, and theirs was not broken into before.
    pub(super) fn keeps_away(&self, peer: usize, now_ns: u64) -> bool {
        now_ns < self.lease_until_ns[peer] && now_ns >= self.intruded_until_ns
    }
}
