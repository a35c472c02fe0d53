//! Renaming changes nothing: a world whose states are renamed at every step, beside one in which everything counts upwards.

use fastrand::Rng;
use stateright::Model;

use crate::names;
use crate::plan::{Edit, Plan, Wall};
use crate::print::Log;
use crate::world::{State, World};

#[test]
fn a_world_that_is_renamed_at_every_step_acts_as_one_that_is_not() {
    for seed in 0..WALKS {
        let plan = draw(seed);
        walk(&plan, seed);
    }
}

/// After every step the same can happen in both, and the other world is the same but for names.
fn walk(plan: &Plan, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let (renamed, unrenamed) = (World::new(plan.clone()), World::unrenamed(plan.clone()));
    let (mut state, mut counting) = (State::first(plan), State::first(plan));
    for n in 0..STEPS {
        let (mut steps, mut same) = (Vec::new(), Vec::new());
        renamed.actions(&state, &mut steps);
        unrenamed.actions(&counting, &mut same);
        assert_eq!(steps, same, "seed {seed}, step {n}");
        if steps.is_empty() {
            return;
        }
        let step = steps[rng.usize(0..steps.len())];
        state = renamed.take(&state, step, &mut Log::default());
        counting = unrenamed.take(&counting, step, &mut Log::default());
        let mut other = counting.clone();
        let shown = names::prune(plan, &unrenamed.sights, &mut other);
        names::rename(plan, &mut other, shown);
        assert!(state == other, "seed {seed}, step {n}, {step:?}: {}", difference(&state, &other));
    }
}

/// The lines in which two states differ.
fn difference(renamed: &State, counted: &State) -> String {
    let (renamed, counted) = (format!("{renamed:#?}"), format!("{counted:#?}"));
    let lines = renamed.lines().zip(counted.lines()).filter(|(left, right)| left != right);
    lines.map(|(left, right)| [left.trim(), " is not ", right.trim(), "\n"].concat()).collect()
}

fn draw(seed: u64) -> Plan {
    let mut rng = Rng::with_seed(seed ^ 0x5eed);
    let edits: [&[Edit]; 7] = [
        &[],
        &[Edit::Delete, Edit::Clear],
        &[Edit::Overwrite, Edit::OverwriteAndRenew],
        &[Edit::LowerDuration, Edit::LowerDurationAndRenew],
        &[Edit::RestoreWrite, Edit::RestoreTerm, Edit::RestoreRelease],
        &[Edit::ForeignRelease, Edit::StaleForeignRelease],
        &[Edit::LoseWrite],
    ];
    let edits = edits[rng.usize(0..edits.len())];
    let base = if rng.bool() { Plan::base("lockstep", rng.usize(2..=3)) } else { Plan::edge("lockstep") };
    Plan {
        wall: if rng.bool() { Wall::Standing } else { Wall::Moving },
        crashes_max: rng.u8(0..3),
        resigns_max: rng.u8(0..9),
        shutdowns_max: rng.u8(0..3),
        late_max: rng.usize(0..3),
        edits,
        ..base
    }
}

const WALKS: u64 = 400;
const STEPS: usize = 400;
