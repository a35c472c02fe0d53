//! `lease collector`: a telemetry collector whose receivers run only where this replica leads.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lease_otel::component::Registry;
use lease_otel::host::{Host, Stopped};
use lease_otel::receivers::exec::{ExecFactory, Keeper};
use lease_otel::telemetry::Telemetry;

use crate::child::KEEPER;
use crate::cli::Global;
use crate::config::Sources;
use crate::exit::{Code, Failure};
use crate::inbox::Inbox;
use crate::{duration, signals};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// How long everything may take to stop; what is not done by then is dropped
    #[arg(long, value_parser = duration::parse, default_value = "25s", value_name = "DURATION")]
    shutdown_timeout: Duration,
}

/// Every kind of component that the program has.
pub(crate) fn registry() -> Registry {
    let keeper = Keeper { program: PathBuf::from("/proc/self/exe"), arguments: vec![KEEPER.into()] };
    lease_otel::registry().with_receiver(ExecFactory::new(keeper))
}

/// Runs until it is asked to end.
pub(crate) async fn collector(arguments: Arguments, _: &Global) -> Result<u8, Failure> {
    let mut inbox = Inbox::install().map_err(|error| Failure::of(Code::System, &error))?;
    let Arguments { sources, shutdown_timeout } = arguments;
    let loaded = sources.load()?;
    let starting = Host::start(loaded.collector, Arc::new(Telemetry::new()));
    let host = tokio::select! {
        started = starting => started.map_err(|error| Failure::of(Code::System, &error))?,
        signal = inbox.end() => return Ok(signalled(signal)),
    };
    tracing::info!("everything is ready");
    let signal = inbox.end().await;
    tracing::info!(signal = signals::name(signal), "shutting down");
    let hasten = host.hasten();
    let mut shutdown = std::pin::pin!(host.shutdown(shutdown_timeout));
    let stopped = loop {
        tokio::select! {
            stopped = &mut shutdown => break stopped,
            signal = inbox.end() => {
                tracing::warn!(signal = signals::name(signal), "asked to end again: nothing is waited for any more");
                hasten.cancel();
            }
        }
    };
    match stopped {
        Stopped::InOrder => Ok(0),
        Stopped::Hung => Err(Failure::new(Code::System, "the collector did not stop in order")),
    }
}

fn signalled(signal: rustix::process::Signal) -> u8 {
    crate::child::Status::Signal(signal.as_raw()).shell_code()
}
