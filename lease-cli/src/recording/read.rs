//! Reading a recording, line by line: whole, or not at all but for a last line that was cut off.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use lease_core::Timestamp;

use super::{Entry, Fields, Happened, Head, LINE_LENGTH_MAX, Observed, RecordingError, is_head};

/// All runs of a file, in the order of their lines.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) sessions: Vec<Session>,
}

/// One run of `lease watch --record`. Times count from the start of the first run of the file.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) began: Timestamp,
    pub(crate) from: Duration,
    /// Of the last line: later, nothing was written and nothing is known.
    pub(crate) until: Duration,
    /// With the namespace before it, where there is one.
    pub(crate) leases: Vec<String>,
    pub(crate) sightings: Vec<Sighting>,
    /// By its own clock.
    first: Observed,
}

/// What was seen of one lease.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) lease: String,
    pub(crate) at: Duration,
    pub(crate) time: Timestamp,
    pub(crate) event: Happened,
    pub(crate) record: Option<Fields>,
}

impl Recording {
    pub(crate) fn read(path: &Path) -> Result<Self, RecordingError> {
        let file = File::open(path).map_err(|error| RecordingError::Open(path.to_owned(), error))?;
        // A directory can be opened, and not be read.
        if path.is_dir() {
            return Err(RecordingError::NoFile(path.to_owned()));
        }
        let mut lines = BufReader::new(file);
        let mut recording = Self { sessions: Vec::new() };
        for line in 1.. {
            let mut text = Vec::new();
            let part = lines.by_ref().take(LINE_LENGTH_MAX).read_until(b'\n', &mut text);
            if part.map_err(|error| RecordingError::Read(path.to_owned(), error))? == 0 {
                break;
            }
            let is_whole = text.ends_with(b"\n");
            if !is_whole && text.len() as u64 == LINE_LENGTH_MAX {
                // A first line of this length is that of something else.
                let path = path.to_owned();
                return Err(match line {
                    1 => RecordingError::NoRecording(path),
                    _ => RecordingError::TooLong { path, line },
                });
            }
            match recording.take(&text, path, line) {
                Err(RecordingError::Line { .. }) if !is_whole => {
                    tracing::warn!(recording = %path.display(), line, "the last line was cut off; it is left out");
                }
                result => result?,
            }
        }
        if recording.sessions.is_empty() { Err(RecordingError::Empty(path.to_owned())) } else { Ok(recording) }
    }

    fn take(&mut self, text: &[u8], path: &Path, line: usize) -> Result<(), RecordingError> {
        let senseless = |error: serde_json::Error| RecordingError::line(path, line, &error);
        if is_head(text, path, line)? {
            let head = serde_json::from_slice(text).map_err(senseless)?;
            self.sessions.push(Session::begin(&head, &self.sessions));
            return Ok(());
        }
        let Some(session) = self.sessions.last_mut() else {
            return Err(RecordingError::NoRecording(path.to_owned()));
        };
        session.note(serde_json::from_slice(text).map_err(senseless)?);
        Ok(())
    }
}

impl Session {
    fn begin(head: &Head, before: &[Self]) -> Self {
        let began = head.observed.time;
        let since_first = before.first().map_or(Duration::ZERO, |first| between(first.began, began));
        // A wall clock that was set back must not lay one run over another.
        let from = before.last().map_or(since_first, |last| since_first.max(last.until));
        let leases = head.leases.iter().map(|name| qualified(head.namespace.as_deref(), name)).collect();
        Self { began, from, until: from, leases, sightings: Vec::new(), first: head.observed }
    }

    fn note(&mut self, entry: Entry) {
        let since = Duration::from_nanos(entry.observed.boottime_ns.saturating_sub(self.first.boottime_ns));
        let at = self.from.saturating_add(since).max(self.until);
        self.until = at;
        let Some(name) = entry.name else { return };
        self.sightings.push(Sighting {
            lease: qualified(entry.namespace.as_deref(), &name),
            at,
            time: entry.observed.time,
            event: entry.event,
            record: entry.record,
        });
    }
}

fn qualified(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// From one wall time to a later one; zero to an earlier one.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(to.unix_micros().saturating_sub(from.unix_micros())).unwrap_or(0))
}
