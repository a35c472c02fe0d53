//! `cargo xtask prove`: what CI plays in thousands, in millions; and the model checker's large worlds.
//!
//! It takes most of an hour. What it prints is kept in docs/proof.md, with the commit it was run at.

use std::process::Command;

use crate::{Failure, cargo};

/// Plays the seeds, the years and, with `--model`, the large worlds instead; other `args` go to the program that plays
/// seeds, which then plays those only.
///
/// # Errors
/// The step that failed; it has said why.
pub fn run(args: &[String]) -> Result<(), Failure> {
    if args == ["--model"] {
        let model = ["test", "--release", "--locked", "--package", "lease-core", "--features", "exploration"];
        let large = ["--test", "model", "--", "--ignored", "--nocapture", "--test-threads", "1"];
        let mut command = cargo(model);
        command.args(large);
        return succeeds(command, "model");
    }
    let build =
        ["build", "--release", "--locked", "--package", "lease-memory", "--features", "sim", "--example", "prove"];
    succeeds(cargo(build), "build")?;
    let program = crate::dependencies::metadata()?.target_directory.join("release/examples/prove");
    let runs: Vec<Vec<String>> = if args.is_empty() {
        [SEEDS, YEARS].iter().map(|run| run.iter().map(|word| (*word).to_owned()).collect()).collect()
    } else {
        vec![args.to_vec()]
    };
    for run in runs {
        println!("prove {}", run.join(" "));
        let mut command = Command::new(&program);
        command.args(&run);
        succeeds(command, "prove")?;
    }
    Ok(())
}

fn succeeds(mut command: Command, step: &'static str) -> Result<(), Failure> {
    let status = command.status().map_err(Failure::io(command.get_program()))?;
    if status.success() { Ok(()) } else { Err(Failure::Steps(vec![step])) }
}

/// A million runs that are full of faults.
const SEEDS: &[&str] = &["--families", "swarm,adversarial,edits,rollbacks,strangers,mixed", "--seeds", "170000"];
/// Runs of hours, with something every hundred lease durations.
const YEARS: &[&str] = &["--families", "calendar,ordinary", "--seeds", "2200"];
