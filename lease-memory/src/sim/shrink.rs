//! From a run that breaks an invariant to a smaller one that breaks it too, small enough to be read.
//!
//! Whatever can be left out is left out: first the end of the run, then events in ever smaller portions, then whole
//! candidates, then the length and the oddities of what is left. The result breaks the same invariant, not
//! necessarily at the same moment.

use std::time::{Duration, Instant};

use super::schedule::{Link, Schedule, What};
use super::{Demands, Keep, Violation, run};

/// A schedule that breaks an invariant, made smaller for as long as there is time; none when it breaks none.
pub fn shrink(schedule: &Schedule, demands: Demands, time: Duration) -> Option<(Schedule, Violation)> {
    let violation = breaks(schedule, demands)?;
    let mut shrinker = Shrinker { schedule: schedule.clone(), violation, demands, ends: Instant::now() + time };
    shrinker.shrink();
    Some((shrinker.schedule, shrinker.violation))
}

fn breaks(schedule: &Schedule, demands: Demands) -> Option<Violation> {
    run(schedule, demands, Keep::default()).ok()?.violation
}

struct Shrinker {
    schedule: Schedule,
    violation: Violation,
    demands: Demands,
    ends: Instant,
}

impl Shrinker {
    fn shrink(&mut self) {
        loop {
            let before = self.schedule.clone();
            self.cut_the_end();
            self.drop_events();
            self.drop_candidates();
            self.calm_candidates();
            self.shorten_events();
            if self.schedule == before || Instant::now() >= self.ends {
                return;
            }
        }
    }

    /// Takes a smaller schedule if it breaks the same invariant.
    fn try_one(&mut self, smaller: Schedule) -> bool {
        if Instant::now() >= self.ends || smaller == self.schedule {
            return false;
        }
        match breaks(&smaller, self.demands) {
            Some(violation) if violation.invariant == self.violation.invariant => {
                (self.schedule, self.violation) = (smaller, violation);
                true
            }
            _ => false,
        }
    }

    fn cut_the_end(&mut self) {
        let until_ns = self.violation.at_ns + 1;
        let mut smaller = self.schedule.clone();
        smaller.until_ns = smaller.until_ns.min(until_ns);
        smaller.faults.retain(|fault| fault.at_ns <= until_ns);
        self.try_one(smaller);
    }

    /// Half of the events, then quarters, and so on down to single ones.
    fn drop_events(&mut self) {
        let mut portion = self.schedule.faults.len();
        while portion > 0 {
            let mut at = 0;
            while at < self.schedule.faults.len() {
                let mut smaller = self.schedule.clone();
                let end = (at + portion).min(smaller.faults.len());
                smaller.faults.drain(at..end);
                if !self.try_one(smaller) {
                    at += portion;
                }
            }
            portion /= 2;
        }
    }

    fn drop_candidates(&mut self) {
        let mut node = self.schedule.nodes.len();
        while node > 0 {
            node -= 1;
            if self.schedule.nodes.len() > 1 {
                let smaller = without(&self.schedule, node);
                self.try_one(smaller);
            }
        }
    }

    /// Each oddity of a candidate that is not needed.
    fn calm_candidates(&mut self) {
        for node in 0..self.schedule.nodes.len() {
            let calmer: [fn(&mut super::Node); 10] = [
                |node| node.starts_at_ns = 0,
                |node| node.wake_late_ns = 0,
                |node| node.watches = false,
                |node| (node.clock.boottime_ppm, node.clock.raw_ppm) = (0, 0),
                |node| node.clock.offset_ns = 0,
                |node| (node.clock.wall_offset_us, node.clock.wall_step_us) = (0, 1),
                |node| node.link.jitter_ns = 0,
                |node| {
                    node.link = Link { request_ns: 1_000_000, reply_ns: 1_000_000, hint_ns: 1_000_000, jitter_ns: 0 }
                },
                |node| node.drain_ns = 0,
                |node| node.stop_per_mille = 1000,
            ];
            for calm in calmer {
                let mut smaller = self.schedule.clone();
                calm(&mut smaller.nodes[node]);
                self.try_one(smaller);
            }
        }
    }

    /// Lengths are halved while that is enough, and then rounded to something that can be read.
    fn shorten_events(&mut self) {
        for index in 0..self.schedule.faults.len() {
            for _ in 0..20 {
                let mut smaller = self.schedule.clone();
                let Some(length) = length_of(&mut smaller.faults[index].what) else { break };
                *length /= 2;
                if !self.try_one(smaller) {
                    break;
                }
            }
            for unit_ns in [1_000_000_000, 100_000_000, 1_000_000] {
                let mut smaller = self.schedule.clone();
                let before_ns = index.checked_sub(1).map_or(0, |before| smaller.faults[before].at_ns);
                let fault = &mut smaller.faults[index];
                fault.at_ns = (fault.at_ns - fault.at_ns % unit_ns).max(before_ns);
                if self.try_one(smaller) {
                    break;
                }
            }
        }
    }
}

/// The same without one candidate and what happens to it.
fn without(schedule: &Schedule, gone: usize) -> Schedule {
    let mut smaller = schedule.clone();
    smaller.nodes.remove(gone);
    smaller.faults.retain(|fault| !fault.what.nodes().contains(&Some(gone)));
    for fault in &mut smaller.faults {
        fault.what.each_node(|node| {
            if *node > gone {
                *node -= 1;
            }
        });
    }
    smaller
}

/// The number that says how long an event lasts.
fn length_of(what: &mut What) -> Option<&mut u64> {
    match what {
        What::Pause { for_ns, .. }
        | What::Suspend { for_ns, .. }
        | What::Freeze { for_ns, .. }
        | What::Starve { for_ns, .. }
        | What::HangOnStop { for_ns, .. }
        | What::Cut { for_ns, .. }
        | What::Lossy { for_ns, .. }
        | What::Slow { for_ns, .. }
        | What::Refuse { for_ns, .. }
        | What::WatchLost { for_ns, .. }
        | What::WatchLate { for_ns, .. }
        | What::WatchLies { for_ns, .. } => Some(for_ns),
        What::Hold { extra_ns, .. } => Some(extra_ns),
        What::Crash { back_ns: Some(back_ns), .. } | What::Shutdown { back_ns: Some(back_ns), .. } => Some(back_ns),
        _ => None,
    }
}
