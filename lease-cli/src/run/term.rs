//! A term of the election, as the process side needs to know it.

use std::time::Duration;

use lease_core::{Leadership, Timing};
use tokio::sync::watch;

use crate::child::{Change, Hold, Term};
use crate::clock;

/// The leadership under which the command runs, and how much of the time after its hold may be used.
#[derive(Debug)]
pub(super) struct Leading<'a> {
    leadership: &'a Leadership,
    renewals: watch::Receiver<u64>,
    stop_timeout: Duration,
    kill_after: Duration,
    last: Hold,
    draining: bool,
}

impl<'a> Leading<'a> {
    pub(super) fn new(leadership: &'a Leadership, timing: &Timing) -> Self {
        let kill_after = kill_after(timing);
        // Subscribed before the hold is read, so that no renewal falls between.
        let renewals = leadership.renewals();
        let last = hold(leadership, kill_after);
        Self { leadership, renewals, stop_timeout: timing.stop_timeout(), kill_after, last, draining: false }
    }
}

impl Term for Leading<'_> {
    fn hold(&self) -> Hold {
        self.last
    }

    async fn changed(&mut self) -> Change {
        let (draining, ended) = (self.leadership.draining(), self.leadership.ended());
        tokio::select! {
            biased;
            () = ended.cancelled() => {
                // It ends before its time, because the record shows another holder or none; the stop
                // budget begins now. Nobody else acts before the hold that was promised last is over.
                Change::Over { kill_at: self.last.kill_at.earliest(clock::now() + self.stop_timeout) }
            }
            () = draining.cancelled(), if !self.draining => {
                self.draining = true;
                Change::Drain
            }
            _ = self.renewals.changed() => {
                // A term that has just been lost has no hold any more; then the end is the next change.
                if self.leadership.is_valid() {
                    self.last = hold(self.leadership, self.kill_after);
                }
                Change::Extended(self.last)
            }
        }
    }
}

fn hold(leadership: &Leadership, kill_after: Duration) -> Hold {
    let ends = leadership.valid_until();
    Hold { ends, kill_at: ends + kill_after }
}

/// From the end of the hold to the kill: the stop timeout, but never so much that killing would reach
/// beyond the fence.
fn kill_after(timing: &Timing) -> Duration {
    let room = timing.stop_timeout_max();
    timing.stop_timeout().min(room.saturating_sub(KILL_TAKES).max(room / 2))
}

/// What it takes to kill a tree on a busy machine, with a wide margin.
const KILL_TAKES: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kill_leaves_time_to_kill() {
        let timing = Timing::default();
        assert_eq!(kill_after(&timing), timing.stop_timeout(), "the default leaves 250 ms");
        let seconds = Duration::from_secs;
        let builder = Timing::builder(seconds(15), seconds(10), seconds(2));
        let all = builder.stop_timeout(timing.stop_timeout_max()).build().expect("just fits");
        assert_eq!(kill_after(&all), timing.stop_timeout_max().saturating_sub(KILL_TAKES));
        let short = builder.stop_timeout(seconds(1)).build().expect("fits");
        assert_eq!(kill_after(&short), seconds(1));
    }
}
