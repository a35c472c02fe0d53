//! Files that are results: whole or not at all, and never in the place of what they were made from.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Whether a file can be written. One that is there is left as it is, and none is left where there was none.
pub(crate) fn writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        // A pipe would wait for its reader.
        Ok(is_there) if !is_there.is_file() && !is_there.is_dir() => Ok(()),
        Ok(_) => OpenOptions::new().append(true).open(path).map(drop),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().append(true).create(true).open(path)?;
            fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

/// Writes a whole file: a full disk, or the end of this process, leaves what was there before.
///
/// What is no regular file, such as a pipe, is written to as it is, and so is a file in a directory where nothing can
/// be made.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let before = fs::metadata(path).ok();
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        return fs::write(path, text);
    }
    // A link stays one: what it leads to is replaced.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let beside = beside(&target);
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&beside) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && before.is_some() => {
            return fs::write(path, text);
        }
        opened => opened?,
    };
    let permissions = before.map(|before| before.permissions());
    let done = file
        .write_all(text.as_bytes())
        .and_then(|()| permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions)))
        // Some file systems tell only now that there was no room.
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, &target));
    if done.is_err() {
        // What is half is nobody's.
        let _ = fs::remove_file(&beside);
    }
    done
}

/// Whether both are one file, also one that is yet to be made.
pub(crate) fn are_same(one: &Path, other: &Path) -> bool {
    let (one, other) = (resolved(one), resolved(other));
    one.is_some() && one == other
}

fn resolved(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(parent.canonicalize().ok()?.join(path.file_name()?))
    })
}

/// A file name as a shell takes it, and as no command takes for an option.
pub(crate) fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    let name = if name.starts_with('-') { format!("./{name}") } else { name.to_owned() };
    if name.chars().all(is_plain) { name } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

/// A name in the same directory, which is on the same file system, that no other process uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_a_link_stays_one() {
        let place = TempDir::new().expect("a directory");
        let (file, link) = (place.path().join("file"), place.path().join("link"));
        write(&file, "one").expect("made");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mine");
        symlink("file", &link).expect("a link");
        write(&link, "two").expect("replaced");
        assert_eq!(fs::read_to_string(&file).expect("text"), "two");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 2, "nothing is left behind");
        write(Path::new("/dev/null"), "gone").expect("no file, and written to all the same");
    }

    #[test]
    fn one_file_has_many_names() {
        let place = TempDir::new().expect("a directory");
        let (file, other) = (place.path().join("file"), place.path().join("other"));
        assert!(are_same(&file, &place.path().join(".").join("file")), "not there yet");
        symlink(&file, &other).expect("a link");
        fs::write(&file, "").expect("written");
        assert!(are_same(&file, &other) && !are_same(&file, place.path()));
        assert!(!are_same(Path::new("/no/such/file"), Path::new("/no/such/file")));
    }
}
