//! The receiver `exec`: commands under a keeper, whose collector is this process or one that is killed.

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lease_cli::child::KEEPER;
use lease_core::testing::{TermControl, grant};
use lease_core::{Leadership, Reason};
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
    let mut problems = Problems::default();
    let node = parse(&"test".into(), text, &mut problems).expect("it is YAML");
    let keeper = Keeper { program: "/proc/self/exe".into(), arguments: vec![KEEPER.into()] };
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
        // Whoever waits for the last clone of the leadership waits for the last process.
        control.drained().await;
        assert_all_gone(&actors);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(390), "nobody was given its time: {took:?}");
        assert!(took < Duration::from_millis(1500), "{took:?}");
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

pub(crate) fn a_kept_command_that_has_ended_runs_again_in_the_same_term() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("runs");
    block_on(async {
        let script = format!("echo $LEASE_HELD >> {}; exit 3", file.display());
        let receiver = configured(&format!("command: [sh, -c, '{script}']\nrestart: on-failure"));
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
