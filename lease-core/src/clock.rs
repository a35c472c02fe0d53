//! Where instants come from: the clocks of the machine, and timers that fire by them.

use std::fmt::Debug;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::time::{Instant, Now, Timestamp};

/// A source of time for a driver and for the checks of an application.
pub trait Clock: Debug + Send + Sync {
    /// The present instant. Called by every [`Leadership::check`](crate::Leadership::check), so it must
    /// be cheap, and neither block nor allocate.
    fn instant(&self) -> Instant;

    /// The wall clock, for people.
    fn wall(&self) -> Timestamp;

    /// A timer on this clock. Called on the runtime that will poll it.
    fn timer(&self) -> io::Result<Box<dyn Timer>>;

    /// The instant and the wall time.
    fn now(&self) -> Now {
        Now { instant: self.instant(), wall: self.wall() }
    }
}

/// Fires once after it was armed.
pub trait Timer: Send {
    /// Fires after this time from now, instead of when it was armed for before; [`Duration::MAX`] for never.
    fn arm(&mut self, after: Duration);

    /// Ready when it has fired since it was armed.
    fn poll_fired(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// The clocks of this machine.
///
/// On Linux an instant is `CLOCK_BOOTTIME`, which counts through suspend, with `CLOCK_MONOTONIC_RAW`,
/// which nothing slews; timers are armed on `CLOCK_BOOTTIME`, so they fire after a resume. A virtual
/// machine that is paused or restored freezes both clocks, and there only a fencing token helps.
///
/// Other systems fall back to the standard library's monotonic clock for both readings: there a suspend
/// may stand still in it, and slewing is not noticed.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn instant(&self) -> Instant {
        system::instant()
    }

    fn wall(&self) -> Timestamp {
        let unix_micros = match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
        };
        Timestamp::from_unix_micros(unix_micros)
    }

    fn timer(&self) -> io::Result<Box<dyn Timer>> {
        system::timer()
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use rustix::time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    use super::{Instant, Timer};

    pub(super) fn instant() -> Instant {
        Instant::from_nanos(nanos(clock_gettime(ClockId::Boottime)), nanos(clock_gettime(ClockId::MonotonicRaw)))
    }

    fn nanos(time: Timespec) -> u64 {
        // Both clocks count from boot, so neither is negative nor near the end of the type.
        u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
    }

    #[expect(
        deprecated,
        reason = "unsound only for types that may close or change their descriptor, which an OwnedFd never does; \
                  its successor asks for an unsafe block to promise that"
    )]
    pub(super) fn timer() -> io::Result<Box<dyn Timer>> {
        let fd = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Box::new(TimerFd { fd: AsyncFd::new(fd)?, armed_for: None }))
    }

    struct TimerFd {
        fd: AsyncFd<OwnedFd>,
        /// When it will fire, by `CLOCK_BOOTTIME`, unless it has fired.
        armed_for: Option<Duration>,
    }

    impl Timer for TimerFd {
        fn arm(&mut self, after: Duration) {
            let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
            let seconds = |value: i64| u64::try_from(value).unwrap_or(0);
            let now = Duration::from_secs(seconds(tv_sec)) + Duration::from_nanos(seconds(tv_nsec));
            let wanted = now + after.min(FURTHEST);
            // Several steps in a row come to the same moment, but for what they themselves took.
            if self.armed_for.is_some_and(|armed| armed >= wanted && armed <= wanted + 2 * SLACK) {
                return;
            }
            let fires_at = wanted + SLACK;
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let value = Timespec {
                tv_sec: i64::try_from(fires_at.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: fires_at.subsec_nanos().into(),
            };
            let spec = Itimerspec { it_interval: zero, it_value: value };
            timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)
                .expect("a timer of our own takes any time");
            self.armed_for = Some(fires_at);
        }

        fn poll_fired(&mut self, context: &mut Context<'_>) -> Poll<()> {
            loop {
                let mut guard = match self.fd.poll_read_ready(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(guard) => guard.expect("the runtime outlives its tasks"),
                };
                let mut expirations = [0; 8];
                let fired = rustix::io::read(guard.get_inner(), &mut expirations).is_ok();
                // Nothing to read is left, or it was armed again since it became readable.
                guard.clear_ready();
                if fired {
                    self.armed_for = None;
                    return Poll::Ready(());
                }
            }
        }
    }

    /// As late as the kernel lets a sleep be by default (`PR_SET_TIMERSLACK`), so that arming for the same moment again
    /// costs no system call.
    const SLACK: Duration = Duration::from_micros(50);
    /// About 30 years; "never" for a process.
    const FURTHEST: Duration = Duration::from_secs(1_000_000_000);
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::{Instant, Timer};
    use crate::testing::SleepTimer;

    pub(super) fn instant() -> Instant {
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        // Not from zero: an instant of zero is reserved for a hold that has ended.
        let elapsed = START.get_or_init(std::time::Instant::now).elapsed() + Duration::from_secs(1);
        let ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(ns, ns)
    }

    pub(super) fn timer() -> io::Result<Box<dyn Timer>> {
        Ok(Box::new(SleepTimer::default()))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    #[test]
    fn an_instant_is_what_both_clocks_show() {
        let seconds = |clock| u64::try_from(clock_gettime(clock).tv_sec).expect("counted from boot");
        let both = || (seconds(ClockId::Boottime), seconds(ClockId::MonotonicRaw));
        let (before, instant, after) = (both(), SystemClock.instant(), both());
        assert!((before.0..=after.0).contains(&(instant.boottime_nanos() / 1_000_000_000)));
        assert!((before.1..=after.1).contains(&(instant.raw_nanos() / 1_000_000_000)));
    }

    #[tokio::test]
    async fn a_timer_fires_by_the_clock_and_can_be_armed_again() {
        let clock = SystemClock;
        let mut timer = clock.timer().expect("a timer");
        timer.arm(Duration::MAX);
        for _ in 0..2 {
            let end = clock.instant() + Duration::from_millis(5);
            timer.arm(Duration::from_millis(5));
            std::future::poll_fn(|context| timer.poll_fired(context)).await;
            assert!(clock.instant().has_reached_either(end));
        }
    }
}
