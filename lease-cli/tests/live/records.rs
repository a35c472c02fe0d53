//! Leases that a server accepts and no elector writes: what `lease run` and `lease get` make of them.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::process::Program;

use super::{Fleet, QUICK, SOON, now_ns};

/// A Lease as somebody left it, by its name.
struct Strange {
    name: &'static str,
    spec: Value,
    annotations: Value,
}

fn strange(name: &'static str, spec: Value) -> Strange {
    Strange { name, spec, annotations: json!({}) }
}

fn create(fleet: &Fleet<'_>, strange: &Strange) {
    let Strange { name, spec, annotations } = strange;
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", fleet.namespace);
    let mut lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "annotations": annotations}});
    if !spec.is_null() {
        lease["spec"] = spec.clone();
    }
    fleet.cluster.api().admin("POST", &path, Some(&lease)).ok();
}

/// A replica that contends for the lease, and when it began.
fn contend(fleet: &Fleet<'_>, name: &str, wait: &str) -> (u64, Program) {
    let mut command = fleet.lease("admin");
    command.args(["run", name]).args(QUICK).args(["--wait", wait, "--", "true"]);
    (now_ns(), Program::spawn(command).expect("lease starts"))
}

/// What `lease get` says of it, in columns.
fn shown(fleet: &Fleet<'_>, name: &str) -> String {
    let output = fleet.lease("admin").args(["get", name]).output().expect("lease starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

const RENEWED: &str = "2026-01-01T00:00:00.000000Z";

pub(crate) fn a_strange_record_is_waited_out_or_taken_as_it_says() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "strange");
    let held = |seconds: i64, renewed: &str| json!({"holderIdentity": "x", "leaseDurationSeconds": seconds, "renewTime": renewed});
    let by = |holder: &str| json!({"holderIdentity": holder, "leaseDurationSeconds": 4, "renewTime": RENEWED});
    let mut crowded = held(4, RENEWED);
    crowded["leaseTransitions"] = json!(i32::MAX);
    // The wait in seconds: the longer of the record's duration and the candidate's own, whatever the dates say.
    let cases = [
        // Nobody ever held these, so nobody is waited for.
        (strange("no-spec", Value::Null), 0, "free"),
        (strange("empty-spec", json!({})), 0, "free"),
        // What every elector writes when it releases.
        (
            strange("released", json!({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": RENEWED})),
            0,
            "free",
        ),
        // No elector does this: somebody may still act.
        (strange("emptied", json!({"holderIdentity": "", "leaseDurationSeconds": 6, "renewTime": RENEWED})), 6, "free"),
        (strange("one-second", held(1, RENEWED)), 4, "expired"),
        (strange("long-duration", held(6, RENEWED)), 6, "expired"),
        (strange("no-duration", json!({"holderIdentity": "x", "renewTime": RENEWED})), 4, "expired"),
        (strange("only-a-holder", json!({"holderIdentity": "x"})), 4, "expired"),
        (strange("far-future", held(4, "2999-01-01T00:00:00.000000Z")), 4, "held"),
        (strange("far-past", held(4, "1970-01-01T00:00:00.000000Z")), 4, "expired"),
        (strange("year-one", held(4, "0001-01-01T00:00:00.000001Z")), 4, "expired"),
        // Past the last instant that we can count to.
        (strange("end-of-time", held(4, "9999-12-31T23:59:59.999999Z")), 4, "malformed"),
        (strange("transitions", crowded), 4, "expired"),
        (strange("long-holder", by(&"x".repeat(300))), 4, "expired"),
        (strange("control", by("a\u{1b}[2J\n")), 4, "a\\u{1b}[2J\\n"),
        (
            Strange {
                name: "bad-epoch",
                spec: held(4, RENEWED),
                annotations: json!({"lease-election.internal/epoch": "many"}),
            },
            4,
            "malformed",
        ),
    ];
    for (strange, _, says) in &cases {
        create(&fleet, strange);
        let table = shown(&fleet, strange.name);
        assert!(table.contains(says), "{} is not said to be {says}: {table}", strange.name);
    }
    let replicas: Vec<_> = cases.iter().map(|(strange, ..)| contend(&fleet, strange.name, "1m")).collect();
    for ((Strange { name, .. }, wait_s, _), (begun_ns, mut replica)) in cases.into_iter().zip(replicas) {
        let leading = replica.wait_for_line("leading", SOON).unwrap_or_else(|overdue| panic!("{name}: {overdue}"));
        let won = if wait_s == 0 { "won=\"released\"" } else { "won=\"expired\"" };
        assert!(leading.text.contains(won), "{name}: {}", leading.text);
        let waited = Duration::from_nanos(leading.at_ns - begun_ns);
        assert!(waited >= Duration::from_secs(wait_s), "{name} was taken after {waited:?}");
        let status = replica.wait(SOON).expect("it ends");
        assert_eq!(status.code(), Some(0), "{name}: {:?}", replica.lines());
        let lease = fleet.cluster.api().lease(&fleet.namespace, name).expect("it is there");
        assert_eq!(lease["spec"]["holderIdentity"], "", "{name} was released: {lease}");
        assert!(lease["spec"]["leaseTransitions"].as_u64().is_some(), "{name}: {lease}");
        assert!(shown(&fleet, name).contains("free"), "{name}");
    }
}

pub(crate) fn what_no_candidate_may_touch_is_left_alone_and_named() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "untouchable");
    let held = |seconds: i64| json!({"holderIdentity": "x", "leaseDurationSeconds": seconds, "renewTime": RENEWED});
    let newer =
        Strange { name: "newer-epoch", spec: held(4), annotations: json!({"lease-election.internal/epoch": "7"}) };
    let cases = [
        // For 68 years, which only an operator can shorten.
        (strange("for-ever", held(i64::from(i32::MAX))), 75, "held by x"),
        (newer, 78, "epoch 0 is lower than the record's epoch 7"),
    ];
    // Longer than the candidate's own duration, after which it would take what it may take.
    let start = |strange: &Strange| {
        create(&fleet, strange);
        contend(&fleet, strange.name, "7s")
    };
    let replicas: Vec<_> = cases.iter().map(|(strange, ..)| start(strange)).collect();
    for ((Strange { name, spec, .. }, code, says), (_, mut replica)) in cases.into_iter().zip(replicas) {
        assert_eq!(replica.wait(SOON).expect("it ends").code(), Some(code), "{name}: {:?}", replica.lines());
        replica.wait_for_line(says, SOON).unwrap_or_else(|overdue| panic!("{name}: {overdue}"));
        let lease = fleet.cluster.api().lease(&fleet.namespace, name).expect("it is there");
        assert_eq!(lease["spec"], spec, "{name} was written to");
    }
}
