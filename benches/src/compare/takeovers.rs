//! How long it takes until another leads, after a graceful stop and after a crash.

use std::thread;
use std::time::Duration;

use testbed::boottime_ns;
use testbed::process::{Signal, wait_until};

use super::candidate::{Candidate, Peer};
use super::fleet::{Fleet, Scene};
use super::options::Part;
use super::record::Takeover;
use super::{CompareError, Rig};

/// Takes all samples of [`Part::Graceful`] or [`Part::Crash`].
pub(super) fn run(rig: &Rig<'_>, part: Part) -> Result<(), CompareError> {
    in_lanes(rig.options.samples, |lane, own| {
        let mut fleets = Peer::ALL.map(|peer| Fleet::new(part, peer, lane));
        for round in own {
            for peer in Peer::alternating(round / LANES + lane) {
                let fleet = fleets.iter_mut().find(|fleet| fleet.peer() == peer).expect("each peer has a fleet");
                let sample = sample(rig, fleet, part, lane)?;
                rig.record.takeover(sample)?;
            }
        }
        Ok(())
    })
}

/// Runs the rounds 0 to `rounds` in lanes; each lane is given its own rounds, and begins at another part of a second.
pub(super) fn in_lanes(
    rounds: usize,
    lane: impl Fn(usize, Vec<usize>) -> Result<(), CompareError> + Sync,
) -> Result<(), CompareError> {
    let lanes = LANES.min(rounds);
    let run = |index: usize| {
        // Lanes in step would load the machine in bursts.
        thread::sleep(STAGGER * u32::try_from(index).unwrap_or(u32::MAX));
        lane(index, (0..rounds).filter(|round| round % lanes == index).collect())
    };
    let run = &run;
    thread::scope(|scope| {
        let running: Vec<_> = (0..lanes).map(|index| scope.spawn(move || run(index))).collect();
        // Every lane is heard out, so that a failure of one costs no sample of another.
        let ended: Vec<_> = running.into_iter().map(|lane| lane.join().expect("a lane does not panic")).collect();
        ended.into_iter().collect()
    })
}

/// Makes scenes until one is right, and then one sample.
fn sample(rig: &Rig<'_>, fleet: &mut Fleet, part: Part, lane: usize) -> Result<Takeover, CompareError> {
    let (scene, retries) = right_scene(rig, fleet)?;
    let peer = fleet.peer();
    let moment = scene.moment;
    let mark = fleet.member(scene.standby).mark();
    let event_ns = strike(fleet, part, &scene)?;
    let within = NEXT_WITHIN;
    let led = fleet.member(scene.standby).wait_to_lead(mark, within);
    let standby = fleet.member(scene.standby);
    let acted = led.is_ok() && wait_until(FIRST_ACT_WITHIN, || standby.last_act_ns().is_ok_and(|at| at > event_ns));
    // Whatever the leader still does shows only when it has ended.
    let ended = fleet.member(scene.leader).program().wait_for_tree(ENDS_WITHIN);
    let judge = fleet.judge()?;
    let takeover = judge.takeover_after(event_ns).filter(|_| acted);
    let sample = Takeover {
        part,
        peer,
        lane,
        moment,
        gap: takeover.as_ref().map(|takeover| takeover.delay),
        leaderless: takeover.map_or(within, |takeover| takeover.leaderless),
        overlaps: judge.overlaps().len(),
        overlap: judge.overlap_total(),
        retries,
    };
    let odd = sample.gap.is_none_or(|gap| gap > part.usual_max()) || (peer == Peer::Ours && sample.overlaps > 0);
    if odd || ended.is_err() {
        fleet.keep(rig)?;
    }
    fleet.remove(scene.leader);
    if sample.gap.is_none() {
        fleet.start_over();
    }
    Ok(sample)
}

/// Makes scenes until one is right; says how many were not.
pub(super) fn right_scene(rig: &Rig<'_>, fleet: &mut Fleet) -> Result<(Scene, u32), CompareError> {
    let mut last = None;
    for retries in 0..SCENES_MAX {
        match fleet.make_ready(rig) {
            Ok(scene) => return Ok((scene, retries)),
            Err(error) => {
                eprintln!("  again: {error}");
                fleet.keep(rig)?;
                fleet.start_over();
                last = Some(error);
            }
        }
    }
    let last = last.unwrap_or_else(|| CompareError::scene("no try was made"));
    Err(CompareError::Tries { tries: SCENES_MAX, last: Box::new(last) })
}

/// Does it to the leader; returns the moment just before.
fn strike(fleet: &mut Fleet, part: Part, scene: &Scene) -> Result<u64, CompareError> {
    let leader = fleet.member(scene.leader);
    if part == Part::Crash {
        let processes = leader.processes();
        let event_ns = boottime_ns();
        Candidate::kill(&processes);
        return Ok(event_ns);
    }
    let event_ns = boottime_ns();
    leader.program().signal(Signal::TERM).map_err(CompareError::io("the leader"))?;
    Ok(event_ns)
}

impl Part {
    /// A gap beyond this is kept for people to look into. For a graceful stop it is a lost release.
    pub(super) fn usual_max(self) -> Duration {
        if self == Self::Graceful { LOST } else { Duration::from_secs(20) }
    }
}

/// Leases of each peer that are measured at once: as many as leave the machine mostly idle.
pub(super) const LANES: usize = 8;
/// Between the beginnings of two lanes. No divisor of the retry period.
const STAGGER: Duration = Duration::from_millis(330);
/// A graceful handover that takes longer waited for the lease to run out, or nearly.
pub(super) const LOST: Duration = Duration::from_secs(5);
/// Twice the lease duration and more.
const NEXT_WITHIN: Duration = Duration::from_secs(45);
const FIRST_ACT_WITHIN: Duration = Duration::from_secs(5);
const ENDS_WITHIN: Duration = Duration::from_secs(30);
const SCENES_MAX: u32 = 4;
