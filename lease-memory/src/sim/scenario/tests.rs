//! Scenarios as files and as schedules.

use super::*;
use crate::sim::{Keep, Measure, Measured, What, run};

fn setting(text: &str) -> Setting {
    Setting::new(text.parse().expect("three durations"), RuleName::Ours, false).expect("proven durations")
}

fn refused(text: &str) -> (Option<u64>, String) {
    let error = Scenario::from_yaml(text).expect_err(text);
    (error.line, error.what)
}

#[test]
fn every_preset_is_a_scenario_that_can_be_drawn_and_run() {
    for preset in Preset::ALL {
        let scenario = Scenario::from_yaml(preset.yaml()).unwrap_or_else(|error| panic!("{preset:?}: {error:?}"));
        for seed in 0..20 {
            let setting = setting("8s/5s/1s");
            let schedule = scenario.draw(&setting, seed).expect("it can be drawn");
            let outcome = run(&schedule, setting.demands(), Keep::default()).expect("it can be run");
            assert_eq!(outcome.violation, None, "{preset:?} {seed}");
        }
    }
}

#[test]
fn one_seed_means_the_same_for_every_setting() {
    let scenario = Scenario::preset(Preset::SlowApi);
    let drawn = |text: &str| scenario.draw(&setting(text), 7).expect("it can be drawn").faults;
    assert_eq!(drawn("15s/10s/2s"), drawn("8s/5s/1s"));
    assert_ne!(drawn("15s/10s/2s"), scenario.draw(&setting("15s/10s/2s"), 8).expect("it can be drawn").faults);
}

#[test]
fn whoever_leads_is_hit_and_nobody_else() {
    let text =
        "until: 8m\nevents:\n  - {at: 60s..90s, times: 4, every: 60s..90s, what: crash, who: leader, back: 5s}\n";
    let scenario = Scenario::from_yaml(text).expect("a scenario");
    let mut hit = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let schedule = scenario.draw(&setting("8s/5s/1s"), seed).expect("it can be drawn");
        let keep = Keep { timeline: true, ..Keep::default() };
        let outcome = run(&schedule, crate::sim::Demands::ALL, keep).expect("it can be run");
        let acts = outcome.timeline.expect("it was to be kept").acts;
        for fault in &schedule.faults {
            let What::Crash { node, .. } = fault.what else { panic!("{fault:?}") };
            assert!(acts.iter().any(|act| act.0 == node && act.2 == fault.at_ns), "{seed}: {fault:?} hits no leader");
            hit.insert(node);
        }
    }
    assert_eq!(hit.len(), 3, "each has led at some time");
}

#[test]
fn what_is_measured_depends_on_the_seeds_alone() {
    let scenario = Scenario::preset(Preset::Partition);
    let settings = [setting("15s/10s/2s"), setting("8s/5s/1s")];
    let played = |threads| -> Vec<Measured> {
        let measure = Measure { scenario: &scenario, settings: &settings, seed: 5, runs: 30, threads };
        measure.play(&|_| {}).expect("it can be played")
    };
    let (one, four) = (played(std::num::NonZeroUsize::new(1)), played(std::num::NonZeroUsize::new(4)));
    for (one, four) in one.iter().zip(&four) {
        assert_eq!(one.runs, 30);
        assert_eq!((&one.stats, one.longest, &one.overlaps), (&four.stats, four.longest, &four.overlaps));
    }
}

#[test]
fn a_run_in_which_nobody_ever_led_is_counted() {
    let scenario = Scenario::from_yaml("until: 1m\nlatency: 2s\n").expect("a scenario");
    let settings = [setting("15s/10s/2s"), setting("60s/40s/10s")];
    let measure = Measure { scenario: &scenario, settings: &settings, seed: 1, runs: 5, threads: None };
    let measured = measure.play(&|_| {}).expect("it can be played");
    assert_eq!((measured[0].never_led, measured[0].stats.leaderless_ns.len()), (5, 0));
    assert_eq!(measured[1].never_led, 0);
    let stopped = measure.play_until(&std::sync::atomic::AtomicBool::new(true), &|_| {}).expect("nothing fails");
    assert_eq!(stopped.iter().map(|one| one.runs).sum::<u64>(), 0);
}

#[test]
fn shorter_durations_fail_over_sooner() {
    let scenario = Scenario::preset(Preset::Crash);
    let settings = [setting("15s/10s/2s"), setting("8s/5s/1s")];
    let measure = Measure { scenario: &scenario, settings: &settings, seed: 1, runs: 100, threads: None };
    let measured = measure.play(&|_| {}).expect("it can be played");
    let p99_s = |index: usize| measured[index].leaderless_percentile_ns(99).expect("somebody crashed") / 1_000_000_000;
    assert_eq!((p99_s(0), p99_s(1)), (15, 8));
    assert!(measured.iter().all(|one| one.overlaps.is_empty() && one.ended_leaderless == 0));
    assert!((27.0..32.0).contains(&measured[0].writes_per_minute()), "{}", measured[0].writes_per_minute());
}

/// What the record says of a leader that is stopped is one thing, and that nobody acts meanwhile another.
#[test]
fn whoever_is_paused_leads_nobody() {
    let one = [setting("15s/10s/2s")];
    let played = |what: &str, lasts: &str| {
        let text = format!("until: 4m\nevents:\n  - {{at: 1m, what: {what}, for: {lasts}}}\n");
        let scenario = Scenario::from_yaml(&text).expect("a scenario");
        let measure = Measure { scenario: &scenario, settings: &one, seed: 1, runs: 20, threads: None };
        measure.play(&|_| {}).expect("it can be played").remove(0)
    };
    for what in ["pause", "suspend"] {
        // Until somebody else takes over, and once: that the paused one finds its term over ends nothing.
        let long = played(what, "60s");
        assert_eq!((long.stats.leaderless_ns.len(), long.overlaps.len()), (20, 0), "{what}");
        let seconds = |ns: &u64| Duration::from_nanos(*ns).as_secs_f64();
        assert!(long.stats.leaderless_ns.iter().all(|ns| (12.9..15.2).contains(&seconds(ns))), "{what}: {long:?}");
        // Until it goes on itself, and has still its term.
        let short = played(what, "3s");
        assert_eq!((short.stats.leaderless_ns.as_slice(), short.stats.false_failovers), (&[3_000_000_000; 20][..], 0));
    }
    // Nobody else: from the pause on until the same one leads again is one time without a leader.
    let text = "nodes: 1\nuntil: 4m\nevents:\n  - {at: 1m, what: pause, for: 60s}\n";
    let scenario = Scenario::from_yaml(text).expect("a scenario");
    let outcome = run(&scenario.draw(&one[0], 1).expect("drawn"), one[0].demands(), Keep::default()).expect("it runs");
    assert!(matches!(outcome.stats.leaderless_ns.as_slice(), [ns] if *ns > 60_000_000_000), "{:?}", outcome.stats);
}

/// Asked for more than there is, a store loses what it can, and the story says how much that was.
#[test]
fn a_store_loses_no_more_than_it_has() {
    let text = "nodes: 1\nuntil: 30s\nevents:\n  - {at: 9s, what: rollback, writes: 31}\n";
    let scenario = Scenario::from_yaml(text).expect("a scenario");
    let one = setting("15s/10s/2s");
    let keep = Keep { story: true, ..Keep::default() };
    let outcome = run(&scenario.draw(&one, 1).expect("drawn"), one.demands(), keep).expect("it runs");
    assert!(outcome.story.iter().any(|line| line.contains("the store has lost 4 writes")), "{:#?}", outcome.story);
    assert!(outcome.story.iter().any(|line| line.contains("store went back")), "{:#?}", outcome.story);
}

/// client-go's work goes on after a pause until it is cancelled: that is a pause, and not work that hangs.
#[test]
fn an_overlap_after_a_pause_says_so() {
    let text = "until: 4m\nevents:\n  - {at: 1m, what: pause, for: 60s}\n";
    let scenario = Scenario::from_yaml(text).expect("a scenario");
    let setting = Setting::new(Three::USUAL, RuleName::ClientGo, false).expect("the usual durations");
    let measure = Measure { scenario: &scenario, settings: &[setting], seed: 1, runs: 50, threads: None };
    let measured = measure.play(&|_| {}).expect("it can be played").remove(0);
    assert!(!measured.overlaps.is_empty(), "none of these shows it");
    let excuses: Vec<_> = measured.overlaps.iter().map(|found| found.overlap.excuse).collect();
    assert!(excuses.iter().all(|excuse| *excuse == Some(crate::sim::Excuse::Paused)), "{excuses:?}");
}

#[test]
fn percentiles_are_by_nearest_rank() {
    let hundred: Vec<u64> = (1..=100).collect();
    let of = |percent| crate::sim::percentile(&hundred, percent);
    assert_eq!((of(0), of(50), of(99), of(100)), (Some(1), Some(50), Some(99), Some(100)));
    assert_eq!(crate::sim::percentile(&[7], 50), Some(7));
    assert_eq!(crate::sim::percentile(&[], 50), None);
}

#[test]
fn events_that_are_wrong_are_told_all_at_once() {
    let text = "until: 5m\nevents:\n  - {at: 1m, what: pause}\n  - {at: 2m, what: crash}\n  - {at: 9m, what: crash}\n  \
                - {at: 3m, what: crash, who: d}\n";
    let error = Scenario::from_yaml(text).expect_err("three are wrong");
    let told: Vec<_> = std::iter::once(&error).chain(&error.others).map(|one| (one.line, one.what.as_str())).collect();
    assert_eq!(told.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [Some(3), Some(5), Some(6)], "{told:?}");
    let says = ["pause needs for", "crash may come as late as 9m", "no candidate d"];
    assert!(told.iter().zip(says).all(|((_, what), says)| what.contains(says)), "{told:?}");
}

#[test]
fn a_file_that_is_wrong_is_refused_at_its_line() {
    let event = |rest: &str| format!("until: 5m\nevents:\n  - at: 1m\n{rest}");
    for (text, line, says) in [
        ("until: 5m\nnodse: 3\n".to_owned(), Some(2), "nodse"),
        ("until: 5m\nnodes: 0\n".to_owned(), Some(2), "1 to 7 candidates, not 0"),
        ("until: 5m\nnodes: 8\n".to_owned(), Some(2), "1 to 7 candidates, not 8"),
        ("nodes: 3\n".to_owned(), Some(1), "until"),
        ("until: 0s\n".to_owned(), Some(1), "not 0s"),
        ("until: 5\n".to_owned(), Some(1), "no unit"),
        ("until: -5s\n".to_owned(), Some(1), "negative"),
        ("until: 5m\nruns: 0\n".to_owned(), Some(2), "runs are played, not 0"),
        ("until: 5m\ncompare: []\n".to_owned(), Some(2), "settings are compared, not 0"),
        ("until: 5m\ncompare: [15s/10s]\n".to_owned(), Some(2), "15s/10s/2s"),
        ("until: 5m\nrule: theirs\n".to_owned(), Some(2), "theirs"),
        ("until: 5m\nlatency: 5ms..1ms\n".to_owned(), Some(2), "ends before it begins"),
        ("until: 5m\nclocks:\n  rate_error_ppm: 900001\n".to_owned(), Some(3), "900000"),
        (event("    what: crash\n    times: 101\n    every: 1ms\n"), Some(5), "1 to 100 where who is leader"),
        ("until: 5m\nstop_percent: 150\n".to_owned(), Some(2), "stop_percent is 0 to 100, not 150..150"),
        ("until: 5m\nstop_percent: -5..10\n".to_owned(), Some(2), "stop_percent is 0 to 100, not -5..10"),
        ("until: 5m\nlatency: 10d\n".to_owned(), Some(2), "latency may be as long as 240h"),
        ("until: 5m\nnodes: 2\ndrain: 1s..6m\n".to_owned(), Some(3), "drain may be as long as 6m"),
        (
            event("    what: partition\n    for: 20m\n"),
            Some(5),
            "for of partition may be as long as 20m, but the whole",
        ),
        (event("    what: crash\n    back: 1s..1h\n"), Some(5), "back of crash may be as long as 1h"),
        ("until: [".to_owned(), Some(1), ""),
        (String::new(), None, ""),
        (event("    what: explode\n"), Some(4), "explode"),
        (event("    what: crash\n    fro: 5s\n"), Some(5), "fro"),
        (event("    what: crash\n    for: 5s\n"), Some(5), "for means nothing to crash, which takes who, back, at"),
        (event("    what: pause\n"), Some(3), "pause needs for"),
        (event("    what: pause\n    for: 9s..8s\n"), Some(5), "ends before it begins"),
        (event("    what: crash\n    who: h\n"), Some(5), "nobody"),
        (event("    what: crash\n    who: d\n"), Some(5), "no candidate d: the 3 candidates are a to c"),
        (event("    what: crash\n    times: 3\n"), Some(3), "needs every"),
        (event("    what: crash\n    times: 0\n"), Some(5), "times of crash is 1 to"),
        (event("    what: loss\n    for: 1s\n    percent: 101\n"), Some(6), "percent of loss is 0 to 100"),
        (event("    what: rates\n    ppm: 1..900001\n"), Some(5), "ppm of rates"),
        (event("    what: rollback\n    writes: 0\n"), Some(5), "writes of rollback is 1 to 31"),
        (event("    what: rollback\n    writes: 32\n"), Some(5), "writes of rollback is 1 to 31"),
        ("until: 5m\n---\nuntil: 6m\n".to_owned(), None, "a second document begins"),
        (event("  - at: 6m\n    what: crash\n"), Some(3), "what"),
        (
            event("    what: crash\n  - at: 4m\n    what: crash\n    times: 2\n    every: 1m..2m\n"),
            Some(5),
            "crash may come as late as 6m, but the run ends at 5m",
        ),
    ] {
        let (at, what) = refused(&text);
        assert!(what.contains(says), "{text} -> {what}");
        assert!(!what.contains('\n'), "{text} -> {what}");
        if line.is_some() {
            assert_eq!(at, line, "{text} -> {what}");
        }
    }
}

#[test]
fn durations_outside_of_what_is_proven_are_run_only_where_that_is_asked_for() {
    let tight: Three = "15s/15s/2s".parse().expect("three durations");
    assert!(matches!(Setting::new(tight, RuleName::Ours, false), Err(SettingError::Ours { .. })));
    let setting = Setting::new(tight, RuleName::Ours, true).expect("it is asked for");
    assert!(setting.is_unsafe && setting.durations.unproven);
    assert_eq!(setting.to_string(), "15s/15s/2s UNSAFE TIMING");
    let proven = Setting::new(Three::USUAL, RuleName::Ours, true).expect("it is proven");
    assert!(!proven.is_unsafe && !proven.durations.unproven);
    let accepted: Three = "15s/14s/2s".parse().expect("three durations");
    let theirs = Setting::new(accepted, RuleName::ClientGo, false).expect("it accepts them");
    assert_eq!((theirs.to_string().as_str(), theirs.is_unsafe), ("15s/14s/2s client-go", false));
    assert!(matches!(Setting::new(tight, RuleName::ClientGo, true), Err(SettingError::ClientGo { .. })));
}

#[test]
fn durations_outside_of_what_is_proven_overlap_and_are_counted() {
    let scenario = Scenario::preset(Preset::Partition);
    let beyond = Setting::new("15s/20s/2s".parse().expect("three"), RuleName::Ours, true).expect("it is asked for");
    let measure = Measure { scenario: &scenario, settings: &[beyond], seed: 1, runs: 50, threads: None };
    let measured = &measure.play(&|_| {}).expect("it can be played")[0];
    assert_eq!(measured.violation, None);
    assert!(!measured.overlaps.is_empty());
    assert!(measured.overlaps.iter().all(|found| found.overlap.excuse.is_none()));
}

/// Each kind with all the keys that it takes, upon everybody it can be about: exclusion holds, or has an excuse.
#[test]
fn every_kind_of_event_can_be_played() {
    for kind in Kind::ALL {
        let mut keys = String::new();
        for key in kind.takes().split(", ") {
            let value = match key {
                "who" | "way" => "any",
                "for" => "1s..40s",
                "back" | "every" => "1s..20s",
                "extra" if *kind == Kind::Starve => "1ms..100ms",
                "extra" => "10ms..10s",
                "percent" => "10..100",
                "error" => "conflict-applied",
                "retry_after" => "1s..5s",
                "ppm" => "-20000..20000",
                "by" => "-1d..1d",
                "edit" => "restore: 3",
                "writes" => "2",
                "at" => "20s..60s",
                "times" => "5",
                other => panic!("{other} is new"),
            };
            let value = if key == "edit" { "\n      restore: 3".to_owned() } else { format!(" {value}") };
            keys.extend(["    ", key, ":", &value, "\n"]);
        }
        let text = format!("until: 5m\nevents:\n  - what: {kind}\n{keys}");
        let scenario = Scenario::from_yaml(&text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let settings = [setting("8s/5s/1s")];
        let measure = Measure { scenario: &scenario, settings: &settings, seed: 1, runs: 50, threads: None };
        let measured = &measure.play(&|_| {}).expect("it can be played")[0];
        assert_eq!(measured.violation, None, "{kind}");
        assert!(measured.stats.faults >= 50 * 5, "{kind}");
    }
}
