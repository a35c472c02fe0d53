//! Many runs of a scenario in several settings, and what they have come to: the figures that settings are chosen by.
//!
//! Every setting is played on the same seeds. The result does not depend on how many threads there are.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::{Demands, Keep, Overlap, Scenario, ScheduleError, Setting, Stats, Violation, run};

/// What to play.
#[derive(Clone, Copy, Debug)]
pub struct Measure<'a> {
    /// The scenario; its own seed, runs and settings are not looked at.
    pub scenario: &'a Scenario,
    /// The settings.
    pub settings: &'a [Setting],
    /// The first seed.
    pub seed: u64,
    /// How many seeds.
    pub runs: u64,
    /// On how many threads; none for one per processor.
    pub threads: Option<NonZeroUsize>,
}

/// What the runs of one setting have come to.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// How many runs there were.
    pub runs: u64,
    /// How many of them ended without a leader: how long that would have lasted is not known.
    pub ended_leaderless: u64,
    /// How many of them never had a leader: no time without one is counted of those.
    pub never_led: u64,
    /// All figures together. The times without a leader are in ascending order; the overlaps are told below.
    pub stats: Stats,
    /// When two acted at once, in the order of seeds.
    pub overlaps: Vec<SeedOverlap>,
    /// The seed with the longest time without a leader, and that time.
    pub longest: Option<(u64, u64)>,
    /// The lowest seed that breaks an invariant; its figures count as far as it came.
    pub violation: Option<(u64, Violation)>,
}

/// An overlap, and where to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedOverlap {
    /// The run.
    pub seed: u64,
    /// What happened in it.
    pub overlap: Overlap,
}

impl Measure<'_> {
    /// Plays all of them, and tells `progress` after each run how many there were so far.
    ///
    /// # Errors
    /// When the scenario asks for what cannot be run.
    pub fn play(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<Measured>, ScheduleError> {
        self.play_until(&AtomicBool::new(false), progress)
    }

    /// The same, but begins no more runs once `stop` is set: the figures are those of the runs that were played.
    ///
    /// # Errors
    /// When the scenario asks for what cannot be run.
    pub fn play_until(
        &self,
        stop: &AtomicBool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Measured>, ScheduleError> {
        let settings = self.settings.len() as u64;
        let jobs = self.runs.saturating_mul(settings);
        let threads = self.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let (next, done, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let nothing = || vec![Measured::default(); self.settings.len()];
        let total = Mutex::new(Ok(nothing()));
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut own = Ok(nothing());
                    while let Ok(measured) = &mut own
                        && !failed.load(Ordering::Relaxed)
                        && !stop.load(Ordering::Relaxed)
                    {
                        let job = next.fetch_add(1, Ordering::Relaxed);
                        if job >= jobs {
                            break;
                        }
                        let index = usize::try_from(job % settings).unwrap_or(0);
                        if let Err(error) = self.play_one(job / settings, index, &mut measured[index]) {
                            failed.store(true, Ordering::Relaxed);
                            own = Err(error);
                        }
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                    }
                    add(&mut total.lock().expect("nobody panics while adding up"), own);
                });
            }
        });
        let mut total = total.into_inner().expect("nobody panics while adding up")?;
        total.iter_mut().for_each(Measured::put_in_order);
        Ok(total)
    }

    fn play_one(&self, number: u64, index: usize, measured: &mut Measured) -> Result<(), ScheduleError> {
        let seed = self.seed.wrapping_add(number);
        let setting = &self.settings[index];
        let schedule = self.scenario.draw(setting, seed)?;
        let outcome = run(&schedule, setting.demands(), Keep::default())?;
        measured.note(seed, &outcome.stats, outcome.violation);
        Ok(())
    }
}

impl Setting {
    /// What is demanded of a run: exclusion where it is proven. What a scenario leaves standing may be nothing at all,
    /// so nobody has to lead.
    pub fn demands(&self) -> Demands {
        Demands { exclusion: self.rule.is_ours() && !self.is_unsafe, liveness: false }
    }
}

impl Measured {
    fn note(&mut self, seed: u64, stats: &Stats, violation: Option<Violation>) {
        self.runs += 1;
        self.ended_leaderless += u64::from(stats.ended_leaderless);
        self.never_led += u64::from(!stats.anybody_acted && violation.is_none());
        self.overlaps.extend(stats.overlaps.iter().map(|overlap| SeedOverlap { seed, overlap: *overlap }));
        self.stats.add(stats);
        let longest = stats.leaderless_ns.iter().max().map(|ns| (seed, *ns));
        self.longest = longer(self.longest, longest);
        self.violation = earlier(self.violation.take(), violation.map(|violation| (seed, violation)));
    }

    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.ended_leaderless += other.ended_leaderless;
        self.never_led += other.never_led;
        self.overlaps.extend(other.overlaps);
        self.stats.add(&other.stats);
        self.longest = longer(self.longest, other.longest);
        self.violation = earlier(self.violation.take(), other.violation);
    }

    fn put_in_order(&mut self) {
        self.stats.leaderless_ns.sort_unstable();
        self.overlaps.sort_by_key(|found| (found.seed, found.overlap.from_ns, found.overlap.nodes));
        self.stats.overlaps = self.overlaps.iter().map(|found| found.overlap).collect();
    }

    /// The time that so many of a hundred times without a leader do not exceed; none when there was none.
    pub fn leaderless_percentile_ns(&self, percent: usize) -> Option<u64> {
        percentile(&self.stats.leaderless_ns, percent)
    }

    /// How many writes there were in a minute of simulated time.
    pub fn writes_per_minute(&self) -> f64 {
        self.per(self.stats.writes, 60.0)
    }

    /// How many terms were lost in a day by processes that were alive.
    pub fn false_failovers_per_day(&self) -> f64 {
        self.per(self.stats.false_failovers, 86_400.0)
    }

    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    fn per(&self, count: u64, seconds: f64) -> f64 {
        let simulated_s = self.stats.simulated_ns as f64 / 1e9;
        if simulated_s > 0.0 { count as f64 * seconds / simulated_s } else { 0.0 }
    }
}

/// By nearest rank, of samples in ascending order: the result is one of them.
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn add(total: &mut Result<Vec<Measured>, ScheduleError>, own: Result<Vec<Measured>, ScheduleError>) {
    match (total.as_mut(), own) {
        (Ok(total), Ok(own)) => total.iter_mut().zip(own).for_each(|(total, own)| total.add(own)),
        (Ok(_), Err(error)) => *total = Err(error),
        (Err(_), _) => {}
    }
}

/// The longer time; of equal ones that with the lower seed, whichever thread was faster.
fn longer(one: Option<(u64, u64)>, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
    [one, other].into_iter().flatten().max_by_key(|(seed, ns)| (*ns, std::cmp::Reverse(*seed)))
}

fn earlier(one: Option<(u64, Violation)>, other: Option<(u64, Violation)>) -> Option<(u64, Violation)> {
    [one, other].into_iter().flatten().min_by_key(|(seed, _)| *seed)
}
