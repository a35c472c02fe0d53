//! Recordings of leases: what `lease watch --record` writes and `lease plot` reads.
//!
//! A file of JSON lines. The first says the format and what was watched; each further one is a change, with the time of
//! its observation by the wall clock, for people, and by the clock that counts through suspend, to compute with. Each
//! run appends a first line of its own, because that clock begins anew with the machine. A file of any other format is
//! refused before anything is written to it. A line that was cut off, by a full disk or a crash, can only be the last.

mod read;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use lease_core::{LeaseRecord, Timestamp, Versioned};
use serde::{Deserialize, Serialize};

pub(crate) use self::read::{Recording, Session, Sighting};
pub(crate) use self::write::Recorder;
use crate::exit::{Code, Failure};

/// What every line begins with: when.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Observed {
    time: Timestamp,
    boottime_ns: u64,
}

/// The first line of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    format: String,
    format_version: u32,
    program: String,
    #[serde(flatten)]
    observed: Observed,
    backend: String,
    namespace: Option<String>,
    leases: Vec<String>,
}

/// A further line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(flatten)]
    observed: Observed,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// None when the line is about the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    event: Happened,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Whole, because a number of JSON would lose digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<Fields>,
}

/// What happened, in the words of `lease watch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Happened {
    /// As it was when the watch began.
    Is,
    Acquired,
    Renewed,
    Released,
    Changed,
    Deleted,
    /// The watch was interrupted: changes may go unseen until it is ready.
    Lost,
    Ready,
    /// The run was ended by a signal; without this line it was killed some time after its last one.
    Ended,
}

/// The fields of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fields {
    pub(crate) holder: Option<String>,
    pub(crate) lease_duration_ms: u64,
    pub(crate) acquire_time: Option<Timestamp>,
    pub(crate) renew_time: Option<Timestamp>,
    transitions: u32,
    #[serde(default)]
    epoch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    successor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<lease_core::HandoverRequest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strategy: Option<String>,
}

impl Fields {
    fn of(record: &LeaseRecord) -> Self {
        Self {
            holder: record.holder.as_ref().map(|holder| holder.as_str().to_owned()),
            lease_duration_ms: u64::try_from(record.lease_duration.as_millis()).unwrap_or(u64::MAX),
            acquire_time: record.acquire_time,
            renew_time: record.renew_time,
            transitions: record.transitions,
            epoch: record.epoch,
            successor: record.successor.as_deref().map(str::to_owned),
            request: record.request.as_deref().cloned(),
            strategy: record.strategy.as_deref().map(str::to_owned),
        }
    }

    pub(crate) fn lease_duration(&self) -> Duration {
        Duration::from_millis(self.lease_duration_ms)
    }
}

impl Entry {
    fn of(observed: Observed, lease: Option<(Option<&str>, &str)>, event: Happened, seen: Option<&Versioned>) -> Self {
        Self {
            observed,
            namespace: lease.and_then(|(namespace, _)| namespace).map(str::to_owned),
            name: lease.map(|(_, name)| name.to_owned()),
            event,
            version: seen.map(|seen| seen.version.as_str().to_owned()),
            revision: seen.and_then(|seen| seen.revision).map(|revision| revision.to_string()),
            record: seen.map(|seen| Fields::of(&seen.record)),
        }
    }
}

/// Why a file is not a recording that can be read or continued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    #[error("recording {} cannot be opened", .0.display())]
    Open(PathBuf, #[source] std::io::Error),
    #[error("recording {} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("recording {} cannot be written", .0.display())]
    Write(PathBuf, #[source] std::io::Error),
    #[error("{} is not a file, as a recording is", .0.display())]
    NoFile(PathBuf),
    #[error("recording {} is being written by another lease watch", .0.display())]
    Busy(PathBuf),
    #[error("{}:1: this is not a recording: its first line does not say that it is one", .0.display())]
    NoRecording(PathBuf),
    #[error("{}:1: the recording is empty: lease watch --record has written nothing to it yet", .0.display())]
    Empty(PathBuf),
    #[error(
        "{}:{line}: format version {found}, and this program knows version {FORMAT_VERSION}",
        path.display()
    )]
    Version { path: PathBuf, line: usize, found: u32 },
    #[error("{}:{line}:{column}: {what}", path.display())]
    Line { path: PathBuf, line: usize, column: usize, what: String },
    #[error("{}:{line}: the line is longer than {LINE_LENGTH_MAX} bytes", path.display())]
    TooLong { path: PathBuf, line: usize },
}

impl RecordingError {
    /// A line by itself, whose parser knows of no other.
    fn line(path: &Path, line: usize, error: &serde_json::Error) -> Self {
        let (column, said) = (error.column(), error.to_string());
        let place = format!(" at line {} column {column}", error.line());
        let what = said.strip_suffix(&place).unwrap_or(&said).to_owned();
        Self::Line { path: path.to_owned(), line, column, what }
    }
}

impl From<RecordingError> for Failure {
    fn from(error: RecordingError) -> Self {
        use RecordingError::{Busy, Empty, Line, NoFile, NoRecording, Open, Read, TooLong, Version, Write};
        let code = match &error {
            Open(..) | NoFile(_) => Code::NoInput,
            Read(..) | Write(..) => Code::System,
            Busy(_) => Code::NotAcquired,
            NoRecording(_) | Empty(_) | Version { .. } | Line { .. } | TooLong { .. } => Code::Data,
        };
        let help = match &error {
            Open(path, _) | Empty(path) => format!("record one with: lease watch NAME --record {}", path.display()),
            NoFile(_) | NoRecording(_) | Busy(_) | Write(..) => {
                "name another file, which need not exist for --record".to_owned()
            }
            Version { .. } => "use the version of lease that wrote it".to_owned(),
            Line { path, line, .. } | TooLong { path, line } => {
                format!("leave the line out: sed -i {line}d {}", path.display())
            }
            Read(..) => return Self::of(code, &error),
        };
        Self::of(code, &error).help(help)
    }
}

/// What the first line of a run says it is; None when it says nothing of the kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    format: String,
    format_version: u32,
}

/// Whether the line is the first of a run, of a version that we know.
fn is_head(text: &[u8], path: &Path, line: usize) -> Result<bool, RecordingError> {
    match serde_json::from_slice::<Format>(text) {
        Ok(format) if format.format != FORMAT => Ok(false),
        Ok(Format { format_version: found, .. }) if found != FORMAT_VERSION => {
            Err(RecordingError::Version { path: path.to_owned(), line, found })
        }
        Ok(_) => Ok(true),
        Err(_) => Ok(false),
    }
}

const FORMAT: &str = "lease-recording";
const FORMAT_VERSION: u32 = 1;
/// Far beyond any record that a store keeps; it bounds what a file that is none can cost.
const LINE_LENGTH_MAX: u64 = 4 << 20;
