//! When something is read that is read again and again.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use tokio::time::{Instant, sleep_until};

/// A read at once, and then one after each interval. What failed is read again before that: after 0.8 s, and later
/// each time, up to 30 s, each time up to twice as late by chance.
pub(crate) struct Rounds {
    interval: Duration,
    next: Instant,
    backoff: DefaultBackoff,
}

impl Rounds {
    /// The first round begins now.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, next: Instant::now() + interval, backoff: DefaultBackoff::default() }
    }

    /// Waits until something is to be read again. True for everything, in a new round; false for what has failed.
    pub(crate) async fn wait(&mut self, has_failed: bool) -> bool {
        let retry = if has_failed {
            self.backoff.next().map(|pause| Instant::now() + pause)
        } else {
            self.backoff.reset();
            None
        };
        if let Some(retry) = retry.filter(|retry| *retry < self.next) {
            sleep_until(retry).await;
            return false;
        }
        sleep_until(self.next).await;
        // A round that comes late does not make the next one come early.
        self.next = Instant::now() + self.interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rounds_are_an_interval_apart_however_long_a_read_takes() {
        let began = Instant::now();
        let mut rounds = Rounds::new(Duration::from_secs(10));
        assert!(rounds.wait(false).await);
        assert_eq!(began.elapsed().as_secs(), 10);
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert!(rounds.wait(false).await, "it is late");
        assert_eq!(began.elapsed().as_secs(), 25);
        assert!(rounds.wait(false).await);
        assert_eq!(began.elapsed().as_secs(), 35);
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_read_again_sooner_but_never_later_than_the_next_round() {
        let mut rounds = Rounds::new(Duration::from_hours(1));
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let before = Instant::now();
            assert!(!rounds.wait(true).await);
            pauses.push(before.elapsed());
        }
        assert!(pauses[0] < Duration::from_secs(2), "{pauses:?}");
        assert!(pauses[11] > pauses[0] && pauses.iter().all(|pause| *pause <= Duration::from_mins(1)), "{pauses:?}");
        let mut short = Rounds::new(Duration::from_millis(100));
        let before = Instant::now();
        assert!(short.wait(true).await);
        assert_eq!(before.elapsed().as_millis(), 100);
    }
}
