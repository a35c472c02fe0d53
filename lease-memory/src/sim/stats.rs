//! What a run has shown: how long nobody led, what it cost, and which of the rare things happened at all.

use std::collections::BTreeMap;

use super::assumptions::Excuse;

/// The figures of one run, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How much time was simulated.
    pub simulated_ns: u64,
    /// How many steps the candidates made.
    pub steps: u64,
    /// How many things happened to them.
    pub faults: u64,
    /// Each time without anybody acting, from the end of one term to the start of the next, or while whoever leads is
    /// stopped; not the one before the first term.
    pub leaderless_ns: Vec<u64>,
    /// Whether nobody acted at the end, although somebody had before; of many runs, whether that was so in any.
    pub ended_leaderless: bool,
    /// Whether anybody acted at all; of many runs, in any of them.
    pub anybody_acted: bool,
    /// How many writes were sent.
    pub writes: u64,
    /// How many reads were sent.
    pub reads: u64,
    /// How many terms began.
    pub terms: u64,
    /// How many terms were lost by a process that was alive.
    pub false_failovers: u64,
    /// When two acted at once.
    pub overlaps: Vec<Overlap>,
    /// How often each of the things that must happen sometimes has happened.
    pub seen: BTreeMap<&'static str, u64>,
}

/// A time in which two acted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Who acted already, and who began.
    pub nodes: (usize, usize),
    /// From when on.
    pub from_ns: u64,
    /// Until when.
    pub until_ns: u64,
    /// Which assumption was broken, if one was.
    pub excuse: Option<Excuse>,
}

impl Overlap {
    /// How long both acted.
    pub const fn span_ns(&self) -> u64 {
        self.until_ns - self.from_ns
    }
}

impl Stats {
    /// Adds another run's figures.
    pub fn add(&mut self, other: &Self) {
        self.simulated_ns += other.simulated_ns;
        self.steps += other.steps;
        self.faults += other.faults;
        self.leaderless_ns.extend_from_slice(&other.leaderless_ns);
        self.ended_leaderless |= other.ended_leaderless;
        self.anybody_acted |= other.anybody_acted;
        self.writes += other.writes;
        self.reads += other.reads;
        self.terms += other.terms;
        self.false_failovers += other.false_failovers;
        self.overlaps.extend_from_slice(&other.overlaps);
        for (what, count) in &other.seen {
            *self.seen.entry(what).or_default() += count;
        }
    }

    /// Which of these never happened.
    pub fn never_seen<'a>(&self, wanted: &'a [Seen]) -> Vec<&'a Seen> {
        wanted.iter().filter(|seen| !self.seen.contains_key(seen.as_str())).collect()
    }
}

macro_rules! seen {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// Something that must happen sometimes, so that what never happens badly does not merely never happen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Seen {
            $($(#[$doc])* $name,)*
        }

        impl Seen {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// In words.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

seen! {
    /// The holder before had not renewed it for its whole duration.
    TakeoverByExpiry = "takeover by expiry",
    /// The holder before had released it.
    TakeoverByRelease = "takeover by release",
    /// There was a record before, and it was deleted.
    TakeoverAfterDeletion = "takeover after deletion",
    /// There was no record.
    FirstTerm = "first term of all",
    /// A write without an answer had been applied, and a read shows it.
    UnknownFoundApplied = "unknown outcome found applied",
    /// A write without an answer had not been applied, and a read shows that.
    UnknownFoundNotApplied = "unknown outcome found not applied",
    /// An acknowledgement came too late to count.
    LateAcknowledgement = "late acknowledgement discarded",
    /// A write that its sender had given up was applied.
    LateWriteApplied = "late write applied",
    /// A write that its sender had given up found that the record had moved on.
    LateWriteRefused = "late write refused",
    /// A process was paused for longer than a lease lasts while it led.
    LongPause = "pause longer than D",
    /// Two acquisitions met within one round trip.
    CompareAndSwapRace = "two compare-and-swaps within one round trip",
    /// A hold ended without a renewal.
    HoldExpired = "hold expired",
    /// A stale act was refused by the fenced resource.
    StaleActRefused = "stale act refused by the fence",
    /// A leader crashed.
    LeaderCrashed = "leader crashed",
    /// A leader has drained and released.
    GracefulRelease = "graceful release",
    /// A drain took too long.
    DrainTimedOut = "drain timed out",
    /// A request to hand over was obeyed.
    HandedOver = "handed over",
    /// A term ended because its record was gone.
    EndedDeleted = "term ended: deleted",
    /// A term ended because its holder was emptied.
    EndedCleared = "term ended: cleared",
    /// A term ended because the record shows another holder.
    EndedTakenOver = "term ended: taken over",
    /// A term ended because somebody else writes under its name.
    EndedIdentityConflict = "term ended: identity conflict",
    /// A term ended because the record can no longer be understood.
    EndedMalformed = "term ended: malformed",
    /// A term ended because the store went back.
    EndedRegressed = "term ended: regressed",
    /// A candidate refuses to lead after the store went back.
    Refused = "candidate refuses",
    /// Two acted at once, and an assumption was broken.
    ExcusedOverlap = "overlap with a broken assumption",
}
