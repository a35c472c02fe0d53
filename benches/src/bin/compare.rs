//! Ours and the stock client-go elector side by side; `cargo xtask compare` builds what it needs and starts it.

use std::process::ExitCode;

use benches::compare::{self, Options};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match Options::parse(&args).and_then(|options| compare::run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
