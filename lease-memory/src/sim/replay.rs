//! A run in a file: the schedule as it is, what it was found to break, and a digest of all of it that tells an edited one.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::schedule::{Schedule, ScheduleError};
use super::{Finding, Violation};

/// A run that was worth keeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Where it came from, for people: a preset and a seed, or a scenario.
    pub origin: String,
    /// What it breaks, for people; none for a good run.
    pub violates: Option<String>,
    /// The run.
    pub schedule: Schedule,
}

/// A file that cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It is no JSON, or not of this form.
    #[error("not a replay file: {0}")]
    Form(#[source] serde_json::Error),
    /// It was written by another version, which may have run it differently.
    #[error("replay format {found} is not {FORMAT}, the one that this version can play; use the version that wrote it")]
    Version {
        /// Its format.
        found: u32,
    },
    /// It is not as it was written.
    #[error("the run does not fit its digest: the file was edited or cut off; make it again from its seed")]
    Edited,
    /// It cannot be run.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    origin: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    violates: Option<String>,
    digest: String,
    schedule: Schedule,
}

/// Only what is needed to tell an older or newer file from a broken one.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

impl Replay {
    /// A seed that a batch has found, made smaller or not.
    pub fn of(finding: &Finding, schedule: Schedule, violation: &Violation) -> Self {
        let by = finding.rule.map_or_else(String::new, |rule| format!(", all by the rule {}", rule.as_str()));
        let origin = format!("seed {} of {}{by}", finding.seed, finding.family.as_str());
        Self { origin, violates: Some(violation.to_string()), schedule }
    }

    /// As text.
    pub fn to_json(&self) -> String {
        let file = File {
            format: FORMAT,
            origin: self.origin.clone(),
            violates: self.violates.clone(),
            digest: self.digest(),
            schedule: self.schedule.clone(),
        };
        let mut text = serde_json::to_string_pretty(&file).expect("plain data can be written");
        text.push('\n');
        text
    }

    /// Whether this looks like such a file, of whatever version, and not like anything else.
    pub fn is_one(text: &str) -> bool {
        #[derive(Deserialize)]
        struct Form {
            #[serde(rename = "format")]
            _format: u32,
            #[serde(rename = "schedule")]
            _schedule: serde::de::IgnoredAny,
        }
        serde_json::from_str::<Form>(text).is_ok()
    }

    /// Reads what [`Replay::to_json`] wrote, and nothing else.
    ///
    /// # Errors
    /// When it is of another version, was edited, or is no such file.
    pub fn from_json(text: &str) -> Result<Self, ReplayError> {
        let Header { format } = serde_json::from_str(text).map_err(ReplayError::Form)?;
        if format != FORMAT {
            return Err(ReplayError::Version { found: format });
        }
        let file: File = serde_json::from_str(text).map_err(ReplayError::Form)?;
        let replay = Self { origin: file.origin, violates: file.violates, schedule: file.schedule };
        if file.digest != replay.digest() {
            return Err(ReplayError::Edited);
        }
        replay.schedule.check()?;
        Ok(replay)
    }

    /// A number for the content, whatever the spaces between. The words are in it, because people believe them, and
    /// because what is said to be violated decides what is demanded.
    fn digest(&self) -> String {
        let content = (&self.origin, &self.violates, &self.schedule);
        let mut hasher = SipHasher13::new();
        hasher.write(serde_json::to_string(&content).expect("plain data can be written").as_bytes());
        format!("{:032x}", hasher.finish128().as_u128())
    }
}

/// Raised whenever an old file would be run differently.
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Family;

    fn replay() -> Replay {
        Replay { origin: "seed 7 of edits".into(), violates: None, schedule: Family::Edits.draw(7) }
    }

    #[test]
    fn a_run_survives_its_file() {
        assert_eq!(Replay::from_json(&replay().to_json()).expect("just written"), replay());
    }

    #[test]
    fn what_was_edited_cut_off_or_written_by_another_version_is_refused() {
        let text = replay().to_json();
        let edited = text.replacen("\"watches\": true", "\"watches\": false", 1);
        assert_ne!(edited, text);
        assert!(matches!(Replay::from_json(&edited), Err(ReplayError::Edited)));
        for words in [
            text.replacen("seed 7 of edits", "seed 8 of edits", 1),
            text.replacen("\"digest\"", "\"violates\": \"liveness\",\n  \"digest\"", 1),
        ] {
            assert!(words != text && matches!(Replay::from_json(&words), Err(ReplayError::Edited)), "{words:.200}");
        }
        assert!(matches!(Replay::from_json(&text[..text.len() / 2]), Err(ReplayError::Form(_))));
        let newer = text.replacen("\"format\": 1", "\"format\": 2, \"more\": 1", 1);
        assert!(matches!(Replay::from_json(&newer), Err(ReplayError::Version { found: 2 })));
        assert!(matches!(Replay::from_json("{}"), Err(ReplayError::Form(_))));
    }

    #[test]
    fn an_honest_file_of_an_impossible_run_is_refused() {
        let mut impossible = replay();
        impossible.schedule.nodes.clear();
        assert!(matches!(
            Replay::from_json(&impossible.to_json()),
            Err(ReplayError::Schedule(ScheduleError::Nodes(0)))
        ));
    }
}
