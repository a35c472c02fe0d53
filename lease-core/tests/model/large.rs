//! Larger worlds, by command: two candidates with more of everything, and three.
//!
//! `cargo test --release -p lease-core --test model -- --ignored --nocapture --test-threads 1` runs them all and prints the
//! count of states and the time of each. What is refuted is refuted by the small worlds already.

use crate::explore::exhaust;
use crate::judge::Sight;
use crate::plan::{Edit, Ignorance, Plan, Wall};
use crate::{LOWERED, SURVIVED, resigning, shutting_down};

#[test]
#[ignore = "a large world: run by command, in release mode"]
fn two_candidates_with_two_late_writes_at_once() {
    let plan = Plan { late_max: 2, ..Plan::base("two: late writes", 2) };
    exhaust(&plan, THREADS, &[Sight::LateWriteApplied, Sight::LateWriteRefused, Sight::SecondTerm]);
}

#[test]
#[ignore = "a large world: run by command, in release mode"]
fn two_candidates_that_crash_resign_and_shut_down() {
    let more = Plan { name: "two: crashes and resignations", losses_max: Some(3), terms_max: Some(3), ..resigning(2) };
    exhaust(&more, THREADS, &[Sight::Crash, Sight::Released, Sight::SecondTerm]);
    let base = Plan { name: "two: crashes, resignations and shutdowns", ..resigning(2) };
    let all = Plan { shutdowns_max: 1, losses_max: Some(2), terms_max: Some(2), ..base };
    exhaust(&all, THREADS, &[Sight::Crash, Sight::Finished, Sight::Released, Sight::SecondTerm]);
}

#[test]
#[ignore = "a large world: run by command, in release mode"]
fn two_candidates_and_an_edit_with_any_number_of_losses() {
    for (name, edits) in all_edits() {
        // The worlds of an older term have one more, and cannot be exhausted without a bound.
        let plan = Plan::base(name, 2).prompt().edited(edits);
        let losses_max = (plan.terms_max > Some(2)).then_some(4);
        exhaust(&Plan { losses_max, excused: EXCUSED, ..plan }, THREADS, &[Sight::SecondTerm]);
    }
}

#[test]
#[ignore = "a large world: run by command, in release mode"]
fn three_candidates() {
    let bounded = |plan: Plan| Plan { losses_max: Some(2), terms_max: Some(2), ..plan };
    let base = Plan { losses_max: Some(4), terms_max: Some(3), ..Plan::base("three: base", 3).prompt() };
    exhaust(&base, THREADS, &[Sight::SecondTerm, Sight::UnknownFoundApplied, Sight::TakenAfterExpiry]);
    let late = Plan { late_max: 1, ..Plan::base("three: late writes", 3).prompt() };
    exhaust(&bounded(late.clone()), THREADS, &[Sight::LateWriteApplied, Sight::SecondTerm]);
    let standing = Plan { name: "three: standing wall clocks", wall: Wall::Standing, ..late };
    exhaust(&bounded(standing), THREADS, &[Sight::LateWriteApplied, Sight::SecondTerm]);
    let resigning =
        Plan { losses_max: Some(1), ..bounded(Plan { name: "three: crashes and resignations", ..resigning(3) }) };
    exhaust(&resigning, THREADS, &[Sight::Crash, Sight::Released, Sight::SecondTerm]);
    let stopping = Plan { losses_max: Some(1), ..bounded(Plan { name: "three: shutdowns", ..shutting_down(3) }) };
    exhaust(&stopping, THREADS, &[Sight::Finished, Sight::Released, Sight::SecondTerm]);
}

#[test]
#[ignore = "a large world: run by command, in release mode"]
fn three_candidates_and_an_edit() {
    for (name, edits) in all_edits() {
        let plan = Plan::base(name, 3).prompt().edited(edits);
        // A term that nobody resigns ends only by losses.
        let is_lowered = LOWERED.iter().any(|lowered| lowered.0 == name);
        let is_long = (plan.terms_max > Some(2) || is_lowered) && plan.resigns_max == 0;
        let losses_max = Some(if is_long { 2 } else { 1 });
        exhaust(&Plan { losses_max, excused: EXCUSED, ..plan }, THREADS, &[Sight::SecondTerm]);
    }
}

fn all_edits() -> impl Iterator<Item = (&'static str, &'static [Edit])> {
    SURVIVED.into_iter().chain(LOWERED).chain(ENDING)
}

const ENDING: [(&str, &[Edit]); 3] = [
    ("deleted", &[Edit::Delete]),
    ("older release restored", &[Edit::RestoreRelease]),
    ("last write lost", &[Edit::LoseWrite]),
];
const EXCUSED: &[Ignorance] = &[Ignorance::Fresh, Ignorance::Creating, Ignorance::Missed, Ignorance::BeforeTheLoss];
const THREADS: usize = 2;
