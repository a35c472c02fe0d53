//! The sentences of a trace.

use std::time::Duration;

use lease_core::{
    Event, Failure, Hint, Instant, LeaseRecord, Notice, Op, Pretty, Purpose, Request, Timestamp, Versioned,
};

/// The wall time at which every story begins; stamps are shown as seconds since then.
pub(crate) const EPOCH_US: i64 = 1_767_225_600_000_000;

/// What a step was about, as far as it is worth saying.
pub(crate) fn event(event: &Event, asked: Option<(Purpose, u64)>) -> Option<String> {
    let what = |purpose| match asked {
        Some((_, sent_ns)) => format!("{} of {}", noun(purpose), seconds(sent_ns)),
        None => noun(purpose).to_owned(),
    };
    let said = match event {
        Event::Completed { result, .. } => {
            let purpose = asked.map_or(Purpose::Read, |(purpose, _)| purpose);
            match result {
                Ok(None) => "reads that there is no record".to_owned(),
                Ok(Some(found)) if purpose == Purpose::Read => format!("reads {}", stored(found)),
                Ok(Some(found)) => format!("{} stored as version {}", what(purpose), found.version),
                Err(failure) => format!("{} {}", what(purpose), failed(failure)),
            }
        }
        Event::Hint(Hint::Changed(found)) => format!("its watch tells {}", stored(found)),
        Event::Hint(Hint::Deleted) => "its watch tells of a deletion".to_owned(),
        Event::WatchReady => "its watch is live".to_owned(),
        Event::WatchLost => "its watch is lost".to_owned(),
        Event::ExpirySeen { .. } => "a check has found the hold over".to_owned(),
        Event::Wake | Event::Resign { .. } | Event::Shutdown | Event::WorkEnded { .. } | Event::Drained { .. } => {
            return None;
        }
    };
    Some(said)
}

fn failed(failure: &Failure) -> String {
    let after = failure.retry_after.map_or(String::new(), |after| format!(", retry after {}", Pretty(after)));
    match &failure.unreadable {
        Some(seen) => format!("finds version {}, which cannot be understood", seen.version),
        None => format!("fails: {}{after}", failure.kind),
    }
}

pub(crate) fn noun(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Read => "read",
        Purpose::Acquire => "acquisition",
        Purpose::Renew => "renewal",
        Purpose::Release => "release",
    }
}

fn a(purpose: Purpose) -> String {
    let article = if purpose == Purpose::Acquire { "an" } else { "a" };
    format!("{article} {}", noun(purpose))
}

/// What the machine says, in a word to people.
pub(crate) fn notice(notice: &Notice, renew_deadline: Duration) -> String {
    match notice {
        Notice::Started(term) => {
            let token = term.token.map_or("none".to_owned(), |token| match token.epoch {
                0 => token.to_string(),
                epoch => format!("{}@{epoch}", token.revision),
            });
            format!(
                "LEADING by {}, token {token}, until {} (write of {}), transitions {}",
                term.won.as_str(),
                term.valid_until,
                back(term.valid_until, renew_deadline),
                term.transitions,
            )
        }
        Notice::Renewed { valid_until, .. } => {
            format!("leading until {valid_until} (write of {})", back(*valid_until, renew_deadline))
        }
        Notice::Drain { by, why, .. } => format!("DRAIN by {by}: {why}"),
        Notice::MustStop { by, why, .. } => format!("MUST STOP by {by}: {why}"),
        Notice::Stopped { why, released: true, .. } => format!("STOPPED and released: {why}"),
        Notice::Stopped { why, released: false, .. } => format!("STOPPED without a release: {why}"),
        Notice::HolderChanged(Some(holder)) => format!("sees {holder} hold it"),
        Notice::HolderChanged(None) => "sees nobody hold it".to_owned(),
        Notice::IdentityConflict => "IDENTITY CONFLICT".to_owned(),
        Notice::Refusing(Some(refusal)) => format!("REFUSING: {refusal}"),
        Notice::Refusing(None) => "no longer refusing".to_owned(),
        Notice::LateAcknowledgement => "too late to count".to_owned(),
        Notice::Finished => "FINISHED".to_owned(),
    }
}

/// Whether a notice is still shown while time is skipped.
pub(crate) fn matters(notice: &Notice) -> bool {
    !matches!(notice, Notice::Renewed { .. } | Notice::LateAcknowledgement)
}

/// What is sent.
pub(crate) fn request(request: &Request) -> String {
    match &request.op {
        Op::Get => "sends a read".to_owned(),
        Op::Create(record) => {
            format!("sends a create, renew time {}, transitions {}", stamp_of(record), record.transitions)
        }
        Op::Update { seen, record } => {
            let mut text =
                format!("sends {} on version {}, renew time {}", a(request.purpose), seen.version, stamp_of(record));
            if request.purpose == Purpose::Acquire {
                text.push_str(&format!(", transitions {}", record.transitions));
            }
            if let Some(successor) = &record.successor {
                text.push_str(&format!(", for {successor}"));
            }
            if record.request.as_ref().is_some_and(|request| request.draining) {
                text += ", answering that it drains";
            }
            text
        }
    }
}

/// A record in a few words.
pub(crate) fn stored(found: &Versioned) -> String {
    let record = &found.record;
    let mut text = match &record.holder {
        Some(holder) => format!("version {} of {holder}, renewed {}", found.version, stamp_of(record)),
        None if record.is_untouched() => format!("version {}, never held", found.version),
        None => format!("version {} of nobody, renewed {}", found.version, stamp_of(record)),
    };
    if let Some(request) = &record.request {
        text += if request.draining { ", request answered" } else { ", with a request" };
    }
    text
}

/// A record in full.
pub(crate) fn record(found: &Versioned) -> String {
    let LeaseRecord { holder, lease_duration, acquire_time, transitions, epoch, acquired, released, .. } =
        &found.record;
    let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let mut text = format!(
        "version {}: holder {}, duration {}, acquired {}, renewed {}, transitions {transitions}, marks {} and {}",
        found.version,
        text(holder.as_ref().map(ToString::to_string)),
        Pretty(*lease_duration),
        text(acquire_time.map(stamp)),
        stamp_of(&found.record),
        text(acquired.as_ref().map(ToString::to_string)),
        text(released.as_ref().map(ToString::to_string)),
    );
    if *epoch > 0 {
        text.push_str(&format!(", epoch {epoch}"));
    }
    for (what, value) in [("successor", &found.record.successor), ("strategy", &found.record.strategy)] {
        if let Some(value) = value {
            text.push_str(&format!(", {what} {value}"));
        }
    }
    if let Some(request) = &found.record.request {
        text += if request.draining { ", request answered" } else { ", a request" };
    }
    text
}

fn stamp_of(record: &LeaseRecord) -> String {
    record.renew_time.map_or_else(|| "never".to_owned(), stamp)
}

fn stamp(time: Timestamp) -> String {
    let micros = time.unix_micros() - EPOCH_US;
    let sign = if micros < 0 { "-" } else { "" };
    let (whole, part) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    if part % 1_000 == 0 { format!("{sign}{whole}.{:03}", part / 1_000) } else { format!("{sign}{whole}.{part:06}") }
}

/// A moment of the story.
pub(crate) fn seconds(at_ns: u64) -> String {
    format!("{:.3}s", Duration::from_nanos(at_ns).as_secs_f64())
}

/// The instant so much earlier.
fn back(instant: Instant, by: Duration) -> Instant {
    let ns = u64::try_from(by.as_nanos()).expect("a short time");
    Instant::from_nanos(instant.boottime_nanos() - ns, instant.raw_nanos() - ns)
}
