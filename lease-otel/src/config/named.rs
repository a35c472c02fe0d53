//! What a configuration names that has to be where the collector runs: files, directories and programs.
//!
//! Whether they are there is nothing that makes a configuration wrong: it may be checked elsewhere.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::problems::Problem;
use super::tree::Place;

/// Something that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Where it is named.
    pub place: Place,
    /// The keys that lead there, with dots between them.
    pub path: String,
    /// What it is.
    pub what: Thing,
}

/// What a configuration can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A file that is read.
    File(PathBuf),
    /// A directory in which files are made.
    Directory(PathBuf),
    /// A program that is run: a path, or a name to look for in the directories of `PATH`.
    Program(String),
}

impl Named {
    /// What to say when it is not on this machine; none when it is.
    ///
    /// `search` is the value of `PATH`.
    pub fn missing(&self, search: Option<&OsStr>) -> Option<Problem> {
        let missing = match &self.what {
            Thing::File(path) if path.is_dir() => {
                format!("`{}` is a directory, and a file is read here", path.display())
            }
            Thing::File(path) if !path.exists() => format!("there is no file `{}` on this machine", path.display()),
            Thing::Directory(path) if !path.is_dir() => {
                format!("there is no directory `{}` on this machine", path.display())
            }
            Thing::Program(name) if name.contains('/') => {
                let path = Path::new(name);
                if is_program(path) {
                    return None;
                }
                let how = if path.exists() { "cannot be run" } else { "is not on this machine" };
                format!("the program `{name}` {how}")
            }
            Thing::Program(name) => {
                let mut places = std::env::split_paths(search.unwrap_or_default());
                if places.any(|directory| is_program(&directory.join(name))) {
                    return None;
                }
                format!("there is no program `{name}` in the PATH of this machine")
            }
            Thing::File(_) | Thing::Directory(_) => return None,
        };
        let message = format!("{missing}; the collector needs it where it runs");
        Some(Problem { place: self.place.clone(), path: self.path.clone(), message })
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(what: Thing, search: Option<&str>) -> Option<String> {
        let place = Place { source: "test".into(), line: 1, column: 1 };
        let named = Named { place, path: "a.b".to_owned(), what };
        named.missing(search.map(OsStr::new)).map(|problem| problem.message)
    }

    #[test]
    fn what_is_there_is_not_told_and_what_is_not_is() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "").unwrap();
        let path = |path: &Path| path.display().to_string();
        assert_eq!(said(Thing::File(file.clone()), None), None);
        assert_eq!(said(Thing::Directory(place.path().to_owned()), None), None);
        assert!(said(Thing::File(place.path().to_owned()), None).unwrap().contains("is a directory"));
        assert!(said(Thing::File(place.path().join("x")), None).unwrap().starts_with("there is no file"));
        assert!(said(Thing::Directory(file.clone()), None).unwrap().starts_with("there is no directory"));
        assert!(said(Thing::Program(path(&file)), None).unwrap().contains("cannot be run"));
        assert!(said(Thing::Program("/no/x".to_owned()), None).unwrap().contains("is not on this machine"));
        let search = format!("/nowhere:{}", place.path().display());
        let by_name = || said(Thing::Program("file".to_owned()), Some(&search));
        assert!(by_name().unwrap().starts_with("there is no program `file` in the PATH"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!((by_name(), said(Thing::Program(path(&file)), None)), (None, None));
        assert!(said(Thing::Program("file".to_owned()), None).is_some());
    }
}
