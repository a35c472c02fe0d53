//! One event of a scenario: flat, so that it reads like a sentence; which keys go with which kind is one table.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::values::Step;
use super::{Amount, Between, RATE_PPM_MAX, Scenario, ScenarioFault};
use crate::sim::schedule::{Edit, NODES_MAX, Refusal, Way};
use crate::sim::store::LOST_MAX;

/// Something that happens, once or several times.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When it happens first.
    pub at: Between,
    /// What happens.
    pub what: Kind,
    /// To whom; by default to the leader.
    #[serde(default)]
    pub who: Who,
    /// How often; by default once.
    #[serde(default)]
    pub times: Option<u32>,
    /// How long after the time before, when it happens more than once.
    #[serde(default)]
    pub every: Option<Between>,
    /// How long it lasts.
    #[serde(default, rename = "for")]
    pub lasts: Option<Between>,
    /// After how long the next process starts; without it none does.
    #[serde(default)]
    pub back: Option<Between>,
    /// Which messages; by default those of both directions.
    #[serde(default)]
    pub way: Option<Ways>,
    /// How much longer a message takes, or how much later a process wakes, or how much longer its work goes on.
    #[serde(default)]
    pub extra: Option<Between>,
    /// How many of a hundred messages; by default all.
    #[serde(default)]
    pub percent: Option<Amount>,
    /// How the store refuses.
    #[serde(default)]
    pub error: Option<Refusal>,
    /// How long the store asks to be left alone.
    #[serde(default)]
    pub retry_after: Option<Between>,
    /// By how much clocks are too fast, in parts per million.
    #[serde(default)]
    pub ppm: Option<Amount>,
    /// By how much the wall clock jumps.
    #[serde(default)]
    pub by: Option<Step>,
    /// What is done to the record.
    #[serde(default)]
    pub edit: Option<Edit>,
    /// How many writes the store forgets.
    #[serde(default)]
    pub writes: Option<usize>,
}

/// Which messages of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ways {
    /// Those to the store.
    Requests,
    /// Those from it.
    Replies,
    /// Both, and the hints of the watch.
    Both,
    /// Any of these three.
    Any,
}

impl Ways {
    pub(super) fn draw(self, rng: &mut fastrand::Rng) -> Way {
        let any = [Way::Requests, Way::Replies, Way::Both][rng.usize(0..3)];
        match self {
            Self::Requests => Way::Requests,
            Self::Replies => Way::Replies,
            Self::Both => Way::Both,
            Self::Any => any,
        }
    }
}

/// To whom it happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// Whoever acts at that moment, or did so last.
    #[default]
    Leader,
    /// One that does not.
    Standby,
    /// Any one.
    Any,
    /// All at once.
    Everybody,
    /// All, one after the other: it happens once for each.
    Each,
    /// This one.
    Candidate(usize),
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "leader" => Ok(Self::Leader),
            "standby" => Ok(Self::Standby),
            "any" => Ok(Self::Any),
            "everybody" => Ok(Self::Everybody),
            "each" => Ok(Self::Each),
            _ => (0..NODES_MAX)
                .find(|node| text == super::super::invariants::letter(*node).to_string())
                .map(Self::Candidate)
                .ok_or_else(|| {
                    let known = "leader, standby, any, everybody, each, or a candidate: a to g";
                    de::Error::custom(format!("{text:?} is nobody; there are {known}"))
                }),
        }
    }
}

/// What a key is to a kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Must,
    May,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal { $($key:literal: $need:ident),* },)*) => {
        /// What happens.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in a file.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            const fn keys(self) -> &'static [(&'static str, Need)] {
                match self { $(Self::$name => &[$(($key, Need::$need)),*]),* }
            }
        }
    };
}

kinds! {
    /// The process is killed, its work with it.
    Crash = "crash" { "who": May, "back": May },
    /// The process is asked to end.
    Shutdown = "shutdown" { "who": May, "back": May },
    /// The application gives its term up.
    Resign = "resign" { "who": May },
    /// The process is stopped for a while, as by SIGSTOP.
    Pause = "pause" { "who": May, "for": Must },
    /// The machine is suspended: only one of its clocks goes on.
    Suspend = "suspend" { "who": May, "for": Must },
    /// The virtual machine is frozen with all its clocks.
    Freeze = "freeze" { "who": May, "for": Must },
    /// The process wakes late for a while.
    Starve = "starve" { "who": May, "for": Must, "extra": Must },
    /// Work that is told to stop within this while goes on beyond its time.
    Hang = "hang" { "who": May, "for": Must, "extra": Must },
    /// Clocks run at another rate from now on.
    Rates = "rates" { "who": May, "ppm": Must },
    /// The wall clock jumps.
    WallStep = "wall-step" { "who": May, "by": Must },
    /// Nothing gets through.
    Partition = "partition" { "who": May, "for": Must, "way": May },
    /// Messages are lost.
    Loss = "loss" { "who": May, "for": Must, "way": May, "percent": May },
    /// Messages take longer.
    Slow = "slow" { "who": May, "for": Must, "way": May, "extra": Must },
    /// The store answers with errors.
    Errors = "errors" { "who": May, "for": Must, "error": Must, "percent": May, "retry_after": May },
    /// The watch is lost, and says so.
    WatchLost = "watch-lost" { "who": May, "for": Must },
    /// What the watch tells is late.
    WatchLate = "watch-late" { "who": May, "for": Must, "extra": Must },
    /// Somebody changes the record by hand.
    Edit = "edit" { "edit": Must },
    /// The store loses its latest writes.
    Rollback = "rollback" { "writes": Must },
    /// An operator restarts every candidate with a higher epoch.
    RaiseEpoch = "raise-epoch" {},
}

impl Kind {
    /// The keys that it takes, beside those that all take.
    pub(super) fn takes(self) -> String {
        let keys = self.keys().iter().map(|(key, _)| *key).chain(["at", "times", "every"]);
        keys.collect::<Vec<_>>().join(", ")
    }

    fn need(self, key: &str) -> Option<Need> {
        self.keys().iter().find(|(known, _)| *known == key).map(|(_, need)| *need)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Event {
    /// How often it happens among so many candidates.
    pub(super) fn times(&self, nodes: usize) -> u32 {
        let rounds = self.times.unwrap_or(1);
        if self.who == Who::Each { rounds * u32::try_from(nodes).unwrap_or(1) } else { rounds }
    }

    pub(super) fn check(&self, scenario: &Scenario) -> Result<(), ScenarioFault> {
        let what = self.what;
        for (key, is_given) in self.given() {
            match what.need(key) {
                None if is_given => return Err(ScenarioFault::Useless { key, what }),
                Some(Need::Must) if !is_given => return Err(ScenarioFault::Missing { key, what }),
                _ => {}
            }
        }
        let beyond = |key, range| Err(ScenarioFault::Beyond { key, what, range });
        if !(1..=TIMES_MAX).contains(&self.times.unwrap_or(1)) {
            return beyond("times", "1 to 10000");
        }
        let times = self.times(scenario.nodes);
        if matches!(self.who, Who::Leader | Who::Standby) && what.need("who").is_some() && times > ASKED_MAX {
            return beyond("times", "1 to 100 where who is leader or standby");
        }
        if times > 1 && self.every.is_none() {
            return Err(ScenarioFault::Missing { key: "every", what });
        }
        if self.writes.is_some_and(|writes| !(1..=LOST_MAX).contains(&writes)) {
            return beyond("writes", "1 to 31: nothing is known of what was before those");
        }
        if self.percent.is_some_and(|percent| percent.from < 0 || percent.until > 100) {
            return beyond("percent", "0 to 100");
        }
        // Whoever wakes later than its work has to stop breaks an assumption that only a pause is known to break.
        if what == Kind::Starve && self.extra.is_some_and(|extra| extra.until > STARVE_MAX) {
            return beyond("extra", "at most 100ms: what does not run for longer is a pause");
        }
        let ppm_max = i64::from(RATE_PPM_MAX);
        if self.ppm.is_some_and(|ppm| ppm.from < -ppm_max || ppm.until > ppm_max) {
            return beyond("ppm", "-900000 to 900000");
        }
        if let Who::Candidate(node) = self.who
            && node >= scenario.nodes
        {
            let name = super::super::invariants::letter(node);
            return Err(ScenarioFault::NoSuchNode { name, nodes: scenario.nodes });
        }
        for (key, between) in
            [("for", self.lasts), ("back", self.back), ("extra", self.extra), ("retry_after", self.retry_after)]
        {
            if let Some(between) = between.filter(|between| between.until > scenario.until) {
                let (longest, until) = (between.until, scenario.until);
                return Err(ScenarioFault::EventOutlasts { key, what, longest, until });
            }
        }
        let every = self.every.map_or(Duration::ZERO, |every| every.until);
        let latest = self.at.until.saturating_add(every.saturating_mul(times - 1));
        if latest > scenario.until {
            return Err(ScenarioFault::TooLate { what, latest, until: scenario.until });
        }
        Ok(())
    }

    /// Every key that not all kinds take, and whether it was given.
    fn given(&self) -> [(&'static str, bool); 12] {
        [
            ("who", self.who != Who::default()),
            ("for", self.lasts.is_some()),
            ("back", self.back.is_some()),
            ("way", self.way.is_some()),
            ("extra", self.extra.is_some()),
            ("percent", self.percent.is_some()),
            ("error", self.error.is_some()),
            ("retry_after", self.retry_after.is_some()),
            ("ppm", self.ppm.is_some()),
            ("by", self.by.is_some()),
            ("edit", self.edit.is_some()),
            ("writes", self.writes.is_some()),
        ]
    }
}

/// Less than any work needs to stop.
const STARVE_MAX: Duration = Duration::from_millis(100);
/// Each time who leads is found out by playing the run up to there.
const ASKED_MAX: u32 = 100;
/// More of one event would not fit into a schedule that anybody reads.
const TIMES_MAX: u32 = 10_000;
