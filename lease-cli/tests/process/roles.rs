//! The processes that the tests start: a supervisor whose term follows a script, and actors.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use lease_cli::child::{Change, Hold, Pace, Reaper, Spec, Term, supervise};
use lease_cli::inbox::Inbox;
use lease_core::Instant;
use rustix::process::{Signal, setsid};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant as TokioInstant, sleep_until};

/// Set to the name of a role in the processes that a test starts.
pub(crate) const ROLE: &str = "LEASE_TEST_ROLE";

/// Plays the role that the environment names, if it names one.
pub(crate) fn play() -> Option<ExitCode> {
    let role = std::env::var(ROLE).ok()?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    Some(match role.as_str() {
        "supervisor" => supervisor(arguments),
        "session" => session(&arguments),
        "collector" => crate::kept::collector(Path::new(&arguments[0])),
        "actor" => actor(Path::new(&arguments[0]), arguments[1].to_str().expect("a kind of actor")),
        other => panic!("no such role: {other}"),
    })
}

/// What the scripted term does, in milliseconds from the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    /// How long each renewal lets the command act.
    pub(crate) hold_ms: u64,
    /// From the end of the hold to the kill.
    pub(crate) grace_ms: u64,
    /// Renewals are acknowledged this often, as many times as `renewals`.
    pub(crate) renew_every_ms: u64,
    pub(crate) renewals: u64,
    pub(crate) drain_ms: u64,
    /// The supervisor's only thread stands still from here for good.
    pub(crate) stuck_after_ms: Option<u64>,
    /// The term is lost here; the tree has to be gone `grace_ms` later.
    pub(crate) over_after_ms: Option<u64>,
}

impl Script {
    /// Renewed for ever.
    pub(crate) const STEADY: Self = Self {
        hold_ms: 600,
        grace_ms: 300,
        renew_every_ms: 100,
        renewals: u64::MAX,
        drain_ms: 10_000,
        stuck_after_ms: None,
        over_after_ms: None,
    };

    pub(crate) fn arguments(self) -> Vec<String> {
        let none = |ms: Option<u64>| ms.unwrap_or(u64::MAX);
        let Self { hold_ms, grace_ms, renew_every_ms, renewals, drain_ms, stuck_after_ms, over_after_ms } = self;
        [hold_ms, grace_ms, renew_every_ms, renewals, drain_ms, none(stuck_after_ms), none(over_after_ms)]
            .map(|number| number.to_string())
            .to_vec()
    }

    fn parse(arguments: &[OsString]) -> Self {
        let number = |index: usize| -> u64 { arguments[index].to_str().expect("text").parse().expect("a number") };
        let some = |index| Some(number(index)).filter(|ms| *ms != u64::MAX);
        Self {
            hold_ms: number(0),
            grace_ms: number(1),
            renew_every_ms: number(2),
            renewals: number(3),
            drain_ms: number(4),
            stuck_after_ms: some(5),
            over_after_ms: some(6),
        }
    }

    fn hold(&self) -> Hold {
        let ends = now() + Duration::from_millis(self.hold_ms);
        let hold = Hold { ends, kill_at: ends + Duration::from_millis(self.grace_ms) };
        eprintln!("hold {} {}", hold.ends.boottime_nanos(), hold.kill_at.boottime_nanos());
        hold
    }
}

/// The numbers of a script, then the command. Says on standard error what happens.
fn supervisor(mut arguments: Vec<OsString>) -> ExitCode {
    let command = arguments.split_off(7);
    let script = Script::parse(&arguments);
    let spec = Spec {
        command,
        environment: vec![("LEASE_TEST_TOKEN".into(), "42".into()), (ROLE.into(), "actor".into())],
        stop_signal: Signal::TERM,
        stdin: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let verdict = runtime.block_on(async {
        let mut reaper = Reaper::install().expect("a subreaper");
        let mut inbox = Inbox::install().expect("signal handlers");
        if let Some(ms) = script.stuck_after_ms {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                eprintln!("stuck");
                loop {
                    std::thread::park();
                }
            });
        }
        let start = TokioInstant::now();
        let mut term = Scripted { script, start, renewals: 0, hold: script.hold() };
        let pace = Pace { drain_timeout: Duration::from_millis(script.drain_ms) };
        supervise(&spec, &mut term, pace, &mut inbox, &mut reaper).await.expect("a guardian starts")
    });
    let code = verdict.status.map_or_else(|| "none".to_owned(), |status| status.shell_code().to_string());
    eprintln!("verdict {code} {:?} {}", verdict.cause, verdict.asked.map_or(0, Signal::as_raw));
    ExitCode::SUCCESS
}

/// A terminal, then what a supervisor is given: becomes one that was started in this terminal.
fn session(arguments: &[OsString]) -> ExitCode {
    setsid().expect("not a group leader");
    // The first terminal that the leader of a session opens is the session's.
    let terminal = File::options().read(true).write(true).open(&arguments[0]).expect("a terminal");
    let mut supervisor = Command::new("/proc/self/exe");
    let error = supervisor.args(&arguments[1..]).env(ROLE, "supervisor").stdin(terminal).exec();
    panic!("no supervisor: {error}");
}

struct Scripted {
    script: Script,
    start: TokioInstant,
    renewals: u64,
    hold: Hold,
}

impl Term for Scripted {
    fn hold(&self) -> Hold {
        self.hold
    }

    async fn changed(&mut self) -> Change {
        let over = self.script.over_after_ms.map(|ms| self.start + Duration::from_millis(ms));
        let renewal = (self.renewals < self.script.renewals)
            .then(|| self.start + Duration::from_millis(self.script.renew_every_ms * (self.renewals + 1)));
        match (over, renewal) {
            (Some(over), renewal) if renewal.is_none_or(|renewal| over <= renewal) => {
                sleep_until(over).await;
                let kill_at = now() + Duration::from_millis(self.script.grace_ms);
                eprintln!("over {}", kill_at.boottime_nanos());
                Change::Over { kill_at }
            }
            (_, Some(renewal)) => {
                sleep_until(renewal).await;
                self.renewals += 1;
                self.hold = self.script.hold();
                Change::Extended(self.hold)
            }
            (_, None) => std::future::pending().await,
        }
    }
}

/// Writes the time into a file named by its process, all the time, so that its last act is known.
///
/// `plain` ends at a stop signal, `stubborn` does not; `tree` is stubborn, with a child and a daemon
/// that are too; `parent` leaves such a daemon behind and ends; `moving` has a descendant that never
/// stays in one process.
fn actor(directory: &Path, kind: &str) -> ExitCode {
    match kind {
        "plain" => {}
        "parent" | "daemon" => {
            if kind == "daemon" {
                setsid().expect("not a group leader");
            }
            another(directory, if kind == "daemon" { "stubborn" } else { "daemon" });
            return ExitCode::SUCCESS;
        }
        "hopper" => {
            be_stubborn();
            let _ = setsid();
            act(directory, Some(Duration::from_millis(3)));
            another(directory, "hopper");
            return ExitCode::SUCCESS;
        }
        "moving" => {
            be_stubborn();
            another(directory, "hopper");
        }
        "tree" => {
            be_stubborn();
            another(directory, "stubborn");
            another(directory, "daemon");
        }
        "stubborn" => be_stubborn(),
        other => panic!("no such kind: {other}"),
    }
    act(directory, None);
    ExitCode::SUCCESS
}

fn be_stubborn() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        signal_hook::flag::register(signal.as_raw(), std::sync::Arc::default()).expect("a handler");
    }
}

#[expect(clippy::zombie_processes, reason = "what outlives its parent is the point")]
fn another(directory: &Path, kind: &str) {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("actor").arg(directory).arg(kind).env(ROLE, "actor").spawn().expect("another actor");
}

fn act(directory: &Path, limit: Option<Duration>) {
    let path: PathBuf = directory.join(std::process::id().to_string());
    let file = File::create(path).expect("the directory is there");
    let begun = std::time::Instant::now();
    while limit.is_none_or(|limit| begun.elapsed() < limit) {
        write_time(&file).expect("the file is there");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn write_time(file: &File) -> io::Result<()> {
    file.write_all_at(&now().boottime_nanos().to_le_bytes(), 0)
}

/// Both clocks, for a hold.
pub(crate) fn now() -> Instant {
    let nanos = |clock| {
        let time = clock_gettime(clock);
        u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).expect("after boot")
    };
    Instant::from_nanos(nanos(ClockId::Boottime), nanos(ClockId::MonotonicRaw))
}
