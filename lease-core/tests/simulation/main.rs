//! A small seeded simulation of two or three machines on one register, in virtual time.
//!
//! Each seed draws durations, clock rates, delays, losses, crashes, graceful stops and at most one edit
//! by hand, and every step is checked against the invariants of the protocol. What is simulated is the
//! very [`lease_core::Elector`] that ships. A failing seed is replayed with `SEED=n`.

mod oracle;
mod store;
mod world;

use std::collections::BTreeMap;

use world::{Plan, World};

fn run_seeds(name: &str, count: u64, plan: impl Fn(u64) -> Plan) -> BTreeMap<&'static str, u64> {
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    let seeds: Vec<u64> = match std::env::var("SEED") {
        Ok(one) => vec![one.parse().expect("SEED is a number")],
        Err(_) => (0..count).collect(),
    };
    let verbose = seeds.len() == 1;
    for seed in seeds {
        let mut world = World::new(plan(seed), verbose);
        if let Err(violation) = world.run() {
            panic!("{name}: seed {seed} violates {violation}; replay with SEED={seed}\n{}", world.tail());
        }
        for (what, count) in world.oracle.seen {
            *seen.entry(what).or_default() += count;
        }
    }
    println!("{name}: {seen:?}");
    seen
}

fn require(seen: &BTreeMap<&'static str, u64>, wanted: &[&str]) {
    if std::env::var("SEED").is_ok() {
        return;
    }
    for what in wanted {
        assert!(seen.get(what).is_some_and(|count| *count > 0), "no run ever saw: {what}; saw {seen:?}");
    }
}

#[test]
fn faults_of_network_and_clocks_never_make_two_act() {
    let seen = run_seeds("faults", 4_000, Plan::faults);
    require(
        &seen,
        &[
            "takeover by expiry",
            "takeover by release",
            "term won by creation",
            "unknown outcome found applied",
            "late acknowledgement",
            "late write applied",
            "late write refused",
            "hold expired",
            "crash",
            "graceful stop",
        ],
    );
}

#[test]
fn an_edit_by_hand_never_makes_two_act_who_had_seen_the_record() {
    let seen = run_seeds("edits", 4_000, Plan::edits);
    require(
        &seen,
        &[
            "edit: delete",
            "edit: clear",
            "edit: overwrite",
            "edit: overwrite with a candidate",
            "edit: lower duration",
            "edit: label",
            "edit: restore",
            "edit: foreign release",
            "edit: request",
            "edit: void request",
            "edit: lower duration and renew",
            "edit: restore a release",
            "edit: made anew",
            "edit: garbage",
            "edit: wiped",
            "fresh process after an edit",
            "term ended: deleted",
            "term ended: cleared",
            "term ended: taken_over",
            "term ended: identity_conflict",
            "term ended: handed_over",
        ],
    );
}

/// The margin is not wide: with the tolerance of the clocks ignored, the same simulation finds overlaps.
#[test]
fn clocks_beyond_their_bound_are_found() {
    let overlaps = (0..400).filter(|seed| World::new(Plan::broken_clocks(*seed), false).run().is_err()).count();
    assert!(overlaps > 0, "rates far beyond rho never made two act, so the simulation cannot see it");
}

#[test]
fn a_store_that_went_back_is_noticed_by_whoever_saw_more() {
    let seen = run_seeds("rollbacks", 2_000, Plan::rollbacks);
    require(&seen, &["rollback"]);
}

#[test]
fn a_stranger_postpones_a_takeover_once_at_most() {
    let seen = run_seeds("strangers", 400, Plan::strangers);
    require(&seen, &["stranger writes"]);
}
