//! `lease run`: a command that runs only while this replica leads.

mod denials;
mod session;
mod term;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use lease_core::{
    Constraints, DurationError, HolderIdentity, LeaderElection, LockError, LockErrorKind, ResourceLock, Timing,
    Versioned, WatchLock,
};
use rustix::process::Signal;

use self::denials::Denials;
use self::session::Session;
use crate::child::Reaper;
use crate::cli::Global;
use crate::exit::{Code, Failure};
use crate::inbox::Inbox;
use crate::{backend, duration, show, signals};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The lease
    pub(crate) name: String,
    #[command(flatten)]
    timing: TimingArguments,
    /// Give up when the lease was not acquired in this time; 0 tries once [default: wait for ever]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "nonblock")]
    wait: Option<Duration>,
    /// Try once, as --wait 0
    #[arg(long)]
    nonblock: bool,
    /// Exit code when the lease was not acquired [default: 75]
    #[arg(short = 'E', long, value_name = "CODE")]
    conflict_exit_code: Option<u8>,
    /// What to do when the lease was lost and the command is stopped
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    on_lost: OnLost,
    /// What asks the command to stop
    #[arg(long, value_parser = signals::parse, default_value = "TERM", value_name = "SIGNAL")]
    stop_signal: Signal,
    /// How long the command may take to stop once its time is over: auto for as long as is safe
    #[arg(long, value_parser = StopTimeout::parse, default_value = "auto", value_name = "DURATION")]
    stop_timeout: StopTimeout,
    /// How long the command may take to stop when asked nicely; the lease is renewed meanwhile
    #[arg(long, value_parser = duration::parse, default_value = "25s", value_name = "DURATION")]
    drain_timeout: Duration,
    /// Whether to run the command again, under the same lease, when it has ended by itself
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    restart: Restart,
    /// Keep the lease for so long after the command has succeeded
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", conflicts_with = "restart")]
    hold_for: Option<Duration>,
    // From the environment means `LEASE_HOLDER_ID`, and then `POD_NAME`.
    /// Name of this replica; a random suffix is added [default: from the environment, or the host's]
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Name of this replica, without a suffix: two that have the same cannot be told apart
    #[arg(long, value_name = "NAME", conflicts_with = "identity")]
    identity_exact: Option<String>,
    /// Epoch of the fencing tokens: raise it on all replicas after the store was restored from a backup
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    epoch: u32,
    /// The command and its arguments; no shell is involved
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The durations of the election, with client-go's names for them as hidden aliases.
#[derive(Clone, Debug, clap::Args)]
struct TimingArguments {
    /// How long the others wait after the last renewal they saw
    #[arg(long, alias = "leader-elect-lease-duration", value_parser = duration::parse, default_value = "15s", value_name = "DURATION")]
    lease_duration: Duration,
    /// How long the command may act after the last renewal that was acknowledged
    #[arg(long, alias = "leader-elect-renew-deadline", value_parser = duration::parse, default_value = "10s", value_name = "DURATION")]
    renew_deadline: Duration,
    /// How often the lease is renewed
    #[arg(long, alias = "leader-elect-retry-period", value_parser = duration::parse, default_value = "2s", value_name = "DURATION")]
    retry_period: Duration,
}

/// What to do when the lease was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OnLost {
    /// Contend for it again.
    #[default]
    Standby,
    /// Exit with code 79.
    Exit,
}

/// Whether to run the command again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Restart {
    /// Release the lease and exit with the command's code.
    #[default]
    No,
    /// Only when it has failed.
    OnFailure,
    /// However it has ended.
    Always,
}

/// How long the command may take to stop once its hold has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopTimeout {
    /// All the room that the other durations leave, less a margin.
    Auto,
    /// So long.
    Of(Duration),
}

impl StopTimeout {
    fn parse(text: &str) -> Result<Self, DurationError> {
        if text == "auto" { Ok(Self::Auto) } else { duration::parse(text).map(Self::Of) }
    }
}

/// The exit code of the program.
pub(crate) async fn run(arguments: Arguments, global: &Global) -> Result<u8, Failure> {
    // Before anything can end or be asked to end.
    let system = |error: std::io::Error| Failure::of(Code::System, &error);
    let mut inbox = Inbox::install().map_err(system)?;
    let reaper = Reaper::install().map_err(system)?;
    let lock = backend::open(&global.backend).await.and_then(|store| store.lock(&arguments.name));
    // Without a lock, what the most demanding store carries: any other carries it too.
    let constraints = lock.as_ref().map_or(Constraints::WHOLE_SECONDS, ResourceLock::constraints);
    let (timing, identity, lock) = match (timing(&arguments, constraints), identity(&arguments), lock) {
        (Ok(timing), Ok(identity), Ok(lock)) => (timing, identity, lock),
        (timing, identity, lock) => return Err(Failure::all([timing.err(), identity.err(), lock.err()])),
    };
    tracing::info!(lease = %lock, %identity, durations = timing.durations(), "standing by");
    tracing::debug!(%timing, "what these durations mean");
    let begun = Instant::now();
    let mut wait = if arguments.nonblock { Some(Duration::ZERO) } else { arguments.wait };
    let mut first_look = None;
    // The election asks after a random part of one retry period, so a wait may be over before that.
    let first_try = timing.retry_period() + 2 * timing.attempt_timeout();
    if let Some(limit) = wait.filter(|limit| *limit < first_try) {
        let once = limit.is_zero();
        let patience = if once { timing.attempt_timeout() } else { limit.min(timing.attempt_timeout()) };
        let seen = tokio::select! {
            seen = tokio::time::timeout(patience, lock.get()) => holder(&lock, seen),
            signal = inbox.end() => return Ok(session::signalled(signal)),
        };
        match &seen {
            // What is free is acquired, however short the wait.
            Ok(None) => wait = Some(first_try),
            Ok(Some(holder)) if once => return Err(arguments.held_by(holder)),
            Err(error) if once => return Err(error.clone().into()),
            _ => wait = Some(limit.saturating_sub(begun.elapsed())),
        }
        first_look = Some(seen);
    }
    let denials = Arc::new(Denials::default());
    let election = LeaderElection::watched(lock, identity)
        .timing(timing)
        .epoch(arguments.epoch)
        .observer(Arc::clone(&denials))
        .start()
        .map_err(|error| Failure::of(Code::Configuration, &error))?;
    Session { arguments, timing, election, denials, inbox, reaper, first_look }.run(wait).await
}

/// Who holds the lease, of one look at it.
fn holder(
    lock: &Arc<dyn WatchLock>,
    seen: Result<Result<Option<Versioned>, LockError>, tokio::time::error::Elapsed>,
) -> Result<Option<HolderIdentity>, LockError> {
    let unanswered = |_| LockError::new(LockErrorKind::Unavailable, format!("get of {lock}: no answer in time"));
    let seen = seen.map_err(unanswered).and_then(|answer| answer)?;
    Ok(seen.and_then(|seen| seen.record.holder))
}

impl Arguments {
    fn held_by(&self, holder: &HolderIdentity) -> Failure {
        self.not_acquired(&format!("it is held by {holder}"))
    }

    /// The one failure whose exit code can be chosen, as with flock.
    fn not_acquired(&self, why: &str) -> Failure {
        Failure::new(Code::NotAcquired, format!("the lease was not acquired: {why}")).with_code(self.conflict_exit_code)
    }
}

fn timing(arguments: &Arguments, constraints: Constraints) -> Result<Timing, Failure> {
    let TimingArguments { lease_duration, renew_deadline, retry_period } = arguments.timing;
    let builder = Timing::builder(lease_duration, renew_deadline, retry_period)
        // The command is killed at the end of the drain, and the release must still be within it.
        .drain_max(arguments.drain_timeout.saturating_add(KILL_AND_RELEASE))
        .constraints(constraints);
    let builder = match arguments.stop_timeout {
        StopTimeout::Auto => builder,
        StopTimeout::Of(stop_timeout) => builder.stop_timeout(stop_timeout),
    };
    builder.build().map_err(|error| Failure::of(Code::Configuration, &error))
}

fn identity(arguments: &Arguments) -> Result<HolderIdentity, Failure> {
    let identity = match (&arguments.identity_exact, &arguments.identity) {
        (Some(exact), _) => HolderIdentity::exact(exact),
        // A suffix would hide that there is no name.
        (None, Some(name)) if name.is_empty() => HolderIdentity::exact(name),
        (None, Some(name)) => HolderIdentity::unique(name),
        (None, None) => HolderIdentity::unique(&default_name()),
    };
    identity.map_err(|error| Failure::of(Code::Usage, &error))
}

fn default_name() -> String {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    variable("LEASE_HOLDER_ID")
        .or_else(|| variable("POD_NAME"))
        .unwrap_or_else(|| show::escaped(&rustix::system::uname().nodename().to_string_lossy()))
}

/// For the death of a tree and a request.
const KILL_AND_RELEASE: Duration = Duration::from_secs(5);
