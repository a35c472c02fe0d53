//! Plays seeds of a family: `seeds FAMILY FROM COUNT`.
use lease_memory::sim::{Demands, Family, Keep, Stats, run};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let families: Vec<Family> = Family::ALL.into_iter().filter(|f| args[1] == "all" || f.as_str() == args[1]).collect();
    let (from, count): (u64, u64) = (args[2].parse().unwrap(), args[3].parse().unwrap());
    for family in families {
        let begun = std::time::Instant::now();
        let mut stats = Stats::default();
        let mut failures = 0;
        let mut by = std::collections::BTreeMap::<&str, (u64, u64, String)>::new();
        for seed in from..from + count {
            let schedule = family.draw(seed);
            let keep = Keep { story: count == 1, ..Keep::default() };
            let outcome = run(&schedule, Demands::ALL, keep).unwrap();
            for line in &outcome.story { println!("{line}"); }
            if let Some(violation) = outcome.violation {
                failures += 1;
                let entry = by.entry(violation.invariant).or_insert((0, seed, violation.to_string()));
                entry.0 += 1;
            }
            stats.add(&outcome.stats);
        }
        let took = begun.elapsed().as_secs_f64();
        let years = stats.simulated_ns as f64 / 1e9 / 31_557_600.0;
        println!("{}: {count} seeds in {took:.2}s; {:.1} sim-hours; {:.3} years/min; {} steps {:.0} ns/step; {failures} failures; {} overlaps", family.as_str(), stats.simulated_ns as f64 / 3.6e12, years / took * 60.0, stats.steps, took * 1e9 / stats.steps as f64, stats.overlaps.len());
        for (k, v) in by { println!("   {k}: {} first seed {}: {}", v.0, v.1, v.2); }
        println!("   {:?}", stats.seen);
    }
}
