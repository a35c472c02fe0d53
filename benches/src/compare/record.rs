//! The results of a run: in memory for the page, and line by line on the disk, so that a run that fails leaves its samples.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::CompareError;
use super::candidate::Peer;
use super::edits::Edit;
use super::options::Part;

/// One handover or crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Takeover {
    pub(super) part: Part,
    pub(super) peer: Peer,
    pub(super) lane: usize,
    /// The deliberate wait before the event.
    pub(super) moment: Duration,
    /// From the event to the first act of the next leader; none if there was none in time.
    pub(super) gap: Option<Duration>,
    /// From the last act of the one to the first act of the other.
    pub(super) leaderless: Duration,
    /// How often two acted at once.
    pub(super) overlaps: usize,
    pub(super) overlap: Duration,
    /// How many scenes were not right before this one.
    pub(super) retries: u32,
}

/// One edit by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edited {
    pub(super) edit: Edit,
    pub(super) peer: Peer,
    pub(super) lane: usize,
    pub(super) moment: Duration,
    pub(super) overlaps: usize,
    pub(super) overlap: Duration,
    /// The longest time without an act, from the edit to the end of the observation.
    pub(super) leaderless: Duration,
    pub(super) retries: u32,
}

/// One figure of use.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Used {
    pub(super) what: &'static str,
    pub(super) peer: Peer,
    pub(super) value: f64,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    pub(super) takeovers: Vec<Takeover>,
    pub(super) edits: Vec<Edited>,
    pub(super) used: Vec<Used>,
}

/// The results so far, and the files that have them too.
#[derive(Debug)]
pub(super) struct Record {
    dir: PathBuf,
    inner: Mutex<(Results, Files)>,
}

#[derive(Debug)]
struct Files {
    takeovers: File,
    edits: File,
    used: File,
}

impl Record {
    pub(super) fn create(dir: &Path) -> Result<Self, CompareError> {
        fs::create_dir_all(dir).map_err(CompareError::io(dir))?;
        let file = |name: &str, header: &str| {
            let path = dir.join(name);
            let written = File::create(&path).and_then(|mut file| writeln!(file, "{header}").map(|()| file));
            written.map_err(CompareError::io(path))
        };
        let files = Files {
            takeovers: file("takeovers.csv", TAKEOVERS_HEADER)?,
            edits: file("edits.csv", EDITS_HEADER)?,
            used: file("used.csv", "what,peer,value")?,
        };
        Ok(Self { dir: dir.to_owned(), inner: Mutex::new((Results::default(), files)) })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn results(&self) -> Results {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(super) fn takeover(&self, sample: Takeover) -> Result<(), CompareError> {
        self.add(&takeover_line(&sample), |files| &mut files.takeovers, |results| results.takeovers.push(sample))
    }

    pub(super) fn edited(&self, sample: Edited) -> Result<(), CompareError> {
        self.add(&edit_line(&sample), |files| &mut files.edits, |results| results.edits.push(sample))
    }

    pub(super) fn used(&self, what: &'static str, peer: Peer, value: f64) -> Result<(), CompareError> {
        let line = format!("{what},{peer},{value:.6}");
        self.add(&line, |files| &mut files.used, |results| results.used.push(Used { what, peer, value }))
    }

    fn add(
        &self,
        line: &str,
        file: impl FnOnce(&mut Files) -> &mut File,
        push: impl FnOnce(&mut Results),
    ) -> Result<(), CompareError> {
        eprintln!("  {line}");
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        push(&mut inner.0);
        writeln!(file(&mut inner.1), "{line}").map_err(CompareError::io(&self.dir))
    }
}

fn takeover_line(sample: &Takeover) -> String {
    let Takeover { part, peer, lane, moment, gap, leaderless, overlaps, overlap, retries } = sample;
    let gap = gap.map_or_else(|| "none".to_owned(), millis);
    let (moment, leaderless, overlap) = (millis(*moment), millis(*leaderless), millis(*overlap));
    format!("{part},{peer},{lane},{moment},{gap},{leaderless},{overlaps},{overlap},{retries}")
}

fn edit_line(sample: &Edited) -> String {
    let Edited { edit, peer, lane, moment, overlaps, overlap, leaderless, retries } = sample;
    let (moment, overlap, leaderless) = (millis(*moment), millis(*overlap), millis(*leaderless));
    format!("{edit},{peer},{lane},{moment},{overlaps},{overlap},{leaderless},{retries}")
}

fn millis(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1000.0)
}

const TAKEOVERS_HEADER: &str = "part,peer,lane,moment_ms,gap_ms,leaderless_ms,overlaps,overlap_ms,retries";
const EDITS_HEADER: &str = "edit,peer,lane,moment_ms,overlaps,overlap_ms,leaderless_ms,retries";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_on_the_disk_as_soon_as_they_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::create(dir.path()).unwrap();
        let sample = Takeover {
            part: Part::Graceful,
            peer: Peer::Ours,
            lane: 3,
            moment: Duration::from_millis(1500),
            gap: Some(Duration::from_micros(42_500)),
            leaderless: Duration::from_millis(40),
            overlaps: 0,
            overlap: Duration::ZERO,
            retries: 1,
        };
        record.takeover(sample.clone()).unwrap();
        record.takeover(Takeover { gap: None, peer: Peer::ClientGo, ..sample.clone() }).unwrap();
        record.used("memory", Peer::Ours, 1.5).unwrap();
        let lines = fs::read_to_string(dir.path().join("takeovers.csv")).unwrap();
        let wanted =
            "graceful,ours,3,1500.000,42.500,40.000,0,0.000,1\ngraceful,client-go,3,1500.000,none,40.000,0,0.000,1\n";
        assert_eq!(lines, format!("{TAKEOVERS_HEADER}\n{wanted}"));
        assert_eq!(record.results().takeovers[0], sample);
        assert_eq!(TAKEOVERS_HEADER.split(',').count(), wanted.lines().next().unwrap().split(',').count());
    }
}
