//! Candidates that follow client-go's rules, in the same world: the same clocks, links and faults.
//!
//! Nothing is demanded of them. Their work stops at the very moment at which its context is cancelled, which is the
//! best that an application of client-go can do; and when `Run` has returned it is called again, as by a program that is
//! started anew at once.

use lease_core::{Failure, LockErrorKind, Op, Purpose, Versioned};

use super::client_go::{ClientGo, PeerActions, PeerEvent, PeerNotice, PeerNow};
use super::invariants::{Violation, letter};
use super::network::mix;
use super::process::identity;
use super::schedule::{Node, Rule, nanos};
use super::words;
use super::world::{Message, MessageId, World};

/// A peer and its random numbers.
#[derive(Debug)]
pub(super) struct Peer {
    machine: ClientGo,
    seed: u64,
    draws: u64,
}

impl Peer {
    pub(super) fn new(index: usize, life: u32, spec: &Node) -> Option<Self> {
        let Rule::ClientGo { release_on_cancel } = spec.rule else { return None };
        let machine = ClientGo::new(identity(index, life), spec.timing.for_peer(), release_on_cancel);
        Some(Self { machine, seed: mix(spec.seed, u64::from(life)), draws: 0 })
    }

    fn step(&mut self, now: PeerNow, event: PeerEvent) -> PeerActions {
        let Self { machine, seed, draws } = self;
        let mut jitter = || {
            *draws += 1;
            // 53 bits are what a number between 0 and 1 has.
            #[allow(clippy::cast_precision_loss, reason = "no more bits than fit are left")]
            let (drawn, of) = ((mix(*seed, *draws) >> 11) as f64, (1_u64 << 53) as f64);
            drawn / of
        };
        machine.step(now, event, &mut jitter)
    }
}

impl World<'_> {
    pub(super) fn run_peer(&mut self, node: usize) -> Result<(), Violation> {
        self.step_peer(node, PeerEvent::Run)
    }

    pub(super) fn wake_peer(&mut self, node: usize) -> Result<(), Violation> {
        self.step_peer(node, PeerEvent::Wake)
    }

    pub(super) fn cancel_peer(&mut self, node: usize) -> Result<(), Violation> {
        self.processes[node].is_cancelled = true;
        if self.processes[node].paused_until_ns.is_some() {
            return Ok(());
        }
        self.step_peer(node, PeerEvent::Cancel)
    }

    pub(super) fn peer_replied(
        &mut self,
        node: usize,
        request: u64,
        result: Result<Option<Versioned>, Failure>,
    ) -> Result<(), Violation> {
        let result: Result<Option<Versioned>, LockErrorKind> = result.map_err(|failure| failure.kind);
        self.step_peer(node, PeerEvent::Completed { request, result })
    }

    fn step_peer(&mut self, node: usize, event: PeerEvent) -> Result<(), Violation> {
        let process = &mut self.processes[node];
        let now = process.now(self.now_ns);
        let Some(peer) = &mut process.peer else { return Ok(()) };
        let told = self.telling.tells().then(|| words::peer_event(&event));
        let event_code = event_code(&event);
        let now = PeerNow { monotonic_ns: now.instant.raw_nanos(), wall: now.wall };
        let actions = peer.step(now, event);
        self.oracle.stats.steps += 1;
        self.telling.hash_peer(self.now_ns, node, event_code, &actions);
        if let Some(event) = told {
            let notices = words::peer_notices(&actions.notices);
            let request = actions.request.as_ref().map(|request| self.purpose_of(node, &request.op));
            let sends = request.map_or_else(String::new, |purpose| format!("; {}", words::sends(purpose)));
            self.telling.say(self.now_ns, || format!("{}: {event}{notices}{sends}", letter(node)));
        }
        let process = &mut self.processes[node];
        let late_ns = process.wake_late_ns(self.now_ns);
        process.wake_at_ns = actions
            .wake_in
            .map_or(u64::MAX, |wake_in| process.clocks.timer_without_suspend(nanos(wake_in)).saturating_add(late_ns));
        let sent_at = process.local(self.now_ns);
        for notice in &actions.notices {
            self.peer_notices(node, notice)?;
        }
        if let Some(request) = actions.request {
            let purpose = self.purpose_of(node, &request.op);
            self.oracle.count_request(purpose);
            let id = MessageId::Peer(request.id);
            self.send(node, Message { id, purpose, op: request.op, sent_at, timeout: request.timeout });
        }
        if actions.notices.contains(&PeerNotice::Ended) {
            return self.peer_ended(node);
        }
        Ok(())
    }

    fn peer_notices(&mut self, node: usize, notice: &PeerNotice) -> Result<(), Violation> {
        match notice {
            PeerNotice::Started => {
                self.update_lateness()?;
                let verdict = self.oracle.started(node, self.now_ns);
                self.judge(verdict)?;
                self.oracle.stats.terms += 1;
                self.telling.acts(node, self.now_ns);
            }
            PeerNotice::Cancelled => {
                if !self.processes[node].is_cancelled {
                    self.oracle.stats.false_failovers += 1;
                }
                self.oracle.rests(node, self.now_ns);
                self.telling.rests(node, self.now_ns);
            }
            PeerNotice::Stopped | PeerNotice::NewLeader(_) | PeerNotice::Ended => {}
        }
        Ok(())
    }

    /// `Run` has returned: for good, if it was cancelled.
    fn peer_ended(&mut self, node: usize) -> Result<(), Violation> {
        if self.processes[node].is_cancelled {
            self.end_process(node);
            return Ok(());
        }
        self.run_peer(node)
    }

    /// What a request of a peer is for, by what it would make of the record.
    fn purpose_of(&self, node: usize, op: &Op) -> Purpose {
        let own = identity(node, self.processes[node].life);
        match op {
            Op::Get => Purpose::Read,
            Op::Update { record, .. } if record.holder.is_none() => Purpose::Release,
            Op::Update { seen, .. } if seen.record.is_held_by(&own) => Purpose::Renew,
            Op::Create(_) | Op::Update { .. } => Purpose::Acquire,
        }
    }
}

/// Beside those of our machine, so that the same moment hashes differently for the two.
fn event_code(event: &PeerEvent) -> u8 {
    match event {
        PeerEvent::Run => 16,
        PeerEvent::Wake => 17,
        PeerEvent::Completed { .. } => 18,
        PeerEvent::Cancel => 19,
    }
}
