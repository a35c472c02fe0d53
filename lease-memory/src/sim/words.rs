//! A run in words: what happens, is told and is sent, as a person would say it who reads over a candidate's shoulder.
//!
//! No instants of a candidate's own clocks: they have nothing in common with each other, and the stance at the end of
//! each line says how long something holds or lasts.

use std::fmt::Write as _;
use std::time::Duration;

use lease_core::{Event, Failure, Hint, HolderIdentity, LockErrorKind, Notice, Pretty, Purpose, Versioned};

use super::client_go::{PeerEvent, PeerNotice};
use super::invariants::letter;
use super::schedule::What;

/// What comes to a machine.
pub(super) fn event(event: &Event) -> String {
    match event {
        Event::Wake => "wakes".to_owned(),
        Event::Completed { result, .. } => completed(result),
        Event::Hint(Hint::Changed(seen)) => format!("is told of {}", record(seen)),
        Event::Hint(Hint::Deleted) => "is told that the record is gone".to_owned(),
        Event::WatchReady => "its watch is live".to_owned(),
        Event::WatchLost => "its watch is lost".to_owned(),
        Event::Resign { to: Some(to) } => format!("is asked to give up in favour of {to}"),
        Event::Resign { to: None } => "is asked to give up".to_owned(),
        Event::Shutdown => "is asked to end".to_owned(),
        Event::WorkEnded { .. } => "its work has ended, but for parts that have to drain".to_owned(),
        Event::Drained { .. } => "its work has stopped".to_owned(),
        Event::ExpirySeen { .. } => "a check finds the hold over".to_owned(),
    }
}

/// What comes to a peer.
pub(super) fn peer_event(event: &PeerEvent) -> String {
    match event {
        PeerEvent::Run => "runs its election".to_owned(),
        PeerEvent::Wake => "wakes".to_owned(),
        PeerEvent::Completed { result: Ok(seen), .. } => answered(seen.as_ref()),
        PeerEvent::Completed { result: Err(kind), .. } => refused(*kind),
        PeerEvent::Cancel => "is asked to end".to_owned(),
    }
}

fn completed(result: &Result<Option<Versioned>, Failure>) -> String {
    match result {
        Ok(seen) => answered(seen.as_ref()),
        Err(Failure { kind, retry_after: Some(after), .. }) => {
            format!("{}, to be tried again after {}", refused(*kind), Pretty(*after))
        }
        Err(Failure { kind, .. }) => refused(*kind),
    }
}

fn answered(seen: Option<&Versioned>) -> String {
    seen.map_or_else(|| "is answered: there is no record".to_owned(), |seen| format!("is answered: {}", record(seen)))
}

fn refused(kind: LockErrorKind) -> String {
    format!("is answered: {kind}")
}

/// A record as far as it matters to an election.
fn record(seen: &Versioned) -> String {
    format!("version {}, {}", seen.version, holder(seen.record.holder.as_ref()))
}

fn holder(holder: Option<&HolderIdentity>) -> String {
    holder.map_or_else(|| "held by nobody".to_owned(), |holder| format!("held by {holder}"))
}

/// What a machine tells its application; nothing where the stance says it too.
pub(super) fn notice(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::Renewed { .. } | Notice::Finished => return None,
        Notice::Started(term) => match &term.token {
            Some(token) => format!("LEADS, with token {token}"),
            None => "LEADS".to_owned(),
        },
        Notice::Drain { why, .. } => format!("its work is to drain: {why}"),
        Notice::MustStop { why, .. } => format!("its work must stop: {why}"),
        Notice::Stopped { why, released: true, .. } => format!("LEADS NO MORE, and has released the lease: {why}"),
        Notice::Stopped { why, released: false, .. } => format!("LEADS NO MORE: {why}"),
        Notice::HolderChanged(seen) => format!("sees the record {}", holder(seen.as_ref())),
        Notice::IdentityConflict => "somebody else writes under its name".to_owned(),
        Notice::Refusing(Some(refusal)) => format!("will not contend: {refusal}"),
        Notice::Refusing(None) => "contends again".to_owned(),
        Notice::LateAcknowledgement => "an acknowledgement came too late to count".to_owned(),
    })
}

/// What a peer tells its application, each after a semicolon.
pub(super) fn peer_notices(notices: &[PeerNotice]) -> String {
    notices.iter().flat_map(|notice| ["; ".to_owned(), peer_notice(notice)]).collect()
}

fn peer_notice(notice: &PeerNotice) -> String {
    match notice {
        PeerNotice::NewLeader(seen) => format!("sees the record {}", holder(seen.as_ref())),
        PeerNotice::Started => "LEADS".to_owned(),
        PeerNotice::Cancelled => "its work must stop".to_owned(),
        PeerNotice::Stopped => "LEADS NO MORE".to_owned(),
        PeerNotice::Ended => "its election has returned".to_owned(),
    }
}

/// What is sent.
pub(super) fn sends(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Read => "sends a read",
        Purpose::Acquire => "sends an acquisition",
        Purpose::Renew => "sends a renewal",
        Purpose::Release => "sends a release",
    }
}

/// What befalls whom.
pub(super) fn fault(what: &What) -> String {
    let whom: Vec<String> = what.nodes().iter().flatten().map(|node| letter(*node).to_string()).collect();
    let mut text = format!("-- {}", what.kind());
    if let [first, rest @ ..] = whom.as_slice() {
        let _ = write!(text, " of {first}");
        for other in rest {
            text.extend([" and ", other]);
        }
    }
    if let What::Edit { edit } = what {
        // As a scenario names it.
        let _ = write!(text, ": {}", serde_json::to_string(edit).unwrap_or_default().replace('"', ""));
    }
    if what.span_ns() > 0 {
        let _ = write!(text, ", for {}", Pretty(Duration::from_nanos(what.span_ns())));
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::sim::{Demands, Keep, Preset, RuleName, Scenario, Setting, Three, run};

    fn story(rule: RuleName) -> Vec<String> {
        let setting = Setting::new(Three::USUAL, rule, false).expect("the usual durations");
        let schedule = Scenario::preset(Preset::Crash).draw(&setting, 1).expect("it can be drawn");
        let keep = Keep { story: true, ..Keep::default() };
        run(&schedule, Demands::ALL, keep).expect("it can be run").story
    }

    #[test]
    fn a_story_is_read_and_not_decoded() {
        for rule in [RuleName::Ours, RuleName::ClientGo] {
            let story = story(rule);
            for line in &story {
                assert!(!line.contains('{') && !line.contains("Some(") && !line.contains('\n'), "{line}");
            }
            let has = |part: &str| story.iter().any(|line| line.contains(part));
            for part in ["a: starts", "sends an acquisition", "; LEADS", "sends a renewal", "-- crash of a, for "] {
                assert!(has(part), "{part:?} is not in the story of {rule:?}");
            }
        }
        assert!(
            story(RuleName::Ours)
                .iter()
                .any(|line| line.contains("not taking over: record unchanged for 0.0s of 15.0s, 15.0s to wait"))
        );
    }
}
