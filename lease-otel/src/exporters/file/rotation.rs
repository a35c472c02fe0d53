//! Files of a bounded size, with the time in the names of the older ones.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::config::Fields;

/// The section `rotation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotation {
    max_megabytes: u64,
    /// Zero keeps older files however old they are.
    max_days: u64,
    /// Zero keeps all.
    max_backups: u64,
    localtime: bool,
}

const STAMP: &str = "%Y-%m-%dT%H-%M-%S%.3f";

impl Rotation {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let mut section = fields.section("rotation")?;
        let megabytes = section.count("max_megabytes", 0, u64::MAX >> 44).unwrap_or(0);
        let rotation = Self {
            max_megabytes: if megabytes == 0 { 100 } else { megabytes },
            max_days: section.count("max_days", 0, u64::from(u16::MAX)).unwrap_or(0),
            max_backups: section.count("max_backups", 0, u64::from(u32::MAX)).unwrap_or(100),
            localtime: section.truth("localtime").unwrap_or_default(),
        };
        section.finish();
        Some(rotation)
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.max_megabytes << 20
    }

    fn zone(&self) -> TimeZone {
        if self.localtime { TimeZone::system() } else { TimeZone::UTC }
    }

    /// Gives the file a name with the time in it.
    pub(super) fn rotate(&self, path: &Path) -> io::Result<()> {
        let mut now = Zoned::new(Timestamp::now(), self.zone());
        let mut backup = backup(path, &now);
        // Two within a millisecond.
        while backup.exists() {
            now = now.saturating_add(jiff::Span::new().milliseconds(1));
            backup = self::backup(path, &now);
        }
        std::fs::rename(path, backup)
    }

    /// Removes the older files that are too many or too old. One that cannot be removed is tried again the next time.
    pub(super) fn clean_up(&self, path: &Path) {
        for backup in self.superfluous(path, Timestamp::now()) {
            if let Err(error) = std::fs::remove_file(&backup) {
                tracing::warn!("`{}` cannot be removed: {error}", backup.display());
            }
        }
    }

    fn superfluous(&self, path: &Path, now: Timestamp) -> Vec<PathBuf> {
        let mut backups = backups(path);
        backups.sort_by(|(a, _), (b, _)| b.cmp(a));
        let kept =
            if self.max_backups == 0 { usize::MAX } else { usize::try_from(self.max_backups).unwrap_or(usize::MAX) };
        let age = Duration::from_secs(self.max_days * 24 * 60 * 60);
        let oldest = now.checked_sub(age).unwrap_or(Timestamp::MIN).to_zoned(self.zone()).datetime();
        backups
            .into_iter()
            .enumerate()
            .filter(|(index, (at, _))| *index >= kept || (self.max_days > 0 && *at < oldest))
            .map(|(_, (_, backup))| backup)
            .collect()
    }
}

/// What stands before and after the time in the name of an older file.
fn around(path: &Path) -> (String, String) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(OsStr::to_string_lossy);
    (format!("{stem}-"), extension.map_or_else(String::new, |extension| format!(".{extension}")))
}

fn backup(path: &Path, at: &Zoned) -> PathBuf {
    let (before, after) = around(path);
    path.with_file_name(format!("{before}{}{after}", at.strftime(STAMP)))
}

/// The older files, and the times in their names.
fn backups(path: &Path) -> Vec<(DateTime, PathBuf)> {
    let (before, after) = around(path);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    names
        .filter_map(|found| {
            let name = found.file_name()?.to_str()?;
            let stamp = name.strip_prefix(&before)?.strip_suffix(&after)?;
            Some((DateTime::strptime(STAMP, stamp).ok()?, found))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_time_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.json");
        let at = |text: &str| text.parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC);
        let first = backup(&path, &at("2022-09-14T05:02:14.173Z"));
        assert_eq!(first, dir.path().join("data-2022-09-14T05-02-14.173.json"));
        let second = backup(&path, &at("2022-09-15T05:02:14.173Z"));
        let third = backup(&path, &at("2022-09-16T05:02:14Z"));
        for file in [&first, &second, &third, &path, &dir.path().join("data-old.json")] {
            std::fs::write(file, "").unwrap();
        }
        let rotation = |max_backups, max_days| Rotation { max_megabytes: 1, max_days, max_backups, localtime: false };
        let now = at("2022-09-16T12:00:00Z").timestamp();
        assert_eq!(rotation(2, 0).superfluous(&path, now), std::slice::from_ref(&first));
        assert_eq!(rotation(0, 1).superfluous(&path, now), [second.clone(), first.clone()]);
        assert_eq!(rotation(0, 0).superfluous(&path, now), [] as [PathBuf; 0]);
    }
}
