//! Every relation between the durations, and the nearest values that satisfy all of them.
//!
//! A way out is proposed only when the set with it was checked like any other: a bound that follows from one relation
//! alone may break the next.

use std::time::Duration;

use super::error::{Setting, TimingError, TimingFault, WayOut};
use super::{
    LONGEST, PPM, Pretty, RATE_ERROR_PPM_MAX, SHORTEST, STOP_MARGIN, STOP_PROPOSED, Timing, TimingBuilder,
    saturating_nanos, scale_down,
};

impl TimingBuilder {
    /// Checks every relation between the durations.
    pub fn build(self) -> Result<Timing, TimingError> {
        self.checked().map_err(|fault| TimingError::new(fault, self.ways_out()))
    }

    /// The durations as they are, in whatever relation: for a simulator that shows what comes of it, and nobody else.
    ///
    /// # Errors
    /// When a duration is so short or long that nothing could be reckoned with it.
    #[cfg(feature = "unproven")]
    pub fn build_unproven(self) -> Result<Timing, TimingError> {
        self.check_ranges().map_err(|fault| TimingError::new(fault, self.ways_out()))?;
        Ok(Timing { stop_timeout: self.stop_timeout.unwrap_or(STOP_MARGIN), ..self.unchecked() })
    }

    fn unchecked(&self) -> Timing {
        Timing {
            lease_duration: self.lease_duration,
            renew_deadline: self.renew_deadline,
            retry_period: self.retry_period,
            attempt_timeout: self.attempt(),
            stop_timeout: Duration::ZERO,
            drain_max: self.drain_max,
            rate_error_ppm: self.rate_error_ppm,
        }
    }

    fn checked(&self) -> Result<Timing, TimingFault> {
        self.check_ranges()?;
        let timing = self.unchecked();
        self.check_relations()?;
        let room = timing.stop_timeout_max();
        let stop_timeout = self.stop_timeout.unwrap_or(room.saturating_sub(STOP_MARGIN));
        if stop_timeout > room || stop_timeout.is_zero() {
            return Err(self.no_room_to_stop(room));
        }
        if self.constraints.whole_second_durations && self.lease_duration.subsec_nanos() != 0 {
            return Err(TimingFault::NotWholeSeconds { lease: Pretty(self.lease_duration) });
        }
        Ok(Timing { stop_timeout, ..timing })
    }

    /// Comes before all arithmetic on the durations, which cannot overflow afterwards.
    fn check_ranges(&self) -> Result<(), TimingFault> {
        let tick = self.constraints.renew_time_tick;
        if self.retry_period < tick && tick > SHORTEST {
            return Err(TimingFault::RetryBelowTick { retry: Pretty(self.retry_period), tick: Pretty(tick) });
        }
        for (what, value, min) in [
            (Setting::LeaseDuration, self.lease_duration, SHORTEST),
            (Setting::RenewDeadline, self.renew_deadline, SHORTEST),
            (Setting::RetryPeriod, self.retry_period, SHORTEST),
            (Setting::AttemptTimeout, self.attempt(), SHORTEST),
            (Setting::DrainTimeout, self.drain_max, Duration::ZERO),
        ] {
            if value < min {
                return Err(TimingFault::TooShort { what, value: Pretty(value), min: Pretty(min) });
            }
            if value > LONGEST {
                return Err(TimingFault::TooLong { what, value: Pretty(value), max: Pretty(LONGEST) });
            }
        }
        if self.rate_error_ppm > RATE_ERROR_PPM_MAX {
            return Err(TimingFault::RateError { ppm: self.rate_error_ppm, max: RATE_ERROR_PPM_MAX });
        }
        Ok(())
    }

    fn check_relations(&self) -> Result<(), TimingFault> {
        let renew = Pretty(self.renew_deadline);
        if self.renew_deadline >= self.lease_duration {
            return Err(TimingFault::RenewNotShorter { renew, lease: Pretty(self.lease_duration) });
        }
        if self.renew_deadline <= 2 * self.retry_period {
            return Err(TimingFault::TooFewAttempts { renew, retry: Pretty(self.retry_period) });
        }
        // One request at a time, so the third is sent two timeouts after the first when neither is answered.
        if self.renew_deadline <= 2 * self.attempt() {
            return Err(TimingFault::AttemptTooLong { attempt: Pretty(self.attempt()), renew });
        }
        Ok(())
    }

    fn no_room_to_stop(&self, room: Duration) -> TimingFault {
        let renew = Pretty(self.renew_deadline);
        match self.stop_timeout {
            Some(stop) if !floor(room).is_zero() => {
                TimingFault::StopTimeout { stop: Pretty(stop), max: Pretty(floor(room)), renew }
            }
            _ => TimingFault::NoRoomToStop {
                renew,
                room: Pretty(floor(room)),
                fence: Pretty(floor(self.fence())),
                lease: Pretty(self.lease_duration),
                stop: self.stop_timeout.map(Pretty),
            },
        }
    }

    /// The changes of one duration that make this set valid, or else one set that is.
    fn ways_out(&self) -> Vec<WayOut> {
        let mut ways: Vec<WayOut> = self.candidates().into_iter().filter(|way| self.is_mended_by(way)).collect();
        if ways.is_empty() {
            ways.extend(self.whole_sets().into_iter().find(|way| self.is_mended_by(way)));
        }
        ways
    }

    /// Where each duration alone would have to be. Nothing is in range here yet, so all arithmetic saturates.
    fn candidates(&self) -> [WayOut; 12] {
        use Setting::{AttemptTimeout, DrainTimeout, LeaseDuration, RenewDeadline, RetryPeriod, StopTimeout};
        let stop_needed = self.stop_timeout.unwrap_or(STOP_PROPOSED);
        let room = self.fence().saturating_sub(self.renew_deadline);
        let pace = self.retry_period.max(self.attempt());
        let pace_max = floor(self.renew_deadline.saturating_sub(Duration::from_nanos(1)) / 2);
        let whole = Duration::from_secs(self.lease_duration.as_secs());
        let next = if self.is_fine() { Duration::ZERO } else { whole.saturating_add(SECOND) };
        [
            WayOut::AtLeast(StopTimeout, Pretty(SHORTEST)),
            WayOut::AtMost(StopTimeout, Pretty(floor(room))),
            WayOut::AtLeast(AttemptTimeout, Pretty(SHORTEST)),
            WayOut::AtMost(AttemptTimeout, Pretty(pace_max)),
            WayOut::AtLeast(RenewDeadline, Pretty(pace.saturating_mul(2).saturating_add(SHORTEST))),
            WayOut::AtMost(RenewDeadline, Pretty(floor(self.fence().saturating_sub(stop_needed)))),
            WayOut::Exactly(LeaseDuration, Pretty(whole)),
            // The shortest that is valid here is the next whole second for a fractional one too.
            WayOut::AtLeast(LeaseDuration, Pretty(self.lease_duration_min(stop_needed).max(next))),
            WayOut::AtMost(LeaseDuration, Pretty(LONGEST)),
            WayOut::AtLeast(RetryPeriod, Pretty(SHORTEST.max(self.constraints.renew_time_tick))),
            WayOut::AtMost(RetryPeriod, Pretty(pace_max)),
            WayOut::AtMost(DrainTimeout, Pretty(LONGEST)),
        ]
    }

    /// In the proportions of the default, for this lease duration if it can be; or the default.
    fn whole_sets(&self) -> [WayOut; 2] {
        let lease = Duration::from_secs(ceil_seconds(self.lease_duration.min(LONGEST).as_nanos()));
        let tenths = |duration: Duration| saturating_nanos(duration.as_nanos() / 100_000_000 * 100_000_000);
        let proportional =
            WayOut::Together(Pretty(lease), Pretty(tenths(lease * 2 / 3)), Pretty(tenths(lease * 2 / 15)));
        let default = Timing::default();
        let [lease, renew, retry] = [default.lease_duration, default.renew_deadline, default.retry_period].map(Pretty);
        [proportional, WayOut::Together(lease, renew, retry)]
    }

    fn is_mended_by(&self, way: &WayOut) -> bool {
        let is_a_change = match *way {
            WayOut::AtLeast(what, Pretty(value)) => self.setting(what).is_some_and(|now| now < value),
            WayOut::AtMost(what, Pretty(value)) => self.setting(what).is_some_and(|now| now > value),
            WayOut::Exactly(what, Pretty(value)) => self.setting(what).is_some_and(|now| now != value),
            WayOut::Together(..) => true,
        };
        is_a_change && self.with(way).checked().is_ok()
    }

    /// None for what was left to the default, which follows the others.
    fn setting(&self, what: Setting) -> Option<Duration> {
        match what {
            Setting::LeaseDuration => Some(self.lease_duration),
            Setting::RenewDeadline => Some(self.renew_deadline),
            Setting::RetryPeriod => Some(self.retry_period),
            Setting::AttemptTimeout => self.attempt_timeout,
            Setting::StopTimeout => self.stop_timeout,
            Setting::DrainTimeout => Some(self.drain_max),
        }
    }

    /// These durations with one way out taken.
    pub(super) fn with(&self, way: &WayOut) -> Self {
        let (what, value) = match *way {
            WayOut::Together(Pretty(lease_duration), Pretty(renew_deadline), Pretty(retry_period)) => {
                return Self { lease_duration, renew_deadline, retry_period, ..*self };
            }
            WayOut::AtLeast(what, Pretty(value))
            | WayOut::AtMost(what, Pretty(value))
            | WayOut::Exactly(what, Pretty(value)) => (what, value),
        };
        match what {
            Setting::LeaseDuration => Self { lease_duration: value, ..*self },
            Setting::RenewDeadline => Self { renew_deadline: value, ..*self },
            Setting::RetryPeriod => Self { retry_period: value, ..*self },
            Setting::AttemptTimeout => self.attempt_timeout(value),
            Setting::StopTimeout => self.stop_timeout(value),
            Setting::DrainTimeout => self.drain_max(value),
        }
    }

    fn attempt(&self) -> Duration {
        self.attempt_timeout.unwrap_or(self.retry_period)
    }

    fn fence(&self) -> Duration {
        scale_down(self.lease_duration, self.rate_ppm())
    }

    /// Whether less than a second is meant, and can be stored.
    fn is_fine(&self) -> bool {
        self.lease_duration < SECOND && !self.constraints.whole_second_durations
    }

    /// The shortest lease, in whole seconds where it is not meant to be below one, that leaves this renew deadline so much room to stop.
    fn lease_duration_min(&self, stop: Duration) -> Duration {
        let needed_ns = self.renew_deadline.saturating_add(stop).as_nanos();
        let scaled_ns = needed_ns * u128::from(PPM + self.rate_ppm());
        let least_ns = scaled_ns.div_ceil(u128::from(PPM - self.rate_ppm()));
        if self.is_fine() && least_ns < SECOND.as_nanos() {
            return saturating_nanos(least_ns.div_ceil(1_000_000) * 1_000_000);
        }
        Duration::from_secs(ceil_seconds(least_ns))
    }

    /// For arithmetic on what was not checked.
    fn rate_ppm(&self) -> u32 {
        self.rate_error_ppm.min(RATE_ERROR_PPM_MAX)
    }
}

/// Rounds down to a millisecond, for suggestions that people can type.
fn floor(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn ceil_seconds(ns: u128) -> u64 {
    u64::try_from(ns.div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}

const SECOND: Duration = Duration::from_secs(1);
