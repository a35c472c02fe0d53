//! Finds the Go programs of the testbed in the user's cache directory, or builds them there.
//!
//! They take minutes to build and never change between runs, so each is kept once a machine under a name that
//! carries the hash of everything it is made from. A build is renamed into place when it is complete, under a lock,
//! so that two test processes neither build twice nor run half a file. Old versions are left alone: another
//! checkout may still use them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fmt};

/// A program of the Go module in `testbed/go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Go {
    /// The stock Kubernetes API server.
    KubeApiserver,
    /// The stock etcd server.
    Etcd,
    /// The stock client-go leader elector.
    Elector,
}

impl Go {
    /// Every program, slowest build first.
    pub const ALL: [Self; 3] = [Self::KubeApiserver, Self::Etcd, Self::Elector];

    /// The name of the program, as in `LEASE_TEST_REQUIRE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::Etcd => "etcd",
            Self::Elector => "elector",
        }
    }
}

impl fmt::Display for Go {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a program of the testbed is not there.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The machine lacks the Go tool chain.
    #[error("{program} cannot be built: go is not installed")]
    GoMissing {
        /// The program that was asked for.
        program: Go,
    },
    /// The modules are neither cached nor to be had.
    #[error("{program} cannot be built: its Go modules are not available: {detail}")]
    ModulesUnavailable {
        /// The program that was asked for.
        program: Go,
        /// The last line that Go wrote.
        detail: String,
    },
    /// The compiler refused.
    #[error("{program} cannot be built: {detail}")]
    Failed {
        /// The program that was asked for.
        program: Go,
        /// The last line that Go wrote.
        detail: String,
    },
    /// The cache directory or the sources cannot be used.
    #[error("{program} cannot be built: {path}: {source}", path = path.display())]
    Io {
        /// The program that was asked for.
        program: Go,
        /// The file at fault.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BuildError {
    /// Whether the machine lacks something, rather than that something is broken.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::GoMissing { .. } | Self::ModulesUnavailable { .. })
    }
}

/// The path of a program, built if it has to be: seconds with a warm Go cache, minutes without.
///
/// # Errors
/// One line that names the program and what is missing.
pub fn go_program(program: Go) -> Result<PathBuf, BuildError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Io { program, path, source }
    };
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
    let hash = hash_of_sources(program, &sources).map_err(at(&sources))?;
    let cache = cache_dir();
    let binary = cache.join(format!("{program}-{hash:016x}"));
    if binary.exists() {
        return Ok(binary);
    }
    fs::create_dir_all(&cache).map_err(at(&cache))?;
    let lock_path = cache.join(format!("{program}.lock"));
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?;
    if !binary.exists() {
        // Past the capture of the test harness, so that minutes of building do not look like a hang.
        let _ = writeln!(io::stderr(), "testbed: building {program} once for this machine, it may take minutes");
        let partial = cache.join(format!("{program}-{}.partial", std::process::id()));
        let built =
            go_build(program, &sources, &partial).and_then(|()| fs::rename(&partial, &binary).map_err(at(&binary)));
        if built.is_err() {
            let _ = fs::remove_file(&partial);
        }
        built?;
    }
    Ok(binary)
}

fn go_build(program: Go, sources: &Path, to: &Path) -> Result<(), BuildError> {
    let package = format!("./cmd/{program}");
    let go = |args: &[&str]| -> Result<Option<String>, BuildError> {
        let output = Command::new("go")
            .args(args)
            .current_dir(sources)
            .env("GOWORK", "off")
            // Some distributions have it otherwise, and then a Go that is older than go.mod asks for gives up.
            .env("GOTOOLCHAIN", "auto")
            .stdin(Stdio::null())
            .output()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => BuildError::GoMissing { program },
                _ => BuildError::Io { program, path: PathBuf::from("go"), source },
            })?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("go failed without a word");
        Ok((!output.status.success()).then(|| last.trim().to_owned()))
    };
    // Listing the packages fetches every module and compiles nothing: it tells the two kinds of failure apart.
    if let Some(detail) = go(&["list", "-deps", &package])? {
        return Err(BuildError::ModulesUnavailable { program, detail });
    }
    let to = to.to_string_lossy();
    match go(&["build", "-trimpath", "-ldflags=-s -w", "-o", &to, &package])? {
        Some(detail) => Err(BuildError::Failed { program, detail }),
        None => Ok(()),
    }
}

/// Where the programs are kept: `lease-testbed` in the user's cache directory.
pub fn cache_dir() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map_or_else(env::temp_dir, |home| Path::new(&home).join(".cache"));
    cache.unwrap_or_else(home).join("lease-testbed")
}

/// The hash of what a program is made from: the versions, the shared packages and its own folder.
fn hash_of_sources(program: Go, sources: &Path) -> io::Result<u64> {
    let mut files = vec![sources.join("go.mod"), sources.join("go.sum")];
    for folder in [sources.join("internal"), sources.join("cmd").join(program.name())] {
        files.extend(files_below(&folder)?);
    }
    files.sort();
    let mut hash = Fnv::default();
    for file in files {
        hash.add(file.strip_prefix(sources).unwrap_or(&file).as_os_str().as_encoded_bytes());
        hash.add(&fs::read(&file)?);
    }
    Ok(hash.0)
}

fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

/// FNV-1a: the standard library promises no hash that is the same in the next compiler.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Adds one part, its length first, so that bytes cannot move from one part to the next unnoticed.
    fn add(&mut self, part: &[u8]) {
        let length = u64::try_from(part.len()).expect("a length fits in 64 bits");
        for byte in length.to_le_bytes().iter().chain(part) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_keyed_by_its_own_sources_and_the_shared_ones() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["internal/lifeline", "cmd/etcd", "cmd/elector"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["go.mod", "go.sum", "internal/lifeline/a.go", "cmd/etcd/main.go", "cmd/elector/main.go"] {
            fs::write(dir.path().join(file), file).unwrap();
        }
        let before = hash_of_sources(Go::Etcd, dir.path()).unwrap();
        fs::write(dir.path().join("cmd/elector/main.go"), "other").unwrap();
        assert_eq!(hash_of_sources(Go::Etcd, dir.path()).unwrap(), before);
        fs::write(dir.path().join("internal/lifeline/a.go"), "other").unwrap();
        let shared = hash_of_sources(Go::Etcd, dir.path()).unwrap();
        assert_ne!(shared, before);
        fs::write(dir.path().join("go.sum"), "other").unwrap();
        assert_ne!(hash_of_sources(Go::Etcd, dir.path()).unwrap(), shared);
    }
}
