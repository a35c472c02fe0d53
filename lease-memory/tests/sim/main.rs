//! The simulator, at work: seeds of every family, years of ordinary running, and proof that it would see what it is for.
//!
//! A seed that fails says how to replay it. What is played here is what `cargo xtask prove` plays in larger numbers.

mod sight;

use lease_memory::sim::{Batch, BatchOutcome, Family, Seen};

/// Plays seeds of families on all processors; panics with the first finding.
fn play(families: &[Family], seeds: u64) -> BatchOutcome {
    let batch = Batch { families: families.to_vec(), from: 0, seeds, rule: None, threads: None };
    let outcome = batch.play(&|_| {});
    let stats = &outcome.stats;
    #[allow(clippy::cast_precision_loss, reason = "printed with three digits")]
    let years = stats.simulated_ns as f64 / 1e9 / SECONDS_PER_YEAR;
    println!("{} runs, {years:.3} cluster-years, {} faults, {} terms", outcome.runs, stats.faults, stats.terms);
    if let Some(finding) = &outcome.finding {
        panic!("{finding}");
    }
    outcome
}

/// Each of these must have happened, or what was demanded of it was demanded of nothing.
fn require(outcome: &BatchOutcome, wanted: &[Seen]) {
    let never = outcome.stats.never_seen(wanted);
    assert!(never.is_empty(), "no run ever saw {never:?}; seen: {:?}", outcome.stats.seen);
}

#[test]
fn faults_of_processes_clocks_and_network_never_make_two_act() {
    let outcome = play(&[Family::Swarm], 1_700);
    require(
        &outcome,
        &[
            Seen::FirstTerm,
            Seen::TakeoverByExpiry,
            Seen::TakeoverByRelease,
            Seen::UnknownFoundApplied,
            Seen::UnknownFoundNotApplied,
            Seen::LateAcknowledgement,
            Seen::LateWriteApplied,
            Seen::LateWriteRefused,
            Seen::LongPause,
            Seen::CompareAndSwapRace,
            Seen::HoldExpired,
            Seen::StaleActRefused,
            Seen::LeaderCrashed,
            Seen::GracefulRelease,
            Seen::DrainTimedOut,
            Seen::ExcusedOverlap,
        ],
    );
}

#[test]
fn everything_at_its_bound_never_makes_two_act() {
    let outcome = play(&[Family::Adversarial], 1_000);
    require(&outcome, &[Seen::TakeoverByExpiry, Seen::HoldExpired, Seen::LateWriteRefused]);
}

#[test]
fn an_edit_by_hand_never_makes_two_act_who_had_seen_the_record() {
    let outcome = play(&[Family::Edits], 1_200);
    require(
        &outcome,
        &[
            Seen::TakeoverAfterDeletion,
            Seen::HandedOver,
            Seen::EndedDeleted,
            Seen::EndedCleared,
            Seen::EndedTakenOver,
            Seen::EndedIdentityConflict,
            Seen::EndedMalformed,
            Seen::ExcusedOverlap,
        ],
    );
}

#[test]
fn a_store_that_went_back_is_noticed_by_whoever_saw_more() {
    let outcome = play(&[Family::Rollbacks], 600);
    require(&outcome, &[Seen::EndedRegressed, Seen::Refused, Seen::StaleActRefused]);
}

#[test]
fn a_stranger_who_keeps_writing_postpones_a_takeover_once_at_most() {
    let outcome = play(&[Family::Strangers], 200);
    require(&outcome, &[Seen::TakeoverByExpiry]);
}

#[test]
fn beside_candidates_of_client_go_ours_never_act_together() {
    let outcome = play(&[Family::Mixed], 800);
    require(&outcome, &[Seen::TakeoverByExpiry, Seen::TakeoverByRelease, Seen::EndedTakenOver]);
}

/// Two cluster-years: three candidates, and on average something every hundred lease durations.
#[test]
fn years_of_ordinary_running_are_quiet() {
    let outcome = play(&[Family::Calendar, Family::Ordinary], 1_150);
    assert!(outcome.stats.simulated_ns >= 2 * 31_557_600 * 1_000_000_000, "that was less than two years");
    assert_eq!(outcome.repeated, 2 * 12, "one in a hundred is played twice, and must agree");
}

const SECONDS_PER_YEAR: f64 = 31_557_600.0;
