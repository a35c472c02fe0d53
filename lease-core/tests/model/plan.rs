//! What a world is made of: durations, clocks, faults, and how much of each there is.
//!
//! A plan holds nothing that changes. What a person or a broken store does to the record is one of [`Edit`], and the cases in
//! which `docs/guarantees.md` promises nothing are those of [`Ignorance`]: a plan names the ones that it excuses.

use std::time::Duration;

use lease_core::{Config, HolderIdentity, Timing};

/// One world to explore.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) candidates: usize,
    pub(crate) timing: Timing,
    /// The true length of a step.
    pub(crate) step_ms: u32,
    /// What the clocks of each candidate show more after a step of true time.
    pub(crate) rates_ms: [u32; CANDIDATES_MAX],
    pub(crate) network: Network,
    pub(crate) wall: Wall,
    /// Whether all candidates start before time goes on.
    pub(crate) starts_together: bool,
    /// How many acquisitions the store may take; no state beyond is looked at.
    pub(crate) terms_max: Option<u8>,
    /// How many requests may remain without an answer.
    pub(crate) losses_max: Option<u8>,
    pub(crate) crashes_max: u8,
    pub(crate) resigns_max: u8,
    pub(crate) shutdowns_max: u8,
    /// How many abandoned writes can be on their way at once, to be applied at any later time.
    pub(crate) late_max: usize,
    /// One of these happens, at any moment, once.
    pub(crate) edits: &'static [Edit],
    pub(crate) excused: &'static [Ignorance],
    /// By how much the work stops later than it was told to: beyond what is assumed.
    pub(crate) stops_late_ms: u32,
}

/// What becomes of requests and answers. Any of them may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// A request reaches the store at any time before it is given up, and its answer arrives at any time after that.
    Slow,
    /// Requests reach the store, and answers arrive, within the step or never.
    Prompt,
}

/// What the wall clocks show, which stamps are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wall {
    /// More at every reading.
    Moving,
    /// The same for ever, on all machines.
    Standing,
}

/// What happens to the record behind the candidates' backs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Edit {
    Delete,
    /// The holder is emptied, and nothing else.
    Clear,
    /// The holder is the other candidate.
    Overwrite,
    /// The same, and as if that one had just renewed.
    OverwriteAndRenew,
    LowerDuration,
    LowerDurationAndRenew,
    /// The record before the last write.
    RestoreWrite,
    /// The last record of the term before.
    RestoreTerm,
    /// The last release.
    RestoreRelease,
    /// As client-go writes it on the present record.
    ForeignRelease,
    /// As client-go writes it on an observation of the term before.
    StaleForeignRelease,
    /// The store loses its last write, and counts on from before it.
    LoseWrite,
}

/// Why a candidate could not know that somebody may still act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ignorance {
    /// Its process started after the edit, or had read nothing before it.
    Fresh,
    /// Its create was under way when the record vanished.
    Creating,
    /// It had not seen the term whose record was edited.
    Missed,
    /// It had not seen the write that the store lost.
    BeforeTheLoss,
}

impl Plan {
    /// The world without faults beyond those of network and processes.
    pub(crate) fn base(name: &'static str, candidates: usize) -> Self {
        let second = |n| Duration::from_secs(n);
        let timing = Timing::builder(second(4), second(3), second(1))
            .stop_timeout(second(1))
            .drain_max(second(1))
            .rate_error_ppm(0)
            .build()
            .expect("H + S = D is the edge for perfect clocks");
        Self {
            name,
            candidates,
            timing,
            step_ms: 1_000,
            rates_ms: [1_000; CANDIDATES_MAX],
            network: Network::Slow,
            wall: Wall::Moving,
            starts_together: false,
            terms_max: None,
            losses_max: None,
            crashes_max: 0,
            resigns_max: 0,
            shutdowns_max: 0,
            late_max: 0,
            edits: &[],
            excused: &[],
            stops_late_ms: 0,
        }
    }

    /// The fastest and the slowest clock that `rho` allows, at the very edge of `H + S <= D (1 - rho) / (1 + rho)`.
    pub(crate) fn edge(name: &'static str) -> Self {
        let millisecond = Duration::from_millis;
        let timing = Timing::builder(millisecond(7_200), millisecond(3_600), millisecond(1_200))
            .stop_timeout(millisecond(1_200))
            .drain_max(millisecond(1_200))
            .rate_error_ppm(200_000)
            .build()
            .expect("3.6 s + 1.2 s = 7.2 s * 0.8 / 1.2");
        Self { timing, rates_ms: [400, 600, 500], step_ms: 500, ..Self::base(name, 2) }.prompt()
    }

    /// With fewer orders of what can happen, for what would be too much to exhaust otherwise.
    pub(crate) fn prompt(self) -> Self {
        Self { network: Network::Prompt, starts_together: true, ..self }
    }

    /// With one edit by hand.
    pub(crate) fn edited(self, edits: &'static [Edit]) -> Self {
        // What an older term left behind needs one, and somebody must be able to lead after the edit.
        let older = edits
            .iter()
            .any(|edit| matches!(edit, Edit::RestoreTerm | Edit::RestoreRelease | Edit::StaleForeignRelease));
        let resigns_max = u8::from(edits.contains(&Edit::RestoreRelease));
        Self { edits, terms_max: Some(if older { 3 } else { 2 }), resigns_max, ..self }
    }

    /// The configuration of a candidate's process; its identity is new in each of its lives.
    pub(crate) fn config(&self, node: usize, life: u8) -> Config {
        Config {
            identity: HolderIdentity::exact(&format!("{}{}", name_of(node), life)).expect("a good name"),
            timing: self.timing,
            renew_time_tick: TICK,
            epoch: 0,
            strict: false,
            renew_phase: None,
            seed: None,
        }
    }

    /// What a wall clock shows at each reading, counted over all of them.
    pub(crate) fn wall_seconds(&self, reading: i64) -> i64 {
        match self.wall {
            Wall::Moving => reading,
            Wall::Standing => WALL_S,
        }
    }

    pub(crate) fn excuses(&self, ignorance: Option<Ignorance>) -> bool {
        ignorance.is_some_and(|why| self.excused.contains(&why))
    }

    /// Whether a record that is stored can be gone later.
    pub(crate) fn may_vanish(&self) -> bool {
        self.edits.iter().any(|edit| matches!(edit, Edit::Delete | Edit::LoseWrite))
    }

    /// For how many steps a hold that was granted before an edit can make somebody act.
    pub(crate) fn steps_of_a_hold(&self) -> u8 {
        let slowest = self.rates_ms[..self.candidates].iter().min().copied().unwrap_or(1);
        let acting_ms = millis(self.timing.renew_deadline() + self.timing.stop_timeout()) + self.stops_late_ms;
        u8::try_from(acting_ms.div_ceil(slowest) + 1).expect("a small world")
    }
}

pub(crate) fn name_of(node: usize) -> char {
    ['a', 'b', 'c'][node]
}

/// Small worlds count whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u32 {
    assert_eq!(duration.subsec_nanos() % 1_000_000, 0, "{duration:?} is no whole count of milliseconds");
    u32::try_from(duration.as_millis()).expect("a small world")
}

pub(crate) const CANDIDATES_MAX: usize = 3;
/// The least step of renew times.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// What the wall clocks show at first: later than any time that a renamed state has.
pub(crate) const WALL_S: i64 = 1_000_000;
