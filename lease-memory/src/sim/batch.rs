//! Many seeds at once, on as many threads as there are processors: each run is on one of them alone.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::{Demands, Family, Keep, Rule, Schedule, Stats, Violation, run};

/// Which seeds to play.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Of which families: each seed is played once for each.
    pub families: Vec<Family>,
    /// The first seed.
    pub from: u64,
    /// How many seeds.
    pub seeds: u64,
    /// Whose rules all candidates follow; none for those that are drawn. Of peers nothing is demanded.
    pub rule: Option<Rule>,
    /// On how many threads; none for one per processor.
    pub threads: Option<NonZeroUsize>,
}

/// A seed that breaks an invariant.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Of which family.
    pub family: Family,
    /// The seed.
    pub seed: u64,
    /// Whose rules all candidates followed; none for those that are drawn.
    pub rule: Option<Rule>,
    /// What it breaks.
    pub violation: Violation,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { family, seed, rule, violation } = self;
        let family = family.as_str();
        write!(f, "seed {seed} of {family} violates {violation}; replay: ")?;
        match rule {
            None => write!(f, "lease simulate --preset {family} --seed {seed}"),
            Some(rule) => {
                let rule = rule.as_str();
                write!(f, "cargo xtask prove --families {family} --from {seed} --seeds 1 --rule {rule}")
            }
        }
    }
}

/// What a batch has come to.
#[derive(Clone, Debug, Default)]
pub struct BatchOutcome {
    /// All figures together.
    pub stats: Stats,
    /// How many runs there were, and how many of them were played twice to see whether they agree.
    pub runs: u64,
    /// The runs that were played twice.
    pub repeated: u64,
    /// The finding with the lowest number; the batch ends soon after the first.
    pub finding: Option<Finding>,
}

impl Batch {
    /// Plays them, and tells `progress` after each run how many there were so far.
    pub fn play(&self, progress: &(dyn Fn(u64) + Sync)) -> BatchOutcome {
        self.play_until(&AtomicBool::new(false), progress)
    }

    /// The same, but begins no more runs once `stop` is set.
    pub fn play_until(&self, stop: &AtomicBool, progress: &(dyn Fn(u64) + Sync)) -> BatchOutcome {
        let jobs = self.seeds * self.families.len() as u64;
        let threads = self.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let found = AtomicBool::new(false);
        let total = Mutex::new(BatchOutcome::default());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut own = BatchOutcome::default();
                    while !found.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                        let job = next.fetch_add(1, Ordering::Relaxed);
                        if job >= jobs {
                            break;
                        }
                        self.play_one(job, &mut own);
                        if own.finding.is_some() {
                            found.store(true, Ordering::Relaxed);
                        }
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                    }
                    let mut total = total.lock().expect("nobody panics while adding up");
                    total.add(own);
                });
            }
        });
        total.into_inner().expect("nobody panics while adding up")
    }

    /// What is played for a seed.
    pub fn schedule(&self, family: Family, seed: u64) -> Schedule {
        let mut schedule = family.draw(seed);
        if let Some(rule) = self.rule {
            schedule.nodes.iter_mut().for_each(|node| node.rule = rule);
        }
        schedule
    }

    /// What is demanded of it.
    pub fn demands(&self) -> Demands {
        Demands { liveness: self.rule.is_none_or(Rule::is_ours), ..Demands::ALL }
    }

    fn play_one(&self, job: u64, outcome: &mut BatchOutcome) {
        let count = self.families.len() as u64;
        let seed = self.from.wrapping_add(job / count);
        let family = self.families[usize::try_from(job % count).unwrap_or(0)];
        let (schedule, demands) = (self.schedule(family, seed), self.demands());
        let repeats = seed.is_multiple_of(REPEAT_EVERY);
        let keep = Keep { hash: repeats, ..Keep::default() };
        let played = run(&schedule, demands, keep).expect("what is drawn can be run");
        let mut violation = played.violation;
        outcome.runs += 1;
        if repeats {
            outcome.repeated += 1;
            let again = run(&schedule, demands, keep).expect("it could be run a moment ago");
            if violation.is_none() && again.hash != played.hash {
                let what = format!("played twice, it was {:x?} and then {:x?}", played.hash, again.hash);
                violation = Some(Violation { invariant: "determinism", at_ns: 0, what });
            }
        }
        outcome.stats.add(&played.stats);
        if let Some(violation) = violation {
            outcome.finding = Some(Finding { family, seed, rule: self.rule, violation });
        }
    }
}

impl BatchOutcome {
    /// Adds another batch's outcome; of two findings the one with the lower number stays.
    pub fn add(&mut self, other: Self) {
        self.stats.add(&other.stats);
        self.runs += other.runs;
        self.repeated += other.repeated;
        let is_first = match (&self.finding, &other.finding) {
            (Some(own), Some(other)) => (other.seed, other.family) < (own.seed, own.family),
            (None, Some(_)) => true,
            _ => false,
        };
        if is_first {
            self.finding = other.finding;
        }
    }
}

/// Every so many seeds one is played twice.
const REPEAT_EVERY: u64 = 100;
