//! `lease print-config`.

use clap::ValueEnum;
use lease_otel::config::{Mode, Printed};

use super::{Sources, look_at, no_names};
use crate::cli::{Global, Output};
use crate::exit::Failure;
use crate::show;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// Whether secrets are shown
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    mode: Secrets,
}

/// Whether secrets are shown.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Secrets {
    /// [REDACTED] takes the place of each
    #[default]
    Redacted,
    /// They are shown
    Unredacted,
}

/// Shows the configuration as one: merged, expanded and checked.
pub(crate) fn print(arguments: &Arguments, global: &Global) -> Result<u8, Failure> {
    let output = match global.output {
        Output::Table | Output::Yaml => Output::Yaml,
        Output::Json => Output::Json,
        Output::Name => return Err(no_names("print-config")),
    };
    let resolved = arguments.sources.resolve();
    look_at(&resolved, global)?;
    let mode = match arguments.mode {
        Secrets::Redacted => Mode::Redacted,
        Secrets::Unredacted => Mode::Unredacted,
    };
    show::print(&show::document(&Printed::new(&resolved.root, mode), output)?).map(|()| 0)
}
