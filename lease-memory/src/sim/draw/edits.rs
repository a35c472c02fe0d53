//! What somebody does to the record by hand, and what makes it matter: who is cut off meanwhile, who has just released,
//! who hears of it late, and what is done to it next.
//!
//! Two things that are each rare would hardly ever meet. What belongs together is drawn together.

use fastrand::Rng;

use super::{SECOND, fault, way};
use crate::sim::schedule::{Durations, Edit, Fault, Node, Way, What};

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
