//! `lease validate`, `lease components` and `lease print-config`: the configuration of the collector, looked at without
//! running it.

mod components;
mod print;
mod validate;

use lease_otel::config::{Loaded, Problem, Problems, Resolved, Source, resolve};

pub(crate) use self::components::components;
pub(crate) use self::print::{Arguments as PrintArguments, print};
pub(crate) use self::validate::validate;
use crate::cli::{Global, Output};
use crate::collector::registry;
use crate::exit::{self, Code, Failure};

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Sources {
    // clap shows the text as it is.
    #[allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "a help text")]
    /// A file, or file:PATH, env:NAME, yaml:TEXT; each is put over those before it
    #[arg(long, required = true, value_name = "URI")]
    config: Vec<Source>,
    /// A single value, over everything else, as exporters.debug.verbosity=detailed
    #[arg(long, value_parser = Source::set, value_name = "KEY=VALUE")]
    set: Vec<Source>,
}

impl Sources {
    fn resolve(&self) -> Resolved {
        let all: Vec<Source> = self.config.iter().chain(&self.set).cloned().collect();
        resolve(&all, &|name| std::env::var(name))
    }

    /// Reads and checks it, and logs what is doubtful in it.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        let log = |warnings: &[Problem]| warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let loaded = self.resolve().configure(&registry()).map_err(|problems| {
            log(&problems.warnings);
            wrong(&problems)
        })?;
        log(&loaded.warnings);
        Ok(loaded)
    }
}

/// Reads and checks a configuration that is not to run: what is doubtful in it is written as errors are, and is no log.
fn look_at(resolved: &Resolved, global: &Global) -> Result<Loaded, Failure> {
    let loaded = resolved.configure(&registry()).map_err(|problems| {
        warn(&problems.warnings, global);
        wrong(&problems)
    })?;
    warn(&loaded.warnings, global);
    Ok(loaded)
}

fn warn<'p>(warnings: impl IntoIterator<Item = &'p Problem>, global: &Global) {
    if global.quiet == 0 {
        warnings.into_iter().for_each(|warning| exit::warn(&warning.to_string(), global.color.on_stderr()));
    }
}

/// Everything that is wrong with a configuration.
fn wrong(problems: &Problems) -> Failure {
    let one = |problem: &Problem| Some(Failure::new(Code::Configuration, problem.to_string()));
    Failure::all(problems.errors.iter().map(one))
}

/// There is nothing here that has a name.
fn no_names(command: &str) -> Failure {
    Failure::new(Code::Usage, format!("{command} has no names to show")).help("use -o table, -o json or -o yaml")
}

fn is_document(output: Output) -> bool {
    matches!(output, Output::Json | Output::Yaml)
}
