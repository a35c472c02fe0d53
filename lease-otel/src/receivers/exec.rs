//! The receiver `exec`: a command that runs only while this replica leads, with everything that it starts.
//!
//! The command runs under a keeper, which is a process of its own: it is told with each renewal how long the command may go
//! on, and kills everything when nothing is said in time, whatever has become of the collector. The program `lease` is such
//! a keeper. Only when the keeper has said that nothing is left may the lease be released.

mod keeper;
mod output;
pub mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lease_core::Pretty;
use tokio::time::{Instant, sleep};

use self::keeper::{Kept, launch};
use self::wire::Ended;
use crate::component::{ElectorChoice, Kind, Receiver, ReceiverFactory, Registry, Scope, StartError, Work};
use crate::config::{Fields, Thing, Value};
use crate::data::Signal;
use crate::elector;

/// The kind `exec`. Where a pipeline of logs has it, each line that the command writes is a log record; otherwise the
/// command writes to where the collector does. No shell is involved. Under an elector it finds `LEASE_HELD=1` in its
/// environment, `LEASE_NAME`, `LEASE_IDENTITY`, and in `LEASE_TOKEN` the fencing token of the term.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `command` | | the program and its arguments, as a list |
/// | `env` | | variables to add to its environment |
/// | `stop_signal` | `TERM` | what asks it to stop |
/// | `stop_timeout` | `10s` | how long it may take for that, with the lease held meanwhile; after a loss only as long as the fence allows |
/// | `restart` | `always` | when it has ended by itself: `always`, `on-failure` or `no` |
///
/// A command that cannot be run, or ends otherwise than with exit code 0, is a failure of the receiver: it is run again after
/// half a second, and after pauses that double. At the fourth failure in a row, with less than a minute of running before
/// each, its elector steps down, so that another replica may try. After exit code 0 it is run again after 1 s, and after
/// pauses that double up to a minute while it runs for less than a minute.
#[derive(Clone, Debug)]
pub struct ExecFactory {
    keeper: Keeper,
}

/// The program that keeps commands, and the arguments before those that it is given here: the name of the stop signal, the
/// stop timeout as in Go, and the command. Its standard input is the socket on which it is given [orders](wire::Order).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
}

impl ExecFactory {
    /// Commands are kept by this program.
    pub fn new(keeper: Keeper) -> Self {
        Self { keeper }
    }
}

impl ReceiverFactory for ExecFactory {
    fn kind(&self) -> Kind {
        Kind {
            name: "exec",
            aliases: &[],
            summary: "runs a command, with everything that it starts, only while this replica leads",
            signals: &Signal::ALL,
        }
    }

    fn configure(&self, fields: &mut Fields<'_>, _: &Registry) -> Box<dyn Receiver> {
        let command = command(fields);
        let environment = environment(fields);
        // Another PATH is that of the node, about which nothing can be said here.
        if let Some(program) = command.first().filter(|_| environment.iter().all(|(name, _)| name != "PATH")) {
            fields.names("command", Thing::Program(program.clone()));
        }
        let words: Vec<(&str, &str)> =
            SIGNALS.iter().flat_map(|name| [(name.trim_start_matches("SIG"), *name), (*name, *name)]).collect();
        let stop_signal = fields.word("stop_signal", &words).unwrap_or("SIGTERM");
        let stop_timeout = fields.duration("stop_timeout").map_or(STOP_TIMEOUT_DEFAULT, |found| found.value);
        if stop_timeout > STOP_TIMEOUT_MAX {
            let (found, most) = (Pretty(stop_timeout), Pretty(STOP_TIMEOUT_MAX));
            fields.error(
                "stop_timeout",
                format_args!("{found} is too long: a lease that is let go is held for {most} at most"),
            );
        }
        let restart = fields
            .word("restart", &[("always", Restart::Always), ("on-failure", Restart::OnFailure), ("no", Restart::No)])
            .unwrap_or_default();
        let elector = elector::chosen(fields);
        let spec = Spec { keeper: self.keeper.clone(), command, environment, stop_signal, stop_timeout, restart };
        Box::new(Exec { spec: Arc::new(spec), elector })
    }
}

fn command(fields: &mut Fields<'_>) -> Vec<String> {
    let Some(words) = fields.texts("command") else {
        fields.error("command", "a command is missing: [PROGRAM, ARGUMENT, ...]");
        return Vec::new();
    };
    let words: Vec<String> = words.into_iter().map(|word| word.value).collect();
    match words.as_slice() {
        [] => fields.error("command", "a command is missing: [PROGRAM, ARGUMENT, ...]"),
        [only] if only.contains(char::is_whitespace) => {
            fields
                .error("command", "no shell is involved; write a list: [PROGRAM, ARGUMENT, ...] or [sh, -c, \"...\"]");
        }
        [program, ..] if program.is_empty() => fields.error("command", "the name of the program is empty"),
        _ if words.iter().any(|word| word.contains('\0')) => {
            fields.error("command", "a character that no argument can have: NUL");
        }
        _ => {}
    }
    words
}

fn environment(fields: &mut Fields<'_>) -> Vec<(String, String)> {
    let Some(mut section) = fields.section("env") else { return Vec::new() };
    let path = section.path().to_owned();
    let mut variables = Vec::new();
    for (key, node) in section.all() {
        let path = format!("{path}.{}", key.name);
        if key.name.is_empty() || key.name.contains(['=', '\0']) {
            section.problems().error(
                &key.place,
                path,
                "this is not the name of a variable: it is empty, or has = or NUL in it",
            );
            continue;
        }
        match node.text() {
            Some(text) if !text.contains('\0') => variables.push((key.name.clone(), text)),
            None if node.value == Value::Null => variables.push((key.name.clone(), String::new())),
            _ => section.problems().error(&node.place, path, "a text without NUL is expected here"),
        }
    }
    variables
}

/// When a command that has ended by itself runs again, in the same term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Restart {
    #[default]
    Always,
    OnFailure,
    No,
}

/// A command as configured.
#[derive(Debug)]
struct Spec {
    keeper: Keeper,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    stop_signal: &'static str,
    stop_timeout: Duration,
    restart: Restart,
}

#[derive(Debug)]
struct Exec {
    spec: Arc<Spec>,
    elector: Option<ElectorChoice>,
}

#[async_trait]
impl Receiver for Exec {
    fn elector(&self) -> Option<&ElectorChoice> {
        self.elector.as_ref()
    }

    fn stop_timeout(&self) -> Option<Duration> {
        Some(self.spec.stop_timeout)
    }

    fn keeps_to_the_fence(&self) -> bool {
        true
    }

    async fn start(&self, scope: Scope) -> Result<Work, StartError> {
        let kept = launch(&self.spec, &scope).await?;
        Ok(Box::pin(run(Arc::clone(&self.spec), scope, kept)))
    }
}

/// Sees one run after the other through, until it is to stop or the command fails. A failure is the end of the work: its
/// seat counts it, runs it again, and gives the term up when that does not help.
async fn run(spec: Arc<Spec>, scope: Scope, mut kept: Kept) {
    let mut pause = PAUSE_MIN;
    loop {
        let began = Instant::now();
        let ended = kept.gone().await;
        if scope.stop.is_cancelled() {
            return;
        }
        let success = ended == Ended::Code(0);
        if spec.restart == Restart::No || (success && spec.restart == Restart::OnFailure) {
            tracing::info!(receiver = %scope.id, %ended, "the command has ended, and does not run again in this term");
            return scope.stop.cancelled().await;
        }
        if !success {
            tracing::warn!(receiver = %scope.id, %ended, "the command has failed");
            return;
        }
        if began.elapsed() >= STEADY {
            pause = PAUSE_MIN;
        }
        tracing::info!(receiver = %scope.id, pause = %Pretty(pause), "the command has ended, and is run again");
        tokio::select! {
            biased;
            () = scope.stop.cancelled() => return,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
        kept = match launch(&spec, &scope).await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(receiver = %scope.id, %error, "the command does not run");
                return;
            }
        };
    }
}

/// What a command may be asked to stop with.
const SIGNALS: [&str; 7] = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"];
const STOP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT_MAX: Duration = Duration::from_hours(24);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// A command that has run for so long does not end too soon.
const STEADY: Duration = Duration::from_mins(1);
