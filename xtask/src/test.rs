//! `cargo xtask test`: everything that has to hold before a change is merged, in one command.
//!
//! It runs every step even after a failure, so that one run tells all, and ends with one line for each thing that
//! was left out. The servers for the live tests are built beside the Rust code, because either takes minutes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use serde_json::Value;
use testbed::build::{Go, go_program};
use testbed::require;

use crate::{Failure, cargo, root, tidy};

/// Runs all steps; `args` go to `cargo test`.
///
/// # Errors
/// The names of the steps that failed; what failed in them is printed as it happens.
pub fn run(args: &[String]) -> Result<(), Failure> {
    // A typo there should not cost an hour.
    require::parse(&std::env::var("LEASE_TEST_REQUIRE").unwrap_or_default())?;
    let record = tempfile::NamedTempFile::new().map_err(Failure::io("temporary file"))?;
    let mut steps = Steps::default();
    thread::scope(|scope| {
        let servers = scope.spawn(build_servers);
        steps.run("fmt", || succeeds(cargo(["fmt", "--all", "--check"])));
        steps.run("tidy", || tidy::run().map_err(|error| error.to_string()));
        let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        steps.run("clippy", || succeeds(cargo(clippy)));
        // The tests turn on features that users do not get: what ships has to compile without them.
        let shipped = ["clippy", "--locked", "--", "-D", "warnings"];
        steps.run("clippy as shipped", || succeeds(cargo(shipped)));
        // Alone, because together each is built with what the others ask of it.
        for package in ["lease-core", "lease-memory"] {
            let alone = ["clippy", "--locked", "--package", package, "--", "-D", "warnings"];
            steps.run("clippy alone", || succeeds(cargo(alone)));
        }
        steps.run("test build", || succeeds(cargo(["test", "--workspace", "--locked", "--no-run"])));
        steps.run("servers", || servers.join().expect("building servers does not panic"));
    });
    steps.run("test", || {
        let mut command = cargo(["test", "--workspace", "--locked", "--no-fail-fast"]);
        command.args(args).env("LEASE_TEST_SKIPPED", record.path());
        summarize(command)
    });
    steps.run("conformance", conformance);
    steps.run("doc", || document(&["--workspace", "--all-features"]));
    steps.run("doc as shipped", || document(&[]));
    let left_out = fs::read_to_string(record.path()).map_err(Failure::io(record.path()))?;
    steps.report(&left_out)
}

/// The steps so far, and how they went.
#[derive(Debug, Default)]
struct Steps {
    lines: Vec<String>,
    failed: Vec<&'static str>,
}

impl Steps {
    fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<(), String>) {
        println!("==> {name}");
        let begun = Instant::now();
        let done = step();
        let took = begun.elapsed().as_secs();
        if let Err(reason) = &done {
            eprintln!("{name}: {reason}");
            self.failed.push(name);
        }
        self.lines.push(format!("{name}: {} in {took} s", if done.is_ok() { "ok" } else { "FAILED" }));
    }

    fn report(self, left_out: &str) -> Result<(), Failure> {
        println!("==> summary");
        for line in &self.lines {
            println!("{line}");
        }
        for line in left_out.lines().collect::<BTreeSet<_>>() {
            println!("left out: {line}");
        }
        if self.failed.is_empty() { Ok(()) } else { Err(Failure::Steps(self.failed)) }
    }
}

/// Builds every program of the testbed. One that is missing fails only a run that requires it.
fn build_servers() -> Result<(), String> {
    let mut wrong = Vec::new();
    for program in Go::ALL {
        match go_program(program) {
            Ok(_) => {}
            Err(error) if error.is_absence() && !require::is_required(program.name()) => println!("{error}"),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The documentation without a warning. A link to what a feature brings is broken as shipped.
fn document(args: &[&str]) -> Result<(), String> {
    let mut command = cargo(["doc", "--locked", "--no-deps"]);
    command.args(args).env("RUSTDOCFLAGS", "-D warnings");
    succeeds(command)
}

fn succeeds(mut command: Command) -> Result<(), String> {
    let status = command.status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", display(&command))) }
}

/// Runs the tests, shows what they print, and repeats their results in one line at the end.
fn summarize(mut command: Command) -> Result<(), String> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let printed = BufReader::new(child.stdout.take().expect("stdout was piped a line above"));
    let mut results = Results::default();
    for line in printed.lines().map_while(Result::ok) {
        println!("{line}");
        results.take(&line);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let Results { binaries, passed, failed, ignored } = results;
    println!("test result over {binaries} binaries: {passed} passed; {failed} failed; {ignored} ignored");
    match status.success() {
        // A run without a test is a mistake in the arguments, or worse.
        true if passed == 0 => Err("no test ran".to_owned()),
        true => Ok(()),
        false => Err(format!("{} ended with {status}", display(&command))),
    }
}

/// The sums of the result lines of the test harness.
#[derive(Debug, Default, PartialEq, Eq)]
struct Results {
    binaries: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Results {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; ...`; others count nothing.
    fn take(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        self.binaries += 1;
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let Some(Ok(count)) = words.next().map(str::parse::<u32>) else { continue };
            match words.next() {
                Some("passed") => self.passed += count,
                Some("failed") => self.failed += count,
                Some("ignored") => self.ignored += count,
                _ => {}
            }
        }
    }
}

/// Checks that every conformance property is a test of lease-memory: one that disappears must not go unnoticed.
fn conformance() -> Result<(), String> {
    let list = root().join(PROPERTIES);
    let properties = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let mut tests = BTreeSet::new();
    for executable in test_executables("lease-memory")? {
        let listed = Command::new(&executable).args(["--list", "--format", "terse"]).output();
        let listed = listed.map_err(|error| format!("{}: {error}", executable.display()))?;
        tests.extend(String::from_utf8_lossy(&listed.stdout).lines().filter_map(test_name));
    }
    let missing = missing(&properties, &tests)?;
    if missing.is_empty() { Ok(()) } else { Err(format!("no test of lease-memory has the name: {missing:?}")) }
}

/// The last part of a listed test's name: `conformance::a_name: test` is `a_name`.
fn test_name(line: &str) -> Option<String> {
    line.strip_suffix(": test")?.rsplit("::").next().map(str::to_owned)
}

/// The properties that no test is named for.
fn missing(properties: &str, tests: &BTreeSet<String>) -> Result<Vec<String>, String> {
    let names: Vec<&str> = properties.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(format!("{PROPERTIES} names no property"));
    }
    Ok(names.into_iter().filter(|name| !tests.contains(*name)).map(str::to_owned).collect())
}

/// The test programs of a package, as the step before has built them.
fn test_executables(package: &str) -> Result<Vec<PathBuf>, String> {
    let mut command = cargo(["test", "--workspace", "--locked", "--no-run", "--message-format=json"]);
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{} ended with {}", display(&command), output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_package = messages.filter(|message| {
        let manifest = message["manifest_path"].as_str().unwrap_or_default();
        message["profile"]["test"] == true && manifest.ends_with(&format!("/{package}/Cargo.toml"))
    });
    Ok(of_package.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect())
}

fn display(command: &Command) -> String {
    let args = command.get_args().map(OsStr::to_string_lossy);
    format!("cargo {}", args.collect::<Vec<_>>().join(" "))
}

const PROPERTIES: &str = "lease-core/conformance-properties.txt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed() {
        let mut results = Results::default();
        results.take("test a ... ok");
        results.take("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s");
        results.take("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s");
        assert_eq!(results, Results { binaries: 2, passed: 7, failed: 2, ignored: 1 });
    }

    #[test]
    fn a_property_without_a_test_is_missing() {
        let tests = ["conformance::one: test", "two: test", "three: benchmark"];
        let tests = tests.into_iter().filter_map(test_name).collect();
        assert_eq!(missing("one\ntwo\n", &tests), Ok(vec![]));
        assert_eq!(missing("one\n\nthree\n", &tests), Ok(vec!["three".to_owned()]));
        assert!(missing("\n", &tests).is_err());
    }
}
