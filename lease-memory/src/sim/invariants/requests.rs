//! What can be seen of a request when it is sent: R5, R7, R9, and that a record with a strategy is left alone.

use lease_core::{HolderIdentity, Instant, LeaseRecord, Op, Purpose, Request};

use super::rules::ACQUISITION;
use super::{Verdict, letter};
use crate::sim::judged::Judged;

pub(in crate::sim) const OWN_RECORD: &str = "r5_own_record";
pub(in crate::sim) const OWN_TIME: &str = "r7_own_time";
pub(in crate::sim) const OUTLIVES: &str = "r9_outlives";
pub(in crate::sim) const STRATEGY: &str = "strategy";

/// A request is sent, by a machine whose hold, if it has one, lasts until then.
pub(in crate::sim) fn sent(
    node: usize,
    judged: &mut Judged,
    request: &Request,
    own: &HolderIdentity,
    local: Instant,
    valid_until: Option<Instant>,
) -> Verdict {
    if let Some(end) = valid_until.filter(|end| (local + request.timeout).has_reached_either(*end + ROUNDING)) {
        let what = format!("{} is ready to wait for its {} beyond its hold until {end}", letter(node), request.purpose);
        return Err((OUTLIVES, what));
    }
    match &request.op {
        Op::Get => Ok(()),
        Op::Create(record) => {
            counts(node, judged, record, None)?;
            stamps(node, judged, record, None)
        }
        Op::Update { seen, record } => {
            builds_on(node, request.purpose, &seen.record, own)?;
            if request.purpose == Purpose::Acquire {
                counts(node, judged, record, Some(&seen.record))?;
            }
            stamps(node, judged, record, Some(&seen.record))
        }
    }
}

/// R7: an acquisition counts above the record it replaces and above what any read has shown, so that the mark of no term
/// comes twice.
fn counts(node: usize, judged: &Judged, record: &LeaseRecord, seen: Option<&LeaseRecord>) -> Verdict {
    let known = judged.count_max.max(seen.map(|seen| seen.transitions));
    let least = known.map_or(0, |known| known + 1).min(LeaseRecord::TRANSITIONS_MAX);
    if record.transitions >= least {
        return Ok(());
    }
    Err((
        ACQUISITION,
        format!("{} counts {} transitions where it knows of {known:?}", letter(node), record.transitions),
    ))
}

/// R5: a holder's writes build on a record of its own, and nobody's on one with a strategy that is not.
fn builds_on(node: usize, purpose: Purpose, seen: &LeaseRecord, own: &HolderIdentity) -> Verdict {
    let node = letter(node);
    if purpose == Purpose::Acquire {
        if seen.strategy.is_none() {
            return Ok(());
        }
        return Err((STRATEGY, format!("{node} contends for a record that coordinated election manages")));
    }
    if seen.is_held_by(own) {
        return Ok(());
    }
    Err((OWN_RECORD, format!("{node} writes a {purpose} over a record of {:?}", seen.holder)))
}

/// R7: no two attempts have one renew time, and none that of the record it replaces.
fn stamps(node: usize, judged: &mut Judged, record: &LeaseRecord, seen: Option<&LeaseRecord>) -> Verdict {
    let (node, stamp) = (letter(node), record.renew_time);
    let Some(time) = stamp else {
        return Err((OWN_TIME, format!("{node} writes a record without a renew time")));
    };
    if judged.has_written(time) || seen.is_some_and(|seen| seen.renew_time == stamp) {
        return Err((OWN_TIME, format!("{node} writes the renew time {time} again")));
    }
    judged.note_written(time);
    Ok(())
}

/// What the rates of two clocks make of a nanosecond.
const ROUNDING: std::time::Duration = std::time::Duration::from_nanos(2);
