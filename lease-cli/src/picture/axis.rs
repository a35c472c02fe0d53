//! Axes: where a duration lies, and which durations are named beside it.
//!
//! Only round durations are named, in the units of clocks: after 30 s comes a minute and not 50 s.

use std::time::Duration;

use lease_core::Pretty;

/// A scale from durations to places on the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    from: Duration,
    until: Duration,
    from_px: f64,
    until_px: f64,
    logarithmic: bool,
}

/// A duration with a name on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at_px: f64,
    pub(super) label: String,
}

impl Axis {
    /// From one duration, which lies at one place, to another; an empty range is drawn as one of a second.
    pub(super) fn linear(from: Duration, until: Duration, from_px: f64, until_px: f64) -> Self {
        let until = if until > from { until } else { from.saturating_add(Duration::from_secs(1)) };
        Self { from, until, from_px, until_px, logarithmic: false }
    }

    /// The same in powers of ten; both durations above zero.
    pub(super) fn logarithmic(from: Duration, until: Duration, from_px: f64, until_px: f64) -> Self {
        let from = from.max(Duration::from_nanos(1));
        Self { logarithmic: true, ..Self::linear(from, until.max(2 * from), from_px, until_px) }
    }

    /// The place of a duration; what lies outside is moved to the nearer end.
    pub(super) fn at(&self, duration: Duration) -> f64 {
        let duration = duration.clamp(self.from, self.until);
        let share = if self.logarithmic {
            let log = |value: Duration| value.as_secs_f64().ln();
            (log(duration) - log(self.from)) / (log(self.until) - log(self.from))
        } else {
            duration.saturating_sub(self.from).as_secs_f64() / self.range().as_secs_f64()
        };
        self.from_px + share * (self.until_px - self.from_px)
    }

    fn range(&self) -> Duration {
        self.until.saturating_sub(self.from)
    }

    /// How much time a pixel is, on a linear axis.
    pub(super) fn pixel(&self) -> Duration {
        let pixels = (self.until_px - self.from_px).abs().max(1.0);
        self.range().div_f64(pixels)
    }

    /// At most about so many ticks.
    pub(super) fn ticks(&self, ticks_max: u32) -> Vec<Tick> {
        let tick = |value: Duration| Tick { at_px: self.at(value), label: label(value) };
        if self.logarithmic {
            let powers = (0_u32..20).map(|power| Duration::from_nanos(10_u64.pow(power)));
            return powers.filter(|value| (self.from..=self.until).contains(value)).map(tick).collect();
        }
        let step_ns = step(self.range(), ticks_max).as_nanos();
        let first = self.from.as_nanos().div_ceil(step_ns);
        let last = self.until.as_nanos() / step_ns;
        let nanos = |ns: u128| Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX));
        (first..=last).map(|count| tick(nanos(count * step_ns))).collect()
    }
}

/// The least round duration above this one, for the end of an axis.
pub(super) fn round_up(duration: Duration, ticks_max: u32) -> Duration {
    let step_ns = step(duration, ticks_max).as_nanos();
    let steps = duration.as_nanos().div_ceil(step_ns).max(1);
    Duration::from_nanos(u64::try_from(steps * step_ns).unwrap_or(u64::MAX))
}

/// The least round duration of which at most so many fit.
fn step(range: Duration, ticks_max: u32) -> Duration {
    let least_ns = range.as_nanos().div_ceil(u128::from(ticks_max.max(1)));
    let decimal = (0..9).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
    let clock = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY_S];
    let days = (0..6).flat_map(|power| [2, 5, 10].map(|digit| digit * 10_u64.pow(power) * DAY_S));
    let mut steps = decimal
        .map(Duration::from_nanos)
        .filter(|step| *step < Duration::from_secs(1))
        .chain(clock.into_iter().chain(days).map(Duration::from_secs));
    steps.find(|step| step.as_nanos() >= least_ns.max(1)).unwrap_or(Duration::MAX)
}

/// A duration as it is written beside a tick.
pub(super) fn label(duration: Duration) -> String {
    if duration.is_zero() { "0".to_owned() } else { Pretty(duration).to_string() }
}

/// A duration to three digits, as people compare them: `14.1s`, `250ms`, `2m5s`.
pub fn rounded(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let unit_ns = match ns.checked_ilog10() {
        None => return "0s".to_owned(),
        // From a minute on whole seconds are digits enough.
        Some(_) if duration >= Duration::from_mins(1) => 1_000_000_000,
        Some(digits) => 10_u128.pow(digits.saturating_sub(2)),
    };
    let rounded_ns = (ns + unit_ns / 2) / unit_ns * unit_ns;
    Pretty(Duration::from_nanos(u64::try_from(rounded_ns).unwrap_or(u64::MAX))).to_string()
}

const DAY_S: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(from_ms: u64, until_ms: u64, ticks_max: u32) -> Vec<String> {
        let axis = Axis::linear(Duration::from_millis(from_ms), Duration::from_millis(until_ms), 0.0, 100.0);
        axis.ticks(ticks_max).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_durations() {
        assert_eq!(labels(0, 60_000, 6), ["0", "10s", "20s", "30s", "40s", "50s", "1m"]);
        assert_eq!(labels(0, 200_000, 8), ["0", "30s", "1m", "1m30s", "2m", "2m30s", "3m"]);
        assert_eq!(labels(0, 1_000, 5), ["0", "200ms", "400ms", "600ms", "800ms", "1s"]);
        assert_eq!(labels(7_000, 8_100, 3), ["7s", "7.5s", "8s"]);
        assert_eq!(labels(0, 86_400_000 * 3, 4), ["0", "24h", "48h", "72h"]);
        assert_eq!(labels(5, 5, 2).len(), 2, "an empty range has ticks too");
    }

    #[test]
    fn any_range_has_few_ticks_and_all_within() {
        for exponent in 0..63 {
            let until = Duration::from_nanos(3 << exponent);
            let axis = Axis::linear(Duration::ZERO, until, 10.0, 20.0);
            let ticks = axis.ticks(7);
            assert!((1..=8).contains(&ticks.len()), "{until:?}: {ticks:?}");
            assert!(ticks.iter().all(|tick| (10.0..=20.0).contains(&tick.at_px)), "{until:?}");
            assert!(round_up(until, 7) >= until);
        }
        assert!(Axis::linear(Duration::ZERO, Duration::MAX, 0.0, 1.0).ticks(7).len() <= 8);
    }

    #[test]
    fn a_logarithmic_axis_names_powers_of_ten() {
        let axis = Axis::logarithmic(Duration::from_millis(1), Duration::from_secs(10), 0.0, 4.0);
        let ticks = axis.ticks(9);
        assert_eq!(
            ticks.iter().map(|tick| tick.label.as_str()).collect::<Vec<_>>(),
            ["1ms", "10ms", "100ms", "1s", "10s"]
        );
        assert!((axis.at(Duration::from_millis(100)) - 2.0).abs() < 1e-9);
        assert!(axis.at(Duration::ZERO).abs() < 1e-9, "zero lies at the nearer end");
    }

    #[test]
    fn figures_have_three_digits() {
        for (ns, shown) in [
            (0, "0s"),
            (14_102_349_000, "14.1s"),
            (250_499_000, "250ms"),
            (59_960_000_000, "1m"),
            (125_400_000_000, "2m5s"),
            (7, "7ns"),
            (1_999_999, "2ms"),
        ] {
            assert_eq!(rounded(Duration::from_nanos(ns)), shown);
        }
    }
}
