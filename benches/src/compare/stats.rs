//! What is said of many samples in a few numbers.

use std::time::Duration;

/// A set of durations in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) count: usize,
    pub(super) mean: Duration,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

impl Summary {
    /// None of nothing. Percentiles are by nearest rank: each is a sample that was measured.
    pub(super) fn of(samples: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<Duration> = samples.into_iter().collect();
        sorted.sort_unstable();
        let max = *sorted.last()?;
        let count = sorted.len();
        let divisor = u32::try_from(count).expect("the options limit the samples to thousands");
        let rank = |percent: usize| sorted[(count * percent).div_ceil(100).max(1) - 1];
        Some(Self { count, mean: sorted.iter().sum::<Duration>() / divisor, p50: rank(50), p99: rank(99), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        let summary = Summary::of((1..=100).rev().map(ms)).unwrap();
        assert_eq!(summary, Summary { count: 100, mean: ms(5050) / 100, p50: ms(50), p99: ms(99), max: ms(100) });
    }

    #[test]
    fn one_sample_is_all_of_it_and_none_is_nothing() {
        let only = Summary::of([ms(7)]).unwrap();
        assert_eq!((only.mean, only.p50, only.p99, only.max), (ms(7), ms(7), ms(7), ms(7)));
        assert_eq!(Summary::of([]), None);
    }
}
