//! What is compared: three durations, and whose rules.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lease_core::{DurationError, Pretty, Timing, TimingError};
use serde::{Deserialize, Deserializer, de};

use crate::sim::schedule::{Durations, Rule, nanos};

/// Lease duration, renew deadline and retry period: `15s/10s/2s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Three {
    /// `D`.
    pub lease: Duration,
    /// `H`.
    pub renew: Duration,
    /// `P`.
    pub retry: Duration,
}

/// A text that is no three durations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThreeError {
    /// It has not three parts.
    #[error("{0:?} is not lease duration, renew deadline and retry period: write for example 15s/10s/2s")]
    Parts(String),
    /// One of them is no duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
}

impl Three {
    /// The defaults, ours and client-go's.
    pub const USUAL: Self =
        Self { lease: Duration::from_secs(15), renew: Duration::from_secs(10), retry: Duration::from_secs(2) };
}

impl FromStr for Three {
    type Err = ThreeError;

    fn from_str(text: &str) -> Result<Self, ThreeError> {
        let parts: Vec<&str> = text.split('/').map(str::trim).collect();
        let [lease, renew, retry] = parts.as_slice() else { return Err(ThreeError::Parts(text.to_owned())) };
        let read = |text: &str| text.parse().map(|Pretty(duration)| duration);
        Ok(Self { lease: read(lease)?, renew: read(renew)?, retry: read(retry)? })
    }
}

impl fmt::Display for Three {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", Pretty(self.lease), Pretty(self.renew), Pretty(self.retry))
    }
}

impl<'de> Deserialize<'de> for Three {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Whose rules, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleName {
    /// The machine of this project.
    #[default]
    Ours,
    /// client-go's leader election, with its `ReleaseOnCancel`.
    ClientGo,
}

impl RuleName {
    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::ClientGo => "client-go",
        }
    }

    const fn rule(self) -> Rule {
        match self {
            Self::Ours => Rule::OURS,
            Self::ClientGo => Rule::ClientGo { release_on_cancel: true },
        }
    }
}

/// Durations that this rule refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// By the inequality, or because three attempts do not fit.
    #[error("{three}: {source}")]
    Ours {
        /// The durations.
        three: Three,
        /// Why.
        source: Box<TimingError>,
    },
    /// By what client-go itself asks of them.
    #[error(
        "{three}: client-go asks for a lease duration above the renew deadline, and for that above 1.2 retry periods"
    )]
    ClientGo {
        /// The durations.
        three: Three,
    },
}

/// Durations together with the rules that are followed with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The durations as they were written.
    pub three: Three,
    /// Whose rules.
    pub name: RuleName,
    /// The rules.
    pub rule: Rule,
    /// The durations as a schedule has them.
    pub durations: Durations,
    /// Whether they are outside of what is proven, and run all the same.
    pub is_unsafe: bool,
}

impl Setting {
    /// A setting that can be run. With `unsafe_timing` also one that breaks the inequality.
    ///
    /// # Errors
    /// When the rule refuses the durations.
    pub fn new(three: Three, name: RuleName, unsafe_timing: bool) -> Result<Self, SettingError> {
        let rule = name.rule();
        let refused = |source| SettingError::Ours { three, source: Box::new(source) };
        let proven = Timing::new(three.lease, three.renew, three.retry);
        let (durations, is_unsafe) = match (name, proven) {
            (_, Ok(timing)) => (Durations::from(&timing), false),
            // What it accepts and the inequality refuses is the very thing to be shown.
            (RuleName::ClientGo, Err(source)) if three.is_valid_for_client_go() => {
                (three.unproven().map_err(|_| refused(source))?, false)
            }
            (RuleName::ClientGo, Err(_)) => return Err(SettingError::ClientGo { three }),
            (RuleName::Ours, Err(source)) if unsafe_timing => (three.unproven().map_err(|_| refused(source))?, true),
            (RuleName::Ours, Err(source)) => return Err(refused(source)),
        };
        Ok(Self { three, name, rule, durations, is_unsafe })
    }

    /// The least step between two renew times: a second where the durations could be those of a Lease.
    pub(super) fn tick_ns(&self) -> u64 {
        if self.three.retry >= Duration::from_secs(1) { 1_000_000_000 } else { 1_000 }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.three)?;
        if self.name == RuleName::ClientGo {
            f.write_str(" client-go")?;
        }
        if self.is_unsafe { f.write_str(" UNSAFE TIMING") } else { Ok(()) }
    }
}

impl Three {
    /// As `NewLeaderElector` checks them: its jitter factor is 1.2.
    fn is_valid_for_client_go(&self) -> bool {
        self.lease > self.renew && self.renew.as_nanos() * 10 > self.retry.as_nanos() * 12 && !self.retry.is_zero()
    }

    /// As they are, with a little time for the work to stop, because all work needs some.
    fn unproven(self) -> Result<Durations, TimingError> {
        let timing = Timing::builder(self.lease, self.renew, self.retry).build_unproven()?;
        let stop_ns = Some(nanos(timing.stop_timeout()));
        Ok(Durations { unproven: true, stop_ns, ..Durations::from(&timing) })
    }
}
