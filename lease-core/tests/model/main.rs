//! Small worlds, explored exhaustively: every order of everything that can happen to the very machine that ships.
//!
//! Where the simulation draws some runs of large worlds, this tries all runs of small ones. Time goes in steps, and is counted
//! from now in every state, so that states repeat and even endless runs come to an end. What a world leaves out, it says: see
//! [`plan::Plan`], and `docs/proof.md` for what is bounded. The large worlds run by
//! `cargo test --release -p lease-core --test model -- --ignored --nocapture --test-threads 1`.

mod edits;
mod explore;
mod judge;
mod large;
mod lockstep;
mod names;
mod plan;
mod print;
mod turn;
mod world;

use crate::explore::{exhaust, refute};
use crate::judge::{Sight, Verdict};
use crate::plan::{Edit, Ignorance, Plan, Wall};

/// Any number of terms, of lost requests and of lost answers.
#[test]
fn two_candidates_never_act_at_once_whatever_the_network_loses_and_delays() {
    exhaust(
        &Plan::base("base", 2),
        1,
        &[
            Sight::Created,
            Sight::TakenAfterExpiry,
            Sight::SecondTerm,
            Sight::UnknownFoundApplied,
            Sight::UnknownFoundNotApplied,
            Sight::HoldExpired,
            Sight::NotReleased,
        ],
    );
}

#[test]
fn processes_that_crash_and_resign_never_act_at_once() {
    let plan = Plan { losses_max: Some(1), terms_max: Some(2), ..resigning(2) };
    exhaust(
        &plan,
        1,
        &[Sight::TakenAfterExpiry, Sight::TakenAfterRelease, Sight::Released, Sight::NotReleased, Sight::Crash],
    );
}

#[test]
fn processes_that_shut_down_never_act_at_once() {
    let plan = Plan { losses_max: Some(2), terms_max: Some(2), ..shutting_down(2) };
    exhaust(&plan, 1, &[Sight::TakenAfterRelease, Sight::UnknownFoundApplied, Sight::Released, Sight::Finished]);
}

#[test]
fn a_write_that_is_applied_late_never_makes_two_act() {
    let plan = Plan { late_max: 1, losses_max: Some(2), terms_max: Some(2), ..Plan::base("late writes", 2) };
    exhaust(
        &plan,
        1,
        &[Sight::LateWriteApplied, Sight::LateWriteRefused, Sight::UnknownFoundApplied, Sight::SecondTerm],
    );
}

#[test]
fn a_wall_clock_that_stands_still_never_makes_two_act() {
    let base = Plan::base("standing wall clocks", 2).prompt();
    let plan = Plan { wall: Wall::Standing, late_max: 1, losses_max: Some(3), terms_max: Some(3), ..base };
    exhaust(
        &plan,
        1,
        &[Sight::LateWriteApplied, Sight::UnknownFoundApplied, Sight::UnknownFoundNotApplied, Sight::SecondTerm],
    );
}

#[test]
fn the_edge_of_the_inequality_is_safe() {
    exhaust(&Plan::edge("edge"), 1, &[Sight::TakenAfterExpiry, Sight::SecondTerm, Sight::UnknownFoundApplied]);
}

/// `H + S` is one tick more than the others wait: the work of the slow clock stops that much late.
#[test]
fn one_tick_beyond_the_edge_is_refuted() {
    let beyond = Plan { stops_late_ms: 400, ..Plan::edge("one tick beyond the edge") };
    assert_eq!(refute(&beyond), Verdict::Overlap(None));
    let perfect = Plan { stops_late_ms: 1_000, ..Plan::base("one tick beyond with perfect clocks", 2) };
    assert_eq!(refute(&perfect), Verdict::Overlap(None));
}

#[test]
fn an_edit_that_leaves_a_record_is_survived_by_all() {
    for (name, edit) in SURVIVED {
        exhaust(&edited(name, edit), 1, &[Sight::Contradicted, Sight::SecondTerm]);
    }
}

#[test]
fn a_lowered_duration_is_survived_by_all() {
    for (name, edit) in LOWERED {
        exhaust(&edited(name, edit), 1, &[Sight::TakenAfterExpiry, Sight::SecondTerm]);
    }
}

#[test]
fn a_deletion_is_survived_by_all_but_those_who_could_not_know() {
    let plan = edited("deleted", &[Edit::Delete]);
    let cases = &[Ignorance::Fresh, Ignorance::Creating, Ignorance::Missed];
    let wanted = [Sight::Deleted, Sight::SecondTerm, Sight::Created];
    ends_exactly_at(&plan, cases, &wanted);
}

#[test]
fn a_restored_release_is_survived_by_all_who_saw_the_term_after_it() {
    let plan = Plan { losses_max: Some(2), ..edited("older release restored", &[Edit::RestoreRelease]) };
    let wanted = [Sight::TakenAfterRelease, Sight::SecondTerm];
    ends_exactly_at(&plan, &[Ignorance::Fresh, Ignorance::Missed], &wanted);
}

#[test]
fn a_store_that_loses_its_last_write_grants_twice_only_to_those_who_had_not_seen_it() {
    let plan = edited("last write lost", &[Edit::LoseWrite]);
    let cases = &[Ignorance::Fresh, Ignorance::BeforeTheLoss];
    ends_exactly_at(&plan, cases, &[Sight::Regressed, Sight::SecondTerm]);
}

/// Each case alone makes two act, and without all of them nobody does.
fn ends_exactly_at(plan: &Plan, cases: &'static [Ignorance], wanted: &[Sight]) {
    for case in cases {
        let others: Vec<Ignorance> = cases.iter().copied().filter(|other| other != case).collect();
        let plan = Plan { excused: others.leak(), ..plan.clone() };
        assert_eq!(refute(&plan), Verdict::Overlap(Some(*case)), "{}", plan.name);
    }
    exhaust(&Plan { excused: cases, ..plan.clone() }, 1, wanted);
}

fn resigning(candidates: usize) -> Plan {
    Plan { crashes_max: 1, resigns_max: 1, ..Plan::base("crashes and resignations", candidates).prompt() }
}

fn shutting_down(candidates: usize) -> Plan {
    Plan { shutdowns_max: 1, ..Plan::base("shutdowns", candidates).prompt() }
}

/// Three losses cut a holder off for all of its hold, and take one request of another besides.
fn edited(name: &'static str, edits: &'static [Edit]) -> Plan {
    Plan { losses_max: Some(3), ..Plan::base(name, 2).prompt().edited(edits) }
}

pub(crate) const SURVIVED: [(&str, &[Edit]); 7] = [
    ("holder cleared", &[Edit::Clear]),
    ("overwritten with the other candidate", &[Edit::Overwrite]),
    ("overwritten and renewed", &[Edit::OverwriteAndRenew]),
    ("write before restored", &[Edit::RestoreWrite]),
    ("term before restored", &[Edit::RestoreTerm]),
    ("released as by client-go", &[Edit::ForeignRelease]),
    ("released as by client-go, of the term before", &[Edit::StaleForeignRelease]),
];

pub(crate) const LOWERED: [(&str, &[Edit]); 2] =
    [("duration lowered", &[Edit::LowerDuration]), ("duration lowered and renewed", &[Edit::LowerDurationAndRenew])];
