//! The electors that a configuration has: what is checked when it is read, and two replicas in one process.

use std::env::VarError;
use std::sync::Arc;
use std::time::Duration;

use lease_otel::component::*;
use lease_otel::config::{self, Fields};
use lease_otel::data::Signal;
use lease_otel::elector;
use lease_otel::host::{Host, Stopped};
use lease_otel::receivers::exec::{ExecFactory, Keeper};
use lease_otel::telemetry::Telemetry;

use crate::kit::*;

/// The kinds that are told here: `sink`, an exporter, and `fickle`, a receiver that fails to start `fails` times.
#[derive(Clone, Debug)]
struct Told(Journal);

impl ExporterFactory for Told {
    fn kind(&self) -> Kind {
        Kind { name: "sink", aliases: &[], summary: "", signals: &[Signal::Metrics, Signal::Logs] }
    }

    fn configure(&self, _: &mut Fields<'_>) -> Box<dyn Exporter> {
        Box::new(TestExporter { name: "sink", journal: self.0.clone(), full: false })
    }
}

impl ReceiverFactory for Told {
    fn kind(&self) -> Kind {
        Kind { name: "fickle", aliases: &[], summary: "", signals: &[Signal::Metrics] }
    }

    fn configure(&self, fields: &mut Fields<'_>, _: &Registry) -> Box<dyn Receiver> {
        let fails = fields.count("fails", 0, 1000).unwrap_or_default();
        let does = if fails > 0 { Does::Fails(times(u32::try_from(fails).expect("few"))) } else { Does::Waits };
        Box::new(TestReceiver { name: "fickle", journal: self.0.clone(), does, elector: elector::chosen(fields) })
    }
}

impl ExtensionFactory for Told {
    fn kind(&self) -> Kind {
        Kind { name: "told", aliases: &[], summary: "", signals: &[] }
    }

    fn configure(&self, _: &mut Fields<'_>) -> Box<dyn Extension> {
        let elector = Some(Arc::default());
        Box::new(TestExtension { name: "told", journal: self.0.clone(), elector, fails: Fails::Never })
    }
}

fn load(journal: &Journal, text: &str) -> Result<config::Loaded, config::Problems> {
    let told = Told(journal.clone());
    let keeper = Keeper { program: "/nowhere".into(), arguments: Vec::new() };
    let registry = lease_otel::registry()
        .with_exporter(told.clone())
        .with_extension(told.clone())
        .with_receiver(told)
        .with_receiver(ExecFactory::new(keeper));
    let source = format!("yaml:{text}").parse().expect("a source");
    config::load(&[source], &|_| Err(VarError::NotPresent), &registry)
}

/// A configuration with this extension and this receiver, on one line each.
fn text(extension: &str, receiver: &str) -> String {
    let names = |text: &str| text.split_once(':').map_or(text, |(name, _)| name).trim().to_owned();
    let (extension_id, receiver_id) = (names(extension), names(receiver));
    format!(
        "extensions: {{{extension}}}\nreceivers: {{{receiver}}}\nexporters: {{sink: {{}}}}\nservice:\n  extensions: \
         [{extension_id}]\n  pipelines: {{metrics: {{receivers: [{receiver_id}], exporters: [sink]}}}}\n"
    )
}

fn errors(extension: &str, receiver: &str) -> Vec<String> {
    match load(&Journal::default(), &text(extension, receiver)) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            problems.errors.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
        }
    }
}

const DUMMY: &str = "dummy: {interval: 1s, k8s_leader_elector: k8s_leader_elector}";

#[test]
fn a_leader_elector_is_checked_when_it_is_read() {
    let elector = |keys: &str| errors(&format!("k8s_leader_elector: {{{keys}}}"), DUMMY);
    let named = "lease_name: foo, lease_namespace: default";
    assert_eq!(elector(named), [""; 0]);
    assert_eq!(
        elector(&format!("{named}, auth_type: kubeConfig, context: kind, identity: a, start_when: ready")),
        [""; 0]
    );
    assert_eq!(elector(&format!("{named}, auth_type: none, start_when: immediately")), [""; 0]);
    let at = "extensions.k8s_leader_elector";
    for (keys, expected) in [
        ("lease_namespace: default", format!("{at}.lease_name: lease name and namespace must be set")),
        ("lease_name: foo, lease_namespace: ''", format!("{at}.lease_namespace: lease name and namespace must be set")),
    ] {
        assert_eq!(elector(keys), [expected]);
    }
    for (key, expected) in [
        ("auth_type: tls", "auth_type: auth type \"tls\" is not one of serviceAccount, kubeConfig, none"),
        ("context: kind", "context: a context or kubeconfig needs auth type kubeConfig, not serviceAccount"),
        ("start_when: never", "start_when: `never` is none of ready, immediately"),
        ("lease_duration: 5s", "renew_deadline: renew deadline 10s must be shorter than lease duration 5s"),
        ("lease_duration: 15500ms", "lease_duration: lease duration 15.5s must be whole seconds on this backend"),
        ("retry_period: 6s", "renew_deadline: renew deadline 10s must be longer than two retry periods of 6s"),
        ("retry_period: 500ms", "retry_period: retry period 500ms is below 1s, the step in which clients"),
        ("lease_duration: 0s", "lease_duration: lease duration 0s is below 1ms; use"),
        ("renew_deadline: 14800ms", "renew_deadline: renew deadline 14.8s leaves no time to stop before 14.702s"),
        ("lease_duration: 700000h", "lease_duration: lease duration 700000h is above 596523h14m7s"),
        ("retry_period: 2", "retry_period: `2` has no unit"),
        ("identity: ''", "identity: a name is missing"),
        ("lease_duratoin: 15s", "lease_duratoin: unknown key; did you mean `lease_duration`?"),
    ] {
        let found = elector(&format!("{named}, {key}"));
        let expected = format!("{at}.{expected}");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{key}: {found:?}, not {expected}");
    }
    assert_eq!(
        elector("lease_name: Foo, lease_namespace: a.b").len(),
        2,
        "both names are told of, though neither is possible"
    );
}

#[test]
fn the_names_of_earlier_versions_are_understood() {
    let extension = "leaderelector: {lease_name: foo, lease_namespace: default}";
    for key in elector::ELECTOR_KEYS {
        assert_eq!(errors(extension, &format!("dummy: {{interval: 1s, {key}: leaderelector}}")), [""; 0]);
    }
    let both = "dummy: {interval: 1s, k8s_leader_elector: leaderelector, leader_elector: leaderelector}";
    assert_eq!(
        errors(extension, both),
        ["receivers.dummy.leader_elector: `k8s_leader_elector` names the elector already; keep one of the two"]
    );
}

#[test]
fn receivers_are_checked_when_they_are_read() {
    let memory = "memory_leader_elector: {}";
    for (receiver, expected) in [
        ("dummy: {interval: 999ms}", "receivers.dummy.interval: an interval of at least 1s is needed"),
        ("exec: {command: 'echo a'}", "receivers.exec.command: no shell is involved; write a list"),
        ("exec: {}", "receivers.exec.command: a command is missing"),
        ("exec: {command: [a], stop_signal: NOPE}", "receivers.exec.stop_signal: `NOPE` is none of TERM, SIGTERM, INT"),
        ("exec: {command: [a], env: {A=B: c}}", "receivers.exec.env.A=B: this is not the name of a variable"),
        (
            "leader_receiver_creator: {leader_election: {lease_name: x}, receiver: {dummy: {interval: 1ms}}}",
            "receivers.leader_receiver_creator.receiver.dummy.interval: an interval of at least 1s is needed",
        ),
        (
            "leader_receiver_creator: {receiver: {dummy: {}, fickle: {}}}",
            "receivers.leader_receiver_creator.receiver.fickle: one receiver is expected here",
        ),
        ("leader_receiver_creator: {}", "receivers.leader_receiver_creator.receiver: a receiver is missing"),
        (
            "singleton_receiver_creator/x: {receiver: {nope: {}}}",
            "receivers.singleton_receiver_creator/x.receiver.nope: unknown kind of receiver `nope`; known: ",
        ),
        (
            "leader_receiver_creator: {receiver: {dummy: {leader_elector: memory_leader_elector}}}",
            "receivers.leader_receiver_creator.receiver.dummy.leader_elector: this receiver has the elector of its creator",
        ),
        (
            "leader_receiver_creator: {receiver: {singleton_receiver_creator: {receiver: {dummy: {}}}}}",
            "receivers.leader_receiver_creator.receiver.singleton_receiver_creator: a creator runs a receiver that has no",
        ),
        (
            "leader_receiver_creator: {leader_election: {lease_duration: 9s}, receiver: {dummy: {}}}",
            "receivers.leader_receiver_creator.leader_election.renew_deadline: renew deadline 10s must be shorter",
        ),
    ] {
        let found = errors(memory, receiver);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}, not {expected}");
    }
    let creator = "leader_receiver_creator: {auth_type: kubeConfig, leader_election: {lease_name: foo, lease_namespace: \
                   bar, lease_duration: 15s, renew_deadline: 10s, retry_period: 2s}, receiver: {dummy: {interval: 1s}}}";
    assert_eq!(errors(memory, creator), [""; 0]);
}

#[test]
fn an_elector_leaves_its_receivers_the_time_that_they_are_left_to_stop() {
    let journal = Journal::default();
    let loaded = load(&journal, &text("told: {}", "exec: {command: [x], stop_timeout: 90s, leader_elector: told}"));
    assert_eq!(journal.lines(), ["told leaves 90s to stop"]);
    assert_eq!(loaded.expect("nothing is wrong with it").collector.stop_timeout(), Some(Duration::from_secs(90)));
    let own = "leader_receiver_creator: {leader_election: {lease_duration: 15s}, receiver: {exec: {command: [x], \
               stop_timeout: 40s}}}";
    let loaded = load(&journal, &text("told: {}", own)).expect("nothing is wrong with it");
    assert_eq!(loaded.collector.stop_timeout(), Some(Duration::from_secs(40)));
    assert_eq!(journal.lines().len(), 1, "that receiver has an elector of its own");
    let long = "exec: {command: [x], stop_timeout: 25h, leader_elector: told}";
    let found = load(&journal, &text("told: {}", long)).expect_err("nobody holds a lease for that long").errors;
    assert_eq!((found.len(), found[0].path.as_str()), (1, "receivers.exec.stop_timeout"), "{found:?}");
}

/// Fast, because these tests run in real time; an election of this process needs no more.
const FAST: &str = "lease_duration: 900ms, renew_deadline: 600ms, retry_period: 100ms";

async fn replica(store: &str, fails: u32, journal: &Journal, telemetry: &Arc<Telemetry>) -> Host {
    let extension = format!("memory_leader_elector: {{lease_namespace: {store}, {FAST}}}");
    let receiver = format!("fickle: {{fails: {fails}, leader_elector: memory_leader_elector}}");
    let loaded = load(journal, &text(&extension, &receiver)).expect("nothing is wrong with it");
    Host::start(loaded.collector, Arc::clone(telemetry)).await.expect("it starts")
}

#[tokio::test]
async fn a_standby_takes_over_from_a_replica_that_shuts_down() {
    let (a, b) = (Journal::default(), Journal::default());
    let told = Arc::new(Telemetry::new());
    let first = replica("shutdown", 0, &a, &told).await;
    a.until("fickle starts", 1).await;
    let second = replica("shutdown", 0, &b, &Arc::new(Telemetry::new())).await;
    assert_eq!(first.shutdown(Duration::from_secs(5)).await, Stopped::InOrder);
    assert_eq!(a.count("fickle stops"), 1);
    b.until("fickle starts", 1).await;
    assert_eq!(second.shutdown(Duration::from_secs(5)).await, Stopped::InOrder);
    assert_eq!(b.count("fickle is gone"), 1);
    let component = "component=\"memory_leader_elector\"";
    let labels = format!("lease=\"default\",namespace=\"shutdown\",backend=\"memory\",{component}");
    let text = told.text();
    for line in [
        format!("lease_acquisitions_total{{{labels}}} 1"),
        format!("lease_is_leader{{{labels}}} 0.0"),
        format!("leader_election_master_status{{name=\"default\",namespace=\"shutdown\",{component}}} 0.0"),
    ] {
        assert!(text.contains(&line), "{line} is not in {text}");
    }
    let losses: Vec<&str> = text.lines().filter(|line| line.starts_with("lease_losses_total{")).collect();
    assert!(losses.iter().all(|line| line.ends_with(" 0")), "what is given up is not lost: {losses:#?}");
}

#[tokio::test]
async fn another_replica_takes_over_where_a_receiver_does_not_start() {
    let (a, b) = (Journal::default(), Journal::default());
    let first = replica("fails", 1000, &a, &Arc::new(Telemetry::new())).await;
    a.until("fickle fails", 1).await;
    let second = replica("fails", 0, &b, &Arc::new(Telemetry::new())).await;
    b.until("fickle starts", 1).await;
    assert_eq!(first.shutdown(Duration::from_secs(5)).await, Stopped::InOrder);
    assert_eq!(second.shutdown(Duration::from_secs(5)).await, Stopped::InOrder);
    assert_eq!(a.count("fickle starts"), 0);
}

#[tokio::test]
async fn outside_of_a_cluster_a_service_account_is_no_way_in() {
    let extension = "k8s_leader_elector: {lease_name: foo, lease_namespace: default}";
    let loaded = load(&Journal::default(), &text(extension, DUMMY)).expect("nothing is wrong with it");
    let error = Host::start(loaded.collector, Arc::new(Telemetry::new())).await.expect_err("no cluster");
    assert_eq!(error.to_string(), "extension k8s_leader_elector did not start");
    assert_eq!(
        std::error::Error::source(&error).expect("why").to_string(),
        "unable to load k8s config, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined; outside a cluster \
         set `auth_type: kubeConfig`"
    );

    let creator = "leader_receiver_creator: {receiver: {dummy: }}";
    let rest = "exporters: {debug: }\nservice: {pipelines: {metrics: {receivers: [leader_receiver_creator], exporters: [debug]}}}";
    let loaded =
        load(&Journal::default(), &format!("receivers: {{{creator}}}\n{rest}")).expect("nothing is wrong with it");
    let error = Host::start(loaded.collector, Arc::new(Telemetry::new())).await.expect_err("no cluster");
    assert_eq!(error.to_string(), "receiver leader_receiver_creator did not start", "it is no extension");
}
