//! The clocks of a simulated machine: each shows true time, too fast or too slow by a rate that can change.
//!
//! All in whole numbers, with what a rate makes of a nanosecond kept for the next reading: a clock that is read a
//! million times is as exact as one that is read once.

use lease_core::Instant;

use super::schedule::{ClockSpec, WALL_OFFSET_MAX_US};

/// One clock with an error of its rate.
#[derive(Clone, Copy, Debug)]
struct RateClock {
    true_ns: u64,
    local_ns: u64,
    /// What of a nanosecond has passed, in millionths.
    rest: u64,
    /// How many millionths of a nanosecond pass in one.
    rate: u64,
}

impl RateClock {
    fn new(offset_ns: u64, ppm: i32) -> Self {
        Self { true_ns: 0, local_ns: offset_ns, rest: 0, rate: rate(ppm) }
    }

    fn advance(&mut self, true_ns: u64) {
        let passed_ns = true_ns - self.true_ns;
        self.true_ns = true_ns;
        match passed_ns.checked_mul(self.rate).and_then(|parts| parts.checked_add(self.rest)) {
            Some(parts) => {
                self.local_ns += parts / PARTS;
                self.rest = parts % PARTS;
            }
            None => self.advance_far(passed_ns),
        }
    }

    /// The same for hours at once.
    #[cold]
    fn advance_far(&mut self, passed_ns: u64) {
        let parts = u128::from(passed_ns) * u128::from(self.rate) + u128::from(self.rest);
        self.local_ns +=
            u64::try_from(parts / u128::from(PARTS)).expect("no clock runs at twice the rate for centuries");
        self.rest = u64::try_from(parts % u128::from(PARTS)).expect("a remainder is below its divisor");
    }

    /// The true time at which it will have shown so much more; never for one that stands still.
    fn true_time_after(&self, local_ns: u64) -> u64 {
        if self.rate == 0 {
            return u64::MAX;
        }
        let parts = u128::from(local_ns) * u128::from(PARTS)
            - u128::from(self.rest).min(u128::from(local_ns) * u128::from(PARTS));
        let in_ns = match u64::try_from(parts) {
            Ok(parts) => parts.div_ceil(self.rate),
            Err(_) => u64::try_from(parts.div_ceil(u128::from(self.rate))).unwrap_or(u64::MAX),
        };
        self.true_ns.saturating_add(in_ns)
    }
}

/// All clocks of one machine.
#[derive(Clone, Debug)]
pub(super) struct Clocks {
    boottime: RateClock,
    raw: RateClock,
    boottime_ppm: i32,
    raw_ppm: i32,
    wall_offset_us: i64,
    wall_step_us: i64,
}

impl Clocks {
    pub(super) fn new(spec: &ClockSpec) -> Self {
        Self {
            boottime: RateClock::new(spec.offset_ns, spec.boottime_ppm),
            raw: RateClock::new(spec.offset_ns, spec.raw_ppm),
            boottime_ppm: spec.boottime_ppm,
            raw_ppm: spec.raw_ppm,
            wall_offset_us: spec.wall_offset_us,
            wall_step_us: spec.wall_step_us.max(1),
        }
    }

    /// What they show at a moment that is not before the last one asked for.
    pub(super) fn read(&mut self, true_ns: u64) -> Instant {
        self.boottime.advance(true_ns);
        self.raw.advance(true_ns);
        Instant::from_nanos(self.boottime.local_ns, self.raw.local_ns)
    }

    /// The wall clock, in microseconds.
    pub(super) fn wall_us(&self) -> i64 {
        let us = i64::try_from(self.boottime.true_ns / 1_000).expect("a run is shorter than the calendar");
        let us = EPOCH_US + us + self.wall_offset_us;
        us - us.rem_euclid(self.wall_step_us)
    }

    pub(super) fn step_wall(&mut self, by_us: i64) {
        self.wall_offset_us = self.wall_offset_us.saturating_add(by_us).clamp(-WALL_OFFSET_MAX_US, WALL_OFFSET_MAX_US);
    }

    /// When a timer for so long goes off: on the clock that counts through suspend, as production's does.
    pub(super) fn timer(&self, local_ns: u64) -> u64 {
        self.boottime.true_time_after(local_ns)
    }

    /// The same on the clock that stands still in suspend, as Go's timers.
    pub(super) fn timer_without_suspend(&self, local_ns: u64) -> u64 {
        self.raw.true_time_after(local_ns)
    }

    /// The true time at which the first of the two shows this.
    pub(super) fn first_to_show(&self, local: Instant) -> u64 {
        let boottime = local.boottime_nanos().saturating_sub(self.boottime.local_ns);
        let raw = local.raw_nanos().saturating_sub(self.raw.local_ns);
        self.boottime.true_time_after(boottime).min(self.raw.true_time_after(raw))
    }

    pub(super) fn set_rates(&mut self, true_ns: u64, boottime_ppm: i32, raw_ppm: i32) {
        (self.boottime_ppm, self.raw_ppm) = (boottime_ppm, raw_ppm);
        self.run(true_ns, self.boottime.rate > 0, self.raw.rate > 0);
    }

    /// Lets each clock go on, or stand still, from this moment on.
    pub(super) fn run(&mut self, true_ns: u64, boottime: bool, raw: bool) {
        self.read(true_ns);
        self.boottime.rate = if boottime { rate(self.boottime_ppm) } else { 0 };
        self.raw.rate = if raw { rate(self.raw_ppm) } else { 0 };
    }

    /// The errors of the two rates.
    pub(super) fn errors_ppm(&self) -> [u32; 2] {
        [self.boottime_ppm.unsigned_abs(), self.raw_ppm.unsigned_abs()]
    }
}

fn rate(ppm: i32) -> u64 {
    u64::try_from(1_000_000 + i64::from(ppm)).unwrap_or(0)
}

/// After how much true time a clock that is too fast by this shows so much, rounded down.
pub(super) fn unscale(local_ns: u64, ppm: u32) -> u64 {
    let scaled = u128::from(local_ns) * u128::from(PARTS) / u128::from(PARTS + u64::from(ppm));
    u64::try_from(scaled).expect("smaller than what it was made of")
}

/// After how much true time a clock that is too slow by this shows so much, rounded up.
pub(super) fn stretch(local_ns: u64, ppm: u32) -> u64 {
    let slow = PARTS.saturating_sub(u64::from(ppm)).max(1);
    u64::try_from((u128::from(local_ns) * u128::from(PARTS)).div_ceil(u128::from(slow))).unwrap_or(u64::MAX)
}

const PARTS: u64 = 1_000_000;
/// When a run begins, for the wall clocks: some time in 2023.
const EPOCH_US: i64 = 1_700_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: ClockSpec =
        ClockSpec { offset_ns: 500, boottime_ppm: -10_000, raw_ppm: 10_000, wall_offset_us: 0, wall_step_us: 1 };

    #[test]
    fn a_clock_that_is_read_often_is_as_exact_as_one_that_is_read_once() {
        let (mut often, mut once) = (Clocks::new(&SPEC), Clocks::new(&SPEC));
        for ns in (0..1_000_000).step_by(7) {
            often.read(ns);
        }
        assert_eq!(often.read(1_000_000), once.read(1_000_000));
        assert_eq!(once.read(1_000_000), Instant::from_nanos(500 + 990_000, 500 + 1_010_000));
        // Ten years at once.
        let far = 10 * 365 * 86_400 * 1_000_000_000;
        assert_eq!(once.read(far).boottime_nanos(), 500 + far / 100 * 99);
    }

    #[test]
    fn a_timer_goes_off_when_the_clock_has_shown_it_and_not_before() {
        let mut clocks = Clocks::new(&SPEC);
        clocks.read(12_345);
        for wait_ns in [1, 99, 1_000_000, 86_400_000_000_000 * 400] {
            let at = clocks.timer(wait_ns);
            let due = clocks.boottime.local_ns + wait_ns;
            assert!(clocks.clone().read(at).boottime_nanos() >= due);
            assert!(clocks.clone().read(at - 1).boottime_nanos() < due);
        }
    }

    #[test]
    fn a_suspended_machine_keeps_one_clock_and_a_frozen_one_none() {
        let mut clocks = Clocks::new(&SPEC);
        clocks.run(1_000_000, true, false);
        let during = clocks.read(2_000_000);
        assert_eq!((during.boottime_nanos(), during.raw_nanos()), (500 + 1_980_000, 500 + 1_010_000));
        clocks.run(2_000_000, false, false);
        assert_eq!(clocks.read(9_000_000), during);
        assert_eq!(clocks.timer(1), u64::MAX);
        clocks.run(9_000_000, true, true);
        assert_eq!(clocks.read(10_000_000).raw_nanos(), 500 + 2_020_000);
    }
}
