//! `lease collector`: refusals of a configuration, and two replicas of one process's memory apart.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn lease(directory: &Path) -> Command {
    let mut lease = Command::new(env!("CARGO_BIN_EXE_lease"));
    lease.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", directory).current_dir(directory).stdin(Stdio::null());
    lease
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let directory = TempDir::new().expect("a directory");
    let text = "extensions:\n  k8s_leader_elector: {lease_name: foo}\nreceivers:\n  dummy: {interval: 1ms}\nexporters:\n  \
                debug:\nservice:\n  extensions: [k8s_leader_elector]\n  pipelines: {metrics: {receivers: [dummy], \
                exporters: [debug]}}\n";
    fs::write(directory.path().join("a.yaml"), text).expect("written");
    let output = lease(directory.path()).args(["collector", "--config", "a.yaml"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for part in [
        "a.yaml:2:",
        "extensions.k8s_leader_elector.lease_namespace: lease name and namespace must be set",
        "a.yaml:4:",
        "receivers.dummy.interval: an interval of at least 1s is needed",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert_eq!(said.matches("error:").count(), 2, "{said}");
}

#[test]
fn outside_of_a_cluster_it_says_so() {
    let directory = TempDir::new().expect("a directory");
    let text = "extensions: {k8s_leader_elector: {lease_name: foo, lease_namespace: bar}}\nreceivers: {dummy: \
                {k8s_leader_elector: k8s_leader_elector}}\nexporters: {debug: {}}\nservice: {extensions: \
                [k8s_leader_elector], pipelines: {metrics: {receivers: [dummy], exporters: [debug]}}}\n";
    let output =
        lease(directory.path()).args(["collector", "--config", &format!("yaml:{text}")]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let expected = "unable to load k8s config, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined";
    assert!(said.contains("extension k8s_leader_elector did not start") && said.contains(expected), "{said}");
}

/// A collector that runs, and what it says.
struct Collector {
    process: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Collector {
    fn start(directory: &Path, text: &str) -> Self {
        let mut process = lease(directory)
            .args(["collector", "--config", &format!("yaml:{text}")])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let (sender, lines) = channel();
        let output = BufReader::new(process.stderr.take().expect("a pipe"));
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines, heard: Vec::new() }
    }

    /// Waits until it says this.
    fn says(&mut self, part: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {part:?} after {:#?}", self.heard));
            self.heard.push(line.clone());
            if line.contains(part) {
                return;
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_collector_collects_runs_its_command_and_stops_in_order() {
    let directory = TempDir::new().expect("a directory");
    let text = "extensions: {memory_leader_elector: {}, health_check: {endpoint: '127.0.0.1:0'}}\n\
                receivers:\n  dummy: {interval: 1s, leader_elector: memory_leader_elector}\n  exec: {command: [sh, -c, \
                'echo hello; trap \"echo bye; exit 0\" TERM; while :; do sleep 0.01; done'], leader_elector: \
                memory_leader_elector}\n\
                exporters: {file: {path: out.json}}\n\
                service:\n  extensions: [memory_leader_elector, health_check]\n  pipelines:\n    metrics: {receivers: \
                [dummy], exporters: [file]}\n    logs: {receivers: [exec], exporters: [file]}\n";
    let mut collector = Collector::start(directory.path(), text);
    collector.says("everything is ready");
    collector.says("leading");
    collector.says("the command runs");
    let path = directory.path().join("out.json");
    let read = || fs::read_to_string(&path).unwrap_or_default();
    let deadline = std::time::Instant::now() + PATIENCE;
    while !(read().contains("hello") && read().contains("\"dummy\"")) {
        assert!(std::time::Instant::now() < deadline, "{} {:#?}", read(), collector.heard);
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&collector.process), Signal::TERM).expect("it is there");
    let status = collector.process.wait().expect("a child of ours");
    assert!(status.success(), "{status} {:#?}", collector.lines.iter().collect::<Vec<_>>());
    assert!(read().contains("bye"), "what is written at the end of the term is sent too: {}", read());
    let said: Vec<String> = collector.lines.iter().collect();
    assert!(said.iter().any(|line| line.contains("the term is closed") && line.contains("released=true")), "{said:#?}");
}

#[test]
fn a_second_signal_ends_with_its_code_and_tells_what_is_dropped() {
    let directory = TempDir::new().expect("a directory");
    // It takes connections, and says nothing: sending takes as long as it is left.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("it listens");
    let text = format!(
        "receivers: {{dummy: {{interval: 1s}}}}\nexporters: {{debug: {{}}, otlp: {{endpoint: '{address}', tls: \
         {{insecure: true}}, timeout: 0s}}}}\nservice: {{pipelines: {{metrics: {{receivers: [dummy], exporters: \
         [otlp, debug]}}}}}}\n"
    );
    let mut collector = Collector::start(directory.path(), &text);
    collector.says("everything is ready");
    collector.says("data points");
    kill_process(Pid::from_child(&collector.process), Signal::TERM).expect("it is there");
    collector.says("shutting down");
    kill_process(Pid::from_child(&collector.process), Signal::TERM).expect("it is there");
    let status = collector.process.wait().expect("a child of ours");
    let said: Vec<String> = collector.lines.iter().collect();
    assert_eq!(status.code(), Some(143), "{said:#?}");
    assert_eq!(said.iter().filter(|line| line.contains("dropped: the collector stops")).count(), 1, "{said:#?}");
}

const PATIENCE: Duration = Duration::from_secs(20);
