//! The world around the machines: true time, each process's clocks, the network and its faults.

mod edits;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use lease_core::{
    Actions, Config, Elector, Event, Failure, HandoverRequest, Hint, HolderIdentity, Instant, LeaseRecord,
    LockErrorKind, Notice, Now, Op, PhaseKind, Purpose, Reason, Request, RequestId, TermId, Timestamp, Timing,
    Versioned, Won,
};

use crate::oracle::{Oracle, Verdict};
use crate::store::Store;

/// Everything that a run is drawn from.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a kind of fault that is on or off")]
pub(crate) struct Plan {
    seed: u64,
    nodes: Vec<NodePlan>,
    /// In parts per thousand of the requests.
    lost_per_mille: u32,
    refused_per_mille: u32,
    late_per_mille: u32,
    delay_max: Duration,
    lateness_max: Duration,
    crashes: bool,
    stops: bool,
    cuts: bool,
    edit: bool,
    /// Whether the store loses its latest writes once, as one restored from a backup does.
    rollback: bool,
    /// Whether watches tell one untruth after the other.
    babble: bool,
    /// Somebody who writes again and again without being a candidate, after the holder has crashed.
    stranger: Option<Stranger>,
    faults_for: Duration,
}

/// What a stranger does to the record, for as long as the run lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stranger {
    Labels,
    Requests,
}

#[derive(Clone, Debug)]
struct NodePlan {
    timing: Timing,
    tick: Duration,
    boottime_ppm: i64,
    raw_ppm: i64,
    watches: bool,
    /// The step of the wall clock.
    wall_step_us: i64,
    epoch: u32,
    strict: bool,
    renew_phase: Option<Duration>,
}

impl Plan {
    pub(crate) fn faults(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let extreme = rng.bool();
        let rate =
            |rng: &mut Rng| if extreme { [-RHO_PPM, RHO_PPM][rng.usize(0..2)] } else { rng.i64(-RHO_PPM..=RHO_PPM) };
        let profile = rng.usize(0..PROFILES_MS.len());
        let nodes = (0..rng.usize(2..=3)).map(|_| {
            // Candidates of one lease may be configured differently.
            let profile = if rng.u8(0..4) == 0 { rng.usize(0..PROFILES_MS.len()) } else { profile };
            let (lease, renew, retry, tick) = PROFILES_MS[profile];
            let [lease, renew, retry, tick] = [lease, renew, retry, tick].map(Duration::from_millis);
            let builder = Timing::builder(lease, renew, retry).drain_max(Duration::from_secs(3));
            let room = builder.build().expect("a valid profile").stop_timeout_max();
            // The whole room, so that the inequality is tried at its edge.
            let timing = builder.stop_timeout(room).build().expect("the edge is valid");
            let (boottime_ppm, raw_ppm) = (rate(&mut rng), rate(&mut rng));
            let watches = rng.bool();
            // Some wall clocks stand still for longer than any lease lasts.
            let renew_phase = rng.bool().then(|| Duration::from_nanos(rng.u64(..)));
            let wall_step_us = [1, 1, 1, 60_000_000][rng.usize(0..4)];
            NodePlan {
                timing,
                tick,
                boottime_ppm,
                raw_ppm,
                watches,
                wall_step_us,
                epoch: 0,
                strict: false,
                renew_phase,
            }
        });
        Self {
            seed,
            nodes: nodes.collect(),
            lost_per_mille: [0, 30, 150, 400][rng.usize(0..4)],
            refused_per_mille: [0, 50, 300][rng.usize(0..3)],
            late_per_mille: [0, 30, 200][rng.usize(0..3)],
            delay_max: Duration::from_millis([5, 100, 700][rng.usize(0..3)]),
            lateness_max: Duration::from_millis([1, 20, 100][rng.usize(0..3)]),
            crashes: rng.bool(),
            stops: rng.bool(),
            cuts: rng.bool(),
            edit: false,
            rollback: false,
            babble: rng.u8(0..4) == 0,
            stranger: None,
            faults_for: Duration::from_mins(2),
        }
    }

    /// One edit by hand, and no process that starts after it: such a one could not have known.
    pub(crate) fn edits(seed: u64) -> Self {
        let mut plan = Self { crashes: false, stops: false, edit: true, ..Self::faults(seed) };
        let strict = seed.is_multiple_of(4);
        plan.nodes.iter_mut().for_each(|node| node.strict = strict);
        plan
    }

    /// The store goes back, and the operator's new epoch has reached some candidates.
    pub(crate) fn rollbacks(seed: u64) -> Self {
        let mut plan = Self { rollback: true, babble: false, crashes: false, ..Self::faults(seed) };
        plan.nodes.iter_mut().enumerate().for_each(|(index, node)| node.epoch = u32::from(seed >> index & 1 == 1));
        plan
    }

    /// A healthy network, a holder that crashes for good, and a stranger who keeps writing.
    pub(crate) fn strangers(seed: u64) -> Self {
        let stranger = Some(if seed.is_multiple_of(2) { Stranger::Labels } else { Stranger::Requests });
        let (lost_per_mille, refused_per_mille, late_per_mille) = (0, 0, 0);
        let (crashes, stops, cuts, babble) = (false, false, false, false);
        let (delay_max, lateness_max) = (Duration::from_millis(5), Duration::from_millis(1));
        let plan = Self::faults(seed);
        Self {
            lost_per_mille,
            refused_per_mille,
            late_per_mille,
            delay_max,
            lateness_max,
            crashes,
            stops,
            cuts,
            babble,
            stranger,
            ..plan
        }
    }

    pub(crate) fn broken_clocks(seed: u64) -> Self {
        let mut plan = Self { cuts: true, ..Self::faults(seed) };
        for (index, node) in plan.nodes.iter_mut().enumerate() {
            let ppm = if index % 2 == 0 { -200_000 } else { 200_000 };
            (node.boottime_ppm, node.raw_ppm) = (ppm, ppm);
        }
        plan
    }
}

#[derive(Debug)]
enum Happening {
    Wake { node: usize, life: u64, armed: u64 },
    Apply { node: usize, life: u64, request: Request, sent_at: Instant, reply_in: Option<Duration> },
    Reply { node: usize, life: u64, id: RequestId, result: Result<Option<Versioned>, Failure> },
    Tell { node: usize, life: u64, hint: Hint },
    WorkStops { node: usize, life: u64, term: TermId },
    Mischief,
    Edit,
    Rollback,
    Babble { node: usize },
    StrangerWrites { until_ns: u64 },
    Start { node: usize },
}

struct Node {
    plan: NodePlan,
    elector: Elector,
    offset_ns: u64,
    /// Counts the processes that ran here, so that what was meant for a former one is dropped.
    life: u64,
    armed: u64,
    running: bool,
    cut_until_ns: u64,
    /// Until when, and how, the store refuses every write at once.
    storm: Option<(u64, LockErrorKind)>,
    wall_offset_us: i64,
    /// The request that the machine waits for.
    awaits: Option<(RequestId, Purpose)>,
    /// Until when the store asked to be left alone.
    leave_alone_until: Option<Instant>,
    /// When the last read was answered, by the true time.
    read_ns: u64,
    /// When a record of this process was created, by the true time.
    created_ns: u64,
    /// The highest revision of any answer.
    revision_max: u128,
}

impl Node {
    fn instant(&self, now_ns: u64) -> Instant {
        Instant::from_nanos(
            self.offset_ns + scale(now_ns, self.plan.boottime_ppm),
            self.offset_ns + scale(now_ns, self.plan.raw_ppm),
        )
    }

    /// The true time at which the first of the clocks shows this.
    fn true_time_of(&self, local: Instant) -> u64 {
        let boottime = unscale(local.boottime_nanos().saturating_sub(self.offset_ns), self.plan.boottime_ppm);
        let raw = unscale(local.raw_nanos().saturating_sub(self.offset_ns), self.plan.raw_ppm);
        boottime.min(raw)
    }
}

pub(crate) struct World {
    plan: Plan,
    rng: Rng,
    now_ns: u64,
    sequence: u64,
    heap: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    nodes: Vec<Node>,
    store: Store,
    pub(crate) oracle: Oracle,
    log: VecDeque<String>,
    verbose: bool,
    /// When the present record was stored, and whether a person did it, for judging takeovers.
    stored_at_ns: u64,
    edited: bool,
    rolled_back: bool,
    /// The processes that have ended by themselves.
    finished: BTreeSet<(usize, u64)>,
}

impl World {
    pub(crate) fn new(plan: Plan, verbose: bool) -> Self {
        let mut rng = Rng::with_seed(plan.seed ^ 0x5eed);
        let nodes: Vec<Node> =
            plan.nodes.iter().enumerate().map(|(index, node)| new_node(&mut rng, index, node.clone())).collect();
        let oracle = Oracle::new(nodes.len());
        let mut world = Self {
            plan,
            rng,
            now_ns: 0,
            sequence: 0,
            heap: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            nodes,
            store: Store::default(),
            oracle,
            log: VecDeque::new(),
            verbose,
            stored_at_ns: 0,
            edited: false,
            rolled_back: false,
            finished: BTreeSet::new(),
        };
        for node in 0..world.nodes.len() {
            world.at(Duration::ZERO, Happening::Start { node });
        }
        world.at(Duration::from_millis(500), Happening::Mischief);
        if world.plan.edit {
            let at = Duration::from_millis(world.rng.u64(10_000..60_000));
            world.at(at, Happening::Edit);
        }
        if world.plan.rollback {
            let at = Duration::from_millis(world.rng.u64(10_000..60_000));
            world.at(at, Happening::Rollback);
        }
        for node in 0..world.nodes.len() {
            if world.plan.babble && world.nodes[node].plan.watches {
                world.at(Duration::from_secs(1), Happening::Babble { node });
            }
        }
        world
    }

    /// A phase with faults, then one without, in which somebody must lead and nothing may change.
    pub(crate) fn run(&mut self) -> Verdict {
        let faults_end_ns = nanos(self.plan.faults_for);
        if let Some(stranger) = self.plan.stranger {
            return self.run_with_stranger(stranger);
        }
        self.run_until(faults_end_ns)?;
        if self.rolled_back {
            // An operator has to raise the epochs.
            return Ok(());
        }
        let worst = self.nodes.iter().map(|node| node.plan.timing.crash_takeover_worst()).max().unwrap_or_default();
        // What is under way when the faults end: a drain, a late write, a wait after a term that failed.
        let leftovers = Duration::from_secs(70);
        self.run_until(faults_end_ns + nanos(worst + leftovers))?;
        let changes = self.oracle.changes;
        let led = self.oracle.acting().count();
        if led != 1 {
            let stances: Vec<String> =
                self.nodes.iter().map(|n| n.elector.stance(n.instant(self.now_ns)).to_string()).collect();
            return Err(format!("liveness: {led} lead {worst:?} + {leftovers:?} after the last fault: {stances:?}"));
        }
        self.run_until(self.now_ns + 60_000_000_000)?;
        if self.oracle.changes != changes {
            return Err("stability: a term ended without any fault".to_owned());
        }
        Ok(())
    }

    /// R2: a stranger postpones a takeover by one wait at most, and not at all by a request.
    fn run_with_stranger(&mut self, stranger: Stranger) -> Verdict {
        self.run_until(60_000_000_000)?;
        let Some(holder) = self.oracle.acting().next() else {
            return Err("liveness: nobody leads after a minute without faults".to_owned());
        };
        self.note(format!("n{holder} crashes for good"));
        self.oracle.crashed(holder);
        self.nodes[holder].running = false;
        let longest = self.nodes.iter().map(|node| node.plan.timing.crash_takeover_worst()).max().unwrap_or_default();
        let wait = self.store.current().map_or(Duration::ZERO, |stored| stored.record.lease_duration);
        let wait = self.nodes.iter().map(|node| node.plan.timing.lease_duration()).fold(wait, Duration::max);
        let once = Duration::from_nanos(unscale(nanos(wait), -RHO_PPM));
        let bound = if stranger == Stranger::Labels { longest + once } else { longest };
        let until_ns = self.now_ns + nanos(bound);
        self.at(Duration::from_millis(300), Happening::StrangerWrites { until_ns });
        let changes = self.oracle.changes;
        self.run_until(until_ns)?;
        if self.oracle.changes == changes {
            return Err(format!("liveness: nobody has taken over {bound:?} after a crash, with {stranger:?} written"));
        }
        Ok(())
    }

    fn stranger_writes(&mut self, until_ns: u64) {
        let Some(stored) = self.store.current().cloned() else { return };
        if self.now_ns >= until_ns {
            return;
        }
        let next = Duration::from_millis(self.rng.u64(300..1_500));
        self.at(next, Happening::StrangerWrites { until_ns });
        let mut record = stored.record;
        if self.plan.stranger == Some(Stranger::Requests) {
            // Each another one: two that cancel out cannot be told from a label. And void, or it would be obeyed.
            let Some(holder) = record.holder.clone() else { return };
            let acquire_time = Timestamp::from_unix_micros(-i64::try_from(self.now_ns).expect("a short run"));
            record.request = Some(Arc::new(HandoverRequest { holder, acquire_time, successor: None, draining: false }));
        }
        self.oracle.saw("stranger writes");
        let stored = self.store.put(record);
        self.tell_watchers(&Hint::Changed(stored));
    }

    /// Untruths that cost nothing to tell.
    fn babble(&mut self, node: usize) -> Verdict {
        if self.healed() {
            return Ok(());
        }
        let next = Duration::from_millis(self.rng.u64(5..60));
        self.at(next, Happening::Babble { node });
        if !self.nodes[node].running {
            return Ok(());
        }
        let old = self.store.past.get(self.rng.usize(0..self.store.past.len().max(1))).cloned();
        let event = match (self.rng.u8(0..4), old) {
            (0, _) => Event::WatchLost,
            (1, _) => Event::WatchReady,
            (2, Some(old)) => Event::Hint(Hint::Changed(old)),
            _ => Event::Hint(Hint::Deleted),
        };
        self.step(node, event)
    }

    fn roll_back(&mut self) {
        if self.store.roll_back(&mut self.rng) {
            self.oracle.saw("rollback");
            self.note("the store goes back");
            self.rolled_back = true;
            self.edited = true;
            self.oracle.rolled_back();
        }
    }

    pub(crate) fn tail(&self) -> String {
        self.log.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    fn run_until(&mut self, end_ns: u64) -> Verdict {
        while let Some(Reverse((at_ns, sequence))) = self.heap.peek().copied() {
            if at_ns > end_ns {
                break;
            }
            self.heap.pop();
            self.now_ns = at_ns;
            let happening = self.happenings.remove(&sequence).expect("every entry of the heap has its happening");
            self.handle(happening)?;
        }
        self.now_ns = end_ns;
        Ok(())
    }

    fn handle(&mut self, happening: Happening) -> Verdict {
        match happening {
            Happening::Start { node } => {
                self.nodes[node].running = true;
                if self.nodes[node].plan.watches {
                    self.step(node, Event::WatchReady)?;
                }
                self.step(node, Event::Wake)
            }
            Happening::Wake { node, life, armed } => {
                if self.lives(node, life) && self.nodes[node].armed == armed {
                    return self.step(node, Event::Wake);
                }
                Ok(())
            }
            Happening::Apply { node, life, request, sent_at, reply_in } => {
                self.apply(node, life, &request, sent_at, reply_in)
            }
            Happening::Reply { node, life, id, result } => {
                if self.lives(node, life) {
                    return self.replied(node, id, result);
                }
                Ok(())
            }
            Happening::Rollback => {
                self.roll_back();
                Ok(())
            }
            Happening::Babble { node } => self.babble(node),
            Happening::StrangerWrites { until_ns } => {
                self.stranger_writes(until_ns);
                Ok(())
            }
            Happening::Tell { node, life, hint } => {
                if self.lives(node, life) {
                    return self.step(node, Event::Hint(hint));
                }
                Ok(())
            }
            Happening::WorkStops { node, life, term } => self.work_stops(node, life, term),
            Happening::Mischief => self.mischief(),
            Happening::Edit => {
                self.edit();
                Ok(())
            }
        }
    }

    /// R3: what ends a term ends it in the very step that shows it.
    fn replied(&mut self, node: usize, id: RequestId, result: Result<Option<Versioned>, Failure>) -> Verdict {
        let purpose = self.nodes[node].awaits.filter(|(awaited, _)| *awaited == id).map(|(_, purpose)| purpose);
        let gone = match (&result, purpose) {
            (Ok(None), Some(Purpose::Read)) => true,
            (Err(failure), Some(Purpose::Renew)) => failure.kind == LockErrorKind::NotFound,
            _ => false,
        };
        if purpose == Some(Purpose::Read) && (result.is_ok() || matches!(&result, Err(e) if e.unreadable.is_some())) {
            self.nodes[node].read_ns = self.now_ns;
        }
        let revision = result.as_ref().ok().and_then(|found| found.as_ref()?.revision).unwrap_or(0);
        let regressed = purpose.is_some() && revision != 0 && revision < self.nodes[node].revision_max;
        if purpose.is_some() {
            self.nodes[node].revision_max = self.nodes[node].revision_max.max(revision);
        }
        if let (Err(failure), Some(Purpose::Read | Purpose::Acquire)) = (&result, purpose)
            && let Some(asked) = failure.retry_after
            && self.nodes[node].elector.term().is_none()
        {
            self.nodes[node].leave_alone_until = Some(self.nodes[node].instant(self.now_ns) + asked);
        }
        self.step(node, Event::Completed { request: id, result })?;
        let holds = matches!(self.nodes[node].elector.phase(), PhaseKind::Leading | PhaseKind::Draining);
        if gone && holds {
            return Err(format!("R3 at once: n{node} leads on although its record is gone"));
        }
        if regressed && holds {
            return Err(format!("R12 regress: n{node} leads on although the store went back"));
        }
        Ok(())
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].running && self.nodes[node].life == life
    }

    fn step(&mut self, index: usize, event: Event) -> Verdict {
        let node = &mut self.nodes[index];
        let instant = node.instant(self.now_ns);
        let timing = node.plan.timing;
        let wall_us = i64::try_from(self.now_ns / 1_000).expect("a short run") + node.wall_offset_us;
        let wall_us = wall_us - wall_us.rem_euclid(node.plan.wall_step_us);
        let now = Now { instant, wall: Timestamp::from_unix_micros(wall_us) };
        let what = self.verbose.then(|| format!("{event:?}"));
        let actions = node.elector.step(now, event);
        if let Some(what) = what {
            self.note(format!(
                "n{index} {what}\n      -> {actions:?}\n      {}",
                self.nodes[index].elector.stance(instant)
            ));
        }
        self.oracle.check_holds(index, instant, &timing)?;
        for notice in &actions.notices {
            self.note(format!("n{index} {notice:?}"));
            self.oracle.noticed(index, instant, &timing, notice)?;
            self.check_notice(index, notice)?;
            self.react(index, notice);
        }
        self.oracle.check_drain(index, instant)?;
        self.carry_out(index, instant, actions)
    }

    fn check_notice(&self, index: usize, notice: &Notice) -> Verdict {
        let node = &self.nodes[index];
        match notice {
            Notice::Started(term) if node.plan.strict && term.won == Won::Created => {
                let settled = Duration::from_nanos(self.now_ns - node.created_ns);
                if nanos(settled) < unscale(nanos(node.plan.timing.lease_duration()), self.rho_ppm()) {
                    return Err(format!("strict: n{index} starts {settled:?} after its record was created"));
                }
                Ok(())
            }
            Notice::Started(term) if term.token.is_some_and(|token| token.revision < node.revision_max) => {
                Err(format!("R12 regress: n{index} starts with {:?}, but saw {}", term.token, node.revision_max))
            }
            Notice::Drain { why: Reason::HandedOver, .. } => {
                let asked = node.elector.observed().and_then(|seen| seen.record.request.as_ref());
                let meant = node.elector.term().map(|term| term.acquire_time);
                if asked.map(|request| request.acquire_time) == meant {
                    return Ok(());
                }
                Err(format!("R16 void: n{index} obeys a request for another term"))
            }
            _ => Ok(()),
        }
    }

    fn carry_out(&mut self, index: usize, instant: Instant, actions: Actions) -> Verdict {
        let node = &mut self.nodes[index];
        let timing = node.plan.timing;
        if actions.abandon {
            node.awaits = None;
        }
        if let Some(request) = actions.request {
            let alone = node.leave_alone_until.is_some_and(|until| !instant.has_reached_either(until));
            if alone && matches!(request.purpose, Purpose::Read | Purpose::Acquire) && node.elector.term().is_none() {
                return Err(format!("R9 Retry-After: n{index} does not leave the store alone"));
            }
            node.awaits = Some((request.id, request.purpose));
            self.oracle.sent(index, instant, &timing, request.purpose, Duration::from_nanos(self.now_ns))?;
            self.check_successor(index, &request)?;
            self.transmit(index, request, instant);
        }
        let node = &mut self.nodes[index];
        node.armed += 1;
        if actions.wake_in < Duration::from_hours(24) {
            let ppm = node.plan.boottime_ppm.max(node.plan.raw_ppm);
            let wake_in = Duration::from_nanos(unscale(nanos(actions.wake_in), ppm) + 1);
            let lateness = Duration::from_nanos(self.rng.u64(0..=nanos(self.plan.lateness_max)));
            let (life, armed) = (self.nodes[index].life, self.nodes[index].armed);
            self.at(wake_in + lateness, Happening::Wake { node: index, life, armed });
        }
        Ok(())
    }

    /// R16: a release that names somebody is his for one retry period.
    fn check_successor(&self, index: usize, request: &Request) -> Verdict {
        let (Op::Update { seen, .. }, Purpose::Acquire) = (&request.op, request.purpose) else { return Ok(()) };
        let Some(stored) = self.store.current().filter(|stored| stored.version == seen.version) else { return Ok(()) };
        let node = &self.nodes[index];
        let named = stored.record.holder.is_none() && stored.record.successor.is_some();
        let own = stored.record.successor.as_ref().is_some_and(|named| node.elector.config().identity.is_called(named));
        let least_ns = unscale(nanos(node.plan.timing.retry_period()), self.rho_ppm());
        if named && !own && !self.edited && self.now_ns - self.stored_at_ns < least_ns {
            return Err(format!("R16 successor: n{index} does not hold back for {:?}", stored.record.successor));
        }
        Ok(())
    }

    /// What the application does about a notice.
    fn react(&mut self, index: usize, notice: &Notice) {
        let life = self.nodes[index].life;
        match notice {
            Notice::Drain { term, .. } => {
                let drain = Duration::from_millis(self.rng.u64(0..4_500));
                self.at(drain, Happening::WorkStops { node: index, life, term: *term });
            }
            Notice::MustStop { term, by, .. } => {
                // Often as late as allowed.
                let latest_ns = self.nodes[index].true_time_of(*by).max(self.now_ns);
                let at_ns = if self.rng.bool() { latest_ns } else { self.rng.u64(self.now_ns..=latest_ns) };
                let after = Duration::from_nanos(at_ns - self.now_ns);
                self.at(after, Happening::WorkStops { node: index, life, term: *term });
            }
            Notice::Finished => {
                self.oracle.saw("graceful stop");
                self.finished.insert((index, self.nodes[index].life));
                self.restart(index);
            }
            _ => {}
        }
    }

    fn work_stops(&mut self, node: usize, life: u64, term: TermId) -> Verdict {
        if !self.lives(node, life) {
            return Ok(());
        }
        let instant = self.nodes[node].instant(self.now_ns);
        self.oracle.check_holds(node, instant, &self.nodes[node].plan.timing)?;
        match self.oracle.nodes[node].work.as_mut().filter(|work| work.term.id == term && !work.stopped) {
            Some(work) => work.stopped = true,
            None => return Ok(()),
        }
        self.note(format!("n{node} work stopped"));
        self.step(node, Event::Drained { term })
    }

    fn transmit(&mut self, node: usize, request: Request, sent_at: Instant) {
        let life = self.nodes[node].life;
        let id = request.id;
        let way = |world: &mut Self| Duration::from_nanos(world.rng.u64(0..=nanos(world.plan.delay_max)));
        if self.healed() {
            let (there, back) = (Duration::from_millis(1), Some(Duration::from_millis(1)));
            return self.at(there, Happening::Apply { node, life, request, sent_at, reply_in: back });
        }
        if let Some((_, kind)) = self.nodes[node].storm.filter(|(until_ns, _)| self.now_ns < *until_ns)
            && request.purpose != Purpose::Read
        {
            self.oracle.saw("write refused at once");
            return self.at(Duration::ZERO, Happening::Reply { node, life, id, result: Err(kind.into()) });
        }
        let (there, back) = (way(self), way(self));
        let draw = self.rng.u32(0..1000);
        let cut = self.now_ns < self.nodes[node].cut_until_ns;
        if cut || draw < self.plan.lost_per_mille / 2 {
            return;
        }
        if draw < self.plan.lost_per_mille {
            return self.at(there, Happening::Apply { node, life, request, sent_at, reply_in: None });
        }
        if self.rng.u32(0..1000) < self.plan.refused_per_mille {
            let kind =
                [LockErrorKind::Unavailable, LockErrorKind::Unknown, LockErrorKind::Denied, LockErrorKind::Conflict]
                    [self.rng.usize(0..4)];
            if kind == LockErrorKind::Unknown || (kind == LockErrorKind::Conflict && request.purpose != Purpose::Read) {
                // It may have been applied all the same: a gateway's time-out, a replaying proxy.
                if self.rng.bool() {
                    self.at(there, Happening::Apply { node, life, request, sent_at, reply_in: None });
                }
            }
            let retry_after = (self.rng.u8(0..4) == 0).then(|| Duration::from_millis(self.rng.u64(0..20_000)));
            let failure = Failure { retry_after, ..kind.into() };
            return self.at(there + back, Happening::Reply { node, life, id, result: Err(failure) });
        }
        let late = self.rng.u32(0..1000) < self.plan.late_per_mille;
        let there = if late { there + Duration::from_millis(self.rng.u64(0..12_000)) } else { there };
        self.at(there, Happening::Apply { node, life, request, sent_at, reply_in: Some(back) });
    }

    fn apply(
        &mut self,
        node: usize,
        life: u64,
        request: &Request,
        sent_at: Instant,
        reply_in: Option<Duration>,
    ) -> Verdict {
        let before = self.store.current().map(|stored| stored.record.clone());
        let result = self.store.apply(&request.op);
        let is_write = request.purpose != Purpose::Read;
        let abandoned =
            self.lives(node, life) && self.nodes[node].instant(self.now_ns).since(sent_at) > request.timeout;
        if is_write && abandoned {
            self.oracle.saw(if result.is_ok() { "late write applied" } else { "late write refused" });
        }
        if is_write && let Ok(Some(stored)) = &result {
            if request.purpose == Purpose::Acquire
                && self.finished.contains(&(node, life))
                && self.nodes[node].instant(self.now_ns).since(sent_at) <= request.timeout
            {
                return Err(format!("R5 leak: n{node} has shut down although its acquisition was under way"));
            }
            self.note(format!("n{node} {} applied at v{}", request.purpose, stored.version));
            self.judge_write(node, life, request, sent_at, before.as_ref())?;
            self.tell_watchers(&Hint::Changed(stored.clone()));
            self.stored_at_ns = self.now_ns;
            self.edited = false;
            if reply_in.is_none() {
                self.oracle.saw("unknown outcome found applied");
            }
        }
        if let Some(reply_in) = reply_in {
            self.at(reply_in, Happening::Reply { node, life, id: request.id, result });
        }
        Ok(())
    }

    /// I5 by the true time, and the send times that R1 may count from.
    fn judge_write(
        &mut self,
        node: usize,
        life: u64,
        request: &Request,
        sent_at: Instant,
        before: Option<&LeaseRecord>,
    ) -> Verdict {
        if self.nodes[node].life == life {
            self.oracle.nodes[node].applied.push(sent_at);
            if matches!(request.op, Op::Create(_)) {
                self.nodes[node].created_ns = self.now_ns;
            }
        }
        if let (Op::Update { record, seen }, Some(before)) = (&request.op, before)
            && request.purpose == Purpose::Acquire
            && !self.store.overwritten_unread
        {
            if record.epoch < before.epoch {
                return Err(format!("R12 epoch: n{node} acquires a record of a higher epoch"));
            }
            if record.transitions != seen.record.transitions + 1 || record.acquire_time != record.renew_time {
                return Err(format!("R7 acquisition: n{node} leaves the count or the time as it was"));
            }
        }
        let Some(before) = before.filter(|before| before.holder.is_some()) else { return Ok(()) };
        // What a restored store holds may be older than what was taken over from.
        if request.purpose != Purpose::Acquire || self.edited || self.plan.edit || self.rolled_back {
            return Ok(());
        }
        let unchanged = Duration::from_nanos(self.now_ns - self.stored_at_ns);
        let least = Duration::from_nanos(unscale(nanos(before.lease_duration), self.rho_ppm()));
        if unchanged < least {
            return Err(format!("I5 full wait: n{node} takes a record that was renewed {unchanged:?} ago"));
        }
        if self.nodes[node].life == life && self.nodes[node].read_ns < self.stored_at_ns + nanos(least) {
            return Err(format!("R2 confirmed: n{node} takes a record that it did not read after the wait"));
        }
        Ok(())
    }

    fn rho_ppm(&self) -> i64 {
        self.nodes.iter().map(|node| node.plan.boottime_ppm.abs().max(node.plan.raw_ppm.abs())).max().unwrap_or(0)
    }

    /// Watches are late, lose and repeat.
    fn tell_watchers(&mut self, hint: &Hint) {
        for node in 0..self.nodes.len() {
            if !self.nodes[node].plan.watches {
                continue;
            }
            let copies = if self.healed() { 1 } else { [0, 1, 1, 1, 2][self.rng.usize(0..5)] };
            for _ in 0..copies {
                let delay = Duration::from_nanos(self.rng.u64(0..=nanos(self.plan.delay_max) * 4));
                let life = self.nodes[node].life;
                self.at(delay, Happening::Tell { node, life, hint: hint.clone() });
            }
        }
    }

    /// Something that happens to processes and links, again and again while the faults last.
    fn mischief(&mut self) -> Verdict {
        if self.healed() {
            return Ok(());
        }
        let next = Duration::from_millis(self.rng.u64(500..8_000));
        self.at(next, Happening::Mischief);
        let node = self.rng.usize(0..self.nodes.len());
        match self.rng.u8(0..8) {
            0 | 1 if self.plan.crashes && self.nodes[node].running => {
                self.note(format!("n{node} crashes"));
                self.oracle.crashed(node);
                self.restart(node);
                Ok(())
            }
            2 if self.plan.stops && self.nodes[node].running => self.step(node, Event::Shutdown),
            3 if (self.plan.stops || self.plan.edit) && self.nodes[node].running => {
                let other = self.rng.usize(0..self.nodes.len());
                let to = self.rng.bool().then(|| Arc::from(self.nodes[other].elector.config().identity.as_str()));
                self.step(node, Event::Resign { to })
            }
            4 if self.plan.stops && self.nodes[node].running => {
                // The work ends by itself.
                match self.oracle.nodes[node].work.as_mut().filter(|work| !work.stopped) {
                    Some(work) if self.nodes[node].elector.phase() == PhaseKind::Leading => {
                        let term = work.term.id;
                        // All of it, or a part, after which the rest has to drain.
                        work.stopped = self.rng.bool();
                        let event = if work.stopped { Event::Drained { term } } else { Event::WorkEnded { term } };
                        self.step(node, event)
                    }
                    _ => Ok(()),
                }
            }
            5 if self.plan.refused_per_mille > 0 && self.rng.u8(0..2) == 0 => {
                let kinds = [
                    LockErrorKind::Unknown,
                    LockErrorKind::Conflict,
                    LockErrorKind::Unavailable,
                    LockErrorKind::Denied,
                ];
                let until_ns = self.now_ns + self.rng.u64(0..20_000_000_000);
                self.nodes[node].storm = Some((until_ns, kinds[self.rng.usize(0..4)]));
                Ok(())
            }
            5 | 6 if self.plan.cuts => {
                self.nodes[node].cut_until_ns = self.now_ns + self.rng.u64(0..30_000_000_000);
                Ok(())
            }
            7 if self.nodes[node].running => {
                self.nodes[node].wall_offset_us = self.rng.i64(-4_000_000_000..4_000_000_000);
                let event = if self.rng.bool() { Event::WatchLost } else { Event::WatchReady };
                if self.nodes[node].plan.watches { self.step(node, event) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn restart(&mut self, index: usize) {
        let life = self.nodes[index].life + 1;
        let offset_ns = self.nodes[index].offset_ns;
        let plan = self.nodes[index].plan.clone();
        let mut node = new_node(&mut self.rng, index, plan);
        node.life = life;
        node.offset_ns = offset_ns;
        node.elector = Elector::new(config(&mut self.rng, index, life, &node.plan), node.instant(self.now_ns));
        self.nodes[index] = node;
        self.oracle.nodes[index] = crate::oracle::Judged::default();
        let after = Duration::from_millis(self.rng.u64(0..6_000));
        self.at(after, Happening::Start { node: index });
    }

    fn healed(&self) -> bool {
        self.now_ns >= nanos(self.plan.faults_for)
    }

    fn at(&mut self, after: Duration, happening: Happening) {
        self.sequence += 1;
        self.heap.push(Reverse((self.now_ns + nanos(after), self.sequence)));
        self.happenings.insert(self.sequence, happening);
    }

    fn note(&mut self, line: impl std::fmt::Display) {
        let line = format!("{:>9.3}s {line}", Duration::from_nanos(self.now_ns).as_secs_f64());
        if self.verbose {
            println!("{line}");
        }
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }
}

fn new_node(rng: &mut Rng, index: usize, plan: NodePlan) -> Node {
    let offset_ns = rng.u64(0..1_000_000_000_000);
    let start = Instant::from_nanos(offset_ns, offset_ns);
    let elector = Elector::new(config(rng, index, 0, &plan), start);
    let wall_offset_us = rng.i64(-4_000_000_000..4_000_000_000);
    Node {
        elector,
        plan,
        offset_ns,
        life: 0,
        armed: 0,
        running: false,
        cut_until_ns: 0,
        storm: None,
        wall_offset_us,
        awaits: None,
        leave_alone_until: None,
        read_ns: 0,
        created_ns: 0,
        revision_max: 0,
    }
}

fn config(rng: &mut Rng, index: usize, life: u64, plan: &NodePlan) -> Config {
    Config {
        identity: HolderIdentity::exact(&format!("n{index}_{life}")).expect("a good name"),
        timing: plan.timing,
        renew_time_tick: plan.tick,
        epoch: plan.epoch,
        strict: plan.strict,
        renew_phase: plan.renew_phase,
        seed: Some(rng.u64(..)),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a clock with this error shows after so much true time.
fn scale(ns: u64, ppm: i64) -> u64 {
    u64::try_from(i128::from(ns) * (1_000_000 + i128::from(ppm)) / 1_000_000).expect("time runs forward")
}

/// After how much true time a clock with this error shows so much, rounded down.
fn unscale(ns: u64, ppm: i64) -> u64 {
    u64::try_from(i128::from(ns) * 1_000_000 / (1_000_000 + i128::from(ppm))).expect("time runs forward")
}

const RHO_PPM: i64 = 10_000;
/// Lease, renew, retry and tick.
const PROFILES_MS: [(u64, u64, u64, u64); 3] =
    [(4_000, 2_500, 500, 1), (4_000, 3_000, 1_000, 1_000), (15_000, 10_000, 2_000, 1_000)];
const LOG_LINES: usize = 60;
