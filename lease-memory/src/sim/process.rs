//! One candidate: its machine, the clocks of its computer, its link, and what the operating system does to it.

use std::collections::VecDeque;

use lease_core::{Config, Elector, HolderIdentity, Instant, Now, Purpose, RequestId, Timestamp, Timing};

use super::clocks::Clocks;
use super::network::{Network, mix};
use super::peers::Peer;
use super::schedule::{Node, Rule};
use super::world::Incoming;

/// A candidate's process, and the computer it runs on.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all of them combine")]
pub(super) struct Process {
    pub(super) spec: Node,
    pub(super) timing: Timing,
    pub(super) elector: Elector,
    /// The machine that runs in the place of ours, if it follows client-go's rules.
    pub(super) peer: Option<Peer>,
    pub(super) clocks: Clocks,
    pub(super) network: Network,
    /// Counts the processes that ran here, so that what was meant for a former one is dropped.
    pub(super) life: u32,
    pub(super) runs: bool,
    /// Whether the process before this one ended by itself.
    pub(super) has_shut_down: bool,
    /// The epoch that it is configured with.
    pub(super) epoch: u32,
    /// When it is to be woken, in true time.
    pub(super) wake_at_ns: u64,
    /// The request that its machine waits for.
    pub(super) awaits: Option<(RequestId, Purpose)>,
    /// Whether its last step gave a request up.
    pub(super) gave_up: bool,
    /// Until when it is stopped, and what has come for it meanwhile.
    pub(super) paused_until_ns: Option<u64>,
    pub(super) inbox: VecDeque<Incoming>,
    /// Until when its computer sleeps, with one of its clocks, and until when it is frozen, with both.
    pub(super) sleeps_until_ns: u64,
    pub(super) frozen_until_ns: u64,
    /// Until when it matters that each of its clocks was beyond its bound.
    pub(super) beyond_until_ns: [u64; 2],
    /// The largest error so far of any of them that was within its bound.
    pub(super) error_ppm: u32,
    /// The largest error of any of them, and until when that matters because neither can be relied upon.
    pub(super) wild_ppm: u32,
    pub(super) wild_until_ns: u64,
    pub(super) starve_until_ns: u64,
    pub(super) starve_ns: u64,
    pub(super) hang_until_ns: u64,
    pub(super) hang_ns: u64,
    /// Whether it was asked to end, which is all that a peer needs to be told twice.
    pub(super) is_cancelled: bool,
    /// What to do once it has shut down: start again after so long, or never.
    pub(super) back_ns: Option<u64>,
}

impl Process {
    /// # Errors
    /// When its durations cannot work.
    pub(super) fn new(index: usize, spec: &Node) -> Result<Self, lease_core::TimingError> {
        let timing = spec.timing.timing_for(spec.rule)?;
        let mut clocks = Clocks::new(&spec.clock);
        let epoch = match spec.rule {
            Rule::Ours { epoch, .. } => epoch,
            Rule::ClientGo { .. } => 0,
        };
        let elector = Elector::new(config(index, 0, spec, timing, epoch), clocks.read(0));
        Ok(Self {
            timing,
            elector,
            peer: Peer::new(index, 0, spec),
            clocks,
            network: Network::new(spec.link, spec.seed),
            life: 0,
            runs: false,
            has_shut_down: false,
            epoch,
            wake_at_ns: u64::MAX,
            awaits: None,
            gave_up: false,
            paused_until_ns: None,
            inbox: VecDeque::new(),
            sleeps_until_ns: 0,
            frozen_until_ns: 0,
            beyond_until_ns: [0; 2],
            error_ppm: 0,
            wild_ppm: 0,
            wild_until_ns: 0,
            starve_until_ns: 0,
            starve_ns: 0,
            hang_until_ns: 0,
            hang_ns: 0,
            is_cancelled: false,
            back_ns: None,
            spec: spec.clone(),
        })
    }

    /// The process is gone, and the next one here will be another.
    pub(super) fn end(&mut self, index: usize, now_ns: u64) {
        self.life += 1;
        self.runs = false;
        self.has_shut_down = false;
        self.is_cancelled = false;
        self.wake_at_ns = u64::MAX;
        self.awaits = None;
        self.paused_until_ns = None;
        self.inbox.clear();
        let config = config(index, self.life, &self.spec, self.timing, self.epoch);
        self.elector = Elector::new(config, self.clocks.read(now_ns));
        self.peer = Peer::new(index, self.life, &self.spec);
    }

    /// Whether its computer does nothing at all.
    pub(super) fn rests_until_ns(&self) -> u64 {
        self.sleeps_until_ns.max(self.frozen_until_ns)
    }

    /// Lets the clocks run that are not kept from it.
    pub(super) fn run_clocks(&mut self, now_ns: u64) {
        let frozen = now_ns < self.frozen_until_ns;
        self.clocks.run(now_ns, !frozen, !frozen && now_ns >= self.sleeps_until_ns);
    }

    /// By how much the clock that it goes by may be wrong.
    pub(super) fn error_ppm(&self, now_ns: u64) -> u32 {
        if now_ns < self.wild_until_ns { self.error_ppm.max(self.wild_ppm) } else { self.error_ppm }
    }

    pub(super) fn is(&self, life: u32) -> bool {
        self.runs && self.life == life
    }

    /// What its clocks show.
    pub(super) fn now(&mut self, now_ns: u64) -> Now {
        let instant = self.clocks.read(now_ns);
        Now { instant, wall: Timestamp::from_unix_micros(self.clocks.wall_us()) }
    }

    pub(super) fn local(&mut self, now_ns: u64) -> Instant {
        self.clocks.read(now_ns)
    }

    /// How much later than asked it wakes.
    pub(super) fn wake_late_ns(&self, now_ns: u64) -> u64 {
        let starve_ns = if now_ns < self.starve_until_ns { self.starve_ns } else { 0 };
        self.spec.wake_late_ns + starve_ns
    }
}

fn config(index: usize, life: u32, spec: &Node, timing: Timing, epoch: u32) -> Config {
    let (strict, renew_phase_ns) = match spec.rule {
        Rule::Ours { strict, renew_phase_ns, .. } => (strict, renew_phase_ns),
        Rule::ClientGo { .. } => (false, None),
    };
    Config {
        identity: identity(index, life),
        timing,
        renew_time_tick: std::time::Duration::from_nanos(spec.tick_ns),
        epoch,
        strict,
        renew_phase: renew_phase_ns.map(std::time::Duration::from_nanos),
        seed: Some(mix(spec.seed, u64::from(life))),
    }
}

/// `a_0`: the candidate, and which of its processes.
pub(super) fn identity(index: usize, life: u32) -> HolderIdentity {
    let name = super::invariants::letter(index);
    HolderIdentity::exact(&format!("{name}_{life}")).expect("a letter and a number are a good name")
}
