//! What somebody does to the record by hand, and what makes it matter: who is cut off meanwhile, who has just released,
//! who hears of it late, and what is done to it next.
//!
//! Two things that are each rare would hardly ever meet. What belongs together is drawn together.

use fastrand::Rng;

use super::{SECOND, fault, way};
use crate::sim::schedule::{Durations, Edit, Fault, Node, Refusal, Rule, Way, What};

/// An edit, of which the holder may not hear for a while, and after which somebody may start afresh.
pub(super) fn edit_at(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let mut edit = any_edit(rng, nodes.len());
    if let Edit::Restore(writes_ago) = &mut edit
        && rng.bool()
    {
        *writes_ago = seen_last_by_one_cut_off(rng, nodes, at_ns, faults);
    }
    faults.push(fault(at_ns, What::Edit { edit }));
    match edit {
        Edit::Strategy => {
            faults.push(fault(at_ns + rng.u64(0..60 * SECOND), What::Edit { edit: Edit::NoStrategy }));
        }
        Edit::RestoreRelease => {
            // There has to be one, and somebody who has taken the lease since.
            let before_ns = rng.u64(2..10) * SECOND;
            for node in 0..nodes.len() {
                faults.push(fault(at_ns.saturating_sub(before_ns), What::Resign { node, to: None }));
            }
        }
        Edit::Delete if rng.bool() => handover_before(rng, nodes, at_ns, faults),
        Edit::MadeAnew if rng.bool() => {
            let edit = [Edit::ForeignRelease, Edit::StaleForeignRelease, Edit::RestoreRelease][rng.usize(0..3)];
            faults.push(fault(at_ns + rng.u64(0..SECOND), What::Edit { edit }));
        }
        Edit::Garbage if rng.bool() => emptied_after(rng, nodes, at_ns, faults),
        _ => {}
    }
    if rng.bool() {
        let node = rng.usize(0..nodes.len());
        let before_ns = rng.u64(0..nodes[node].timing.retry_ns);
        let for_ns = rng.u64(0..2 * nodes[node].timing.lease_ns);
        faults.push(fault(at_ns.saturating_sub(before_ns), What::Cut { node, way: way(rng), for_ns }));
    }
    if rng.u8(0..3) == 0 {
        let node = rng.usize(0..nodes.len());
        faults.push(fault(at_ns + rng.u64(0..SECOND), What::Crash { node, back_ns: Some(rng.u64(0..SECOND)) }));
    }
}

/// Somebody was cut off for about as long as he waits; how many writes ago it was that he saw last.
fn seen_last_by_one_cut_off(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) -> usize {
    let node = rng.usize(0..nodes.len());
    let Durations { lease_ns, retry_ns, .. } = nodes[node].timing;
    let before_ns = rng.u64(lease_ns..2 * lease_ns).min(at_ns);
    let for_ns = before_ns + rng.u64(0..retry_ns);
    faults.push(fault(at_ns - before_ns, What::Cut { node, way: Way::Both, for_ns }));
    usize::try_from(before_ns / retry_ns).unwrap_or(0) + rng.usize(0..2)
}

/// The lease has just changed hands, of which not everybody has heard.
fn handover_before(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let retry_ns = nodes[0].timing.retry_ns;
    let before_ns = rng.u64(0..2 * retry_ns).min(at_ns);
    for node in 0..nodes.len() {
        if rng.bool() {
            let extra_ns = before_ns + rng.u64(0..retry_ns);
            faults.push(fault(at_ns - before_ns, What::WatchLate { node, for_ns: before_ns, extra_ns }));
        }
    }
    for node in 0..nodes.len() {
        faults.push(fault(at_ns - before_ns, What::WorkEnds { node, whole: true }));
    }
}

/// Somebody sees what cannot be understood and nothing of who takes it over, until that is emptied.
fn emptied_after(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let node = rng.usize(0..nodes.len());
    let Durations { lease_ns, retry_ns, .. } = nodes[node].timing;
    let from_ns = at_ns + rng.u64(retry_ns..lease_ns);
    let for_ns = rng.u64(lease_ns..2 * lease_ns);
    faults.push(fault(from_ns, What::Cut { node, way: Way::Both, for_ns }));
    let edit = [Edit::Clear, Edit::Wipe, Edit::RestoreRelease][rng.usize(0..3)];
    faults.push(fault(from_ns + for_ns - rng.u64(0..retry_ns), What::Edit { edit }));
}

/// Edits that mean something only one after the other, and what has to happen between them.
pub(super) fn chain_at(rng: &mut Rng, nodes: &mut [Node], at_ns: u64, faults: &mut Vec<Fault>) {
    match rng.u8(0..10) {
        0 | 1 => emptied_twice(rng, nodes, at_ns, faults),
        2 => formed_after_emptied(rng, nodes, at_ns, faults),
        3 => counted_anew(rng, nodes, at_ns, faults),
        4 => taken_early(rng, nodes, at_ns, faults),
        5 => released_over(rng, nodes, at_ns, faults),
        6 => released_after_garbage(rng, nodes, at_ns, faults),
        7 => asked_while_acquiring(rng, nodes, at_ns, faults),
        8 => lowered(rng, nodes, at_ns, faults),
        _ => asked_and_restored(rng, nodes, at_ns, faults),
    }
}

/// Two records that nobody holds, and a term between them that somebody has not seen. What was begun at the first is over by the
/// second.
fn emptied_twice(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let node = rng.usize(0..nodes.len());
    let Durations { lease_ns, retry_ns, .. } = nodes[node].timing;
    let first = [Edit::Garbage, Edit::Wipe, Edit::Wipe, Edit::MadeAnew][rng.usize(0..4)];
    faults.push(edit_fault(at_ns, first));
    if rng.bool() {
        // One change without a renewal begins a wait anew, and no other does.
        faults.push(edit_fault(at_ns + rng.u64(retry_ns..3 * retry_ns), Edit::Label));
    }
    let from_ns = at_ns + rng.u64(3 * retry_ns..4 * retry_ns + lease_ns / 2);
    let for_ns = rng.u64(lease_ns + retry_ns..2 * lease_ns);
    faults.push(fault(from_ns, What::Cut { node, way: Way::Both, for_ns }));
    let second = [Edit::Wipe, Edit::Wipe, Edit::Clear, Edit::RestoreRelease][rng.usize(0..4)];
    faults.push(edit_fault(from_ns + for_ns - rng.u64(0..retry_ns), second));
}

/// A holder is emptied, an empty record is put in its place, and then the form of a release.
fn formed_after_emptied(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let retry_ns = nodes[0].timing.retry_ns;
    let emptied = [Edit::Wipe, Edit::Clear, Edit::ForeignRelease][rng.usize(0..3)];
    let mut next_ns = at_ns;
    for edit in [emptied, Edit::MadeAnew, Edit::ForeignRelease] {
        faults.push(edit_fault(next_ns, edit));
        next_ns += rng.u64(0..2 * retry_ns);
    }
    cut_off(rng, nodes, at_ns, faults);
}

/// What counts from nothing comes after a term that has counted as high, and its release is put back.
fn counted_anew(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let Durations { lease_ns, retry_ns, .. } = nodes[0].timing;
    let mut next_ns = at_ns;
    for _ in 0..rng.u8(1..3) {
        give_up(rng, nodes, next_ns, faults);
        next_ns += rng.u64(retry_ns..4 * retry_ns);
    }
    if rng.bool() {
        faults.push(edit_fault(next_ns, Edit::MadeAnew));
        next_ns += rng.u64(lease_ns..2 * lease_ns);
    } else {
        faults.push(edit_fault(next_ns, Edit::Delete));
        let node = rng.usize(0..nodes.len());
        faults.push(fault(next_ns + rng.u64(0..retry_ns), What::Crash { node, back_ns: Some(rng.u64(0..retry_ns)) }));
        next_ns += rng.u64(retry_ns..2 * lease_ns);
    }
    faults.push(edit_fault(next_ns, Edit::RestoreRelease));
    cut_off(rng, nodes, next_ns, faults);
}

/// A long lease is lost by hand to a fresh process with a shorter one, whose record is then deleted.
fn taken_early(rng: &mut Rng, nodes: &mut [Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let (lease_ns, retry_ns) = long_and_short(rng, nodes);
    faults.push(fault(at_ns, What::Cut { node: 0, way: way(rng), for_ns: lease_ns }));
    let at_ns = at_ns + rng.u64(0..retry_ns);
    let fresh = nodes.len() - 1;
    faults.push(fault(at_ns, What::Crash { node: fresh, back_ns: Some(rng.u64(0..retry_ns)) }));
    faults.push(edit_fault(at_ns + rng.u64(0..retry_ns), Edit::MadeAnew));
    if rng.bool() {
        faults.push(edit_fault(at_ns + rng.u64(0..retry_ns), Edit::ForeignRelease));
    }
    let deleted_ns = at_ns + rng.u64(retry_ns..4 * retry_ns);
    faults.push(edit_fault(deleted_ns, Edit::Delete));
    faults.push(fault(deleted_ns, What::Crash { node: fresh, back_ns: None }));
}

/// The duration of a long lease is lowered by hand, before those with a shorter one.
fn lowered(rng: &mut Rng, nodes: &mut [Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let (lease_ns, retry_ns) = long_and_short(rng, nodes);
    faults.push(fault(at_ns, What::Cut { node: 0, way: way(rng), for_ns: rng.u64(0..lease_ns) }));
    let edit = if rng.bool() { Edit::LowerDurationRenewed } else { Edit::LowerDuration };
    faults.push(edit_fault(at_ns + rng.u64(0..retry_ns), edit));
}

/// The first one leads, with a longer lease than all others; its duration, and their retry period.
fn long_and_short(rng: &mut Rng, nodes: &mut [Node]) -> (u64, u64) {
    let (long, short) = (super::profile(rng.usize(0..2)), super::profile(rng.usize(2..5)));
    for (index, node) in nodes.iter_mut().enumerate() {
        let profile = if index == 0 { long } else { short };
        (node.timing.lease_ns, node.timing.renew_ns, node.timing.retry_ns, node.tick_ns) = profile;
        node.starts_at_ns = if index == 0 { 0 } else { rng.u64(SECOND..3 * SECOND) };
        if let Rule::Ours { renew_phase_ns, .. } = &mut node.rule {
            *renew_phase_ns = None;
        }
    }
    (long.0, short.2)
}

/// Somebody who was cut off during a handover sees what was put over the new term, and then the release of the old one.
fn released_over(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let node = rng.usize(0..nodes.len());
    let Durations { lease_ns, retry_ns, .. } = nodes[node].timing;
    let before_ns = rng.u64(2 * retry_ns..6 * retry_ns);
    faults.push(fault(at_ns - before_ns, What::Cut { node, way: Way::Both, for_ns: before_ns }));
    let given_up_ns = at_ns - before_ns + rng.u64(0..retry_ns);
    give_up(rng, nodes, given_up_ns, faults);
    let over = [Edit::StaleForeignRelease, Edit::StaleForeignRelease, Edit::ForeignRelease, Edit::Garbage];
    let over_ns = at_ns - rng.u64(0..retry_ns);
    faults.push(edit_fault(over_ns, over[rng.usize(0..4)]));
    faults.push(edit_fault(over_ns + rng.u64(retry_ns..3 * retry_ns), Edit::RestoreRelease));
    for other in (0..nodes.len()).filter(|other| *other != node) {
        faults.push(fault(over_ns, What::Cut { node: other, way: Way::Both, for_ns: rng.u64(0..lease_ns) }));
    }
}

/// The release of an older term follows what cannot be understood.
fn released_after_garbage(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let retry_ns = nodes[0].timing.retry_ns;
    let before_ns = rng.u64(2 * retry_ns..6 * retry_ns);
    give_up(rng, nodes, at_ns - before_ns, faults);
    faults.push(edit_fault(at_ns, Edit::Garbage));
    faults.push(edit_fault(at_ns + rng.u64(retry_ns / 2..2 * retry_ns), Edit::RestoreRelease));
    cut_off(rng, nodes, at_ns, faults);
}

/// Acquisitions are stored and not acknowledged, so that a read has to find them, and a request may have come before it.
fn asked_while_acquiring(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let retry_ns = nodes[0].timing.retry_ns;
    give_up(rng, nodes, at_ns, faults);
    for (node, Node { timing, .. }) in nodes.iter().enumerate() {
        let from_ns = at_ns + rng.u64(0..timing.retry_ns) - timing.retry_ns / 2;
        let for_ns = rng.u64(timing.retry_ns..3 * timing.retry_ns);
        let what = if rng.bool() {
            // The read before it gets through, and for a while none after it.
            let pattern = u64::MAX << rng.u8(0..4);
            let refusal = Refusal::UnknownApplied;
            What::Refuse { node, for_ns, refusal, pattern, retry_after_ns: None }
        } else {
            What::Cut { node, way: Way::Replies, for_ns }
        };
        faults.push(fault(from_ns, what));
    }
    let mut next_ns = at_ns;
    for _ in 0..10 {
        next_ns += rng.u64(0..retry_ns);
        faults.push(edit_fault(next_ns, Edit::Request));
    }
}

/// The record of a renewal is put back that somebody has seen last, with a request that he has not seen.
fn asked_and_restored(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let writes_ago = seen_last_by_one_cut_off(rng, nodes, at_ns, faults);
    let cut_ns = faults.last().map_or(at_ns, |cut| cut.at_ns);
    let retry_ns = nodes[0].timing.retry_ns;
    faults.push(edit_fault((cut_ns + rng.u64(0..retry_ns)).saturating_sub(retry_ns / 2), Edit::VoidRequest));
    faults.push(edit_fault(at_ns, Edit::Restore(writes_ago)));
}

/// Whoever leads gives it up.
fn give_up(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let whole = rng.bool();
    for node in 0..nodes.len() {
        let what = if whole { What::WorkEnds { node, whole } } else { What::Resign { node, to: None } };
        faults.push(fault(at_ns, what));
    }
}

/// Somebody, perhaps the holder, hears nothing of it for a while.
fn cut_off(rng: &mut Rng, nodes: &[Node], at_ns: u64, faults: &mut Vec<Fault>) {
    let node = rng.usize(0..nodes.len());
    let Durations { lease_ns, retry_ns, .. } = nodes[node].timing;
    let before_ns = rng.u64(0..retry_ns);
    faults.push(fault(at_ns - before_ns, What::Cut { node, way: Way::Both, for_ns: before_ns + rng.u64(0..lease_ns) }));
}

const fn edit_fault(at_ns: u64, edit: Edit) -> Fault {
    fault(at_ns, What::Edit { edit })
}

fn any_edit(rng: &mut Rng, nodes: usize) -> Edit {
    match rng.u8(0..22) {
        0..=2 => Edit::Delete,
        3 => Edit::Clear,
        4 => Edit::Wipe,
        5 => Edit::Overwrite,
        6 => Edit::OverwriteRenewed,
        7 | 8 => Edit::OverwriteWith(rng.usize(0..nodes)),
        9 => Edit::ForeignRelease,
        10 => Edit::StaleForeignRelease,
        11 => Edit::LowerDuration,
        12 => Edit::LowerDurationRenewed,
        13 => Edit::Label,
        14 | 15 => Edit::Restore(rng.usize(0..24)),
        16 => Edit::RestoreRelease,
        17 => Edit::MadeAnew,
        18 => Edit::Garbage,
        19 => Edit::Request,
        20 => Edit::VoidRequest,
        _ => Edit::Strategy,
    }
}
