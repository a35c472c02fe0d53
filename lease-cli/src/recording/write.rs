//! Writing a recording: one line at a time, each whole, at the end of whatever the file holds.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use lease_core::Versioned;
use serde::Serialize;

use super::{Entry, FORMAT, FORMAT_VERSION, Happened, Head, LINE_LENGTH_MAX, Observed, RecordingError, is_head};
use crate::{clock, show};

/// An open recording.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: File,
    path: PathBuf,
    namespace: Option<String>,
    /// Whether there was no such file before.
    is_new: bool,
}

/// A file that was made for nothing, because there was nothing to watch, is not left behind.
impl Drop for Recorder {
    fn drop(&mut self) {
        if self.is_new && self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Recorder {
    /// Opens a recording to be continued, or makes a new one. Nothing is written yet.
    pub(crate) fn open(path: &Path) -> Result<Self, RecordingError> {
        let failed = |error| RecordingError::Write(path.to_owned(), error);
        // A pipe would be waited for, and a device has no end to continue at.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(RecordingError::NoFile(path.to_owned()));
        }
        let is_new = !path.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        // Held until this process ends.
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(RecordingError::Busy(path.to_owned())),
            // A file system without locks is no reason to record nothing.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        continued(&mut file, path)?;
        Ok(Self { file, path: path.to_owned(), namespace: None, is_new })
    }

    /// The first line of this run.
    pub(crate) fn begin(
        &mut self,
        backend: &str,
        namespace: Option<&str>,
        leases: &[&str],
    ) -> Result<(), RecordingError> {
        self.namespace = namespace.map(str::to_owned);
        let head = Head {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            program: concat!("lease ", env!("CARGO_PKG_VERSION")).to_owned(),
            observed: now(),
            backend: backend.to_owned(),
            namespace: self.namespace.clone(),
            leases: leases.iter().map(ToString::to_string).collect(),
        };
        self.put(&head)
    }

    /// What became of a lease.
    pub(crate) fn note(&mut self, name: &str, event: Happened, seen: Option<&Versioned>) -> Result<(), RecordingError> {
        self.put(&Entry::of(now(), Some((self.namespace.as_deref(), name)), event, seen))
    }

    /// The last line of this run.
    pub(crate) fn end(&mut self) -> Result<(), RecordingError> {
        self.put(&Entry::of(now(), None, Happened::Ended, None))
    }

    /// In one write, so that a process that is killed leaves whole lines.
    fn put(&mut self, line: &impl Serialize) -> Result<(), RecordingError> {
        let text = serde_json::to_string(line).map_err(std::io::Error::from);
        text.and_then(|text| self.file.write_all(format!("{text}\n").as_bytes()))
            .map_err(|error| RecordingError::Write(self.path.clone(), error))
    }
}

/// Refuses what is not a recording of ours, and drops a last line that was cut off: no later line could be read after it.
fn continued(file: &mut File, path: &Path) -> Result<(), RecordingError> {
    let failed = |error| RecordingError::Read(path.to_owned(), error);
    let length = file.metadata().map_err(failed)?.len();
    if length == 0 {
        return Ok(());
    }
    let mut first = Vec::new();
    BufReader::new(&*file).take(LINE_LENGTH_MAX).read_until(b'\n', &mut first).map_err(failed)?;
    if !is_head(&first, path, 1)? {
        return Err(RecordingError::NoRecording(path.to_owned()));
    }
    let tail_from = length.saturating_sub(LINE_LENGTH_MAX);
    file.seek(SeekFrom::Start(tail_from)).map_err(failed)?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).map_err(failed)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < tail.len() {
        tracing::warn!(recording = %path.display(), "the last line was cut off; it is left out");
        file.set_len(tail_from + whole as u64).map_err(|error| RecordingError::Write(path.to_owned(), error))?;
    }
    Ok(())
}

fn now() -> Observed {
    Observed { time: show::wall(), boottime_ns: clock::now().boottime_nanos() }
}

#[cfg(test)]
mod tests {
    use lease_core::{Attachment, HolderIdentity, LeaseRecord, Version};
    use tempfile::TempDir;

    use super::super::{Recording, Session};
    use super::*;

    fn seen(holder: &str) -> Versioned {
        let holder = HolderIdentity::from_record(holder);
        let record =
            LeaseRecord { holder, lease_duration: std::time::Duration::from_secs(15), ..LeaseRecord::default() };
        Versioned { record, version: Version::new("7"), revision: Some(u128::MAX), attachment: Attachment::NONE }
    }

    fn one_run(path: &Path) -> Result<(), RecordingError> {
        let mut recorder = Recorder::open(path)?;
        recorder.begin("k8s", Some("prod"), &["db"])?;
        recorder.note("db", Happened::Is, Some(&seen("a")))?;
        recorder.note("db", Happened::Deleted, None)?;
        recorder.end()
    }

    #[test]
    fn what_is_written_is_read() {
        let place = TempDir::new().expect("a directory");
        let path = place.path().join("r.jsonl");
        one_run(&path).expect("written");
        one_run(&path).expect("continued");
        let recording = Recording::read(&path).expect("read");
        let [first, second] = &recording.sessions[..] else { panic!("{recording:?}") };
        assert!(second.from >= first.until);
        for Session { leases, sightings, .. } in [first, second] {
            assert_eq!(leases, &["prod/db"]);
            let events: Vec<_> = sightings.iter().map(|sighting| (sighting.lease.as_str(), sighting.event)).collect();
            assert_eq!(events, [("prod/db", Happened::Is), ("prod/db", Happened::Deleted)]);
            let record = sightings[0].record.as_ref().expect("it was there");
            assert_eq!((record.holder.as_deref(), record.lease_duration_ms), (Some("a"), 15_000));
        }
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.contains(&format!("\"revision\":\"{}\"", u128::MAX)), "{text}");
    }

    #[test]
    fn nothing_else_is_written_into() {
        let place = TempDir::new().expect("a directory");
        let path = place.path().join("notes");
        for text in ["hello\n", "{}\n", "{\"format\":\"other\",\"formatVersion\":1}\n", "no line end"] {
            fs::write(&path, text).expect("written");
            assert!(matches!(Recorder::open(&path), Err(RecordingError::NoRecording(_))), "{text}");
            assert_eq!(fs::read_to_string(&path).expect("text"), text);
        }
        fs::write(&path, "{\"format\":\"lease-recording\",\"formatVersion\":9}\n").expect("written");
        assert!(matches!(Recorder::open(&path), Err(RecordingError::Version { line: 1, found: 9, .. })));
        assert!(matches!(Recorder::open(place.path()), Err(RecordingError::NoFile(_))));
    }

    #[test]
    fn two_do_not_write_at_once() {
        let place = TempDir::new().expect("a directory");
        let path = place.path().join("r.jsonl");
        let first = Recorder::open(&path).expect("free");
        assert!(matches!(Recorder::open(&path), Err(RecordingError::Busy(_))));
        drop(first);
        Recorder::open(&path).expect("free again");
    }

    #[test]
    fn a_line_that_was_cut_off_is_left_out_before_the_next() {
        let place = TempDir::new().expect("a directory");
        let path = place.path().join("r.jsonl");
        one_run(&path).expect("written");
        let whole = fs::read(&path).expect("there");
        fs::write(&path, &whole[..whole.len() - 9]).expect("cut");
        assert_eq!(Recording::read(&path).expect("tolerated").sessions[0].sightings.len(), 2);
        one_run(&path).expect("continued");
        assert_eq!(Recording::read(&path).expect("whole").sessions.len(), 2);
    }
}
