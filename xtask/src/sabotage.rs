//! `cargo xtask sabotage`: faults made by hand in a copy of the core, to see that the simulator finds each of them.
//!
//! The faults are patches, so that what ships has no switch. Nothing tells the simulator what to look for: a sabotage
//! that it misses is a hole in its invariants or in what it draws, and is mended there.

mod patch;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use self::patch::Sabotage;
use self::table::Row;
use crate::{Failure, cargo, root, tidy};

/// Applies each sabotage in turn, or those whose names have one of `args` in them, and plays seeds until an invariant
/// is violated. `--write` puts the table into `docs/proof.md`.
///
/// # Errors
/// What was found too late or not at all, or in the core as it is.
pub fn run(args: &[String]) -> Result<(), Failure> {
    let (options, wanted): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| arg.starts_with("--"));
    let writes = options.iter().any(|option| *option == "--write");
    if let Some(unknown) = options.iter().find(|option| **option != "--write") {
        return Err(Failure::Findings(vec![format!("unknown option {unknown}; there is --write")]));
    }
    let mut sabotages = patch::read_all(&root().join(PATCHES))?;
    sabotages.retain(|sabotage| wanted.is_empty() || wanted.iter().any(|part| sabotage.name.contains(part.as_str())));
    if sabotages.is_empty() {
        return Err(Failure::Findings(vec!["no sabotage has such a name".to_owned()]));
    }
    if writes && !wanted.is_empty() {
        return Err(Failure::Findings(vec!["only all of them together are written down".to_owned()]));
    }
    let yard = Yard::lay_out()?;
    // Before anything is built, because each build and each search takes its time.
    let unfit: Vec<String> = sabotages.iter().filter_map(|sabotage| yard.apply(sabotage, &["--check"]).err()).collect();
    if !unfit.is_empty() {
        return Err(Failure::Findings(unfit));
    }
    let mut rows = Vec::new();
    for sabotage in &sabotages {
        let row = yard.try_one(sabotage)?;
        println!("{row}");
        rows.push(row);
    }
    let mut findings = table::findings(&rows);
    if wanted.is_empty() {
        findings.extend(table::slow_on_the_whole(&rows));
    }
    findings.extend(yard.try_none(&rows)?);
    println!("\n{}", table::summary(&rows));
    if writes {
        let path = root().join(DOCUMENT);
        let before = fs::read_to_string(&path).map_err(Failure::io(&path))?;
        let after = table::replaced(&before, &table::markdown(&rows))
            .ok_or_else(|| Failure::Findings(vec![format!("{DOCUMENT} has no markers for the table")]))?;
        fs::write(&path, after).map_err(Failure::io(&path))?;
    }
    if findings.is_empty() { Ok(()) } else { Err(Failure::Findings(findings)) }
}

/// A copy of the tree to be sabotaged, and what is built of it.
struct Yard {
    tree: PathBuf,
    target: PathBuf,
}

impl Yard {
    fn lay_out() -> Result<Self, Failure> {
        let folder = crate::dependencies::metadata()?.target_directory.join("sabotage").into_std_path_buf();
        let yard = Self { tree: folder.join("tree"), target: folder.join("target") };
        if yard.tree.exists() {
            fs::remove_dir_all(&yard.tree).map_err(Failure::io(&yard.tree))?;
        }
        // All of it, because a workspace whose members are missing is none.
        for path in tidy::files(root())?.into_iter().chain([root().join("Cargo.lock")]) {
            yard.copy(path.strip_prefix(root()).unwrap_or(&path))?;
        }
        Ok(yard)
    }

    fn copy(&self, path: &Path) -> Result<(), Failure> {
        let to = self.tree.join(path);
        let folder = to.parent().unwrap_or(&self.tree);
        fs::create_dir_all(folder).map_err(Failure::io(folder))?;
        // Read and written, so that the copy is as new as it looks to cargo.
        let bytes = fs::read(root().join(path)).map_err(Failure::io(path))?;
        fs::write(&to, bytes).map_err(Failure::io(&to))
    }

    fn try_one(&self, sabotage: &Sabotage) -> Result<Row, Failure> {
        self.apply(sabotage, &[]).map_err(|unfit| Failure::Findings(vec![unfit]))?;
        let played = self.build(&sabotage.name).and_then(|()| self.prove(&sabotage.name, LIMIT));
        for path in &sabotage.touches {
            self.copy(path)?;
        }
        Ok(Row::new(sabotage, &played?))
    }

    /// The core as it is must survive every seed that has found something, and as many again.
    fn try_none(&self, rows: &[Row]) -> Result<Option<String>, Failure> {
        let seeds = rows.iter().filter_map(Row::seed).max().unwrap_or(0) + SEEDS_BEYOND;
        self.build("nothing")?;
        let result = self.prove("nothing", ["--seeds", &seeds.to_string()])?;
        let invariant = result["invariant"].as_str();
        println!("{seeds} seeds of each family on the core as it is: {}", invariant.unwrap_or("no violation"));
        Ok(invariant.map(|invariant| format!("the core as it is violates {invariant}")))
    }

    /// Applies the patch, or says that it cannot be.
    fn apply(&self, sabotage: &Sabotage, options: &[&str]) -> Result<(), String> {
        let mut git = Command::new("git");
        git.args(["apply", "--whitespace=nowarn"]).args(options).arg(&sabotage.path);
        git.current_dir(&self.tree).stdin(Stdio::null());
        // Or it would take the copy for a folder of the repository around it, and pass over what is not tracked there.
        git.env("GIT_CEILING_DIRECTORIES", self.tree.parent().unwrap_or(&self.tree));
        let status = git.status().map_err(|error| format!("git: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("{} does not fit the core any more", sabotage.name)) }
    }

    fn build(&self, name: &str) -> Result<(), Failure> {
        let args = ["build", "--quiet", "--release", "--locked", "-p", "lease-memory", "--example", "prove"];
        let mut build = cargo(args);
        build.args(["--features", "sim"]).current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.target);
        // What is optimized across crates is built anew each time, which costs more than it saves.
        build.envs([("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")]);
        build.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "64");
        // What a mistake leaves unused is part of it.
        build.env("RUSTFLAGS", "--cap-lints allow");
        let status = build.status().map_err(Failure::io("cargo"))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::Findings(vec![format!("with {name} the core does not compile")]))
    }

    /// Plays seeds, and gives what the last line says.
    fn prove<const N: usize>(&self, name: &str, limit: [&str; N]) -> Result<Value, Failure> {
        let program = self.target.join("release/examples/prove");
        let mut prove = Command::new(&program);
        // One thread, so that the first seed that finds something is the same each time.
        prove.args(["--families", FAMILIES, "--threads", "1"]).args(limit);
        prove.arg("--out").arg(self.target.join(format!("{name}.json"))).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = prove.output().map_err(Failure::io(&program))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
        last.ok_or_else(|| Failure::Findings(vec![format!("with {name} the simulator fails: {}", output.status)]))
    }
}

const PATCHES: &str = "xtask/sabotages";
const DOCUMENT: &str = "docs/proof.md";
/// All but the calendar, whose runs are hours long and find nothing that these do not.
const FAMILIES: &str = "swarm,adversarial,edits,rollbacks,strangers";
/// For each sabotage: no number of seeds is the limit, but processor time.
const LIMIT: [&str; 4] = ["--seeds", "1000000", "--cpu-seconds", "60"];
/// How many more seeds the core as it is has to survive than those that have found something.
const SEEDS_BEYOND: u64 = 1_000;
