//! Renames what a state counts upwards, so that states repeat: times, revisions, stamps, transitions.
//!
//! A renamed state is the same state: what is compared stays equal or different, what is ordered keeps its order, and all time
//! is counted from now. `a_world_that_is_renamed_at_every_step_acts_as_one_that_is_not` compares the two step by step.

use std::sync::Arc;

use lease_core::{LeaseRecord, Renaming, Timestamp, Version, Versioned};

use crate::judge::{Sight, Sights};
use crate::plan::{Edit, Plan, TICK, WALL_S, Wall};
use crate::turn::{START_MS, instant};
use crate::world::{Call, Past, Process, State, Wire};

/// Forgets what can make no difference any more. Done to every state, renamed or not.
pub(crate) fn prune(plan: &Plan, sights: &Sights, state: &mut State) -> Shown {
    prune_late(plan, sights, state);
    prune_past(plan, state);
    // A process that starts later may be ignorant, too.
    let restarts = plan.crashes_max + plan.shutdowns_max > 0 || state.nodes.iter().any(|node| node.lives == 0);
    if !restarts && state.nodes.iter().all(|node| node.ignorance.is_none()) {
        state.excused_for = 0;
    }
    if state.excused_for == 0 {
        state.nodes.iter_mut().for_each(|node| node.ignorance = None);
    }
    let shown = Shown::of(state);
    for node in &mut state.nodes {
        let Some(process) = &mut node.process else { continue };
        let last_counts = |stamp: Timestamp| match plan.wall {
            // The wall clock is beyond it, and what it shows is known by the record.
            Wall::Moving => shown.shows(stamp),
            Wall::Standing => shown.renew_times.first().is_none_or(|first| stamp.unix_micros() > *first),
        };
        let process = Arc::make_mut(process);
        let may_claim = process.elector.forget(|stamp| shown.shows(stamp), last_counts);
        if !may_claim && !process.work.acts() {
            process.authority_ms = 0;
        }
    }
    shown
}

/// A conditional write on a version that is no longer stored can only be refused.
fn prune_late(plan: &Plan, sights: &Sights, state: &mut State) {
    let current = state.store.current.as_ref().and_then(|current| current.revision);
    let may_vanish = state.spent.edits == 0 && plan.may_vanish();
    // A lost write brings an earlier version back.
    let may_return = state.spent.edits == 0 && plan.edits.contains(&Edit::LoseWrite);
    let before = state.store.past.before.as_ref().filter(|_| may_return).and_then(|before| before.revision);
    let known = state.late.len();
    state.late.retain(|late| match late.write.on {
        None => current.is_none() || may_vanish,
        on => on == current || may_return && (on == before || before.is_none()),
    });
    (state.late.len()..known).for_each(|_| sights.saw(Sight::LateWriteRefused));
}

fn prune_past(plan: &Plan, state: &mut State) {
    let past = &mut state.store.past;
    let open = state.spent.edits == 0;
    let wants = |edits: &[Edit]| open && edits.iter().any(|edit| plan.edits.contains(edit));
    if !wants(&[Edit::RestoreWrite, Edit::LoseWrite]) {
        past.before = None;
    }
    if !wants(&[Edit::RestoreTerm]) {
        past.term_before = None;
    }
    if !wants(&[Edit::RestoreRelease]) {
        past.release = None;
    }
}

/// Gives everything in the state its canonical name.
pub(crate) fn rename(plan: &Plan, state: &mut State, shown: Shown) {
    for node in &mut state.nodes {
        let Some(process) = &mut node.process else { continue };
        let process = Arc::make_mut(process);
        process.elector.rebase(instant(process.clock_ms), instant(START_MS), plan.timing.lease_duration());
        process.clock_ms = START_MS;
    }
    let mut names = Names {
        wall: plan.wall,
        shown,
        renew_times: Vec::new(),
        acquire_times: Vec::new(),
        keeps_transitions: !plan.edits.is_empty(),
    };
    visit(state, &mut names);
    state.wall_s = WALL_S;
}

/// Shows every name in the state to `renaming`, in an order that depends on the state alone.
fn visit(state: &mut State, renaming: &mut impl Renaming) {
    if let Some(current) = &mut state.store.current {
        renaming.versioned(current);
    }
    renaming.revision(&mut state.store.revision);
    if let Some(token) = &mut state.token_max {
        renaming.revision(token);
    }
    for node in &mut state.nodes {
        if let Some(process) = &mut node.process {
            visit_process(Arc::make_mut(process), renaming);
        }
    }
    for late in &mut state.late {
        if let Some(on) = &mut late.write.on {
            renaming.revision(on);
        }
        bare(&mut late.write.record, renaming);
    }
    let Past { before, term_before, release } = &mut state.store.past;
    if let Some(before) = before {
        renaming.versioned(before);
    }
    term_before.iter_mut().chain(release).for_each(|record| bare(record, renaming));
}

fn visit_process(process: &mut Process, renaming: &mut impl Renaming) {
    process.elector.rename(renaming);
    match &mut process.wire {
        Wire::Sent { call: Call::Write(write), .. } => {
            if let Some(on) = &mut write.on {
                renaming.revision(on);
            }
            bare(&mut write.record, renaming);
        }
        Wire::Answered { answer: Ok(Some(found)), .. } => renaming.versioned(found),
        Wire::Idle | Wire::Unanswered | Wire::Sent { call: Call::Get, .. } | Wire::Answered { .. } => {}
    }
    if let Some(seen) = &mut process.revision_seen {
        renaming.revision(seen);
    }
}

/// A record that has no version yet.
fn bare(record: &mut LeaseRecord, renaming: &mut impl Renaming) {
    let mut seen = Versioned {
        record: std::mem::take(record),
        version: unversioned(),
        revision: None,
        attachment: lease_core::Attachment::NONE,
    };
    renaming.versioned(&mut seen);
    *record = seen.record;
}

/// What a state shows: sorted, and each once.
#[derive(Default)]
pub(crate) struct Shown {
    revisions: Vec<u128>,
    /// Of records: what an own write can be found by.
    renew_times: Vec<i64>,
    transitions: Vec<u32>,
}

impl Shown {
    fn of(state: &mut State) -> Self {
        let mut shown = Self::default();
        visit(state, &mut shown);
        let Self { revisions, renew_times, transitions } = &mut shown;
        revisions.sort_unstable();
        revisions.dedup();
        renew_times.sort_unstable();
        renew_times.dedup();
        transitions.sort_unstable();
        transitions.dedup();
        shown
    }

    fn shows(&self, renew_time: Timestamp) -> bool {
        self.renew_times.binary_search(&renew_time.unix_micros()).is_ok()
    }
}

impl Renaming for Shown {
    fn versioned(&mut self, seen: &mut Versioned) {
        self.revisions.extend(seen.revision);
        self.renew_times.extend(seen.record.renew_time.map(Timestamp::unix_micros));
        self.transitions(&mut seen.record.transitions);
        let LeaseRecord { acquired, released, .. } = &mut seen.record;
        acquired.iter_mut().chain(released).for_each(|mark| self.transitions(&mut mark.transitions));
    }

    fn revision(&mut self, revision: &mut u128) {
        self.revisions.push(*revision);
    }

    fn renew_time(&mut self, _: &mut Timestamp) {}

    fn acquire_time(&mut self, _: &mut Timestamp) {}

    fn transitions(&mut self, transitions: &mut u32) {
        self.transitions.push(*transitions);
    }
}

/// The canonical names.
struct Names {
    wall: Wall,
    shown: Shown,
    /// In the order in which they were met.
    renew_times: Vec<i64>,
    acquire_times: Vec<i64>,
    /// A record that vanishes is made anew with a count of zero, so counts cannot be moved.
    keeps_transitions: bool,
}

impl Renaming for Names {
    fn versioned(&mut self, seen: &mut Versioned) {
        if let Some(revision) = &mut seen.revision {
            self.revision(revision);
            seen.version = version(*revision);
        }
        let record = &mut seen.record;
        record.renew_time.iter_mut().for_each(|time| self.renew_time(time));
        record.acquire_time.iter_mut().for_each(|time| self.acquire_time(time));
        self.transitions(&mut record.transitions);
        let LeaseRecord { acquired, released, .. } = record;
        acquired.iter_mut().chain(released).for_each(|mark| self.transitions(&mut mark.transitions));
    }

    /// Revisions are ordered, and the next one is above all: their ranks do as well.
    fn revision(&mut self, revision: &mut u128) {
        // The first rank is one, because a store that loses its first write is at zero.
        let rank = self.shown.revisions.partition_point(|shown| shown <= revision);
        *revision = u128::try_from(rank).expect("a small count");
    }

    fn renew_time(&mut self, time: &mut Timestamp) {
        let micros = match self.wall {
            // They are only compared for equality, because the wall clock is beyond all of them.
            Wall::Moving => index_of(&mut self.renew_times, time.unix_micros()) * 1_000_000,
            // Each but the first is made from another by adding, so they may be moved together, down to above the wall clock.
            Wall::Standing => {
                let (wall, tick) = (WALL_S * 1_000_000, i64::try_from(TICK.as_micros()).expect("a short time"));
                let first = self.shown.renew_times.first().copied().unwrap_or(wall);
                time.unix_micros() - if first == wall { 0 } else { first - wall - tick }
            }
        };
        *time = Timestamp::from_unix_micros(micros);
    }

    /// The same time in both has one name, as long as a record can still get it as its next renew time.
    fn acquire_time(&mut self, time: &mut Timestamp) {
        let oldest = self.shown.renew_times.first().copied().unwrap_or(i64::MAX);
        if self.wall == Wall::Standing && time.unix_micros() >= oldest {
            return self.renew_time(time);
        }
        let index = index_of(&mut self.acquire_times, time.unix_micros());
        *time = Timestamp::from_unix_micros(index * 1_000_000);
    }

    fn transitions(&mut self, transitions: &mut u32) {
        if !self.keeps_transitions {
            // Only an acquisition adds one, to the latest; so only what is next to each other must stay so.
            let shown = &self.shown.transitions;
            let lower = &shown[..shown.partition_point(|shown| shown <= transitions)];
            *transitions = lower.windows(2).map(|pair| (pair[1] - pair[0]).min(2)).sum();
        }
    }
}

fn index_of(times: &mut Vec<i64>, time: i64) -> i64 {
    let index = times.iter().position(|known| *known == time).unwrap_or_else(|| {
        times.push(time);
        times.len() - 1
    });
    i64::try_from(index).expect("a small count")
}

fn unversioned() -> Version {
    version(0)
}

/// The same text for the same revision, without making it each time.
fn version(revision: u128) -> Version {
    thread_local! {
        static VERSIONS: Vec<Version> = (0..VERSIONS_MAX).map(|n| Version::new(n.to_string())).collect();
    }
    let index = usize::try_from(revision).expect("a rank");
    VERSIONS.with(|versions| versions.get(index).cloned()).unwrap_or_else(|| Version::new(revision.to_string()))
}

const VERSIONS_MAX: usize = 64;
