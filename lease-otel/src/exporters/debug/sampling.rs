//! Which of many equal messages are printed: in each second the first ones, and then each one after so many others.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Messages are told apart by as many places as the Collector has.
const PLACES: usize = 4096;

#[derive(Debug)]
pub(super) struct Sampler {
    initial: u64,
    thereafter: u64,
    hasher: RandomState,
    /// When the second of a place began, and how many came in it.
    places: Vec<Option<(Instant, u64)>>,
}

impl Sampler {
    pub(super) fn new(initial: u64, thereafter: u64) -> Self {
        Self { initial, thereafter, hasher: RandomState::new(), places: vec![None; PLACES] }
    }

    /// Whether this message is printed.
    pub(super) fn draws(&mut self, message: &str) -> bool {
        let hash = self.hasher.hash_one(message);
        let index = usize::try_from(hash % PLACES as u64).unwrap_or(0);
        let now = Instant::now();
        let count = match self.places[index] {
            Some((began, count)) if now.duration_since(began) < SECOND => {
                self.places[index] = Some((began, count + 1));
                count + 1
            }
            _ => {
                self.places[index] = Some((now, 1));
                1
            }
        };
        count <= self.initial || (self.thereafter > 0 && (count - self.initial).is_multiple_of(self.thereafter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_ones_and_each_after_so_many_others_in_a_second() {
        let mut sampler = Sampler::new(2, 3);
        let drawn: Vec<bool> = (0..9).map(|_| sampler.draws("Metrics")).collect();
        assert_eq!(drawn, [true, true, false, false, true, false, false, true, false]);
        tokio::time::advance(SECOND).await;
        assert!(sampler.draws("Metrics"));
        let mut none_after = Sampler::new(1, 0);
        assert_eq!([none_after.draws("a"), none_after.draws("a"), none_after.draws("a")], [true, false, false]);
    }
}
