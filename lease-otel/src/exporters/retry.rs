//! How long to wait before what failed is tried again.

use std::time::Duration;

use lease_core::Pretty;

use super::settings::decimal;
use crate::config::Fields;

/// The section `retry_on_failure`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RetrySettings {
    /// Whether anything is tried again at all.
    pub(crate) enabled: bool,
    /// The wait after the first failure.
    pub(crate) initial_interval: Duration,
    /// By which part of itself a wait is drawn shorter or longer, from 0 to 1.
    pub(crate) randomization_factor: f64,
    /// By what a wait is longer than the one before.
    pub(crate) multiplier: f64,
    /// The longest wait, before it is drawn.
    pub(crate) max_interval: Duration,
    /// How long one request is tried; zero for ever.
    pub(crate) max_elapsed_time: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Duration::from_mins(5),
        }
    }
}

impl RetrySettings {
    /// Reads the section of an exporter, which may be missing.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Self {
        let mut settings = Self::default();
        let Some(mut section) = fields.section("retry_on_failure") else { return settings };
        settings.enabled = section.truth("enabled").unwrap_or(settings.enabled);
        let mut duration = |key, value: &mut Duration| {
            if let Some(found) = section.duration(key) {
                *value = found.value;
            }
        };
        duration("initial_interval", &mut settings.initial_interval);
        duration("max_interval", &mut settings.max_interval);
        duration("max_elapsed_time", &mut settings.max_elapsed_time);
        if let Some(factor) = decimal(&mut section, "randomization_factor", 0.0, 1.0) {
            settings.randomization_factor = factor;
        }
        if let Some(multiplier) = decimal(&mut section, "multiplier", 0.0, f64::MAX) {
            settings.multiplier = multiplier;
        }
        settings.check(&mut section);
        section.finish();
        settings
    }

    fn check(&self, section: &mut Fields<'_>) {
        if !self.enabled || self.max_elapsed_time.is_zero() {
            return;
        }
        for (key, value) in [("initial_interval", self.initial_interval), ("max_interval", self.max_interval)] {
            if self.max_elapsed_time < value {
                let (elapsed, value) = (Pretty(self.max_elapsed_time), Pretty(value));
                let message = format!("{elapsed} is less than `{key}` ({value}), so nothing would be tried again");
                section.error("max_elapsed_time", message);
            }
        }
    }
}

/// The waits between the attempts of one request.
#[derive(Debug)]
pub(crate) struct Backoff<'a> {
    settings: &'a RetrySettings,
    current: Duration,
}

impl<'a> Backoff<'a> {
    pub(crate) fn new(settings: &'a RetrySettings) -> Self {
        Self { settings, current: settings.initial_interval }
    }

    /// The next wait; `random` is from 0 to 1.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let spread = self.settings.randomization_factor * (2.0 * random - 1.0);
        let drawn = scaled(self.current, 1.0 + spread);
        self.current = scaled(self.current, self.settings.multiplier).min(self.settings.max_interval);
        drawn.max(WAIT_MIN)
    }

    /// A wait of this, or of the first one where that is shorter; those that follow do not grow by it.
    pub(crate) fn shortest(&self, most: Duration) -> Duration {
        self.settings.initial_interval.min(most).max(WAIT_MIN)
    }
}

/// Settings of zero, or a multiplier below one, would have an endpoint that is away be asked without a pause.
const WAIT_MIN: Duration = Duration::from_millis(10);

/// A multiple of a duration; what would be too long to be one is the longest.
fn scaled(duration: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * by).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_are_drawn_around_it() {
        let settings = RetrySettings::default();
        let mut middle = Backoff::new(&settings);
        let waits: Vec<f64> = (0..7).map(|_| middle.next(0.5).as_secs_f64()).collect();
        assert_eq!(waits, [5.0, 7.5, 11.25, 16.875, 25.3125, 30.0, 30.0]);
        assert_eq!(Backoff::new(&settings).next(0.0), Duration::from_millis(2_500));
        assert_eq!(Backoff::new(&settings).next(1.0), Duration::from_millis(7_500));
    }

    #[test]
    fn there_is_always_a_pause() {
        let zero = Duration::ZERO;
        let settings = RetrySettings { initial_interval: zero, max_interval: zero, ..RetrySettings::default() };
        assert_eq!(Backoff::new(&settings).next(0.5), WAIT_MIN);
        let settings = RetrySettings { multiplier: 0.0, randomization_factor: 0.0, ..RetrySettings::default() };
        let mut backoff = Backoff::new(&settings);
        assert_eq!((backoff.next(0.5), backoff.next(0.5)), (Duration::from_secs(5), WAIT_MIN));
    }

    #[test]
    fn a_multiplier_beyond_all_bounds_gives_the_longest_wait() {
        let settings = RetrySettings { multiplier: f64::MAX, ..RetrySettings::default() };
        let mut backoff = Backoff::new(&settings);
        backoff.next(0.5);
        assert_eq!(backoff.next(0.5), Duration::from_secs(30));
    }
}
