//! `lease collector`: a telemetry collector whose receivers run only where this replica leads.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lease_core::Pretty;
use lease_otel::component::Registry;
use lease_otel::host::{Host, Started, Stopped};
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
    /// How long everything may take to stop; what is not done by then is dropped. By default 25s, or 15s more than a receiver
    /// may take by its own settings, whichever is longer
    #[arg(long, value_parser = duration::parse, value_name = "DURATION")]
    shutdown_timeout: Option<Duration>,
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
    let shutdown_timeout = shutdown_timeout_for(shutdown_timeout, loaded.collector.stop_timeout());
    let starting = Host::start_unless(loaded.collector, Arc::new(Telemetry::new()), inbox.end());
    let (host, early) = match starting.await.map_err(|error| Failure::of(Code::System, &error))? {
        Started::Running(host) => {
            tracing::info!("everything is ready");
            let signal = inbox.end().await;
            tracing::info!(signal = signals::name(signal), "shutting down");
            (host, None)
        }
        Started::CalledOff(signal, host) => {
            tracing::info!(signal = signals::name(signal), "asked to end before everything was ready: shutting down");
            (host, Some(signal))
        }
    };
    let hasten = host.hasten();
    let mut again = None;
    let mut shutdown = std::pin::pin!(host.shutdown(shutdown_timeout));
    let stopped = loop {
        tokio::select! {
            stopped = &mut shutdown => break stopped,
            signal = inbox.end() => {
                tracing::warn!(signal = signals::name(signal), "asked to end again: nothing more is waited for");
                again.get_or_insert(signal);
                hasten.cancel();
            }
        }
    };
    match stopped {
        Stopped::InOrder => Ok(early.map_or(0, signalled)),
        Stopped::CutShort => match again.or(early) {
            Some(signal) => Ok(signalled(signal)),
            None => {
                Err(Failure::new(Code::System, "the collector did not stop in time, and what was not done was dropped")
                    .help("see above for what has been dropped; leave it more time with --shutdown-timeout"))
            }
        },
        Stopped::Hung => Err(Failure::new(Code::System, "the collector did not stop cleanly")),
    }
}

/// How long a shutdown may take: what was asked for, or enough for every receiver.
fn shutdown_timeout_for(asked: Option<Duration>, receivers: Option<Duration>) -> Duration {
    let longest = receivers.unwrap_or_default();
    let Some(asked) = asked else { return SHUTDOWN_TIMEOUT.max(longest + SENDING) };
    if asked < longest {
        let (asked, longest) = (Pretty(asked), Pretty(longest));
        tracing::warn!(
            "--shutdown-timeout {asked} is less than the {longest} that a receiver is left to stop; it is killed then"
        );
    }
    asked
}

/// What the exit codes are, for the help.
pub(crate) const EXIT_CODES: &str = "\
Exit code: 0 when it was asked to end and has stopped in order; 128+N when signal N came a second time, or before everything
was ready: what was not done by then is dropped; 71 when something did not start, or did not stop in the time of
--shutdown-timeout; 78 when the configuration makes no sense.";

/// Less than the 30 s after which Kubernetes kills.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);
/// What the rest of a shutdown may take after the last receiver has stopped.
const SENDING: Duration = Duration::from_secs(15);

fn signalled(signal: rustix::process::Signal) -> u8 {
    crate::child::Status::Signal(signal.as_raw()).shell_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_is_left_the_time_that_its_receivers_are_left() {
        let secs = Duration::from_secs;
        assert_eq!(shutdown_timeout_for(None, None), secs(25));
        assert_eq!(shutdown_timeout_for(None, Some(secs(5))), secs(25));
        assert_eq!(shutdown_timeout_for(None, Some(secs(90))), secs(105));
        assert_eq!(shutdown_timeout_for(Some(secs(40)), Some(secs(90))), secs(40), "who asks for less gets less");
    }
}
