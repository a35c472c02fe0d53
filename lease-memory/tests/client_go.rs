//! The client-go-rule peer does what client-go was recorded to do: each trace in `testdata/client-go` is replayed.
//!
//! The traces are made by client-go itself in virtual time, by `go test ./traces -update` in `testbed/go`. A trace has
//! what happened to the elector, when its replies came, and the random numbers that it drew. The peer is given these,
//! and must send the same requests with the same records and timeouts, give the same requests up and make the same
//! calls, all at the same nanosecond. Within one instant the order is left open: client-go calls back from goroutines.

#![allow(clippy::unwrap_used, reason = "a panic is how these tests fail")]

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lease_core::{Attachment, HolderIdentity, LeaseRecord, LockErrorKind, Op, TermMark, Timestamp, Version, Versioned};
use lease_memory::sim::client_go::{ClientGo, Durations, PeerActions, PeerEvent, PeerNotice, PeerNow};
use serde::Deserialize;

/// The first line of a trace. Durations are in nanoseconds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Header {
    trace: String,
    #[serde(rename = "about")]
    _about: String,
    client_go: String,
    identity: String,
    lease_duration: u64,
    renew_deadline: u64,
    retry_period: u64,
    release_on_cancel: bool,
    wall: Timestamp,
    jitter: Vec<f64>,
}

/// Any other line: when, and one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: u64,
    /// Somebody else's doing, and what became of a write: for people who read the trace.
    edit: Option<String>,
    applied: Option<u64>,
    #[serde(default)]
    run: bool,
    #[serde(default)]
    cancel: bool,
    reply: Option<u64>,
    abandon: Option<u64>,
    callback: Option<String>,
    leader: Option<String>,
    send: Option<u64>,
    op: Option<String>,
    timeout: Option<u64>,
    lease: Option<Stored>,
    failed: Option<String>,
    #[serde(default)]
    end: bool,
}

/// The fields of a Lease, by their names on the wire.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Stored {
    resource_version: Option<String>,
    annotations: BTreeMap<String, String>,
    holder_identity: Option<String>,
    lease_duration_seconds: u64,
    acquire_time: Option<Timestamp>,
    renew_time: Option<Timestamp>,
    lease_transitions: i32,
    strategy: Option<String>,
}

impl Stored {
    /// As the Kubernetes backend reads it, which keeps what is not the record's to itself.
    fn record(&self) -> LeaseRecord {
        let ours = |name: &str| self.annotations.get(&format!("lease-election.internal/{name}"));
        LeaseRecord {
            holder: self.holder_identity.as_deref().and_then(HolderIdentity::from_record),
            lease_duration: Duration::from_secs(self.lease_duration_seconds),
            acquire_time: self.acquire_time,
            renew_time: self.renew_time,
            transitions: self.lease_transitions.cast_unsigned(),
            epoch: ours("epoch").map_or(0, |text| text.parse().unwrap()),
            acquired: ours("acquired").and_then(|text| TermMark::parse(text)),
            released: ours("released").and_then(|text| TermMark::parse(text)),
            successor: ours("successor").map(|text| text.as_str().into()),
            request: ours("handover").map(|text| serde_json::from_str(text).unwrap()),
            strategy: self.strategy.as_deref().map(Into::into),
        }
    }

    fn versioned(&self) -> Versioned {
        Versioned {
            record: self.record(),
            version: Version::new(self.resource_version.as_deref().unwrap()),
            revision: None,
            attachment: Attachment::NONE,
        }
    }
}

/// What an elector does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Output {
    Abandon { request: u64 },
    Call(PeerNotice),
    Send { request: u64, timeout: Duration, op: &'static str, version: Option<Version>, record: Option<LeaseRecord> },
}

impl Output {
    /// The order within one instant in which the recorder writes them.
    fn order(&self) -> u8 {
        match self {
            Self::Abandon { .. } => 0,
            Self::Call(PeerNotice::NewLeader(_)) => 1,
            Self::Call(PeerNotice::Started) => 2,
            Self::Call(PeerNotice::Cancelled) => 3,
            Self::Call(PeerNotice::Stopped) => 4,
            Self::Call(PeerNotice::Ended) => 5,
            Self::Send { .. } => 6,
        }
    }

    fn of_line(line: &Line) -> Option<Self> {
        if let Some(request) = line.abandon {
            return Some(Self::Abandon { request });
        }
        if let Some(callback) = &line.callback {
            return Some(Self::Call(match callback.as_str() {
                "new_leader" => PeerNotice::NewLeader(HolderIdentity::from_record(line.leader.as_deref().unwrap())),
                "started" => PeerNotice::Started,
                "cancelled" => PeerNotice::Cancelled,
                "stopped" => PeerNotice::Stopped,
                "ended" => PeerNotice::Ended,
                other => panic!("{other} is no callback"),
            }));
        }
        let op = match line.op.as_deref()? {
            "get" => "get",
            "create" => "create",
            "update" => "update",
            other => panic!("{other} is no operation"),
        };
        Some(Self::Send {
            request: line.send.unwrap(),
            timeout: Duration::from_nanos(line.timeout.unwrap()),
            op,
            version: line.lease.as_ref().and_then(|lease| lease.resource_version.as_deref()).map(Version::new),
            record: line.lease.as_ref().map(Stored::record),
        })
    }
}

/// The peer, and what it did so far.
struct Replay {
    peer: ClientGo,
    wall: Timestamp,
    jitter: std::vec::IntoIter<f64>,
    sent: u64,
    wake_at: Option<u64>,
    outputs: Vec<(u64, Output)>,
}

impl Replay {
    fn new(header: &Header) -> Self {
        let [lease, renew, retry] =
            [header.lease_duration, header.renew_deadline, header.retry_period].map(Duration::from_nanos);
        let durations = Durations::new(lease, renew, retry);
        assert!(durations.are_accepted(), "client-go has accepted {durations:?}");
        Self {
            peer: ClientGo::new(HolderIdentity::exact(&header.identity).unwrap(), durations, header.release_on_cancel),
            wall: header.wall,
            jitter: header.jitter.clone().into_iter(),
            sent: 0,
            wake_at: None,
            outputs: Vec::new(),
        }
    }

    fn step(&mut self, at: u64, event: PeerEvent) {
        let since_us = i64::try_from(at / 1000).unwrap();
        // Where a monotonic clock begins means nothing.
        let now = PeerNow {
            monotonic_ns: CLOCK_BEGIN_NS + at,
            wall: Timestamp::from_unix_micros(self.wall.unix_micros() + since_us),
        };
        let PeerActions { request, abandon, notices, wake_in } =
            self.peer.step(now, event, &mut || self.jitter.next().expect("client-go has drawn no further number"));
        if abandon {
            self.outputs.push((at, Output::Abandon { request: self.sent }));
        }
        self.outputs.extend(notices.into_iter().map(|notice| (at, Output::Call(notice))));
        if let Some(request) = request {
            self.sent = request.id;
            let (op, version, record) = match request.op {
                Op::Get => ("get", None, None),
                Op::Create(record) => ("create", None, Some(record)),
                Op::Update { seen, record } => ("update", Some(seen.version), Some(record)),
            };
            self.outputs
                .push((at, Output::Send { request: request.id, timeout: request.timeout, op, version, record }));
        }
        self.wake_at = wake_in.map(|wait| at + u64::try_from(wait.as_nanos()).unwrap());
    }

    fn wake_until(&mut self, at: u64) {
        while let Some(wake_at) = self.wake_at.filter(|wake_at| *wake_at <= at) {
            self.step(wake_at, PeerEvent::Wake);
            assert!(self.wake_at != Some(wake_at), "woken at {wake_at} ns, and to be woken then again");
        }
    }
}

#[test]
fn the_peer_does_what_client_go_did() {
    let traces = traces();
    assert!(traces.len() >= 12, "only {} traces in {}", traces.len(), folder().display());
    let failures: Vec<_> = traces.iter().filter_map(|path| replay(path).err()).collect();
    assert!(failures.is_empty(), "{} of {} traces:\n{}", failures.len(), traces.len(), failures.join("\n"));
}

/// Replays one trace; an error is the first difference.
fn replay(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header: Header = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(Some(header.trace.as_str()), path.file_stem().unwrap().to_str());
    let lines: Vec<Line> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.last().unwrap().end, "{} was cut short", header.trace);

    let mut replay = Replay::new(&header);
    for line in &lines {
        replay.wake_until(line.at);
        if let Some(event) = input(line) {
            replay.step(line.at, event);
        }
    }
    replay.outputs.sort_by_key(|(at, output)| (*at, output.order()));
    let wanted = lines.iter().filter_map(|line| Some((line.at, Output::of_line(line)?)));
    let mut done = replay.outputs.into_iter();
    for want in wanted {
        let did = done.next();
        if did.as_ref() != Some(&want) {
            return Err(format!(
                "{}:\n  client-go: {}\n  the peer:  {}",
                header.trace,
                Shown(Some(&want)),
                Shown(did.as_ref())
            ));
        }
    }
    match (done.next(), replay.jitter.len()) {
        (None, 0) => Ok(()),
        (None, unused) => Err(format!("{}: client-go drew {unused} numbers more", header.trace)),
        (did, _) => Err(format!("{}: client-go was done; the peer: {}", header.trace, Shown(did.as_ref()))),
    }
}

/// What a line says that the peer has to be told.
fn input(line: &Line) -> Option<PeerEvent> {
    if line.run {
        return Some(PeerEvent::Run);
    }
    if line.cancel {
        return Some(PeerEvent::Cancel);
    }
    let known = line.edit.is_some() || line.applied.is_some() || line.end || Output::of_line(line).is_some();
    let Some(request) = line.reply else {
        assert!(known, "the line at {} says nothing", line.at);
        return None;
    };
    let kinds = [
        LockErrorKind::Conflict,
        LockErrorKind::NotFound,
        LockErrorKind::Unavailable,
        LockErrorKind::Unknown,
        LockErrorKind::Denied,
    ];
    let result = match (&line.lease, line.failed.as_deref()) {
        (Some(lease), None) => Ok(Some(lease.versioned())),
        // A read that finds nothing is no failure of a lock.
        (None, Some("not_found")) => Ok(None),
        (None, Some(failed)) => Err(*kinds.iter().find(|kind| kind.as_str() == failed).unwrap()),
        _ => panic!("the reply at {} is neither a success nor a failure", line.at),
    };
    Some(PeerEvent::Completed { request, result })
}

/// All traces, in the order of their names, of one version of client-go.
fn traces() -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let mut traces: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    traces.sort();
    traces
}

#[test]
fn all_traces_are_of_one_version_of_client_go() {
    let versions: std::collections::BTreeSet<_> = traces()
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .map(|text| serde_json::from_str::<Header>(text.lines().next().unwrap()).unwrap().client_go)
        .collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/client-go")
}

/// One output, with its time.
struct Shown<'a>(Option<&'a (u64, Output)>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((at, output)) => write!(f, "at {at} ns: {output:?}"),
            None => f.write_str("nothing more"),
        }
    }
}

const CLOCK_BEGIN_NS: u64 = 777_777_777_777;
