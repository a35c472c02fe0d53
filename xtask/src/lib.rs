//! What the commands of `cargo xtask` do, as a library, so that their checks are also ordinary tests.

pub mod cluster;
pub mod compare;
pub mod dependencies;
pub mod prove;
pub mod sabotage;
pub mod test;
pub mod tidy;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Steps of a test run failed; each has said why.
    #[error("failed: {}", .0.join(", "))]
    Steps(Vec<&'static str>),
    /// Rules of style or dependencies are broken.
    #[error("{} finding(s):\n  {}", .0.len(), .0.join("\n  "))]
    Findings(Vec<String>),
    /// A server does not start.
    #[error(transparent)]
    Server(#[from] testbed::server::ServerError),
    /// A program of the testbed is not there.
    #[error(transparent)]
    Build(#[from] testbed::build::BuildError),
    /// `LEASE_TEST_REQUIRE` cannot be right.
    #[error(transparent)]
    Require(#[from] testbed::require::UnknownName),
    /// Cargo does not tell about the workspace.
    #[error("cargo metadata: {0}")]
    Metadata(#[from] cargo_metadata::Error),
    /// A file or a program of the machine.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Failure {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}

/// A cargo command as a shell would give it.
///
/// What `cargo run` says of this package to this program is left out: ring's build script would take it for a change,
/// and every command here would compile half of the tree again that one in a shell has just compiled.
fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the workspace")
}
