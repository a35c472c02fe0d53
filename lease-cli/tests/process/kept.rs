//! The receiver `exec`: commands under a keeper, whose collector is this process or one that is killed.

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lease_cli::child::KEEPER;
use lease_core::testing::{TermControl, grant};
use lease_core::{Clock, Election, HolderIdentity, LeaderElection, Leadership, Reason, SystemClock, Timing};
use lease_memory::MemoryStore;
use lease_otel::component::{Consumer, Meter, Outputs, Receiver, ReceiverFactory, Refused, Registry, Scope, Work};
use lease_otel::config::{ComponentId, Fields, Problems, parse};
use lease_otel::data::{Batch, Signal, Telemetry};
use lease_otel::receivers::exec::{ExecFactory, Keeper};
use rustix::process::{Pid, Signal as ProcessSignal, kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::roles::ROLE;
use crate::world::{alive, children, wait_for};

/// A receiver `exec` of this configuration.
fn configured(text: &str) -> Box<dyn Receiver> {
    configured_with(Keeper { program: "/proc/self/exe".into(), arguments: vec![KEEPER.into()] }, text)
}

/// One with this keeper.
fn configured_with(keeper: Keeper, text: &str) -> Box<dyn Receiver> {
    let mut problems = Problems::default();
    let node = parse(&"test".into(), text, &mut problems).expect("it is YAML");
    let mut fields = Fields::new(&node, "exec", &mut problems);
    let receiver = ExecFactory::new(keeper).configure(&mut fields, &Registry::default());
    fields.finish();
    assert!(problems.errors.is_empty(), "{problems:?}");
    receiver
}

/// One whose command is an actor of this kind.
fn actor(directory: &Path, kind: &str) -> Box<dyn Receiver> {
    let directory = directory.display();
    configured(&format!(
        "command: [/proc/self/exe, '{directory}', {kind}]\nenv: {{{ROLE}: actor}}\nstop_timeout: 400ms\n"
    ))
}

#[derive(Debug)]
struct Silent;

impl Meter for Silent {
    fn add(&self, _: &'static str, _: &ComponentId, _: u64) {}
    fn set(&self, _: &'static str, _: &ComponentId, _: f64) {}
}

fn scope(leadership: &Leadership, outputs: Outputs) -> Scope {
    Scope {
        candidacy: None,
        id: "exec".parse().expect("a name"),
        outputs,
        leadership: Some(leadership.clone()),
        stop: leadership.draining().child_token(),
        telemetry: Arc::new(Silent),
    }
}

/// A term, and the work of a receiver in it. Only the work has the leadership.
async fn lead(receiver: &dyn Receiver, outputs: Outputs) -> (Work, TermControl) {
    let (leadership, control) = grant(None);
    let work = receiver.start(scope(&leadership, outputs)).await.expect("it starts");
    (work, control)
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("in time") };
    runtime.block_on(limited)
}

/// The actors that have acted, once there are so many.
async fn actors(directory: &Path, count: usize) -> Vec<Pid> {
    loop {
        let names = std::fs::read_dir(directory).expect("the directory is there");
        let pids: Vec<Pid> =
            names.filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect();
        if pids.len() >= count {
            return pids;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn assert_all_gone(actors: &[Pid]) {
    let left: Vec<_> = actors.iter().filter(|pid| alive(**pid)).collect();
    assert!(left.is_empty(), "{left:?} of {actors:?} are still there");
}

pub(crate) fn a_lost_term_ends_a_kept_tree_with_its_daemons_before_the_term_is_let_go() {
    let directory = TempDir::new().expect("a directory");
    block_on(async {
        let receiver = actor(directory.path(), "tree");
        let (work, mut control) = lead(&*receiver, Outputs::default()).await;
        let work = tokio::spawn(work);
        let actors = actors(directory.path(), 3).await;
        let began = Instant::now();
        control.lose(Reason::TakenOver);
        // Whoever waits for the last clone of the leadership waits for the last process. That the fence of the term is far
        // away does not matter: without the kill at the stop timeout this would wait for ever.
        control.drained().await;
        assert_all_gone(&actors);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(390), "nobody was given its time: {took:?}");
        work.await.expect("no panic");
    });
}

pub(crate) fn a_kept_command_is_asked_to_stop_when_the_term_drains() {
    let directory = TempDir::new().expect("a directory");
    block_on(async {
        let receiver = configured(&format!(
            "command: [sh, -c, 'trap \"echo asked > {0}/end; exit 3\" TERM; echo > {0}/ready; while :; do sleep 0.01; done']",
            directory.path().display()
        ));
        let (work, mut control) = lead(&*receiver, Outputs::default()).await;
        let work = tokio::spawn(work);
        while !directory.path().join("ready").exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        control.drain(Reason::HandedOver);
        control.drained().await;
        assert_eq!(std::fs::read_to_string(directory.path().join("end")).expect("it was asked"), "asked\n");
        work.await.expect("no panic");
    });
}

pub(crate) fn a_kept_tree_dies_when_its_work_is_dropped_and_the_term_is_kept_until_then() {
    let directory = TempDir::new().expect("a directory");
    block_on(async {
        let receiver = actor(directory.path(), "tree");
        let (work, mut control) = lead(&*receiver, Outputs::default()).await;
        let actors = actors(directory.path(), 3).await;
        drop(work);
        control.drained().await;
        assert_all_gone(&actors);
    });
}

pub(crate) fn a_command_that_cannot_run_is_no_start() {
    block_on(async {
        let receiver = configured("command: [/no/such/program]");
        let (leadership, mut control) = grant(None);
        let started = receiver.start(scope(&leadership, Outputs::default())).await;
        let Err(error) = started else { panic!("it started") };
        assert!(error.to_string().starts_with("\"/no/such/program\" cannot be run: No such file"), "{error}");
        drop(leadership);
        control.drained().await;
    });
}

pub(crate) fn a_kept_command_that_has_ended_well_runs_again_in_the_same_term() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("runs");
    block_on(async {
        let script = format!("echo $LEASE_HELD >> {}", file.display());
        let receiver = configured(&format!("command: [sh, -c, '{script}']"));
        let (work, mut control) = lead(&*receiver, Outputs::default()).await;
        let work = tokio::spawn(work);
        while std::fs::read_to_string(&file).unwrap_or_default() != "1\n1\n" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        control.lose(Reason::Expired);
        control.drained().await;
        work.await.expect("no panic");
    });
}

pub(crate) fn a_kept_command_that_fails_ends_the_work_so_that_its_failures_are_counted() {
    block_on(async {
        for (command, restart) in [("exit 3", "always"), ("exit 3", "on-failure"), ("kill -9 $$", "always")] {
            let receiver = configured(&format!("command: [sh, -c, '{command}']\nrestart: {restart}"));
            let (work, mut control) = lead(&*receiver, Outputs::default()).await;
            work.await;
            control.drained().await;
        }
    });
}

/// The keeper of an actor: the ancestor that is a child of this process.
fn keeper_of(actor: Pid) -> Pid {
    let parent = |pid: Pid| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).expect("it is there");
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("it has a parent");
        Pid::from_raw(line.trim().parse().expect("a number")).expect("it is in this tree")
    };
    let this = rustix::process::getpid();
    let mut pid = actor;
    while parent(pid) != this {
        pid = parent(pid);
    }
    pid
}

/// A tree whose keeper stands still, and its work.
async fn stuck(directory: &Path) -> (Vec<Pid>, Pid, tokio::task::JoinHandle<()>, TermControl) {
    let receiver = actor(directory, "tree");
    let (work, control) = lead(&*receiver, Outputs::default()).await;
    let work = tokio::spawn(work);
    let actors = actors(directory, 3).await;
    let keeper = keeper_of(actors[0]);
    kill_process(keeper, ProcessSignal::STOP).expect("it is there");
    (actors, keeper, work, control)
}

pub(crate) fn a_stuck_keeper_is_given_up_after_the_deadline_of_a_lost_term() {
    let directory = TempDir::new().expect("a directory");
    block_on(async {
        let (actors, keeper, work, mut control) = stuck(directory.path()).await;
        control.lose(Reason::TakenOver);
        control.drained().await;
        assert!(!alive(keeper), "it is given up");
        gone(&actors).await;
        work.await.expect("no panic");
    });
}

pub(crate) fn a_stuck_keeper_is_given_up_while_the_lease_is_renewed() {
    let directory = TempDir::new().expect("a directory");
    block_on(async {
        let (election, leadership) = renewed().await;
        let receiver = actor(directory.path(), "tree");
        let work = receiver.start(scope(&leadership, Outputs::default())).await.expect("it starts");
        let actors = actors(directory.path(), 3).await;
        kill_process(keeper_of(actors[0]), ProcessSignal::STOP).expect("it is there");
        // Each renewal is an order to the keeper, and comes sooner than its patience ends.
        work.await;
        gone(&actors).await;
        assert!(leadership.is_valid(), "it is renewed meanwhile");
        drop(leadership);
        election.shutdown().await;
    });
}

/// A term of an election, so that it is renewed.
async fn renewed() -> (Election, Leadership) {
    let millis = Duration::from_millis;
    let timing = Timing::builder(millis(4000), millis(2500), millis(500)).build().expect("they fit");
    let lock = MemoryStore::new().lock("x");
    let identity = HolderIdentity::exact("a").expect("a name");
    let election = LeaderElection::new(lock, identity).timing(timing).start().expect("it starts");
    let leadership = election.campaign().await.expect("nobody else is there");
    (election, leadership)
}

pub(crate) fn a_keeper_that_says_that_it_is_still_killing_is_waited_for() {
    let directory = TempDir::new().expect("a directory");
    let gone = directory.path().join("gone");
    // A keeper whose tree takes longer to die than any keeper may be silent, as one in an uninterruptible sleep does.
    let script = format!(
        "read hold; echo running 1 >&0; read order; for i in 1 2 3 4 5 6 7 8 9; do echo killing >&0; sleep 0.5; done; \
         touch {}; echo gone unseen >&0",
        gone.display()
    );
    let keeper = Keeper { program: "sh".into(), arguments: vec!["-c".into(), script.into()] };
    block_on(async {
        let (work, mut control) =
            lead(&*configured_with(keeper, "command: [x]\nstop_timeout: 100ms"), Outputs::default()).await;
        let work = tokio::spawn(work);
        control.lose(Reason::TakenOver);
        control.drained().await;
        assert!(gone.exists(), "the term was let go before everything was gone");
        work.await.expect("no panic");
    });
}

pub(crate) fn a_stuck_keeper_dies_with_its_tree_when_its_work_is_dropped() {
    let directory = TempDir::new().expect("a directory");
    block_on(async {
        let (actors, keeper, work, _control) = stuck(directory.path()).await;
        work.abort();
        gone(&actors).await;
        gone(&[keeper]).await;
    });
}

/// Waits until none of these is there.
async fn gone(actors: &[Pid]) {
    while actors.iter().any(|pid| alive(*pid)) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn a_lost_term_whose_work_is_dropped_kills_at_once() {
    let directory = TempDir::new().expect("a directory");
    block_on(async {
        let path = directory.path().display();
        // The limit of this test is far below the stop timeout.
        let receiver = configured(&format!(
            "command: [/proc/self/exe, '{path}', tree]\nenv: {{{ROLE}: actor}}\nstop_timeout: 10m\n"
        ));
        let (work, mut control) = lead(&*receiver, Outputs::default()).await;
        let work = tokio::spawn(work);
        let actors = actors(directory.path(), 3).await;
        control.lose(Reason::TakenOver);
        // The order that the term is over goes before the end of the socket.
        tokio::task::yield_now().await;
        work.abort();
        control.drained().await;
        assert_all_gone(&actors);
    });
}

pub(crate) fn the_deadline_is_waited_for_when_a_keeper_was_killed() {
    let directory = TempDir::new().expect("a directory");
    block_on(async {
        let (election, leadership) = renewed().await;
        let receiver = actor(directory.path(), "tree");
        // What the keeper is told first is at least this.
        let hold_ends = leadership.valid_until();
        let work = receiver.start(scope(&leadership, Outputs::default())).await.expect("it starts");
        let actors = actors(directory.path(), 3).await;
        kill_process(keeper_of(actors[0]), ProcessSignal::KILL).expect("it is there");
        work.await;
        assert_all_gone(&actors);
        assert!(SystemClock.instant().has_reached_both(hold_ends), "nobody waited for the deadline");
        assert!(leadership.is_valid(), "it is renewed meanwhile");
        drop(leadership);
        election.shutdown().await;
    });
}

#[derive(Debug)]
struct Collected(mpsc::UnboundedSender<Batch>);

#[async_trait]
impl Consumer for Collected {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        self.0.send(batch).map_err(|_| Refused::Closed)
    }

    async fn flush(&self, _: Instant) {}
}

pub(crate) fn what_a_kept_command_writes_becomes_log_records() {
    block_on(async {
        let receiver = configured("command: [sh, -c, 'echo one; echo two >&2; exec sleep 60']");
        let (sender, mut batches) = mpsc::unbounded_channel();
        let outputs = Outputs(vec![(Signal::Logs, Arc::new(Collected(sender)) as Arc<dyn Consumer>)]);
        let (work, mut control) = lead(&*receiver, outputs).await;
        let work = tokio::spawn(work);
        let mut lines = Vec::new();
        while lines.len() < 2 {
            let batch = batches.recv().await.expect("somebody sends");
            assert!(batch.check().is_ok(), "it has its term");
            let Telemetry::Logs(resources) = batch.telemetry else { panic!("logs are expected") };
            for record in resources.iter().flat_map(|r| &r.scope_logs).flat_map(|s| &s.log_records) {
                lines.push(format!("{:?} {:?}", record.body, record.attributes));
            }
        }
        lines.sort();
        assert!(lines[0].contains("one") && lines[0].contains("stdout"), "{lines:?}");
        assert!(lines[1].contains("two") && lines[1].contains("stderr"), "{lines:?}");
        control.lose(Reason::Expired);
        control.drained().await;
        work.await.expect("no panic");
    });
}

/// A collector of its own, that can be killed.
struct Collector {
    process: Child,
    directory: TempDir,
}

impl Collector {
    fn start() -> Self {
        let directory = TempDir::new().expect("a directory");
        let process = Command::new("/proc/self/exe")
            .arg(directory.path())
            .env(ROLE, "collector")
            .stdin(Stdio::null())
            .spawn()
            .expect("a collector starts");
        Self { process, directory }
    }

    fn actors(&self) -> Vec<Pid> {
        block_on(actors(self.directory.path(), 3))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The role: leads for ever, with a stubborn tree.
pub(crate) fn collector(directory: &Path) -> ExitCode {
    block_on(async {
        let receiver = actor(directory, "tree");
        let (work, _control) = lead(&*receiver, Outputs::default()).await;
        work.await;
    });
    ExitCode::SUCCESS
}

pub(crate) fn a_kept_tree_dies_with_a_killed_collector() {
    let mut collector = Collector::start();
    let actors = collector.actors();
    collector.process.kill().expect("it is there");
    wait_for("the end of all actors", || actors.iter().all(|pid| !alive(*pid)).then_some(()));
}

pub(crate) fn a_kept_tree_dies_with_a_killed_keeper() {
    let collector = Collector::start();
    let actors = collector.actors();
    let keepers = children(collector.process.id());
    assert_eq!(keepers.len(), 1, "the keeper is the one child");
    kill_process(keepers[0], ProcessSignal::KILL).expect("it is there");
    wait_for("the end of all actors", || actors.iter().all(|pid| !alive(*pid)).then_some(()));
}
