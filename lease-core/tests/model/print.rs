//! What happened on a path, for people: a line for each thing that was said, sent or done, with the true time before it.

use std::fmt::Display;

use lease_core::{Instant, Notice};
use stateright::Model;

use crate::plan::{Plan, name_of};
use crate::world::{State, Step, World};

/// What a step says, if anybody listens.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Option<Vec<String>>,
    steps: u64,
    step_ms: u64,
}

impl Log {
    pub(crate) fn advance(&mut self) {
        self.steps += 1;
    }

    pub(crate) fn note(&mut self, line: impl Display) {
        let at_ms = self.steps * self.step_ms;
        if let Some(lines) = &mut self.lines {
            let at = std::time::Duration::from_millis(at_ms).as_secs_f64();
            lines.push(format!("{at}s {line}"));
        }
    }

    pub(crate) fn say(&mut self, node: usize, line: impl Display) {
        if self.lines.is_some() {
            self.note(format_args!("{}: {line}", name_of(node)));
        }
    }

    pub(crate) fn notice(&mut self, node: usize, notice: &Notice, now: Instant) {
        if self.lines.is_some() {
            self.say(node, describe::notice(notice, now));
        }
    }
}

/// The path again, with times and revisions that count upwards.
pub(crate) fn tell(plan: &Plan, steps: &[Step]) -> Vec<String> {
    let world = World::unrenamed(plan.clone());
    let mut log = Log { lines: Some(Vec::new()), steps: 0, step_ms: u64::from(plan.step_ms) };
    let mut state = State::first(plan);
    for step in steps {
        let mut possible = Vec::new();
        world.actions(&state, &mut possible);
        assert!(possible.contains(step), "{step:?} is not possible when nothing is renamed: {possible:?}");
        state = world.take(&state, *step, &mut log);
    }
    log.lines.unwrap_or_default()
}

/// Sentences for what passes between a machine and its world.
pub(crate) mod describe {
    use std::time::Duration;

    use lease_core::{Instant, LeaseRecord, LockErrorKind, Notice, Op, Purpose, Request, Versioned};

    pub(crate) fn request(request: &Request) -> String {
        match (&request.op, request.purpose) {
            (Op::Get, _) => "read".to_owned(),
            (Op::Create(_), _) => "create".to_owned(),
            (Op::Update { seen, .. }, purpose) => {
                let what = if purpose == Purpose::Acquire {
                    "acquisition"
                } else if purpose == Purpose::Renew {
                    "renewal"
                } else {
                    "release"
                };
                format!("{what} of version {}", seen.version)
            }
        }
    }

    pub(crate) fn record(record: &LeaseRecord) -> String {
        let holder = record.holder.as_ref().map_or("nobody", |holder| holder.as_str());
        format!("held by {holder} for {:?}, transitions {}", record.lease_duration, record.transitions)
    }

    pub(crate) fn answer(answer: &Result<Option<Versioned>, LockErrorKind>) -> String {
        match answer {
            Ok(Some(found)) => format!("version {}, {}", found.version, record(&found.record)),
            Ok(None) => "there is no record".to_owned(),
            Err(kind) => kind.to_string(),
        }
    }

    pub(crate) fn notice(notice: &Notice, now: Instant) -> String {
        let left = |until: &Instant| -> Duration { now.until_either(*until) };
        match notice {
            Notice::Started(term) => {
                let token = term.token.map(|token| token.to_string()).unwrap_or_default();
                format!("leads, for {:?} more (token {token}, won: {})", left(&term.valid_until), term.won.as_str())
            }
            Notice::Renewed { valid_until, .. } => format!("leads on, for {:?} more", left(valid_until)),
            Notice::Drain { by, why, .. } => format!("drains within {:?} ({why})", left(by)),
            Notice::MustStop { by, why, .. } => format!("must stop within {:?} ({why})", left(by)),
            Notice::Stopped { why, released, .. } => {
                format!("its term is closed ({why}, {})", if *released { "released" } else { "not released" })
            }
            Notice::HolderChanged(Some(holder)) => format!("sees {holder} as the holder"),
            Notice::HolderChanged(None) => "sees no holder".to_owned(),
            other => format!("{other:?}"),
        }
    }
}
