//! Schedules from seeds: every option of a run is drawn from one number, before the run.
//!
//! A seed switches a part of the faults on and the rest off (a *swarm*), so that rare combinations are not drowned
//! by common ones. What is drawn is a [`Schedule`], which needs nothing of this to be played again.

mod edits;

use fastrand::Rng;

use self::edits::{chain_at, edit_at};
use super::schedule::{
    Bounds, ClockSpec, Durations, Edit, Fault, Link, NODES_MAX, Node, Refusal, Rule, Schedule, Way, What,
};

/// What kind of run a seed is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// A part of all faults of processes, clocks and the network, close together; then quiet.
    Swarm,
    /// Few faults with everything at its bound: rates, stops, replies as late and takeovers as early as allowed.
    Adversarial,
    /// Edits by hand among the faults.
    Edits,
    /// A store that loses its latest writes, and operators who raise the epoch, in time or not.
    Rollbacks,
    /// Somebody who writes again and again without being a candidate, after the holder has gone.
    Strangers,
    /// Candidates of ours beside some that follow client-go's rules.
    Mixed,
    /// Hours with three candidates and, on average, something every hundred lease durations.
    Calendar,
    /// The same with what every operator has seen: default durations, wall clocks that tick, crashes, restarts,
    /// partitions, loss, delays, errors and pauses, and nobody who edits or freezes. For comparisons.
    Ordinary,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Swarm,
        Self::Adversarial,
        Self::Edits,
        Self::Rollbacks,
        Self::Strangers,
        Self::Mixed,
        Self::Calendar,
        Self::Ordinary,
    ];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Swarm => "swarm",
            Self::Adversarial => "adversarial",
            Self::Edits => "edits",
            Self::Rollbacks => "rollbacks",
            Self::Strangers => "strangers",
            Self::Mixed => "mixed",
            Self::Calendar => "calendar",
            Self::Ordinary => "ordinary",
        }
    }

    /// The schedule of a seed.
    pub fn draw(self, seed: u64) -> Schedule {
        // Families of one seed have nothing to do with each other.
        let mut rng = Rng::with_seed(seed.wrapping_mul(8).wrapping_add(self as u64));
        match self {
            Self::Swarm => swarm(&mut rng),
            Self::Adversarial => adversarial(&mut rng),
            Self::Edits => edits(&mut rng),
            Self::Rollbacks => rollbacks(&mut rng),
            Self::Strangers => strangers(&mut rng),
            Self::Mixed => mixed(&mut rng),
            Self::Calendar => calendar(&mut rng),
            Self::Ordinary => ordinary(&mut rng),
        }
    }
}

fn swarm(rng: &mut Rng) -> Schedule {
    let count = [1, 2, 2, 2, 3, 3, 3, 4, 5, NODES_MAX][rng.usize(0..10)];
    let nodes = fleet(rng, count);
    let mix = Mix::draw(rng);
    let end_ns = rng.u64(20..=120) * SECOND;
    let gap_ns = [SECOND, 4 * SECOND, 15 * SECOND][rng.usize(0..3)];
    let faults = mix.faults(rng, &nodes, 0..end_ns, gap_ns);
    quiet_after(rng, nodes, faults, end_ns)
}

fn adversarial(rng: &mut Rng) -> Schedule {
    let count = [2, 2, 3][rng.usize(0..3)];
    let mut nodes = fleet(rng, count);
    let same = nodes[0].timing;
    let slow = rng.usize(0..nodes.len());
    for (index, node) in nodes.iter_mut().enumerate() {
        // The holder as slow and the rivals as fast as a clock may be, and nothing on the way.
        let ppm = if index == slow { -RHO_PPM } else { RHO_PPM };
        node.timing = same;
        (node.clock.boottime_ppm, node.clock.raw_ppm) = (ppm, ppm);
        let way_ns = rng.u64(1_000..100_000);
        node.link = Link { request_ns: way_ns, reply_ns: way_ns, hint_ns: way_ns, jitter_ns: 0 };
        (node.stop_per_mille, node.wake_late_ns, node.starts_at_ns) = (1000, 0, 0);
        node.rule = Rule::OURS;
    }
    let mut faults = Vec::new();
    let (lease_ns, retry_ns) = (same.lease_ns, same.retry_ns);
    let mut at_ns = lease_ns;
    for _ in 0..rng.u64(1..=6) {
        at_ns += rng.u64(0..4 * lease_ns);
        // Most often the one whose hold lasts longest.
        let node = if rng.u8(0..4) > 0 { slow } else { rng.usize(0..nodes.len()) };
        let for_ns = rng.u64(lease_ns..2 * lease_ns);
        let late_ns = rng.u64(retry_ns / 2..retry_ns);
        let before_ns = at_ns.saturating_sub(rng.u64(0..4 * retry_ns));
        if rng.u8(0..4) == 0 {
            // A write that is applied after it was given up and read for, and another one that is not.
            let way = Way::Requests;
            faults.push(fault(before_ns, What::Hold { node, way, extra_ns: rng.u64(retry_ns..3 * retry_ns) }));
            let lossy = What::Lossy { node, way, for_ns: 3 * retry_ns, pattern: rng.u64(..) };
            faults.push(fault(before_ns + rng.u64(0..retry_ns), lossy));
        }
        let before = fault(
            before_ns,
            match rng.u8(0..4) {
                0 => What::Slow { node, way: Way::Replies, for_ns: 4 * retry_ns, extra_ns: late_ns },
                1 => What::Hold { node, way: Way::Requests, extra_ns: rng.u64(retry_ns..2 * lease_ns) },
                2 => What::Hold { node, way: Way::Replies, extra_ns: late_ns },
                _ => What::WallStep { node, by_us: rng.i64(-1_000_000_000..1_000_000_000) },
            },
        );
        faults.push(before);
        faults.push(fault(
            at_ns,
            match rng.u8(0..6) {
                0 => What::Cut { node, way: Way::Requests, for_ns },
                1 => What::Cut { node, way: Way::Replies, for_ns },
                2 => What::Pause { node, for_ns: rng.u64(0..same.renew_ns) },
                3 => What::Refuse { node, for_ns, refusal: refusal(rng), pattern: u64::MAX, retry_after_ns: None },
                _ => What::Cut { node, way: Way::Both, for_ns },
            },
        ));
    }
    let end_ns = at_ns + SECOND;
    quiet_after(rng, nodes, faults, end_ns)
}

fn edits(rng: &mut Rng) -> Schedule {
    let is_chain = rng.u8(0..3) == 0;
    let count = if is_chain { [2, 3, 3, 3, 4] } else { [2, 2, 3, 3, 4] }[rng.usize(0..5)];
    let mut nodes = fleet(rng, count);
    let is_strict = rng.u8(0..4) == 0;
    for node in &mut nodes {
        if let Rule::Ours { strict, .. } = &mut node.rule {
            *strict = is_strict;
        }
    }
    let mix = Mix { crashes: rng.u8(0..4) == 0, stops: rng.u8(0..4) == 0, ..Mix::draw(rng) };
    let end_ns = 120 * SECOND;
    let gap_ns = [4 * SECOND, 15 * SECOND, 60 * SECOND][rng.usize(0..3)];
    if is_chain {
        // Most of it would come to nothing among many faults.
        let mut faults = if rng.bool() { mix.faults(rng, &nodes, 0..end_ns, gap_ns) } else { Vec::new() };
        let at_ns = rng.u64(30..60) * SECOND + rng.u64(0..SECOND);
        chain_at(rng, &mut nodes, at_ns, &mut faults);
        return quiet_after(rng, nodes, faults, end_ns);
    }
    let mut faults = mix.faults(rng, &nodes, 0..end_ns, gap_ns);
    for _ in 0..[1, 1, 1, 2, 4][rng.usize(0..5)] {
        let at_ns = rng.u64(10..60) * SECOND + rng.u64(0..SECOND);
        edit_at(rng, &nodes, at_ns, &mut faults);
        if rng.u8(0..3) == 0 {
            // Whoever edits by hand does so more than once.
            let again_ns = at_ns + rng.u64(0..4 * SECOND);
            edit_at(rng, &nodes, again_ns, &mut faults);
        }
    }
    quiet_after(rng, nodes, faults, end_ns)
}

fn rollbacks(rng: &mut Rng) -> Schedule {
    let mut nodes = fleet(rng, 3);
    for node in &mut nodes {
        if let Rule::Ours { epoch, .. } = &mut node.rule {
            // The operator's new epoch has reached some already.
            *epoch = u32::from(rng.bool());
        }
    }
    let mix = Mix { crashes: rng.u8(0..3) == 0, ..Mix::draw(rng) };
    let end_ns = 90 * SECOND;
    let gap_ns = [4 * SECOND, 15 * SECOND][rng.usize(0..2)];
    let mut faults = mix.faults(rng, &nodes, 0..end_ns, gap_ns);
    let at_ns = rng.u64(10..60) * SECOND;
    faults.push(fault(at_ns, What::Rollback { writes: rng.usize(1..7) }));
    if rng.bool() {
        faults.push(fault(at_ns + rng.u64(0..60) * SECOND, What::RaiseEpoch));
    }
    if rng.u8(0..4) == 0 {
        // The epoch is stored beside the record, and gone with it.
        faults.push(fault(rng.u64(10..90) * SECOND, What::Edit { edit: Edit::Delete }));
    }
    if rng.u8(0..4) == 0 {
        // What was left may be damaged, and strangers may count it up beyond what was lost.
        let mut edit_ns = at_ns + rng.u64(0..4 * SECOND);
        if rng.bool() {
            faults.push(fault(edit_ns, What::Edit { edit: Edit::Garbage }));
        }
        for _ in 0..rng.u8(0..6) {
            edit_ns += rng.u64(0..2 * SECOND);
            faults.push(fault(edit_ns, What::Edit { edit: Edit::Label }));
        }
    }
    quiet_after(rng, nodes, faults, end_ns)
}

fn strangers(rng: &mut Rng) -> Schedule {
    let count = rng.usize(2..=3);
    let mut nodes = fleet(rng, count);
    for (index, node) in nodes.iter_mut().enumerate() {
        node.link = Link { request_ns: MILLISECOND, reply_ns: MILLISECOND, hint_ns: MILLISECOND, jitter_ns: 0 };
        // The first one leads.
        node.starts_at_ns = if index == 0 { 0 } else { 10 * SECOND };
    }
    let edit = if rng.bool() { Edit::Label } else { Edit::VoidRequest };
    let mut at_ns = rng.u64(60..75) * SECOND;
    let mut faults = vec![fault(at_ns, What::Crash { node: 0, back_ns: None })];
    for _ in 0..120 {
        at_ns += rng.u64(300..1_500) * MILLISECOND;
        faults.push(fault(at_ns, What::Edit { edit }));
    }
    quiet_after(rng, nodes, faults, at_ns)
}

fn mixed(rng: &mut Rng) -> Schedule {
    let count = rng.usize(2..=4);
    let mut nodes = fleet(rng, count);
    let peers = rng.usize(1..count);
    for node in nodes.iter_mut().take(peers) {
        // Lease durations of whole seconds, and no others: a peer truncates them, and loses its lease to that.
        let (lease, renew, retry, tick) = PROFILES_MS[rng.usize(0..3)];
        node.rule = Rule::ClientGo { release_on_cancel: rng.bool() };
        node.tick_ns = tick * MILLISECOND;
        let timing = &mut node.timing;
        (timing.lease_ns, timing.renew_ns) = (lease * MILLISECOND, renew * MILLISECOND);
        (timing.retry_ns, timing.unproven) = (retry * MILLISECOND, true);
        node.watches = false;
    }
    for node in &mut nodes {
        // Peers compare whole seconds.
        node.tick_ns = node.tick_ns.max(SECOND);
        node.timing.retry_ns = node.timing.retry_ns.max(SECOND);
        node.timing.renew_ns = node.timing.renew_ns.max(3 * SECOND);
        node.timing.lease_ns = node.timing.lease_ns.max(4 * SECOND);
    }
    let mix = Mix::draw(rng);
    let end_ns = rng.u64(20..=120) * SECOND;
    let gap_ns = [4 * SECOND, 15 * SECOND][rng.usize(0..2)];
    let faults = mix.faults(rng, &nodes, 0..end_ns, gap_ns);
    quiet_after(rng, nodes, faults, end_ns)
}

fn calendar(rng: &mut Rng) -> Schedule {
    // The default durations, now and then beside candidates with others.
    let nodes = fleet_of(rng, 3, 0..2);
    let lease_ns = nodes.iter().map(|node| node.timing.lease_ns).max().unwrap_or(0);
    let mix = Mix::draw(rng);
    let hours = rng.u64(4..=12);
    let end_ns = hours * 3_600 * SECOND;
    let mut faults = mix.faults(rng, &nodes, 60 * SECOND..end_ns, 100 * lease_ns);
    if rng.u8(0..4) == 0 {
        let at_ns = rng.u64(60..hours * 3_600) * SECOND;
        edit_at(rng, &nodes, at_ns, &mut faults);
    }
    quiet_after(rng, nodes, faults, end_ns)
}

fn ordinary(rng: &mut Rng) -> Schedule {
    let mut nodes = fleet_of(rng, 3, 0..1);
    for node in &mut nodes {
        node.clock.wall_step_us = 1;
        // As `lease run` leaves it, and not the whole room.
        node.timing.stop_ns = Some(node.timing.lease_ns / 4);
    }
    let mix = Mix { clocks: false, beyond: false, watches: false, ..Mix::draw(rng) };
    let end_ns = 8 * 3_600 * SECOND;
    let faults = mix.faults(rng, &nodes, 60 * SECOND..end_ns, 100 * nodes[0].timing.lease_ns);
    quiet_after(rng, nodes, faults, end_ns)
}

/// Candidates of one lease, most often with the same durations.
fn fleet(rng: &mut Rng, count: usize) -> Vec<Node> {
    fleet_of(rng, count, 0..PROFILES_MS.len())
}

fn fleet_of(rng: &mut Rng, count: usize, profiles: std::ops::Range<usize>) -> Vec<Node> {
    let profile = rng.usize(profiles.clone());
    let extreme = rng.bool();
    let way_ms = [0, 2, 40][rng.usize(0..3)];
    (0..count)
        .map(|_| {
            let profile = if rng.u8(0..4) == 0 { rng.usize(profiles.clone()) } else { profile };
            node(rng, PROFILES_MS[profile], extreme, way_ms)
        })
        .collect()
}

fn node(rng: &mut Rng, profile_ms: (u64, u64, u64, u64), extreme: bool, one_way_ms: u64) -> Node {
    let (lease, renew, retry, tick) = profile_ms;
    let rate = |rng: &mut Rng| {
        if extreme { [-RHO_PPM, RHO_PPM][rng.usize(0..2)] } else { rng.i32(-RHO_PPM..=RHO_PPM) }
    };
    let delay_ns = |rng: &mut Rng| 20_000 + rng.u64(0..=one_way_ms * MILLISECOND);
    let renew_phase_ns = rng.bool().then(|| rng.u64(0..retry * MILLISECOND));
    Node {
        rule: Rule::Ours { strict: false, epoch: 0, renew_phase_ns },
        timing: Durations {
            lease_ns: lease * MILLISECOND,
            renew_ns: renew * MILLISECOND,
            retry_ns: retry * MILLISECOND,
            // The whole room, so that the inequality is tried at its edge.
            stop_ns: None,
            drain_max_ns: 3 * SECOND,
            unproven: false,
        },
        tick_ns: tick * MILLISECOND,
        seed: rng.u64(..),
        clock: ClockSpec {
            offset_ns: rng.u64(0..1_000 * SECOND),
            boottime_ppm: rate(rng),
            raw_ppm: rate(rng),
            wall_offset_us: rng.i64(-4_000_000_000..4_000_000_000),
            // Some wall clocks stand still for longer than any lease lasts.
            wall_step_us: [1, 1, 1, 60_000_000][rng.usize(0..4)],
        },
        link: Link {
            request_ns: delay_ns(rng),
            reply_ns: delay_ns(rng),
            hint_ns: delay_ns(rng),
            jitter_ns: delay_ns(rng),
        },
        watches: rng.bool(),
        wake_late_ns: [0, MILLISECOND, 20 * MILLISECOND][rng.usize(0..3)],
        stop_per_mille: if rng.bool() { 1000 } else { rng.u32(0..=1000) },
        drain_ns: rng.u64(0..4_500) * MILLISECOND,
        starts_at_ns: rng.u64(0..6_000) * MILLISECOND,
    }
}

/// Which faults a seed has switched on.
#[allow(clippy::struct_excessive_bools, reason = "each is a kind of fault that is on or off")]
#[derive(Clone, Copy, Debug)]
struct Mix {
    crashes: bool,
    stops: bool,
    pauses: bool,
    clocks: bool,
    beyond: bool,
    cuts: bool,
    losses: bool,
    delays: bool,
    refusals: bool,
    watches: bool,
}

impl Mix {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            crashes: rng.bool(),
            stops: rng.bool(),
            pauses: rng.bool(),
            clocks: rng.bool(),
            // What breaks an assumption is rare, because less is demanded while it is broken.
            beyond: rng.u8(0..8) == 0,
            cuts: rng.bool(),
            losses: rng.bool(),
            delays: rng.bool(),
            refusals: rng.bool(),
            watches: rng.bool(),
        }
    }

    fn faults(self, rng: &mut Rng, nodes: &[Node], span: std::ops::Range<u64>, gap_ns: u64) -> Vec<Fault> {
        let kinds: Vec<fn(&mut Rng, usize, &Durations) -> What> = [
            (self.crashes, crash as fn(&mut Rng, usize, &Durations) -> What),
            (self.stops, stop),
            (self.pauses, pause),
            (self.clocks, clock),
            (self.beyond, beyond),
            (self.cuts, cut),
            (self.losses, lossy),
            (self.delays, delay),
            (self.refusals, refuse),
            (self.watches, watch),
        ]
        .into_iter()
        .filter_map(|(is_on, kind)| is_on.then_some(kind))
        .collect();
        let mut faults = Vec::new();
        let mut at_ns = span.start;
        while !kinds.is_empty() {
            at_ns += rng.u64(0..2 * gap_ns);
            if at_ns >= span.end {
                break;
            }
            let node = rng.usize(0..nodes.len());
            let mut what = kinds[rng.usize(0..kinds.len())](rng, node, &nodes[node].timing);
            if let What::Resign { to, .. } = &mut what {
                *to = rng.bool().then(|| rng.usize(0..nodes.len()));
            }
            faults.push(fault(at_ns, what));
        }
        faults
    }
}

fn crash(rng: &mut Rng, node: usize, timing: &Durations) -> What {
    What::Crash { node, back_ns: Some(rng.u64(0..timing.lease_ns)) }
}

fn stop(rng: &mut Rng, node: usize, timing: &Durations) -> What {
    match rng.u8(0..4) {
        0 => What::Resign { node, to: None },
        1 => What::WorkEnds { node, whole: rng.bool() },
        _ => What::Shutdown { node, back_ns: Some(rng.u64(0..timing.lease_ns)) },
    }
}

fn pause(rng: &mut Rng, node: usize, timing: &Durations) -> What {
    let for_ns = match rng.u8(0..3) {
        0 => rng.u64(0..timing.renew_ns),
        1 => rng.u64(timing.renew_ns..timing.lease_ns),
        _ => rng.u64(timing.lease_ns..4 * timing.lease_ns),
    };
    if rng.u8(0..4) == 0 { What::Suspend { node, for_ns } } else { What::Pause { node, for_ns } }
}

fn clock(rng: &mut Rng, node: usize, timing: &Durations) -> What {
    match rng.u8(0..4) {
        3 => {
            // Slewed, as the clock that is disciplined can be; the other one is not.
            let (boottime_ppm, raw_ppm) = (rng.i32(-SLEW_PPM..=SLEW_PPM), rng.i32(-RHO_PPM..=RHO_PPM));
            What::Rate { node, boottime_ppm, raw_ppm }
        }
        0 => What::WallStep { node, by_us: rng.i64(-4_000_000_000..4_000_000_000) },
        1 => What::Starve { node, for_ns: rng.u64(0..2 * timing.lease_ns), late_ns: rng.u64(0..100 * MILLISECOND) },
        _ => {
            let (boottime_ppm, raw_ppm) = (rng.i32(-RHO_PPM..=RHO_PPM), rng.i32(-RHO_PPM..=RHO_PPM));
            What::Rate { node, boottime_ppm, raw_ppm }
        }
    }
}

/// What exclusion does not survive, so that it is seen to be noticed, and what survives it.
fn beyond(rng: &mut Rng, node: usize, timing: &Durations) -> What {
    if rng.bool() {
        What::Freeze { node, for_ns: rng.u64(0..2 * timing.lease_ns) }
    } else {
        let beyond_ns = rng.u64(0..2 * timing.lease_ns);
        What::HangOnStop { node, for_ns: rng.u64(0..4 * timing.lease_ns), beyond_ns }
    }
}

fn cut(rng: &mut Rng, node: usize, timing: &Durations) -> What {
    What::Cut { node, way: way(rng), for_ns: rng.u64(0..3 * timing.lease_ns) }
}

fn lossy(rng: &mut Rng, node: usize, timing: &Durations) -> What {
    let pattern = [rng.u64(..), rng.u64(..) & rng.u64(..), rng.u64(..) | rng.u64(..)][rng.usize(0..3)];
    What::Lossy { node, way: way(rng), for_ns: rng.u64(0..3 * timing.lease_ns), pattern }
}

fn delay(rng: &mut Rng, node: usize, timing: &Durations) -> What {
    if rng.bool() {
        return What::Hold { node, way: way(rng), extra_ns: rng.u64(0..3 * timing.lease_ns) };
    }
    let extra_ns = rng.u64(0..2 * timing.retry_ns);
    What::Slow { node, way: way(rng), for_ns: rng.u64(0..3 * timing.lease_ns), extra_ns }
}

fn refuse(rng: &mut Rng, node: usize, timing: &Durations) -> What {
    // The last one lets a candidate's reads through and not its writes, or the other way round.
    let pattern = [u64::MAX, rng.u64(..), rng.u64(..) & rng.u64(..), u64::MAX / 3][rng.usize(0..4)];
    let retry_after_ns = (rng.u8(0..4) == 0).then(|| rng.u64(0..20_000) * MILLISECOND);
    let for_ns = rng.u64(0..2 * timing.lease_ns);
    What::Refuse { node, for_ns, refusal: refusal(rng), pattern, retry_after_ns }
}

fn watch(rng: &mut Rng, node: usize, timing: &Durations) -> What {
    let for_ns = rng.u64(0..2 * timing.lease_ns);
    match rng.u8(0..3) {
        0 => What::WatchLost { node, for_ns },
        1 => What::WatchLate { node, for_ns, extra_ns: rng.u64(0..2 * timing.lease_ns) },
        _ => {
            let every_ns = rng.u64(5..500) * MILLISECOND;
            What::WatchLies { node, for_ns, every_ns, pattern: rng.u64(..) }
        }
    }
}

fn way(rng: &mut Rng) -> Way {
    [Way::Requests, Way::Replies, Way::Both][rng.usize(0..3)]
}

fn refusal(rng: &mut Rng) -> Refusal {
    [
        Refusal::Unavailable,
        Refusal::Unknown,
        Refusal::UnknownApplied,
        Refusal::Denied,
        Refusal::Conflict,
        Refusal::ConflictApplied,
    ][rng.usize(0..6)]
}

/// The faults in their order, and then quiet for as long as it takes to see that nothing changes any more.
fn quiet_after(rng: &mut Rng, nodes: Vec<Node>, mut faults: Vec<Fault>, end_ns: u64) -> Schedule {
    faults.sort_by_key(|fault| fault.at_ns);
    let last_ns = faults.iter().map(|fault| fault.at_ns + fault.what.span_ns()).max().unwrap_or(0).max(end_ns);
    let timings: Vec<_> = nodes.iter().filter_map(|node| node.timing.timing_for(node.rule).ok()).collect();
    let bounds = Bounds::of(&timings, RHO_PPM.unsigned_abs());
    let until_ns = last_ns + bounds.settle_ns + 2 * bounds.takeover_ns + QUIET_NS;
    Schedule { nodes, says_not_found: rng.bool(), faults, until_ns }
}

/// Lease, renew, retry and tick of the candidates of one kind, in nanoseconds.
const fn profile(index: usize) -> (u64, u64, u64, u64) {
    let (lease, renew, retry, tick) = PROFILES_MS[index];
    (lease * MILLISECOND, renew * MILLISECOND, retry * MILLISECOND, tick * MILLISECOND)
}

const fn fault(at_ns: u64, what: What) -> Fault {
    Fault { at_ns, what }
}

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
/// How long nothing may change at the end.
const QUIET_NS: u64 = 600 * SECOND;
/// The bound on the rates of clocks.
const RHO_PPM: i32 = 10_000;
/// How far beyond it one of two may be.
const SLEW_PPM: i32 = 200_000;
/// Lease, renew, retry and tick.
const PROFILES_MS: [(u64, u64, u64, u64); 5] = [
    (15_000, 10_000, 2_000, 1_000),
    (8_000, 5_000, 1_000, 1_000),
    (4_000, 3_000, 1_000, 1_000),
    (4_000, 2_500, 500, 1),
    (3_000, 2_000, 600, 1),
];
