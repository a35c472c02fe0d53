//! That the simulator sees what it is for: what breaks the theorem is found, and found again in a file of a few lines.

use std::time::Duration;

use lease_memory::sim::{
    Batch, Demands, Durations, Excuse, Family, Fault, Finding, Keep, Replay, Rule, Schedule, Violation, Way, What, run,
    shrink,
};

/// The adversarial schedules of some seeds with other durations for everybody.
fn with_durations(timing: Durations, seeds: u64) -> impl Iterator<Item = Schedule> {
    (0..seeds).map(move |seed| {
        let mut schedule = Family::Adversarial.draw(seed);
        schedule.nodes.iter_mut().for_each(|node| (node.timing, node.tick_ns) = (timing, 1_000));
        schedule
    })
}

fn violations(schedules: impl Iterator<Item = Schedule>) -> Vec<(Schedule, &'static str)> {
    schedules
        .filter_map(|schedule| {
            let violation = run(&schedule, Demands::ALL, Keep::default()).expect("it can be run").violation?;
            Some((schedule, violation.invariant))
        })
        .collect()
}

/// 15 s, 10 s and 2 s, with the stop timeout at the edge of the inequality and so much beyond it.
fn at_the_edge(beyond_ns: u64) -> Durations {
    // D (1 - rho) / (1 + rho) - H, with rho of 1 %.
    let room_ns = 15_000_000_000_u64 * 99 / 101 - 10_000_000_000;
    Durations {
        lease_ns: 15_000_000_000,
        renew_ns: 10_000_000_000,
        retry_ns: 2_000_000_000,
        stop_ns: Some(room_ns + beyond_ns),
        drain_max_ns: 3_000_000_000,
        unproven: true,
    }
}

#[test]
fn a_margin_that_is_one_percent_too_small_is_found_and_the_edge_is_safe() {
    assert_eq!(violations(with_durations(at_the_edge(0), 200)), []);
    // One per cent of D beyond it, and even a ten-thousandth.
    for beyond_ns in [150_000_000, 1_500_000] {
        let found = violations(with_durations(at_the_edge(beyond_ns), 200));
        assert!(found.iter().any(|(_, invariant)| *invariant == "mutual_exclusion"), "{beyond_ns}: {}", found.len());
    }
}

#[test]
fn clocks_beyond_their_bound_make_two_act_and_that_is_excused() {
    let overlaps = (0..200).flat_map(|seed| {
        let mut schedule = Family::Adversarial.draw(seed);
        for (index, node) in schedule.nodes.iter_mut().enumerate() {
            let ppm = if index % 2 == 0 { -200_000 } else { 200_000 };
            (node.clock.boottime_ppm, node.clock.raw_ppm) = (ppm, ppm);
        }
        let outcome = run(&schedule, Demands::ALL, Keep::default()).expect("it can be run");
        assert_eq!(outcome.violation, None);
        outcome.stats.overlaps
    });
    let excuses: Vec<_> = overlaps.map(|overlap| overlap.excuse).collect();
    assert!(!excuses.is_empty(), "rates far beyond rho never made two act, so the simulator cannot see it");
    assert!(excuses.iter().all(|excuse| *excuse == Some(Excuse::ClockRate)), "{excuses:?}");
}

#[test]
fn a_failure_shrinks_to_a_file_that_can_be_read_and_replayed() {
    let (schedule, invariant) =
        violations(with_durations(at_the_edge(150_000_000), 200)).pop().expect("the margin is too small");
    let (smaller, violation) = shrink(&schedule, Demands::ALL, Duration::from_hours(1)).expect("it is violated");
    assert_eq!(violation.invariant, invariant);
    assert!(smaller.faults.len() <= 3 && smaller.nodes.len() == 2, "{smaller:?}");
    let replay = Replay { origin: "test".into(), violates: Some(violation.to_string()), schedule: smaller };
    let read = Replay::from_json(&replay.to_json()).expect("just written");
    let again = run(&read.schedule, Demands::ALL, Keep::default()).expect("it can be run");
    assert_eq!(again.violation, Some(violation));
}

#[test]
fn one_schedule_is_always_one_run() {
    let keep = Keep { hash: true, ..Keep::default() };
    let hash = |seed| run(&Family::Swarm.draw(seed), Demands::ALL, keep).expect("it can be run").hash;
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
    // Also where all of them are peers, whose durations of the family are whole seconds.
    let peers = Batch { rule: Some(Rule::ClientGo { release_on_cancel: false }), ..batch(Family::Mixed) };
    let hash = |seed| run(&peers.schedule(Family::Mixed, seed), peers.demands(), keep).expect("it can be run").hash;
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

fn batch(family: Family) -> Batch {
    Batch { families: vec![family], from: 0, seeds: 1, rule: None, threads: None }
}

#[test]
fn a_finding_by_another_rule_says_how_to_play_it_again() {
    let violation = Violation { invariant: "liveness", at_ns: 0, what: "nobody leads".into() };
    let rule = Some(Rule::ClientGo { release_on_cancel: true });
    let finding = Finding { family: Family::Mixed, seed: 8, rule, violation };
    let told = finding.to_string();
    assert!(
        told.ends_with("cargo xtask prove --families mixed --from 8 --seeds 1 --rule client-go-releasing"),
        "{told}"
    );
    let drawn = Finding { rule: None, ..finding }.to_string();
    assert!(drawn.ends_with("lease simulate --preset mixed --seed 8"), "{drawn}");
}

/// client-go's rule, as protocol.md has it: it acts until the last reply, a retry period and a renew deadline later.
#[test]
fn client_gos_rule_makes_two_act_where_its_own_validation_allows_it() {
    let timing =
        Durations { lease_ns: 15_000_000_000, renew_ns: 14_000_000_000, retry_ns: 2_000_000_000, ..at_the_edge(0) };
    // Wherever between two polls of the standby the leader is cut off.
    let overlaps = |rule: Rule, timing: Durations| -> Vec<Option<Excuse>> {
        let demands = Demands { exclusion: false, liveness: false };
        let cut = |at_ns| Fault { at_ns, what: What::Cut { node: 0, way: Way::Both, for_ns: 60_000_000_000 } };
        let cuts = (0..400).map(|step| cut(60_000_000_000 + step * 270_000_000));
        let runs =
            cuts.map(|cut| run(&Schedule { faults: vec![cut], ..quiet(rule, timing) }, demands, Keep::default()));
        runs.flat_map(|outcome| outcome.expect("it can be run").stats.overlaps).map(|overlap| overlap.excuse).collect()
    };
    let peer = overlaps(Rule::ClientGo { release_on_cancel: false }, timing);
    assert!(!peer.is_empty() && peer.iter().all(Option::is_none), "15/14/2 with perfect clocks: {peer:?}");
    assert_eq!(overlaps(Rule::OURS, at_the_edge(0)), []);
}

/// Two candidates with perfect clocks and a quick network, and nothing that happens.
fn quiet(rule: Rule, timing: Durations) -> Schedule {
    let mut schedule = Family::Adversarial.draw(0);
    schedule.nodes.truncate(2);
    schedule.faults.clear();
    for (index, node) in schedule.nodes.iter_mut().enumerate() {
        (node.rule, node.timing, node.tick_ns) = (rule, timing, 1_000);
        (node.clock.boottime_ppm, node.clock.raw_ppm, node.clock.wall_step_us) = (0, 0, 1);
        node.starts_at_ns = 5_000_000_000 * index as u64;
    }
    schedule
}
