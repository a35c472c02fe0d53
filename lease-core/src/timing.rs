//! The durations of an election, checked against each other once, so that an unsafe set cannot exist.

mod check;
mod error;
mod pretty;

use std::fmt;
use std::time::Duration;

pub use self::error::{Setting, TimingError, TimingFault, WayOut};
pub use self::pretty::{DurationError, Pretty};
use crate::lock::Constraints;

/// Three durations, the bounds that go with them, and what follows from them.
///
/// The letters are those of the protocol: `D` lease duration, `H` renew deadline, `P` retry period,
/// `S` stop timeout, `rho` the bound on the error of a clock's rate. Two candidates never act at once as
/// long as `H + S <= D * (1 - rho) / (1 + rho)`; a `Timing` that breaks this cannot be built.
///
/// The default is 15 s / 10 s / 2 s, as client-go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    lease_duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
    attempt_timeout: Duration,
    stop_timeout: Duration,
    drain_max: Duration,
    rate_error_ppm: u32,
}

impl Timing {
    /// The three durations, with the defaults for the rest.
    pub fn new(
        lease_duration: Duration,
        renew_deadline: Duration,
        retry_period: Duration,
    ) -> Result<Self, TimingError> {
        Self::builder(lease_duration, renew_deadline, retry_period).build()
    }

    /// The three durations, with the rest to be set.
    pub fn builder(lease_duration: Duration, renew_deadline: Duration, retry_period: Duration) -> TimingBuilder {
        TimingBuilder {
            lease_duration,
            renew_deadline,
            retry_period,
            attempt_timeout: None,
            stop_timeout: None,
            drain_max: DRAIN_MAX_DEFAULT,
            rate_error_ppm: RATE_ERROR_PPM_DEFAULT,
            constraints: Constraints::FINE,
        }
    }

    /// `D`: how long the others wait after the last renewal they saw.
    pub fn lease_duration(&self) -> Duration {
        self.lease_duration
    }

    /// `H`: how long one acknowledged write lets the holder act, from when it was sent.
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// `P`: the pace of renewals, and of a standby that cannot watch.
    pub fn retry_period(&self) -> Duration {
        self.retry_period
    }

    /// After how long a request without an answer is abandoned.
    pub fn attempt_timeout(&self) -> Duration {
        self.attempt_timeout
    }

    /// `S`: how long the work may go on after its hold has ended, the lateness of the stop signal included.
    pub fn stop_timeout(&self) -> Duration {
        self.stop_timeout
    }

    /// How long a graceful stop may take, while the lease is still being renewed.
    pub fn drain_max(&self) -> Duration {
        self.drain_max
    }

    /// `rho` in parts per million.
    pub fn rate_error_ppm(&self) -> u32 {
        self.rate_error_ppm
    }

    /// When rivals may act at the earliest, after the send of the last acknowledged write and on the
    /// holder's own clock: `D * (1 - rho) / (1 + rho)`. All work must have stopped by then.
    pub fn fence(&self) -> Duration {
        scale_down(self.lease_duration, self.rate_error_ppm)
    }

    /// The largest stop timeout that these durations leave room for.
    pub fn stop_timeout_max(&self) -> Duration {
        self.fence().saturating_sub(self.renew_deadline)
    }

    /// The longest outage of the backend that ends no term, less two round trips: `H - P - attempt timeout`.
    ///
    /// An outage begins right before a renewal and ends right after a blind attempt. What follows that one, a read and
    /// a write, has to be answered within the hold too; how long that takes is the backend's matter.
    pub fn outage_survived(&self) -> Duration {
        self.renew_deadline.saturating_sub(self.retry_period + self.attempt_timeout)
    }

    /// How many writes, the acknowledged one included, are sent within one hold when none of the others is
    /// answered: one at a time, at the pace of the retry period or the attempt timeout, whichever is longer.
    pub fn attempts_per_hold(&self) -> u32 {
        let pace = self.retry_period.max(self.attempt_timeout);
        let attempts = self.renew_deadline.as_nanos().div_ceil(pace.as_nanos());
        u32::try_from(attempts).unwrap_or(u32::MAX)
    }

    /// How long after the last renewal of a leader that has crashed a live candidate takes over that saw it at once, as one
    /// does that watches: `D / (1 - rho)`, and one round trip. After a crash it is shorter by the age of that renewal.
    pub fn crash_takeover_usual(&self) -> Duration {
        let wait_ns = self.lease_duration.as_nanos() * u128::from(PPM) / u128::from(PPM - self.rate_error_ppm);
        saturating_nanos(wait_ns)
    }

    /// The longest time without a leader after a crash, with a healthy backend and a live candidate, also one that polls:
    /// `D / (1 - rho) + 3 P + 2 attempt timeouts`.
    pub fn crash_takeover_worst(&self) -> Duration {
        self.crash_takeover_usual() + 3 * self.retry_period + 2 * self.attempt_timeout
    }

    /// The longest time without a leader after a release, with a healthy backend and a live candidate
    /// that polls; one that watches takes over in about one round trip.
    pub fn graceful_takeover_worst(&self) -> Duration {
        self.retry_period + 2 * self.attempt_timeout
    }

    /// By what factor two clocks' rates may differ without an overlap: `D / (H + S)`.
    pub fn clock_ratio_tolerated(&self) -> f64 {
        self.lease_duration.as_secs_f64() / (self.renew_deadline + self.stop_timeout).as_secs_f64()
    }

    /// Lease duration, renew deadline and retry period, as people name a set: `15s/10s/2s`.
    pub fn durations(&self) -> String {
        let [lease, renew, retry] = [self.lease_duration, self.renew_deadline, self.retry_period].map(Pretty);
        format!("{lease}/{renew}/{retry}")
    }

    /// How many renewals a holder writes in a day.
    pub fn writes_per_day(&self) -> u64 {
        u64::try_from(Duration::from_hours(24).as_nanos() / self.retry_period.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether a kind of store can carry these durations.
    ///
    /// Where the store is known beforehand, [`TimingBuilder::constraints`] also has every refusal propose only what
    /// that store can carry.
    pub fn check(&self, constraints: &Constraints) -> Result<(), TimingError> {
        let auto_stop = self.stop_timeout == self.stop_timeout_max().saturating_sub(STOP_MARGIN);
        let builder = TimingBuilder {
            // What equals its default follows the others, as it did when it was left out.
            attempt_timeout: (self.attempt_timeout != self.retry_period).then_some(self.attempt_timeout),
            stop_timeout: (!auto_stop).then_some(self.stop_timeout),
            drain_max: self.drain_max,
            rate_error_ppm: self.rate_error_ppm,
            constraints: *constraints,
            ..Self::builder(self.lease_duration, self.renew_deadline, self.retry_period)
        };
        builder.build().map(drop)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::new(Duration::from_secs(15), Duration::from_secs(10), Duration::from_secs(2))
            .expect("the default durations satisfy the inequality")
    }
}

/// The three durations and the derived figures, as every front end prints them.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: stop budget {}, survives a backend outage of {} less two round trips, {} attempts in a hold, \
             crash takeover {} after the last renewal and at worst {} (if requests are lost), graceful takeover at worst {}, clock rates may differ \
             by {:.1} %, {} writes a day",
            self.durations(),
            Pretty(millis(self.stop_timeout)),
            Pretty(millis(self.outage_survived())),
            self.attempts_per_hold(),
            Pretty(millis(self.crash_takeover_usual())),
            Pretty(millis(self.crash_takeover_worst())),
            Pretty(millis(self.graceful_takeover_worst())),
            (self.clock_ratio_tolerated() - 1.0) * 100.0,
            self.writes_per_day(),
        )
    }
}

/// As much of a duration as people plan with.
fn millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Durations on their way to a [`Timing`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct TimingBuilder {
    lease_duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
    attempt_timeout: Option<Duration>,
    stop_timeout: Option<Duration>,
    drain_max: Duration,
    rate_error_ppm: u32,
    constraints: Constraints,
}

impl TimingBuilder {
    /// After how long a request is abandoned; by default the retry period. Too small, and slow answers
    /// are thrown away; half the renew deadline or more is refused, because three attempts must fit in a hold.
    pub fn attempt_timeout(self, attempt_timeout: Duration) -> Self {
        Self { attempt_timeout: Some(attempt_timeout), ..self }
    }

    /// How long the work may go on after its hold has ended; by default all the room there is, less 250 ms.
    pub fn stop_timeout(self, stop_timeout: Duration) -> Self {
        Self { stop_timeout: Some(stop_timeout), ..self }
    }

    /// How long a graceful stop may take; by default 25 s, below the 30 s after which Kubernetes kills.
    pub fn drain_max(self, drain_max: Duration) -> Self {
        Self { drain_max, ..self }
    }

    /// The bound on the error of a clock's rate, in parts per million; by default 10,000, which is 1 %.
    pub fn rate_error_ppm(self, rate_error_ppm: u32) -> Self {
        Self { rate_error_ppm, ..self }
    }

    /// What the store can carry; by default anything. Durations that it cannot keep are refused by
    /// [`build`](Self::build), and not proposed.
    pub fn constraints(self, constraints: Constraints) -> Self {
        Self { constraints, ..self }
    }
}

/// `duration * (1 - rho) / (1 + rho)`, rounded down.
fn scale_down(duration: Duration, rate_error_ppm: u32) -> Duration {
    saturating_nanos(duration.as_nanos() * u128::from(PPM - rate_error_ppm) / u128::from(PPM + rate_error_ppm))
}

fn saturating_nanos(ns: u128) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

const PPM: u32 = 1_000_000;
/// Crystals err by about 200 ppm and the production clock is not slewed; the rest is margin.
const RATE_ERROR_PPM_DEFAULT: u32 = 10_000;
/// Beyond a fifth the machine is broken, and the inequality would ask for absurd durations.
const RATE_ERROR_PPM_MAX: u32 = 200_000;
/// Kept free between the default stop timeout and the moment others may act.
const STOP_MARGIN: Duration = Duration::from_millis(250);
/// What proposals leave: as much again for the work itself.
const STOP_PROPOSED: Duration = Duration::from_millis(500);
/// Kubernetes kills a pod 30 s after it asked it to stop; the release should come before that.
const DRAIN_MAX_DEFAULT: Duration = Duration::from_secs(25);
/// Below this, scheduling delays are larger than the durations.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest lease duration that a Lease can store.
const LONGEST: Duration = Duration::from_secs(i32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn message(lease_ms: u64, renew_ms: u64, retry_ms: u64) -> String {
        Timing::new(ms(lease_ms), ms(renew_ms), ms(retry_ms)).expect_err("must be refused").to_string()
    }

    #[test]
    fn the_default_leaves_the_documented_room() {
        let timing = Timing::default();
        assert_eq!(timing.fence(), Duration::from_nanos(14_702_970_297));
        assert_eq!(timing.stop_timeout(), Duration::from_nanos(4_452_970_297));
        assert_eq!(timing.outage_survived(), Duration::from_secs(6));
        assert_eq!(timing.attempts_per_hold(), 5);
        assert_eq!(timing.writes_per_day(), 43_200);
        assert_eq!(timing.rate_error_ppm(), 10_000);
        assert_eq!(
            timing.to_string(),
            "15s/10s/2s: stop budget 4.452s, survives a backend outage of 6s less two round trips, 5 attempts in a hold, \
             crash takeover 15.151s after the last renewal and at worst 25.151s (if requests are lost), graceful takeover at worst 6s, clock rates may \
             differ by 3.8 %, 43200 writes a day"
        );
    }

    #[test]
    fn the_inequality_is_exact() {
        let edge = Timing::default().stop_timeout_max();
        let at = |stop| Timing::builder(ms(15_000), ms(10_000), ms(2_000)).stop_timeout(stop).build();
        assert!(at(edge).is_ok());
        for refused in [edge + Duration::from_nanos(1), Duration::ZERO] {
            let error = at(refused).expect_err("beyond the edge");
            assert!(matches!(error.fault(), TimingFault::StopTimeout { .. }), "{error}");
        }
    }

    #[test]
    fn refusals_name_both_numbers_and_the_nearest_valid_ones() {
        assert_eq!(
            message(15_000, 15_000, 2_000),
            "renew deadline 15s must be shorter than lease duration 15s; use a renew deadline of at most 14.202s \
             or a lease duration of at least 16s"
        );
        assert_eq!(
            message(3_000, 2_900, 1_000),
            "renew deadline 2.9s leaves 40ms to stop before 2.94s, when others may act on a lease duration of 3s: more than \
             250ms is needed, and 500ms is better; \
             use a renew deadline of at most 2.44s or a lease duration of at least 4s"
        );
        assert_eq!(
            message(15_000, 10_000, 5_000),
            "renew deadline 10s must be longer than two retry periods of 5s, so that three attempts fit; \
             use a renew deadline of at least 10.001s or a retry period of at most 4.999s"
        );
        assert_eq!(message(15_000, 10_000, 0), "retry period 0s is below 1ms; use a retry period of at least 1ms");
        assert_eq!(message(0, 10_000, 2_000), "lease duration 0s is below 1ms; use a lease duration of at least 11s");
    }

    #[test]
    fn a_refusal_proposes_nothing_that_would_be_refused() {
        assert_eq!(
            message(15_000, 10_000, 8_000),
            "renew deadline 10s must be longer than two retry periods of 8s, so that three attempts fit; \
             use a retry period of at most 4.999s"
        );
        assert_eq!(
            message(10_000, 10_000, 8_000),
            "renew deadline 10s must be shorter than lease duration 10s; use other values together, such as a lease \
             duration of 10s, a renew deadline of 6.6s and a retry period of 1.3s"
        );
        let kubernetes = Timing::builder(ms(15_000), ms(2_000), ms(2_000)).constraints(Constraints::WHOLE_SECONDS);
        assert_eq!(
            kubernetes.build().expect_err("two attempts").to_string(),
            "renew deadline 2s must be longer than two retry periods of 2s, so that three attempts fit; \
             use a renew deadline of at least 4.001s"
        );
        let stop = Timing::builder(ms(15_000), ms(10_000), ms(2_000)).stop_timeout(ms(10_000)).build();
        assert_eq!(
            stop.expect_err("no room").to_string(),
            "stop timeout 10s must be above zero and at most 4.702s, the time that a renew deadline of 10s leaves; \
             use a stop timeout of at most 4.702s or a renew deadline of at most 4.702s or a lease duration of at \
             least 21s"
        );
    }

    #[test]
    fn a_duration_beyond_all_use_is_one_refusal() {
        let build = |lease, renew, retry| Timing::builder(lease, renew, retry);
        let base = || build(ms(15_000), ms(10_000), ms(2_000));
        let max = Duration::MAX;
        for (what, builder) in [
            ("lease duration", build(max, ms(10_000), ms(2_000))),
            ("renew deadline", build(ms(15_000), max, ms(2_000))),
            ("retry period", build(ms(15_000), ms(10_000), max)),
            ("attempt timeout", base().attempt_timeout(max)),
            ("drain timeout", base().drain_max(max)),
            ("lease duration", build(max, max, max).attempt_timeout(max).stop_timeout(max).drain_max(max)),
        ] {
            let error = builder.build().expect_err("too long");
            let begin = format!("{what} {} is above 596523h14m7s", Pretty(max));
            assert!(error.to_string().starts_with(&begin), "{error}");
        }
        let fault = |builder: TimingBuilder| builder.build().expect_err("refused").fault().clone();
        assert!(matches!(fault(base().stop_timeout(max)), TimingFault::StopTimeout { .. }));
        let rate = base().rate_error_ppm(u32::MAX).build().expect_err("not credible");
        assert_eq!(rate.to_string(), "clock rate error 4294967295 ppm must be at most 200000 ppm");
    }

    #[test]
    fn the_longest_durations_have_figures_too() {
        let timing = Timing::builder(LONGEST, LONGEST / 4, LONGEST / 10).rate_error_ppm(RATE_ERROR_PPM_MAX);
        let timing = timing.drain_max(LONGEST).build().expect("within all bounds");
        assert!(timing.crash_takeover_worst() > LONGEST && timing.fence() < LONGEST);
        assert!(!timing.to_string().is_empty());
    }

    #[test]
    fn three_attempts_fit_in_a_hold_whatever_the_attempt_timeout() {
        let at = |attempt| Timing::builder(ms(15_000), ms(10_000), ms(2_000)).attempt_timeout(ms(attempt)).build();
        for refused in [5_000, 9_900, 10_000] {
            let error = at(refused).expect_err("two attempts at most").to_string();
            let asked = Pretty(ms(refused));
            assert_eq!(
                error,
                format!(
                    "attempt timeout {asked} must be shorter than half the renew deadline 10s, so that three attempts \
                     fit; use an attempt timeout of at most 4.999s{}",
                    // A longer deadline would do too, as long as it leaves time to stop.
                    if refused == 5_000 { " or a renew deadline of at least 10.001s" } else { "" }
                )
            );
        }
        let longest = at(4_999).expect("the suggestion is valid");
        assert_eq!((longest.attempts_per_hold(), longest.outage_survived()), (3, ms(3_001)));
        assert_eq!(at(3_000).expect("fine").attempts_per_hold(), 4);
        assert_eq!(at(500).expect("fine").attempts_per_hold(), 5);
    }

    #[test]
    fn the_usual_durations_of_client_go_are_accepted() {
        for (lease, renew, retry, attempts) in [(15, 10, 2, 5), (60, 40, 5, 8), (137, 107, 26, 5), (4, 3, 1, 3)] {
            let timing = Timing::new(ms(lease * 1_000), ms(renew * 1_000), ms(retry * 1_000)).expect("accepted");
            assert_eq!(timing.attempts_per_hold(), attempts, "{timing}");
        }
    }

    /// Every way out of every refusal of the grid makes a valid set, for every store; only a stop timeout that somebody
    /// insists on can leave none.
    #[test]
    fn suggestions_are_themselves_valid() {
        let grid_ms = [0, 1, 2, 7, 250, 500, 999, 1_000, 2_000, 2_440, 2_900, 4_000, 8_000, 10_000, 14_900, 15_500];
        let stops = [None, Some(0), Some(1), Some(250), Some(10_000)];
        let mut refused = 0;
        for constraints in [Constraints::FINE, Constraints::WHOLE_SECONDS] {
            for (lease, renew) in grid_ms.iter().flat_map(|lease| grid_ms.map(|renew| (ms(*lease), ms(renew)))) {
                for (retry, stop) in grid_ms.iter().flat_map(|retry| stops.map(|stop| (ms(*retry), stop.map(ms)))) {
                    let set = Timing::builder(lease, renew, retry).constraints(constraints);
                    let set = TimingBuilder { stop_timeout: stop, ..set };
                    let Err(error) = set.build() else { continue };
                    refused += 1;
                    assert!(stop.is_some() || !error.ways_out().is_empty(), "{error}");
                    for way in error.ways_out() {
                        let mended = set.with(way).build();
                        assert!(mended.is_ok(), "{error}: {way}: {mended:?}");
                    }
                }
            }
        }
        assert!(refused > 10_000, "the grid has refused only {refused}");
    }

    /// A set that was built without knowing the store keeps what followed from the others.
    #[test]
    fn a_store_that_is_known_late_proposes_by_the_defaults_too() {
        for (lease, renew, retry) in [(15_500, 10_000, 2_000), (3_000, 2_000, 700), (1_900, 1_000, 300)] {
            let timing = Timing::new(ms(lease), ms(renew), ms(retry)).expect("fine elsewhere");
            let late = timing.check(&Constraints::WHOLE_SECONDS).expect_err("not on this store");
            let set = Timing::builder(ms(lease), ms(renew), ms(retry)).constraints(Constraints::WHOLE_SECONDS);
            assert_eq!(late, set.build().expect_err("the same"));
        }
        // What was chosen stays, and what does not fit it is not proposed.
        let base = || Timing::builder(ms(15_500), ms(10_000), ms(2_000));
        for chosen in [base().stop_timeout(ms(5_000)), base().rate_error_ppm(RATE_ERROR_PPM_MAX)] {
            let timing = chosen.build().expect("fine elsewhere");
            let late = timing.check(&Constraints::WHOLE_SECONDS).expect_err("not on this store");
            assert_eq!(late, chosen.constraints(Constraints::WHOLE_SECONDS).build().expect_err("the same"));
            assert_eq!(late.ways_out().len(), 1, "{late}");
        }
    }

    #[test]
    fn a_lease_in_whole_seconds_refuses_what_it_would_truncate() {
        let timing = Timing::new(ms(3_900), ms(2_100), ms(1_000)).expect("fine elsewhere");
        assert!(timing.check(&Constraints::FINE).is_ok());
        let error = timing.check(&Constraints::WHOLE_SECONDS).expect_err("truncated");
        assert_eq!(
            error.to_string(),
            "lease duration 3.9s must be whole seconds on this backend; use a lease duration of 3s or a lease duration \
             of at least 4s"
        );
        let fast = Timing::new(ms(4_000), ms(2_500), ms(500)).expect("fine elsewhere");
        let error = fast.check(&Constraints::WHOLE_SECONDS).expect_err("too fast");
        assert_eq!(
            error.to_string(),
            "retry period 500ms is below 1s, the step in which clients of this backend compare renew times; \
             use a retry period of at least 1s"
        );
    }
}
