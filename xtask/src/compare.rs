//! `cargo xtask compare`: builds what is compared as users get it, and starts the comparison.
//!
//! The comparison itself is a program of `benches`, so that the commands of every day do not build what it needs.

use std::process::Command;

use crate::{Failure, cargo};

/// Builds and compares; `args` are those of the comparison.
///
/// # Errors
/// The step that failed; it has said why.
pub fn run(args: &[String]) -> Result<(), Failure> {
    // One after the other: built together, the program would get the features that the others ask for.
    for package in ["lease-cli", "testbed-worker", "benches"] {
        succeeds(cargo(["build", "--release", "--locked", "--package", package, "--bins"]), "build")?;
    }
    let target = crate::dependencies::metadata()?.target_directory.join("release");
    let mut compare = Command::new(target.join("compare"));
    compare.args(args);
    succeeds(compare, "compare")
}

fn succeeds(mut command: Command, step: &'static str) -> Result<(), Failure> {
    let status = command.status().map_err(Failure::io(command.get_program()))?;
    if status.success() { Ok(()) } else { Err(Failure::Steps(vec![step])) }
}
