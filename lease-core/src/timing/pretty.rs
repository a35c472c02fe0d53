//! Durations as people and Go programs write them, and read them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration as people write it: `15s`, `1m30s`, `2.5s`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pretty(pub Duration);

impl fmt::Display for Pretty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = self.0;
        if duration.is_zero() {
            return f.write_str("0s");
        }
        if duration < Duration::from_mins(1) {
            return write!(f, "{duration:?}");
        }
        let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
        let rest = Duration::new(duration.as_secs() % 60, duration.subsec_nanos());
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if rest.is_zero() { Ok(()) } else { write!(f, "{rest:?}") }
    }
}

/// Reads `15s`, `1m30s`, `2.5s`, `500ms`. A bare number is refused, because nobody knows its unit; only `0` needs none.
impl FromStr for Pretty {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let refuse = |why| DurationError { text: text.to_owned(), why };
        match text {
            "" => return Err(refuse(Why::Empty)),
            "0" => return Ok(Self(Duration::ZERO)),
            _ if text.starts_with('-') => return Err(refuse(Why::Negative)),
            _ => {}
        }
        let (mut total_ns, mut rest) = (0_u128, text);
        while !rest.is_empty() {
            let number_ends =
                rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(|| refuse(Why::NoUnit))?;
            let (number, after) = rest.split_at(number_ends);
            let unit_ends = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_ends);
            let unit_ns = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| refuse(Why::UnknownUnit))?.1;
            let part_ns = nanos(number, unit_ns).ok_or_else(|| refuse(Why::NoNumber))?;
            total_ns = total_ns.checked_add(part_ns).ok_or_else(|| refuse(Why::TooLong))?;
            rest = after;
        }
        u64::try_from(total_ns).map(|ns| Self(Duration::from_nanos(ns))).map_err(|_| refuse(Why::TooLong))
    }
}

/// `number` times the unit; what is finer than a nanosecond is cut off.
fn nanos(number: &str, unit_ns: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    if whole.is_empty() && fraction.is_empty() || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let whole_ns = digits(whole)?.checked_mul(unit_ns)?;
    whole_ns.checked_add(digits(fraction)?.checked_mul(unit_ns)? / scale)
}

/// A text that is no duration, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration: {why}; write for example 15s, 1m30s or 500ms")]
pub struct DurationError {
    text: String,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Why {
    #[error("it is empty")]
    Empty,
    #[error("it is negative")]
    Negative,
    #[error("it has no unit")]
    NoUnit,
    #[error("its unit is not one of d, h, m, s, ms, us, ns")]
    UnknownUnit,
    #[error("it has a unit without a number")]
    NoNumber,
    #[error("it is longer than 584 years")]
    TooLong,
}

const UNITS: [(&str, u128); 8] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];
const FRACTION_DIGITS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Duration, DurationError> {
        text.parse().map(|Pretty(duration)| duration)
    }

    #[test]
    fn durations_are_read_as_go_programs_write_them() {
        for (text, ms) in [
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("2.5s", 2_500),
            (".5s", 500),
            ("1h", 3_600_000),
            ("0", 0),
            ("0s", 0),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse("1us"), Ok(Duration::from_micros(1)));
        assert_eq!(parse("0.123456789s"), Ok(Duration::from_nanos(123_456_789)));
        assert_eq!(Pretty(Duration::from_hours(1)).to_string(), "1h");
        assert_eq!(Pretty(Duration::ZERO).to_string(), "0s");
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "empty"),
            ("-1s", "negative"),
            ("15", "no unit"),
            ("1m30", "no unit"),
            ("15 s", "unit is not one of"),
            ("15sec", "unit is not one of"),
            ("s", "unit without a number"),
            (".s", "unit without a number"),
            ("1.2.3s", "unit without a number"),
            ("0.1234567891s", "unit without a number"),
            ("0.12345678912s", "unit without a number"),
            ("forever", "unit is not one of"),
            ("٣s", "unit is not one of"),
            ("99999999999999999999d", "longer than"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
