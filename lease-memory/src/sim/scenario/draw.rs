//! From a scenario and a seed to a schedule.
//!
//! What is drawn does not depend on the setting, so that one seed means the same events for every setting. What does
//! depend on it is who leads at some moment, and there the run itself is asked.

use fastrand::Rng;

use super::event::Ways;
use super::{Event, Kind, Scenario, Setting, Who};
use crate::sim::schedule::{
    ClockSpec, Durations, Fault, Link, Node, Refusal, Rule, Schedule, ScheduleError, What, nanos,
};
use crate::sim::{Demands, Keep, run};

/// Something that will happen, to somebody who may not be known yet.
struct Pending {
    at_ns: u64,
    /// What, with a placeholder for whom.
    what: What,
    who: Who,
    /// Which one, of those that it may be.
    pick: usize,
}

impl Scenario {
    /// The schedule of a seed. The same seed draws the same for every setting.
    ///
    /// # Errors
    /// When the scenario asks for what cannot be run.
    pub fn draw(&self, setting: &Setting, seed: u64) -> Result<Schedule, ScheduleError> {
        let mut rng = Rng::with_seed(seed);
        let nodes = (0..self.nodes).map(|node| self.node(&mut rng, setting, node)).collect();
        let mut pending = Vec::new();
        for event in &self.events {
            self.happenings(&mut rng, event, &mut pending);
        }
        pending.sort_by_key(|pending| pending.at_ns);
        let schedule = Schedule { nodes, says_not_found: false, faults: Vec::new(), until_ns: nanos(self.until) };
        self.settle(schedule, pending)
    }

    fn node(&self, rng: &mut Rng, setting: &Setting, index: usize) -> Node {
        let rate = i64::from(self.clocks.rate_error_ppm);
        let mut ppm = || i32::try_from(rng.i64(-rate..=rate)).unwrap_or(0);
        let (boottime_ppm, raw_ppm) = (ppm(), ppm());
        let wall_us = i64::try_from(self.clocks.wall_error.0.as_micros()).unwrap_or(i64::MAX);
        let wall_offset_us = rng.i64(-wall_us..=wall_us);
        let (least_ns, jitter_ns) =
            (nanos(self.latency.from), nanos(self.latency.until.saturating_sub(self.latency.from)));
        let drain_ns = self.drain.draw_ns(rng);
        let stop_percent = u32::try_from(self.stop_percent.draw(rng)).unwrap_or(0);
        let later_ns = rng.u64(0..=START_SPREAD_NS);
        // The first one leads at first: its own jitter at the start is a retry period at most.
        let starts_at_ns = if index == 0 { 0 } else { 2 * setting.durations.retry_ns + later_ns };
        Node {
            rule: setting.rule,
            timing: Durations { drain_max_ns: setting.durations.drain_max_ns.max(drain_ns), ..setting.durations },
            tick_ns: setting.tick_ns(),
            seed: rng.u64(..),
            clock: ClockSpec {
                offset_ns: rng.u64(0..OFFSET_MAX_NS),
                boottime_ppm,
                raw_ppm,
                wall_offset_us,
                wall_step_us: 1,
            },
            link: Link { request_ns: least_ns, reply_ns: least_ns, hint_ns: least_ns, jitter_ns },
            watches: self.watch && matches!(setting.rule, Rule::Ours { .. }),
            wake_late_ns: rng.u64(0..=WAKE_LATE_NS),
            stop_per_mille: stop_percent * 10,
            drain_ns,
            starts_at_ns,
        }
    }

    /// Each time that an event happens.
    fn happenings(&self, rng: &mut Rng, event: &Event, pending: &mut Vec<Pending>) {
        let mut at_ns = event.at.draw_ns(rng);
        for turn in 0..event.times(self.nodes) {
            if turn > 0 {
                at_ns += event.every.map_or(0, |every| every.draw_ns(rng));
            }
            let pick = rng.usize(0..PICKS);
            let who = match event.who {
                Who::Each => Who::Candidate(usize::try_from(turn).unwrap_or(0) % self.nodes),
                Who::Any => Who::Candidate(pick % self.nodes),
                who => who,
            };
            if let Who::Everybody = who {
                // Each its own, at the same moment.
                for node in 0..self.nodes {
                    pending.push(Pending { at_ns, what: event.draw(rng), who: Who::Candidate(node), pick });
                }
            } else {
                pending.push(Pending { at_ns, what: event.draw(rng), who, pick });
            }
        }
    }

    /// Finds out who is meant, in the order of time.
    fn settle(&self, mut schedule: Schedule, pending: Vec<Pending>) -> Result<Schedule, ScheduleError> {
        let end_ns = schedule.until_ns;
        for Pending { at_ns, mut what, who, pick } in pending {
            let whom = match who {
                Who::Candidate(node) => node,
                Who::Standby => {
                    let leader = Self::leader(&mut schedule, at_ns)?;
                    let others = self.nodes.saturating_sub(1).max(1);
                    (leader + 1 + pick % others) % self.nodes
                }
                _ if what.nodes()[0].is_none() => 0,
                _ => Self::leader(&mut schedule, at_ns)?,
            };
            what.each_node(|node| *node = whom);
            schedule.faults.push(Fault { at_ns, what });
        }
        schedule.until_ns = end_ns;
        Ok(schedule)
    }

    /// Who acts at this moment of the schedule so far, or did so last.
    fn leader(schedule: &mut Schedule, at_ns: u64) -> Result<usize, ScheduleError> {
        let first = &schedule.nodes[0];
        let way_ns = first.link.request_ns + first.link.reply_ns + 2 * first.link.jitter_ns;
        // Nothing has happened yet, and the first one was alone when it began.
        if schedule.faults.is_empty() && at_ns > 2 * first.timing.retry_ns && 4 * way_ns < first.timing.retry_ns {
            return Ok(0);
        }
        schedule.until_ns = at_ns;
        let demands = Demands { exclusion: false, liveness: false };
        let outcome = run(schedule, demands, Keep { timeline: true, ..Keep::default() })?;
        let acts = outcome.timeline.unwrap_or_default().acts;
        Ok(acts.iter().max_by_key(|(_, from_ns, until_ns)| (*until_ns, *from_ns)).map_or(0, |(node, ..)| *node))
    }
}

impl Event {
    /// What a seed makes of it. How often it draws depends on its kind only.
    fn draw(&self, rng: &mut Rng) -> What {
        let node = 0;
        let for_ns = self.lasts.map_or(0, |lasts| lasts.draw_ns(rng));
        let back_ns = self.back.map(|back| back.draw_ns(rng));
        let extra_ns = self.extra.map_or(0, |extra| extra.draw_ns(rng));
        let retry_after_ns = self.retry_after.map(|after| after.draw_ns(rng));
        let way = self.way.unwrap_or(Ways::Both).draw(rng);
        let percent = self.percent.map_or(100, |percent| percent.draw(rng));
        let ppm = |rng: &mut Rng| self.ppm.map_or(0, |ppm| i32::try_from(ppm.draw(rng)).unwrap_or(0));
        match self.what {
            Kind::Crash => What::Crash { node, back_ns },
            Kind::Shutdown => What::Shutdown { node, back_ns },
            Kind::Resign => What::Resign { node, to: None },
            Kind::Pause => What::Pause { node, for_ns },
            Kind::Suspend => What::Suspend { node, for_ns },
            Kind::Freeze => What::Freeze { node, for_ns },
            Kind::Starve => What::Starve { node, for_ns, late_ns: extra_ns },
            Kind::Hang => What::HangOnStop { node, for_ns, beyond_ns: extra_ns },
            Kind::Rates => What::Rate { node, boottime_ppm: ppm(rng), raw_ppm: ppm(rng) },
            Kind::WallStep => What::WallStep { node, by_us: self.by.map_or(0, |by| by.0.draw(rng)) },
            Kind::Partition => What::Cut { node, way, for_ns },
            Kind::Loss => What::Lossy { node, way, for_ns, pattern: pattern(rng, percent) },
            Kind::Slow => What::Slow { node, way, for_ns, extra_ns },
            Kind::Errors => {
                let refusal = self.error.unwrap_or(Refusal::Unavailable);
                What::Refuse { node, for_ns, refusal, pattern: pattern(rng, percent), retry_after_ns }
            }
            Kind::WatchLost => What::WatchLost { node, for_ns },
            Kind::WatchLate => What::WatchLate { node, for_ns, extra_ns },
            Kind::Edit => What::Edit { edit: self.edit.unwrap_or(crate::sim::Edit::Label) },
            Kind::Rollback => What::Rollback { writes: self.writes.unwrap_or(1) },
            Kind::RaiseEpoch => What::RaiseEpoch,
        }
    }
}

/// Of 64 messages in turn, about so many of a hundred.
fn pattern(rng: &mut Rng, percent: i64) -> u64 {
    (0..64).fold(0, |bits, place| bits | u64::from(rng.i64(0..100) < percent) << place)
}

/// Over how long the others start.
const START_SPREAD_NS: u64 = 3_000_000_000;
/// How much later than asked a healthy process wakes.
const WAKE_LATE_NS: u64 = 2_000_000;
/// What monotonic clocks have counted when a run begins: they have nothing in common.
const OFFSET_MAX_NS: u64 = 1_000_000 * 1_000_000_000;
/// Divisible by every number of candidates, so that each is as likely as the others.
const PICKS: usize = 420;
