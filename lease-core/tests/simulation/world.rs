//! The world around the machines: true time, each process's clocks, the network and its faults.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use lease_core::{
    Actions, Config, Elector, Event, Failure, HandoverRequest, Hint, HolderIdentity, Instant, LeaseRecord,
    LockErrorKind, Notice, Now, Op, PhaseKind, Purpose, Request, RequestId, TermId, Timestamp, Timing, Versioned,
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
    faults_for: Duration,
}

#[derive(Clone, Debug)]
struct NodePlan {
    timing: Timing,
    tick: Duration,
    boottime_ppm: i64,
    raw_ppm: i64,
    watches: bool,
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
            NodePlan { timing, tick, boottime_ppm, raw_ppm, watches: rng.bool() }
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
            faults_for: Duration::from_mins(2),
        }
    }

    /// One edit by hand, and no process that starts after it: such a one could not have known.
    pub(crate) fn edits(seed: u64) -> Self {
        Self { crashes: false, stops: false, edit: true, ..Self::faults(seed) }
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
    wall_offset_us: i64,
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
        };
        for node in 0..world.nodes.len() {
            world.at(Duration::ZERO, Happening::Start { node });
        }
        world.at(Duration::from_millis(500), Happening::Mischief);
        if world.plan.edit {
            let at = Duration::from_millis(world.rng.u64(10_000..60_000));
            world.at(at, Happening::Edit);
        }
        world
    }

    /// A phase with faults, then one without, in which somebody must lead and nothing may change.
    pub(crate) fn run(&mut self) -> Verdict {
        let faults_end_ns = nanos(self.plan.faults_for);
        self.run_until(faults_end_ns)?;
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
                    return self.step(node, Event::Completed { request: id, result });
                }
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

    fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].running && self.nodes[node].life == life
    }

    fn step(&mut self, index: usize, event: Event) -> Verdict {
        let node = &mut self.nodes[index];
        let instant = node.instant(self.now_ns);
        let timing = node.plan.timing;
        let wall_us = i64::try_from(self.now_ns / 1_000).expect("a short run") + node.wall_offset_us;
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
            self.react(index, notice);
        }
        self.carry_out(index, instant, actions)
    }

    fn carry_out(&mut self, index: usize, instant: Instant, actions: Actions) -> Verdict {
        let node = &mut self.nodes[index];
        let timing = node.plan.timing;
        if let Some(request) = actions.request {
            let waited = Duration::from_nanos(self.now_ns);
            if node.life == 0 {
                self.oracle.sent(index, instant, &timing, request.purpose, waited)?;
            } else {
                self.oracle.sent(index, instant, &timing, request.purpose, Duration::from_hours(1))?;
            }
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
            let failure = Failure { retry_after: None, ..kind.into() };
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
        }
        let Some(before) = before.filter(|before| before.holder.is_some()) else { return Ok(()) };
        if request.purpose != Purpose::Acquire || self.edited || self.plan.edit {
            return Ok(());
        }
        let unchanged = Duration::from_nanos(self.now_ns - self.stored_at_ns);
        let least = Duration::from_nanos(unscale(nanos(before.lease_duration), self.rho_ppm()));
        if unchanged < least {
            return Err(format!("I5 full wait: n{node} takes a record that was renewed {unchanged:?} ago"));
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
            3 if self.plan.stops && self.nodes[node].running => self.step(node, Event::Resign { to: None }),
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

    fn edit(&mut self) {
        let Some(stored) = self.store.current().cloned() else { return };
        let Some(holder) = stored.record.holder.clone() else { return };
        let known =
            self.nodes.iter().all(|node| node.elector.observed().is_some_and(|seen| seen.record.holder.is_some()));
        let creating = self.happenings.values().any(
            |happening| matches!(happening, Happening::Apply { request, .. } if matches!(request.op, Op::Create(_))),
        );
        // A process that never saw the record, and a create under way, cannot know better.
        self.oracle.exclusion_holds = known && !creating;
        let mut record = stored.record.clone();
        let wall_us = i64::try_from(self.now_ns / 1_000).expect("a short run");
        let what = match self.rng.u8(0..9) {
            0 => {
                self.oracle.saw("edit: delete");
                self.note(format!("edit: delete of {holder}'s record"));
                self.store.delete();
                self.edited = true;
                return self.tell_watchers(&Hint::Deleted);
            }
            1 => {
                record.holder = None;
                "edit: clear"
            }
            2 => {
                record.holder = HolderIdentity::from_record("intruder");
                if self.rng.bool() {
                    record.renew_time = Some(Timestamp::from_unix_micros(wall_us));
                }
                "edit: overwrite"
            }
            3 => {
                let other = self.rng.usize(0..self.nodes.len());
                record.holder = Some(self.nodes[other].elector.config().identity.clone());
                record.renew_time = Some(Timestamp::from_unix_micros(wall_us));
                "edit: overwrite with a candidate"
            }
            4 => {
                record.lease_duration = Duration::from_secs(1);
                "edit: lower duration"
            }
            5 => "edit: label",
            6 => {
                record = self.store.history[self.rng.usize(0..self.store.history.len())].clone();
                "edit: restore"
            }
            7 => {
                // As client-go writes it, on the present count or on that of an older observation.
                record.holder = None;
                record.lease_duration = Duration::from_secs(1);
                record.renew_time = Some(Timestamp::from_unix_micros(wall_us));
                record.acquire_time = record.renew_time;
                record.transitions = record.transitions.saturating_sub(self.rng.u32(0..2));
                "edit: foreign release"
            }
            _ => {
                let acquire_time = record.acquire_time.expect("a held record has one");
                record.request =
                    Some(Arc::new(HandoverRequest { holder, acquire_time, successor: None, draining: false }));
                "edit: request"
            }
        };
        self.oracle.saw(what);
        self.note(format!("{what}: {record:?}"));
        let stored = self.store.put(record);
        self.edited = true;
        self.tell_watchers(&Hint::Changed(stored));
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
    Node { elector, plan, offset_ns, life: 0, armed: 0, running: false, cut_until_ns: 0, wall_offset_us }
}

fn config(rng: &mut Rng, index: usize, life: u64, plan: &NodePlan) -> Config {
    Config {
        identity: HolderIdentity::exact(&format!("n{index}_{life}")).expect("a good name"),
        timing: plan.timing,
        renew_time_tick: plan.tick,
        epoch: 0,
        strict: false,
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
