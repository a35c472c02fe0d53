//! Why durations cannot go together, and what to change: only values that go together with all the others.

use std::fmt;

use super::{Pretty, STOP_MARGIN, STOP_PROPOSED};

/// Durations that cannot go together: the fault, and the ways out of it.
///
/// Each way out was tried: it makes a valid set with everything else left as it is. Where a fault has none, because
/// several durations are wrong at once, the message has one whole set, or says no more than the fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}{}", Joined(.ways_out))]
pub struct TimingError {
    fault: TimingFault,
    ways_out: Vec<WayOut>,
}

impl TimingError {
    pub(super) fn new(fault: TimingFault, ways_out: Vec<WayOut>) -> Self {
        Self { fault, ways_out }
    }

    /// What is wrong.
    pub fn fault(&self) -> &TimingFault {
        &self.fault
    }

    /// What would be right: any one of these.
    pub fn ways_out(&self) -> &[WayOut] {
        &self.ways_out
    }
}

/// What is wrong with a set of durations. Every message names both numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimingFault {
    /// A duration is zero or too close to it.
    #[error("{what} {value} is below {min}")]
    TooShort {
        /// Which duration.
        what: Setting,
        /// Its value.
        value: Pretty,
        /// The least that is ever accepted.
        min: Pretty,
    },
    /// A duration is longer than a Lease can store.
    #[error("{what} {value} is above {max}")]
    TooLong {
        /// Which duration.
        what: Setting,
        /// Its value.
        value: Pretty,
        /// The most that is ever accepted.
        max: Pretty,
    },
    /// The holder would act longer than the others wait.
    #[error("renew deadline {renew} must be shorter than lease duration {lease}")]
    RenewNotShorter {
        /// The renew deadline.
        renew: Pretty,
        /// The lease duration.
        lease: Pretty,
    },
    /// The work could not stop before the others may act.
    #[error(
        "renew deadline {renew} leaves {} to stop before {fence}, when others may act on a lease duration of {lease}: \
         {}",
        Room(*.room),
        Needed(*.stop)
    )]
    NoRoomToStop {
        /// The renew deadline.
        renew: Pretty,
        /// What is left of the one before the other.
        room: Pretty,
        /// When others may act, less the error of the clocks.
        fence: Pretty,
        /// The lease duration.
        lease: Pretty,
        /// The stop timeout that was asked for; none for the default, which leaves a margin.
        stop: Option<Pretty>,
    },
    /// The stop timeout does not fit between the hold and the others' takeover.
    #[error(
        "stop timeout {stop} must be above zero and at most {max}, the time that a renew deadline of {renew} leaves"
    )]
    StopTimeout {
        /// The stop timeout.
        stop: Pretty,
        /// The longest that fits.
        max: Pretty,
        /// The renew deadline.
        renew: Pretty,
    },
    /// One or two lost requests would end a term.
    #[error("renew deadline {renew} must be longer than two retry periods of {retry}, so that three attempts fit")]
    TooFewAttempts {
        /// The renew deadline.
        renew: Pretty,
        /// The retry period.
        retry: Pretty,
    },
    /// Two requests without an answer would use up a hold.
    #[error(
        "attempt timeout {attempt} must be shorter than half the renew deadline {renew}, so that three attempts fit"
    )]
    AttemptTooLong {
        /// The attempt timeout.
        attempt: Pretty,
        /// The renew deadline.
        renew: Pretty,
    },
    /// The bound on the clocks is not credible.
    #[error("clock rate error {ppm} ppm must be at most {max} ppm")]
    RateError {
        /// The bound that was asked for.
        ppm: u32,
        /// The largest.
        max: u32,
    },
    /// The store keeps whole seconds only, and truncating would let others in early.
    #[error("lease duration {lease} must be whole seconds on this backend")]
    NotWholeSeconds {
        /// The lease duration.
        lease: Pretty,
    },
    /// Other clients of the store could not tell two renewals apart.
    #[error("retry period {retry} is below {tick}, the step in which clients of this backend compare renew times")]
    RetryBelowTick {
        /// The retry period.
        retry: Pretty,
        /// The least step of renew times.
        tick: Pretty,
    },
}

/// A change that makes a set of durations valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WayOut {
    /// A longer duration: at least this, which is valid.
    AtLeast(Setting, Pretty),
    /// A shorter duration: at most this, which is valid.
    AtMost(Setting, Pretty),
    /// A neighbour of a value that the store cannot keep.
    Exactly(Setting, Pretty),
    /// A whole set, where no single change is enough: lease duration, renew deadline, retry period.
    Together(Pretty, Pretty, Pretty),
}

impl fmt::Display for WayOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(setting, value) => write!(f, "{} {setting} of at least {value}", setting.article()),
            Self::AtMost(setting, value) => write!(f, "{} {setting} of at most {value}", setting.article()),
            Self::Exactly(setting, value) => write!(f, "{} {setting} of {value}", setting.article()),
            Self::Together(lease, renew, retry) => write!(
                f,
                "other values together, such as a lease duration of {lease}, a renew deadline of {renew} and a retry \
                 period of {retry}"
            ),
        }
    }
}

/// One of the durations that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Setting {
    /// `D`.
    LeaseDuration,
    /// `H`.
    RenewDeadline,
    /// `P`.
    RetryPeriod,
    /// After how long a request is abandoned.
    AttemptTimeout,
    /// `S`.
    StopTimeout,
    /// How long a graceful stop may take.
    DrainTimeout,
}

impl Setting {
    fn article(self) -> &'static str {
        if self == Self::AttemptTimeout { "an" } else { "a" }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeaseDuration => "lease duration",
            Self::RenewDeadline => "renew deadline",
            Self::RetryPeriod => "retry period",
            Self::AttemptTimeout => "attempt timeout",
            Self::StopTimeout => "stop timeout",
            Self::DrainTimeout => "drain timeout",
        })
    }
}

/// How much time there is.
struct Room(Pretty);

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.0.is_zero() { f.write_str("no time") } else { self.0.fmt(f) }
    }
}

/// How much time there has to be.
struct Needed(Option<Pretty>);

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(stop) => write!(f, "the stop timeout is {stop}"),
            None => write!(f, "more than {} is needed, and {} is better", Pretty(STOP_MARGIN), Pretty(STOP_PROPOSED)),
        }
    }
}

/// The ways out as the end of a message.
struct Joined<'a>(&'a [WayOut]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, way) in self.0.iter().enumerate() {
            write!(f, "{}{way}", if index == 0 { "; use " } else { " or " })?;
        }
        Ok(())
    }
}
