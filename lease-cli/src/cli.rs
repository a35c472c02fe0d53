//! The command line.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::exit::{Code, Failure};
use crate::logging::{self, Color, LogFormat};
use crate::{advise, backend, collector, config, delete, get, plot, run, simulate, watch};

/// Run a command on exactly one of many replicas, and look after the leases that decide which
#[derive(Debug, Parser)]
#[command(name = "lease", version, max_term_width = 100, infer_subcommands = false)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    #[command(flatten)]
    pub(crate) backend: backend::Options,
    /// How results look
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
    /// Log less: once for errors only, twice for nothing
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) quiet: u8,
    /// Log more: once for details, twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
}

/// How results look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns for people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Names only.
    Name,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command for as long as this replica leads
    Run(Box<run::Arguments>),
    /// Collect telemetry, each receiver on exactly one of many replicas
    #[command(after_help = collector::EXIT_CODES)]
    Collector(collector::Arguments),
    /// Check the configuration of a collector, and tell everything that is wrong with it
    Validate(config::Sources),
    /// Show every kind of receiver, processor, exporter and extension
    Components,
    /// Show the configuration of a collector as one: merged, expanded and without its secrets
    PrintConfig(config::PrintArguments),
    /// Show leases
    Get(get::Arguments),
    /// Show every change of leases, as it happens
    Watch(watch::Arguments),
    /// Draw who held the record when, from what `lease watch --record` has written
    Plot(plot::Arguments),
    /// Play an election in virtual time, and see what durations make of crashes, partitions and slow servers
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(Box<simulate::Arguments>),
    /// Find the durations that meet goals, and show by simulation that they do
    #[command(after_help = advise::EXPLAINED)]
    Advise(advise::Arguments),
    /// Delete a lease
    Delete(delete::Arguments),
}

/// The commands that use no cluster; a collector's configuration says how it reaches one.
const CLUSTERLESS: [&str; 7] = ["plot", "simulate", "advise", "collector", "validate", "components", "print-config"];

/// The command line, where the commands that use no cluster do not show how one is reached.
fn command() -> clap::Command {
    let mut command = Cli::command();
    // Before that the global options are not there.
    command.build();
    CLUSTERLESS.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |subcommand| {
            subcommand.mut_args(|option| {
                // Which durations there are depends on the kind of backend.
                let is_used = name == "advise" && option.get_id() == "backend";
                let is_hidden = option.get_help_heading() == Some(backend::CLUSTER) && !is_used;
                if is_hidden { option.hide(true) } else { option }
            })
        })
    })
}

/// The program.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, on standard output.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(Code::Usage as u8) } else { ExitCode::SUCCESS };
        }
    };
    let global = cli.global.clone();
    let verbosity = i16::from(global.verbose) - i16::from(global.quiet);
    logging::begin(verbosity, global.log_format, global.color);
    match execute(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.show(global.color.on_stderr());
            ExitCode::from(failure.code)
        }
    }
}

fn execute(cli: Cli) -> Result<u8, Failure> {
    // One provider for every library that speaks TLS; a second installation fails, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Code::System, &error))?;
    let Cli { global, command } = cli;
    let done = runtime.block_on(async {
        match command {
            Command::Run(arguments) => run::run(*arguments, &global).await,
            Command::Collector(arguments) => collector::collector(arguments, &global).await,
            Command::Validate(sources) => config::validate(&sources, &global),
            Command::Components => config::components(&global),
            Command::PrintConfig(arguments) => config::print(&arguments, &global),
            Command::Get(arguments) => get::get(&arguments, &global).await.map(|()| 0),
            Command::Watch(arguments) => watch::watch(&arguments, &global).await,
            Command::Plot(arguments) => plot::plot(&arguments, &global).map(|()| 0),
            Command::Advise(arguments) => advise::advise(&arguments, &global),
            Command::Simulate(arguments) => simulate::simulate(&arguments, &global),
            Command::Delete(arguments) => delete::delete(&arguments, &global).await.map(|()| 0),
        }
    });
    // A name that is still being resolved blocks a thread of the runtime; nobody waits for it.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn only_commands_that_use_a_cluster_show_its_options() {
        let help = |name: &str| {
            let error = command().try_get_matches_from(["lease", name, "--help"]).expect_err("help is shown");
            error.to_string()
        };
        let shown = ["get", "run"].map(|name| (name, true));
        let hidden = CLUSTERLESS.map(|name| (name, false));
        for (name, shows) in shown.into_iter().chain(hidden) {
            assert_eq!(help(name).contains("--kubeconfig"), shows, "{name}");
            assert!(help(name).contains("--output"), "{name}");
            // What is wrapped already is not wrapped again; a usage never is.
            let help = help(name);
            let mut wrapped = help.lines().filter(|line| !line.starts_with("Usage"));
            assert!(wrapped.all(|line| line.chars().count() <= 100), "{name}");
        }
        assert!(help("advise").contains("--backend") && !help("simulate").contains("--backend"));
        // They are understood all the same.
        assert!(command().try_get_matches_from(["lease", "--namespace", "a", "plot", "r.jsonl"]).is_ok());
    }

    #[test]
    fn the_flags_of_client_go_programs_are_understood() {
        let line = "lease run db --leader-elect-lease-duration=8s --leader-elect-renew-deadline=5s \
                    --leader-elect-retry-period=1s -- true";
        assert!(Cli::try_parse_from(line.split_whitespace()).is_ok());
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "lease",
            "lease run db",
            "lease run -- true",
            "lease run db --wait 5 -- true",
            "lease run db --wait 5s --nonblock -- true",
            "lease run db --identity a --identity-exact b -- true",
            "lease run db --stop-signal NOPE -- true",
            "lease run db --stop-timeout never -- true",
            "lease delete db",
            "lease get --output xml",
        ] {
            assert!(Cli::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }
}
