//! Whether two lead after somebody edited the lease by hand under a live leader.

use std::fmt;
use std::thread;
use std::time::Duration;

use serde_json::json;
use testbed::boottime_ns;
use testbed::judge::{Act, Judge, Leaderless};

use super::candidate::Peer;
use super::fleet::{Fleet, nanos};
use super::options::Part;
use super::record::Edited;
use super::takeovers::{LANES, in_lanes, right_scene};
use super::{CompareError, Rig};

/// What somebody does to the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edit {
    /// `kubectl delete lease`.
    Delete,
    /// The holder is made empty.
    Clear,
    /// The holder becomes somebody who does not exist.
    Overwrite,
}

impl Edit {
    pub(super) const ALL: [Self; 3] = [Self::Delete, Self::Clear, Self::Overwrite];

    fn make(self, rig: &Rig<'_>, lease: &str) -> Result<(), CompareError> {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{lease}", rig.namespace);
        let holder = |name: &str| json!({"spec": {"holderIdentity": name}});
        let answer = match self {
            Self::Delete => rig.cluster.api().admin("DELETE", &path, None),
            Self::Clear => rig.cluster.api().admin("PATCH", &path, Some(&holder(""))),
            Self::Overwrite => rig.cluster.api().admin("PATCH", &path, Some(&holder("nobody-that-runs"))),
        };
        if answer.status == 200 {
            return Ok(());
        }
        Err(CompareError::scene(format!("the server answered {} to the edit: {}", answer.status, answer.text)))
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "delete",
            Self::Clear => "clear",
            Self::Overwrite => "overwrite",
        })
    }
}

/// Makes all tries of all edits.
pub(super) fn run(rig: &Rig<'_>) -> Result<(), CompareError> {
    in_lanes(rig.options.tries * Edit::ALL.len(), |lane, own| {
        let mut fleets = Peer::ALL.map(|peer| Fleet::new(Part::Edits, peer, lane));
        for round in own {
            for peer in Peer::alternating(round / LANES + lane) {
                let fleet = fleets.iter_mut().find(|fleet| fleet.peer() == peer).expect("each peer has a fleet");
                // By the round's place in blocks of the tries, so that every edit gets as many.
                let edit = Edit::ALL[round / rig.options.tries];
                let sample = sample(rig, fleet, edit, lane)?;
                rig.record.edited(sample)?;
            }
        }
        Ok(())
    })
}

fn sample(rig: &Rig<'_>, fleet: &mut Fleet, edit: Edit, lane: usize) -> Result<Edited, CompareError> {
    let (scene, retries) = right_scene(rig, fleet)?;
    let event_ns = boottime_ns();
    edit.make(rig, fleet.lease())?;
    // A wait for something that must not happen: longer than a deceived leader goes on and a standby waits.
    thread::sleep(OBSERVED);
    let until_ns = event_ns + nanos(OBSERVED);
    let acts = fleet.judge()?.acts().to_vec();
    let judge = Judge::from_acts(acts.into_iter().filter(|act| within(act, event_ns, until_ns)).collect());
    let overlaps = judge.overlaps().len();
    // The time after the last act is one without a leader too.
    let last_ns = judge.acts().last().map_or(event_ns, |act| act.at_ns);
    let at_the_end = Duration::from_nanos(until_ns - last_ns);
    let leaderless = judge.leaderless().iter().map(Leaderless::length).fold(at_the_end, Duration::max);
    if overlaps > 0 && fleet.peer() == Peer::Ours {
        fleet.keep(rig)?;
    }
    Ok(Edited {
        edit,
        peer: fleet.peer(),
        lane,
        moment: scene.moment,
        overlaps,
        overlap: judge.overlap_total(),
        leaderless,
        retries,
    })
}

/// From a little before the event, so that the leader's span of then is one with that of after.
fn within(act: &Act, event_ns: u64, until_ns: u64) -> bool {
    (event_ns.saturating_sub(nanos(Judge::GAP))..=until_ns).contains(&act.at_ns)
}

/// The lease duration and two of the peer's longest pauses between looks at it, 4.4 s.
const OBSERVED: Duration = Duration::from_secs(25);
