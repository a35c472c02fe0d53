//! The project's own commands: `cargo xtask test`, `tidy`, `cluster`, `compare`, `sabotage` and `prove`.
//!
//! They are a program rather than a script, so that whoever can build the project can run them.

use std::env;
use std::process::ExitCode;

use xtask::{cluster, compare, prove, sabotage, test, tidy};

const USAGE: &str = "usage: cargo xtask COMMAND
  test [ARGS]   everything that CI runs; ARGS go to cargo test
  tidy          style, direction of dependencies and the TLS provider, without compiling anything
  cluster       an etcd and a Kubernetes API server for as long as it runs, and how to use them
  compare [OPTIONS]   ours and the stock client-go elector side by side: docs/comparison.md; --quick for a try
  sabotage [--write] [NAME..]   faults in a copy of the core, each of which the simulator has to find: docs/proof.md
  prove [--model | OPTIONS]   a million runs, and years; or the large worlds of the model checker: docs/proof.md";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let (command, rest) = args.split_first().map_or(("", &[][..]), |(command, rest)| (command.as_str(), rest));
    let done = match (command, rest) {
        ("test", args) => test::run(args),
        ("tidy", []) => tidy::run(),
        ("cluster", []) => cluster::run(),
        ("compare", args) => compare::run(args),
        ("prove", args) => prove::run(args),
        ("sabotage", args) => sabotage::run(args),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
