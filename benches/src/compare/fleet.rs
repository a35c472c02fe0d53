//! A leader and one standby on a lease of their own, made ready for one event after the other.

use std::thread;
use std::time::Duration;

use testbed::boottime_ns;
use testbed::judge::Judge;
use testbed::process::wait_until;

use super::candidate::{Candidate, Peer};
use super::options::Part;
use super::{CompareError, Rig};

/// Candidates of one peer on one lease. What one event leaves is used for the next, as in a real fleet.
#[derive(Debug)]
pub(super) struct Fleet {
    part: Part,
    peer: Peer,
    lane: usize,
    lease: String,
    /// Of all candidates and leases so far.
    started: usize,
    members: Vec<Candidate>,
}

/// A scene that is right: the leader acts, the standby has seen it, and a random part of a retry period has passed.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) leader: usize,
    pub(super) standby: usize,
    /// The deliberate wait.
    pub(super) moment: Duration,
}

impl Fleet {
    pub(super) fn new(part: Part, peer: Peer, lane: usize) -> Self {
        let mut fleet = Self { part, peer, lane, lease: String::new(), started: 0, members: Vec::new() };
        fleet.start_over();
        fleet
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    pub(super) fn lease(&self) -> &str {
        &self.lease
    }

    pub(super) fn member(&mut self, index: usize) -> &mut Candidate {
        &mut self.members[index]
    }

    pub(super) fn remove(&mut self, index: usize) {
        drop(self.members.remove(index));
    }

    /// Forgets all members and takes a lease that nobody has had.
    pub(super) fn start_over(&mut self) {
        self.members.clear();
        self.lease = format!("{}-{}-{}-{}", self.part, self.peer, self.lane, self.started);
    }

    /// Makes the scene, and returns at a moment that is uniform over the retry period.
    pub(super) fn make_ready(&mut self, rig: &Rig<'_>) -> Result<Scene, CompareError> {
        self.members.retain(Candidate::is_alive);
        if self.members.is_empty() {
            let leader = self.start_one(rig)?;
            leader.wait_to_lead(0, LEADS_WITHIN)?;
        }
        let leader = self.wait_for_leader()?;
        if self.members.len() == 1 {
            let name = self.members[leader].name().to_owned();
            self.start_one(rig)?.wait_to_follow(&name, FOLLOWS_WITHIN)?;
        }
        // A standby of some time is meant, with its watch open and at any phase of its polling.
        let moment = RETRY_PERIOD.mul_f64(fastrand::f64());
        thread::sleep(SETTLE + moment);
        let now_ns = boottime_ns();
        let (leader, standby) = (self.wait_for_leader()?, 1 - leader);
        let standby_acted_ns = self.members[standby].last_act_ns()?;
        if leader == standby || now_ns.saturating_sub(standby_acted_ns) < nanos(QUIET) {
            return Err(CompareError::scene("the lead has changed by itself"));
        }
        if !self.members.iter().all(Candidate::is_alive) {
            return Err(CompareError::scene("a candidate has ended by itself"));
        }
        Ok(Scene { leader, standby, moment })
    }

    /// All acts of all members, for judgement.
    pub(super) fn judge(&self) -> Result<Judge, CompareError> {
        let mut acts = Vec::new();
        for member in &self.members {
            acts.extend(member.acts()?);
        }
        Ok(Judge::from_acts(acts))
    }

    /// Keeps the logs of an odd sample.
    pub(super) fn keep(&self, rig: &Rig<'_>) -> Result<(), CompareError> {
        let dir = rig.record.dir().join("odd").join(format!("{}-{}", self.lease, boottime_ns()));
        self.members.iter().try_for_each(|member| member.keep(&dir))
    }

    fn start_one(&mut self, rig: &Rig<'_>) -> Result<&Candidate, CompareError> {
        // The letter at the end keeps one name from being the beginning of another.
        let name = format!("{}-{}-{}-{}x", self.part, self.peer, self.lane, self.started);
        self.started += 1;
        self.members.push(Candidate::start(rig, self.peer, &self.lease, &name)?);
        Ok(self.members.last().expect("it was pushed a line above"))
    }

    /// The one member that acts, once there is exactly one.
    fn wait_for_leader(&self) -> Result<usize, CompareError> {
        let acting = || {
            let oldest_ns = boottime_ns() - nanos(ACTING);
            let mut acting = Vec::new();
            for (index, member) in self.members.iter().enumerate() {
                if member.last_act_ns()? >= oldest_ns {
                    acting.push(index);
                }
            }
            Ok::<_, CompareError>(acting)
        };
        let mut seen = acting();
        wait_until(LEADS_WITHIN, || {
            seen = acting();
            seen.as_ref().map_or(true, |acting| acting.len() == 1)
        });
        match *seen? {
            [leader] => Ok(leader),
            ref acting => Err(CompareError::scene(format!("{} members of {} act", acting.len(), self.lease))),
        }
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("all durations here are far shorter than 500 years")
}

/// Of both peers.
const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// What a standby is given between its first look and the first moment of an event.
const SETTLE: Duration = Duration::from_secs(1);
/// An act so recent is one of now, also on a busy machine.
const ACTING: Duration = Duration::from_millis(150);
/// For so long nobody but the leader has acted.
const QUIET: Duration = Duration::from_secs(1);
const LEADS_WITHIN: Duration = Duration::from_mins(1);
const FOLLOWS_WITHIN: Duration = Duration::from_secs(20);
