//! What a run is made of: plain data, drawn before the run, so that it replays without whatever drew it.
//!
//! Nothing in here is random. Every number of a [`Schedule`] is what happens, in nanoseconds of true time where
//! nothing else is said, and two runs of one schedule are the same to the last event. What a candidate's own
//! jitter and a link's draw from are seeds of their own, which belong to the data.

use std::time::Duration;

use lease_core::{Timing, TimingError};
use serde::{Deserialize, Serialize};

use super::client_go::Durations as PeerDurations;
use super::clocks::stretch;

/// One run: the candidates, and what befalls them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The candidates, 1 to [`NODES_MAX`].
    pub nodes: Vec<Node>,
    /// Whether the store answers "not found" to an update of what is gone, rather than "conflict".
    pub says_not_found: bool,
    /// What happens to them, in the order of time.
    pub faults: Vec<Fault>,
    /// When the run ends.
    pub until_ns: u64,
}

/// The most candidates that one run can have.
pub const NODES_MAX: usize = 7;

/// One candidate and the machine it runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Whose rules it follows.
    pub rule: Rule,
    /// Its durations.
    pub timing: Durations,
    /// The least step between two renew times.
    pub tick_ns: u64,
    /// The seed of its own jitter and of that of its link.
    pub seed: u64,
    /// Its clocks.
    pub clock: ClockSpec,
    /// The way to the store and back.
    pub link: Link,
    /// Whether it watches; otherwise it polls.
    pub watches: bool,
    /// How much later than asked it wakes.
    pub wake_late_ns: u64,
    /// How much of the time that its work has for stopping the work uses, in parts per thousand: 1000 is as late as
    /// it may.
    pub stop_per_mille: u32,
    /// How long its work drains when it is asked to.
    pub drain_ns: u64,
    /// When it starts.
    pub starts_at_ns: u64,
}

/// Whose rules a candidate follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// The machine of this project.
    Ours {
        /// Whether a term that was won by creation begins to act only after a lease duration.
        strict: bool,
        /// The epoch of its tokens.
        epoch: u32,
        /// The phase at which it renews together with others.
        renew_phase_ns: Option<u64>,
    },
    /// client-go's leader election.
    ClientGo {
        /// Its `ReleaseOnCancel`.
        release_on_cancel: bool,
    },
}

impl Rule {
    /// Our machine as it is by default.
    pub const OURS: Self = Self::Ours { strict: false, epoch: 0, renew_phase_ns: None };

    /// The name on a command line, which leaves out what a schedule adds to it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ours { .. } => "ours",
            Self::ClientGo { release_on_cancel: false } => "client-go",
            Self::ClientGo { release_on_cancel: true } => "client-go-releasing",
        }
    }

    /// Whether it is our machine.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Ours { .. })
    }
}

/// The durations of one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Durations {
    /// `D`.
    pub lease_ns: u64,
    /// `H`.
    pub renew_ns: u64,
    /// `P`.
    pub retry_ns: u64,
    /// `S`; none for all the room that the inequality leaves.
    pub stop_ns: Option<u64>,
    /// How long a graceful stop may take.
    pub drain_max_ns: u64,
    /// Whether durations that break the inequality are taken all the same.
    pub unproven: bool,
}

impl Durations {
    /// As the machine takes them.
    ///
    /// # Errors
    /// When they break a rule between them, and are not meant to.
    pub fn timing(&self) -> Result<Timing, TimingError> {
        let [lease, renew, retry] = [self.lease_ns, self.renew_ns, self.retry_ns].map(Duration::from_nanos);
        let builder = Timing::builder(lease, renew, retry).drain_max(Duration::from_nanos(self.drain_max_ns));
        if self.unproven {
            let stop = Duration::from_nanos(self.stop_ns.unwrap_or(1));
            return builder.stop_timeout(stop).build_unproven();
        }
        match self.stop_ns {
            Some(stop_ns) => builder.stop_timeout(Duration::from_nanos(stop_ns)).build(),
            // The whole room, so that the inequality is tried at its edge.
            None => builder.stop_timeout(builder.build()?.stop_timeout_max()).build(),
        }
    }
}

impl Durations {
    /// As the simulator reckons with them: a peer's are whatever client-go takes.
    pub(super) fn timing_for(&self, rule: Rule) -> Result<Timing, TimingError> {
        if rule.is_ours() { self.timing() } else { Self { unproven: true, ..*self }.timing() }
    }

    pub(super) fn for_peer(&self) -> PeerDurations {
        let [lease, renew, retry] = [self.lease_ns, self.renew_ns, self.retry_ns].map(Duration::from_nanos);
        PeerDurations::new(lease, renew, retry)
    }
}

impl From<&Timing> for Durations {
    fn from(timing: &Timing) -> Self {
        Self {
            lease_ns: nanos(timing.lease_duration()),
            renew_ns: nanos(timing.renew_deadline()),
            retry_ns: nanos(timing.retry_period()),
            stop_ns: Some(nanos(timing.stop_timeout())),
            drain_max_ns: nanos(timing.drain_max()),
            unproven: false,
        }
    }
}

/// The clocks of one machine, as they are when the run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSpec {
    /// What both count when the run begins: the skew.
    pub offset_ns: u64,
    /// By how much the clock that counts through suspend is too fast, in parts per million.
    pub boottime_ppm: i32,
    /// By how much the clock that nobody disciplines is too fast.
    pub raw_ppm: i32,
    /// By how much the wall clock is ahead.
    pub wall_offset_us: i64,
    /// The step in which the wall clock moves: above any lease duration it stands still.
    pub wall_step_us: i64,
}

/// The way between a candidate and the store, without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// How long a request takes at least.
    pub request_ns: u64,
    /// How long a reply takes at least.
    pub reply_ns: u64,
    /// How long a hint of the watch takes at least.
    pub hint_ns: u64,
    /// By how much each of them may be longer.
    pub jitter_ns: u64,
}

/// Something that happens at some moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When.
    pub at_ns: u64,
    /// What.
    pub what: What,
}

/// Everything that can happen to candidates, clocks, links, the store and the record.
///
/// `node` is a candidate's index, `for_ns` how long it lasts, `back_ns` after how long the next process starts, and a
/// `pattern` has a bit for each of 64 messages in turn.
#[allow(missing_docs, reason = "the fields are named for what they are, and explained once above")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum What {
    /// The process is killed, its work with it, and started again after a while or never.
    Crash { node: usize, back_ns: Option<u64> },
    /// The process is asked to end, and another takes its place after it has.
    Shutdown { node: usize, back_ns: Option<u64> },
    /// The application gives its term up.
    Resign { node: usize, to: Option<usize> },
    /// The work ends by itself: all of it, or a part after which the rest has to drain.
    WorkEnds { node: usize, whole: bool },
    /// The process is stopped for a while, as by SIGSTOP: its clocks go on.
    Pause { node: usize, for_ns: u64 },
    /// The machine is suspended: only one of its clocks goes on.
    Suspend { node: usize, for_ns: u64 },
    /// The virtual machine is frozen with all its clocks, which no protocol of time survives.
    Freeze { node: usize, for_ns: u64 },
    /// The clocks change their rates.
    Rate { node: usize, boottime_ppm: i32, raw_ppm: i32 },
    /// The wall clock jumps.
    WallStep { node: usize, by_us: i64 },
    /// The process wakes late for a while.
    Starve { node: usize, for_ns: u64, late_ns: u64 },
    /// Work that is told to stop within this while goes on for so long beyond its time.
    HangOnStop { node: usize, for_ns: u64, beyond_ns: u64 },
    /// Nothing gets through.
    Cut { node: usize, way: Way, for_ns: u64 },
    /// The messages whose bit in the pattern is set are lost, in turn.
    Lossy { node: usize, way: Way, for_ns: u64, pattern: u64 },
    /// Everything takes longer.
    Slow { node: usize, way: Way, for_ns: u64, extra_ns: u64 },
    /// The next message takes longer, and only that.
    Hold { node: usize, way: Way, extra_ns: u64 },
    /// The store answers with an error, to the requests whose bit in the pattern is set.
    Refuse { node: usize, for_ns: u64, refusal: Refusal, pattern: u64, retry_after_ns: Option<u64> },
    /// The watch is lost, and says so.
    WatchLost { node: usize, for_ns: u64 },
    /// What the watch tells is late.
    WatchLate { node: usize, for_ns: u64, extra_ns: u64 },
    /// The watch tells one untruth after the other.
    WatchLies { node: usize, for_ns: u64, every_ns: u64, pattern: u64 },
    /// Somebody changes the record behind the candidates' backs.
    Edit { edit: Edit },
    /// The store loses its latest writes, as one that was restored from a backup does.
    Rollback { writes: usize },
    /// An operator restarts every candidate with a higher epoch.
    RaiseEpoch,
}

/// Which messages of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Those to the store.
    Requests,
    /// Those from it.
    Replies,
    /// Both, and the hints of the watch.
    Both,
}

impl Way {
    pub(super) const fn has_requests(self) -> bool {
        matches!(self, Self::Requests | Self::Both)
    }

    pub(super) const fn has_replies(self) -> bool {
        matches!(self, Self::Replies | Self::Both)
    }
}

/// How a store refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Certainly not written.
    Unavailable,
    /// Not written, and it cannot be told.
    Unknown,
    /// Written, and it cannot be told: a gateway's time-out.
    UnknownApplied,
    /// An operator has to act.
    Denied,
    /// Not written, because of a conflict that there is not.
    Conflict,
    /// Written, and then refused: a proxy that repeats requests.
    ConflictApplied,
}

/// What a person, or a program that is no candidate, does to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// It is deleted.
    Delete,
    /// The holder is emptied.
    Clear,
    /// Holder and times are emptied.
    Wipe,
    /// The holder is overwritten with a stranger's name.
    Overwrite,
    /// The same, with a new renew time.
    OverwriteRenewed,
    /// The holder is overwritten with a candidate's name, and a new renew time.
    OverwriteWith(usize),
    /// A release is written as client-go writes it, on the present count.
    ForeignRelease,
    /// The same, on a count that is one older.
    StaleForeignRelease,
    /// The lease duration is lowered to a second.
    LowerDuration,
    /// The same, with a new renew time.
    LowerDurationRenewed,
    /// A label is changed.
    Label,
    /// A record of so many writes ago is put back.
    Restore(usize),
    /// The latest release is put back.
    RestoreRelease,
    /// The record is replaced by an empty one.
    MadeAnew,
    /// The record can no longer be understood.
    Garbage,
    /// The holder is asked to hand over.
    Request,
    /// The holder of another term is asked to.
    VoidRequest,
    /// A strategy is set: coordinated election manages it from now on.
    Strategy,
    /// The strategy is taken away.
    NoStrategy,
}

/// A schedule that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// There is nobody, or a crowd.
    #[error("a run has 1 to {NODES_MAX} candidates, not {0}")]
    Nodes(usize),
    /// The durations of a candidate cannot work.
    #[error("candidate {node}: {source}")]
    Timing {
        /// Its index.
        node: usize,
        /// Why.
        source: TimingError,
    },
    /// client-go would not take the durations of a candidate.
    #[error(
        "candidate {0}: client-go takes a lease duration only above the renew deadline, and that only above 1.2 retry periods"
    )]
    PeerTiming(usize),
    /// A rate at which time would run backwards, or nearly stand still.
    #[error("candidate {node}: a clock error of {ppm} ppm is beyond ±{RATE_PPM_MAX} ppm")]
    Rate {
        /// Its index.
        node: usize,
        /// The error.
        ppm: i32,
    },
    /// A wall clock that leaves the calendar.
    #[error("candidate {node}: a wall clock that is {offset_us} us ahead is beyond ±{WALL_OFFSET_MAX_US} us")]
    WallClock {
        /// Its index.
        node: usize,
        /// By how much it is ahead.
        offset_us: i64,
    },
    /// Something happens to somebody who is not there.
    #[error("event {index} is about candidate {node}, but there are only {nodes}, counted from 0")]
    NoSuchNode {
        /// The position of the event.
        index: usize,
        /// Whom it names.
        node: usize,
        /// How many there are.
        nodes: usize,
    },
    /// The events are not in the order of time.
    #[error("event {0} comes before the one ahead of it in the list")]
    Order(usize),
    /// A time beyond what a run can last.
    #[error("{what} of {value_ns} ns is longer than {SPAN_MAX_NS} ns, the longest that a run lasts")]
    TooLong {
        /// What.
        what: &'static str,
        /// How long.
        value_ns: u64,
    },
}

/// The largest error of a clock's rate that can be simulated.
pub const RATE_PPM_MAX: i32 = 900_000;
/// A month: longer than anybody wants to wait for, and sums of a few of them are far from the end of the count.
pub const SPAN_MAX_NS: u64 = 31 * 86_400 * 1_000_000_000;
/// Ten thousand days to either side: within every calendar.
pub(super) const WALL_OFFSET_MAX_US: i64 = 10_000 * 86_400 * 1_000_000;

impl Schedule {
    /// Checks whatever a file by hand could have wrong.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<(), ScheduleError> {
        if !(1..=NODES_MAX).contains(&self.nodes.len()) {
            return Err(ScheduleError::Nodes(self.nodes.len()));
        }
        within("the run", self.until_ns)?;
        for (index, node) in self.nodes.iter().enumerate() {
            node.check(index)?;
        }
        let mut before_ns = 0;
        for (index, fault) in self.faults.iter().enumerate() {
            if fault.at_ns < before_ns {
                return Err(ScheduleError::Order(index));
            }
            before_ns = fault.at_ns;
            within("the time of an event", fault.at_ns)?;
            within("the length of an event", fault.what.span_ns())?;
            if let Some(node) = fault.what.nodes().into_iter().flatten().find(|node| *node >= self.nodes.len()) {
                return Err(ScheduleError::NoSuchNode { index, node, nodes: self.nodes.len() });
            }
            match fault.what {
                What::Rate { node, boottime_ppm, raw_ppm } => {
                    check_rate(node, boottime_ppm)?;
                    check_rate(node, raw_ppm)?;
                }
                What::Starve { late_ns, .. } => within("a lateness", late_ns)?,
                What::WatchLies { every_ns, .. } => within("a time between untruths", every_ns)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// How long things last at most that follow from the durations of all candidates.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names, reason = "units are last in names")]
pub(super) struct Bounds {
    /// A takeover, once everything is quiet.
    pub(super) takeover_ns: u64,
    /// The wait for a record that is not renewed.
    pub(super) wait_ns: u64,
    /// The act of somebody who does not know that he no longer may.
    pub(super) hold_ns: u64,
    /// The longest graceful stop.
    pub(super) drain_ns: u64,
    /// The longest stop after the end of a hold.
    pub(super) stop_ns: u64,
    /// The longest retry period.
    pub(super) retry_ns: u64,
    /// The consequences of any disturbance, after the disturbance.
    pub(super) settle_ns: u64,
}

impl Bounds {
    pub(super) fn of(timings: &[Timing], error_ppm: u32) -> Self {
        let longest = |of: fn(&Timing) -> Duration| timings.iter().map(|timing| nanos(of(timing))).max().unwrap_or(0);
        let stop_ns = longest(|timing| timing.renew_deadline() + timing.stop_timeout());
        let hold_ns = stretch(stop_ns, error_ppm.min(RATE_CREDIBLE_PPM)).saturating_add(1_000_000_000);
        // A drain, a wait that an edit has begun anew, and the pause after a term whose work has failed.
        let settle_ns = longest(Timing::drain_max)
            .saturating_add(longest(Timing::lease_duration).saturating_mul(2))
            .saturating_add(longest(Timing::retry_period).saturating_mul(34))
            .saturating_add(hold_ns);
        let wait_ns = stretch(longest(Timing::lease_duration), error_ppm.min(RATE_CREDIBLE_PPM));
        Self {
            takeover_ns: longest(Timing::crash_takeover_worst),
            wait_ns,
            hold_ns,
            drain_ns: longest(Timing::drain_max),
            stop_ns: stretch(longest(Timing::stop_timeout), error_ppm.min(RATE_CREDIBLE_PPM)),
            retry_ns: longest(Timing::retry_period),
            settle_ns,
        }
    }
}

/// The largest error of a clock that consequences are reckoned with.
const RATE_CREDIBLE_PPM: u32 = 100_000;

impl Node {
    fn check(&self, index: usize) -> Result<(), ScheduleError> {
        self.timing.timing_for(self.rule).map_err(|source| ScheduleError::Timing { node: index, source })?;
        if !self.rule.is_ours() && !self.timing.for_peer().are_accepted() {
            return Err(ScheduleError::PeerTiming(index));
        }
        check_rate(index, self.clock.boottime_ppm)?;
        check_rate(index, self.clock.raw_ppm)?;
        let link = self.link;
        for (what, value_ns) in [
            ("a skew", self.clock.offset_ns),
            ("a delay", link.request_ns.max(link.reply_ns).max(link.hint_ns).max(link.jitter_ns)),
            ("a lateness", self.wake_late_ns),
            ("a drain", self.drain_ns),
            ("a start", self.starts_at_ns),
        ] {
            within(what, value_ns)?;
        }
        let wall_us = self.clock.wall_offset_us;
        if wall_us.unsigned_abs() > WALL_OFFSET_MAX_US.unsigned_abs() {
            return Err(ScheduleError::WallClock { node: index, offset_us: wall_us });
        }
        Ok(())
    }
}

fn check_rate(node: usize, ppm: i32) -> Result<(), ScheduleError> {
    if ppm.unsigned_abs() > RATE_PPM_MAX.unsigned_abs() { Err(ScheduleError::Rate { node, ppm }) } else { Ok(()) }
}

fn within(what: &'static str, value_ns: u64) -> Result<(), ScheduleError> {
    if value_ns > SPAN_MAX_NS { Err(ScheduleError::TooLong { what, value_ns }) } else { Ok(()) }
}

impl What {
    /// Whom it is about.
    pub fn nodes(&self) -> [Option<usize>; 2] {
        let mut nodes = [None; 2];
        let mut free = nodes.iter_mut();
        self.clone().each_node(|node| {
            if let Some(place) = free.next() {
                *place = Some(*node);
            }
        });
        nodes
    }

    /// Changes the index of everybody whom it is about.
    pub(super) fn each_node(&mut self, mut change: impl FnMut(&mut usize)) {
        match self {
            Self::Resign { node, to } => {
                change(node);
                to.iter_mut().for_each(change);
            }
            Self::Edit { edit: Edit::OverwriteWith(node) }
            | Self::Crash { node, .. }
            | Self::Shutdown { node, .. }
            | Self::WorkEnds { node, .. }
            | Self::Pause { node, .. }
            | Self::Suspend { node, .. }
            | Self::Freeze { node, .. }
            | Self::Rate { node, .. }
            | Self::WallStep { node, .. }
            | Self::Starve { node, .. }
            | Self::HangOnStop { node, .. }
            | Self::Cut { node, .. }
            | Self::Lossy { node, .. }
            | Self::Slow { node, .. }
            | Self::Hold { node, .. }
            | Self::Refuse { node, .. }
            | Self::WatchLost { node, .. }
            | Self::WatchLate { node, .. }
            | Self::WatchLies { node, .. } => change(node),
            Self::Edit { .. } | Self::Rollback { .. } | Self::RaiseEpoch => {}
        }
    }

    /// For how long it goes on by itself; what follows from it may last longer.
    pub fn span_ns(&self) -> u64 {
        match *self {
            Self::Crash { back_ns, .. } | Self::Shutdown { back_ns, .. } => back_ns.unwrap_or(0),
            Self::Pause { for_ns, .. }
            | Self::Suspend { for_ns, .. }
            | Self::Freeze { for_ns, .. }
            | Self::Starve { for_ns, .. }
            | Self::Cut { for_ns, .. }
            | Self::Lossy { for_ns, .. }
            | Self::WatchLost { for_ns, .. }
            | Self::WatchLies { for_ns, .. } => for_ns,
            Self::HangOnStop { for_ns, beyond_ns, .. } => for_ns.saturating_add(beyond_ns),
            Self::Slow { for_ns, extra_ns, .. } | Self::WatchLate { for_ns, extra_ns, .. } => {
                for_ns.saturating_add(extra_ns)
            }
            Self::Refuse { for_ns, retry_after_ns, .. } => for_ns.saturating_add(retry_after_ns.unwrap_or(0)),
            Self::Hold { extra_ns, .. } => extra_ns,
            _ => 0,
        }
    }

    /// Its kind in a word, for pictures.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Shutdown { .. } => "shutdown",
            Self::Resign { .. } => "resignation",
            Self::WorkEnds { .. } => "work ends",
            Self::Pause { .. } => "pause",
            Self::Suspend { .. } => "suspend",
            Self::Freeze { .. } => "frozen clocks",
            Self::Rate { .. } => "clock rate",
            Self::WallStep { .. } => "wall clock step",
            Self::Starve { .. } => "starvation",
            Self::HangOnStop { .. } => "hang on stop",
            Self::Cut { .. } => "partition",
            Self::Lossy { .. } => "loss",
            Self::Slow { .. } | Self::Hold { .. } => "delay",
            Self::Refuse { .. } => "errors",
            Self::WatchLost { .. } | Self::WatchLate { .. } | Self::WatchLies { .. } => "watch",
            Self::Edit { .. } => "edit",
            Self::Rollback { .. } => "rollback",
            Self::RaiseEpoch => "new epoch",
        }
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
