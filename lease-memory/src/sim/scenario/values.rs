//! The values of a scenario: each is one number or a range from which every seed draws.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use lease_core::Pretty;
use serde::{Deserialize, Deserializer, de};

use crate::sim::schedule::{SPAN_MAX_NS, nanos};

/// One duration: `15s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A duration, or a range of them: `15s`, or `10s..20s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    /// The shortest.
    pub from: Duration,
    /// The longest.
    pub until: Duration,
}

/// A number, or a range of them: `50`, or `-100..100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// The least.
    pub from: i64,
    /// The most.
    pub until: i64,
}

/// A step of a wall clock, forward or back, or a range of them: `-1h..1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(pub Amount);

impl Between {
    /// What this seed draws, in nanoseconds. It draws once, whatever the range is.
    pub(super) fn draw_ns(self, rng: &mut Rng) -> u64 {
        rng.u64(nanos(self.from)..=nanos(self.until))
    }
}

impl Amount {
    /// What this seed draws. It draws once, whatever the range is.
    pub(super) fn draw(self, rng: &mut Rng) -> i64 {
        rng.i64(self.from..=self.until)
    }
}

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", Pretty(self.from), Pretty(self.until))
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let Pretty(duration) = text.trim().parse().map_err(|error: lease_core::DurationError| error.to_string())?;
    let longest = Duration::from_nanos(SPAN_MAX_NS);
    if duration > longest {
        return Err(format!("{} is longer than {}", Pretty(duration), Pretty(longest)));
    }
    Ok(duration)
}

/// Both ends of a range, or the one value twice.
fn ends<T: PartialOrd>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<(T, T), String> {
    let (from, until) = text.split_once("..").unwrap_or((text, text));
    let (from, until) = (read(from)?, read(until)?);
    if from > until {
        return Err(format!("the range {text} ends before it begins"));
    }
    Ok((from, until))
}

fn signed_us(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let (sign, size) = text.strip_prefix('-').map_or((1, text), |size| (-1, size));
    let us = duration(size.strip_prefix('+').unwrap_or(size))?.as_micros();
    Ok(sign * i64::try_from(us).unwrap_or(i64::MAX))
}

/// A value is written as text, and read from it with its reason where it makes no sense.
macro_rules! read_from_text {
    ($name:ident, $read:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let read: fn(&str) -> Result<Self, String> = $read;
                read(&text).map_err(de::Error::custom)
            }
        }
    };
}

read_from_text!(Span, |text| duration(text).map(Span));
read_from_text!(Between, |text| ends(text, duration).map(|(from, until)| Between { from, until }));
read_from_text!(Amount, |text| {
    let number = |text: &str| {
        let refuse = |_| format!("{text:?} is not a number; write for example 50 or 10..50");
        text.trim().parse().map_err(refuse)
    };
    ends(text, number).map(|(from, until)| Amount { from, until })
});
read_from_text!(Step, |text| ends(text, signed_us).map(|(from, until)| Step(Amount { from, until })));
