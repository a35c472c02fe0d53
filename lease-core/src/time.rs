//! Time as the protocol sees it: a pair of clock readings to decide by, and wall time for people.
//!
//! Nothing here reads a clock. The machine gets its time as an argument, so that it can be simulated
//! and explored; the clocks themselves are in [`crate::clock`].

use std::fmt;
use std::time::Duration;

/// A moment on this machine: two readings, taken together, of clocks that fail in different ways.
///
/// The first counts through suspend (`CLOCK_BOOTTIME`), the second is untouched by clock discipline
/// (`CLOCK_MONOTONIC_RAW`). A **hold** (the right to act) ends when *either* has passed its end; a
/// **wait** (before taking over from another) ends when *both* have. So a suspend or a slewed clock can
/// only make a holder stop too early and a rival wait too long.
///
/// There is no ordering between two instants, because a pair has none: ask [`has_reached_either`] or
/// [`has_reached_both`].
///
/// [`has_reached_either`]: Instant::has_reached_either
/// [`has_reached_both`]: Instant::has_reached_both
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instant {
    boottime_ns: u64,
    raw_ns: u64,
}

impl Instant {
    /// The instant at which the two clocks show these counts of nanoseconds.
    pub const fn from_nanos(boottime_ns: u64, raw_ns: u64) -> Self {
        Self { boottime_ns, raw_ns }
    }

    /// The reading of the clock that counts through suspend, in nanoseconds.
    pub const fn boottime_nanos(self) -> u64 {
        self.boottime_ns
    }

    /// The reading of the clock that nobody disciplines, in nanoseconds.
    pub const fn raw_nanos(self) -> u64 {
        self.raw_ns
    }

    /// Whether at least one clock shows `end` or later: the test for the end of a hold.
    pub const fn has_reached_either(self, end: Self) -> bool {
        self.boottime_ns >= end.boottime_ns || self.raw_ns >= end.raw_ns
    }

    /// Whether both clocks show `end` or later: the test for the end of a wait.
    pub const fn has_reached_both(self, end: Self) -> bool {
        self.boottime_ns >= end.boottime_ns && self.raw_ns >= end.raw_ns
    }

    /// How long until the first of the two clocks shows `end`; zero when one does already.
    pub fn until_either(self, end: Self) -> Duration {
        let (boottime_ns, raw_ns) = self.remaining_nanos(end);
        Duration::from_nanos(boottime_ns.min(raw_ns))
    }

    /// How long until both clocks show `end`; zero when they do already.
    pub fn until_both(self, end: Self) -> Duration {
        let (boottime_ns, raw_ns) = self.remaining_nanos(end);
        Duration::from_nanos(boottime_ns.max(raw_ns))
    }

    /// How long ago `earlier` was, by the clock that shows less of it; zero when it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        let (boottime_ns, raw_ns) = earlier.remaining_nanos(self);
        Duration::from_nanos(boottime_ns.min(raw_ns))
    }

    /// On each clock the later of the two.
    #[must_use]
    pub fn latest(self, other: Self) -> Self {
        Self { boottime_ns: self.boottime_ns.max(other.boottime_ns), raw_ns: self.raw_ns.max(other.raw_ns) }
    }

    /// On each clock the earlier of the two.
    #[must_use]
    pub fn earliest(self, other: Self) -> Self {
        Self { boottime_ns: self.boottime_ns.min(other.boottime_ns), raw_ns: self.raw_ns.min(other.raw_ns) }
    }

    fn remaining_nanos(self, end: Self) -> (u64, u64) {
        (end.boottime_ns.saturating_sub(self.boottime_ns), end.raw_ns.saturating_sub(self.raw_ns))
    }
}

/// Moves both readings; saturates at the end of the count, which is 584 years after boot.
impl std::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self { boottime_ns: self.boottime_ns.saturating_add(ns), raw_ns: self.raw_ns.saturating_add(ns) }
    }
}

/// Both readings in seconds; one number where they agree.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let boottime = Duration::from_nanos(self.boottime_ns).as_secs_f64();
        if self.boottime_ns == self.raw_ns {
            write!(f, "{boottime:.3}s")
        } else {
            write!(f, "{boottime:.3}s/{:.3}s", Duration::from_nanos(self.raw_ns).as_secs_f64())
        }
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the machine is told about time with each event: the instant to decide by, and the wall time to
/// stamp records with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Now {
    /// The moment, for every decision.
    pub instant: Instant,
    /// The wall clock, written into records for people and never compared to decide.
    pub wall: Timestamp,
}

/// Wall time in microseconds since 1970, for people and for telling two writes apart.
///
/// It has no ordering on purpose: wall clocks jump and differ, so nothing may be decided by comparing
/// two of them. What the protocol needs is in [`Timestamp::after`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timestamp {
    unix_micros: i64,
}

impl Timestamp {
    /// The time so many microseconds after (or before) the start of 1970.
    pub const fn from_unix_micros(unix_micros: i64) -> Self {
        Self { unix_micros }
    }

    /// Microseconds since the start of 1970.
    pub const fn unix_micros(self) -> i64 {
        self.unix_micros
    }

    /// This time, or `previous + tick` where that is later: a stamp that differs from `previous` by at
    /// least `tick` even while the wall clock stands still or jumps back.
    ///
    /// A `previous` so near the end of the calendar that `tick` no longer fits is ignored.
    #[must_use]
    pub fn after(self, previous: Self, tick: Duration) -> Self {
        let tick_us = i64::try_from(tick.as_micros()).unwrap_or(i64::MAX);
        match previous.unix_micros.checked_add(tick_us) {
            Some(next_us) if next_us <= CALENDAR_END_US => Self { unix_micros: self.unix_micros.max(next_us) },
            _ => self,
        }
    }
}

/// As in a Kubernetes Lease: RFC 3339 with exactly six fraction digits and `Z`.
///
/// Times outside the years 0 to 9999 are shown as a count of microseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.unix_micros) {
            Ok(time) if (CALENDAR_START_US..=CALENDAR_END_US).contains(&self.unix_micros) => write!(f, "{time:.6}"),
            _ => write!(f, "{}us", self.unix_micros),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads what [`Display`](fmt::Display) writes, and any other RFC 3339 time, to the microsecond.
impl std::str::FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>().map(|time| Self { unix_micros: time.as_microsecond() })
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// 0000-01-01T00:00:00Z, in microseconds.
const CALENDAR_START_US: i64 = -62_167_219_200_000_000;
/// The last whole day that RFC 3339 can write in four digits of year (and jiff in any offset), in microseconds.
const CALENDAR_END_US: i64 = 253_402_207_200_000_000 - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_by_the_first_clock_and_a_wait_by_the_last() {
        let end = Instant::from_nanos(100, 100);
        let suspended = Instant::from_nanos(150, 90);
        assert!(suspended.has_reached_either(end));
        assert!(!suspended.has_reached_both(end));
        assert_eq!(suspended.until_either(end), Duration::ZERO);
        assert_eq!(suspended.until_both(end), Duration::from_nanos(10));
        assert_eq!(suspended.since(Instant::from_nanos(80, 80)), Duration::from_nanos(10));
    }

    #[test]
    fn a_stamp_moves_by_a_tick_even_when_the_wall_clock_does_not() {
        let tick = Duration::from_secs(1);
        let frozen = Timestamp::from_unix_micros(5_000_000);
        let second = frozen.after(frozen, tick);
        assert_eq!(second.unix_micros(), 6_000_000);
        assert_eq!(Timestamp::from_unix_micros(9_000_000).after(second, tick).unix_micros(), 9_000_000);
    }

    #[test]
    fn near_the_end_of_the_calendar_the_stamp_restarts_from_now() {
        let now = Timestamp::from_unix_micros(7);
        let last: Timestamp = "9999-12-30T22:00:00Z".parse().expect("a time");
        assert_eq!(now.after(last, Duration::from_secs(1)), now);
        assert_eq!(now.after(Timestamp::from_unix_micros(i64::MAX), Duration::from_secs(1)), now);
    }

    #[test]
    fn timestamps_are_written_with_six_digits_and_read_back() {
        let time = Timestamp::from_unix_micros(1_700_000_000_000_007);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.000007Z");
        assert_eq!(time.to_string().parse::<Timestamp>().expect("round trip"), time);
        assert_eq!(format!("{time:?}"), time.to_string());
        for beyond in [i64::MIN, CALENDAR_START_US - 1, CALENDAR_END_US + 1, i64::MAX] {
            assert_eq!(Timestamp::from_unix_micros(beyond).to_string(), format!("{beyond}us"));
        }
    }

    #[test]
    fn an_instant_is_one_number_where_its_clocks_agree() {
        assert_eq!(Instant::from_nanos(1_500_000_000, 1_500_000_000).to_string(), "1.500s");
        assert_eq!(format!("{:?}", Instant::from_nanos(1_500_000_000, 500_000_000)), "1.500s/0.500s");
    }
}
