//! The program `lease`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lease_cli::child::stage(std::env::args_os()).unwrap_or_else(lease_cli::main)
}
