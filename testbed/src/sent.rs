//! What collectors have sent, told apart by who sent it, in which term, and when it was read: by the data's own times.
//!
//! Nothing is asked of the programs under test. Each replica names itself in a header of its requests, or has a file of its
//! own; each run of a receiver shows in the start time of its points, which is the same for all of them. So a term is a pair
//! of replica and start time, and two that send in turns show, whatever the programs say.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};

use crate::otlp::{Received, Telemetry};

/// The header by which a replica names itself.
pub const REPLICA: &str = "replica";

/// What one receiver has read at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who sent it.
    pub replica: String,
    /// The receiver, as its scope names it: `k8scluster`, `kymastats`, `dummy`.
    pub receiver: String,
    /// When the receiver was started, in nanoseconds since 1970; zero where no point says so.
    pub started_ns: u64,
    /// When it was read, in nanoseconds since 1970.
    pub time_ns: u64,
    /// When it had arrived, on the judge's clock; zero for what was found in a file.
    pub at_ns: u64,
    /// Each point without its value: resource, metric, attributes and time.
    pub points: Vec<String>,
}

impl Batch {
    /// Whether a point of it contains all of these texts.
    pub fn tells(&self, texts: &[&str]) -> bool {
        self.points.iter().any(|point| texts.iter().all(|text| point.contains(text)))
    }
}

/// All that one replica has sent for one receiver between a start and a stop of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Who sent it.
    pub replica: String,
    /// When the receiver was started, in nanoseconds since 1970.
    pub started_ns: u64,
    /// The batches, in the order of their times. There is one at least.
    pub batches: Vec<Batch>,
}

impl Term {
    /// When its first batch was read.
    pub fn first_ns(&self) -> u64 {
        self.batches.first().map_or(0, |batch| batch.time_ns)
    }

    /// When its last batch was read.
    pub fn last_ns(&self) -> u64 {
        self.batches.last().map_or(0, |batch| batch.time_ns)
    }

    /// From its last batch to the first of a later one.
    pub fn gap_to(&self, next: &Self) -> Duration {
        Duration::from_nanos(next.first_ns().saturating_sub(self.last_ns()))
    }
}

/// A term went on after another had begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mixed {
    /// The batch that came from the earlier term.
    pub late: Batch,
    /// The last batch of the other term before it.
    pub after: Batch,
}

impl fmt::Display for Mixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { late, after } = self;
        write!(
            f,
            "{} of the term of {} from {} on has read at {}, after {} (from {} on) had read at {}",
            late.receiver, late.replica, late.started_ns, late.time_ns, after.replica, after.started_ns, after.time_ns
        )
    }
}

/// The batches among some requests, in the order in which they came.
pub fn received(requests: &[Received]) -> Vec<Batch> {
    let of = |request: &Received| match &request.telemetry {
        Telemetry::Metrics(metrics) => batches(request.header(REPLICA).unwrap_or_default(), request.at_ns, metrics),
        Telemetry::Logs(_) | Telemetry::Traces(_) => Vec::new(),
    };
    requests.iter().flat_map(of).collect()
}

/// The batches in what the exporter `file` of this replica has written as JSON. A last line that is unfinished is left out.
///
/// # Panics
/// When a line is no such request.
#[track_caller]
pub fn filed(replica: &str, text: &str) -> Vec<Batch> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let of = |line: &str| match serde_json::from_str(line) {
        Ok(metrics) => batches(replica, 0, &metrics),
        Err(error) => panic!("{replica}: {error}: {line}"),
    };
    whole.lines().flat_map(of).collect()
}

fn batches(replica: &str, at_ns: u64, request: &ExportMetricsServiceRequest) -> Vec<Batch> {
    let mut found: BTreeMap<String, Batch> = BTreeMap::new();
    for resource in &request.resource_metrics {
        let about = resource.resource.as_ref().map(|resource| shown(&resource.attributes)).unwrap_or_default();
        for scope in &resource.scope_metrics {
            let name = scope.scope.as_ref().map_or("", |scope| scope.name.rsplit('/').next().unwrap_or_default());
            let name = name.strip_suffix("receiver").unwrap_or(name);
            let batch = found.entry(name.to_owned()).or_insert_with(|| Batch {
                replica: replica.to_owned(),
                receiver: name.to_owned(),
                started_ns: 0,
                time_ns: 0,
                at_ns,
                points: Vec::new(),
            });
            for (metric, point) in
                scope.metrics.iter().flat_map(|metric| points(metric).iter().map(move |p| (metric, p)))
            {
                batch.started_ns = batch.started_ns.max(point.start_time_unix_nano);
                batch.time_ns = batch.time_ns.max(point.time_unix_nano);
                let of = shown(&point.attributes);
                batch.points.push(format!("{about}{} {of}@{}", metric.name, point.time_unix_nano));
            }
        }
    }
    found.into_values().filter(|batch| !batch.points.is_empty()).collect()
}

fn points(metric: &Metric) -> &[NumberDataPoint] {
    match &metric.data {
        Some(Data::Gauge(gauge)) => &gauge.data_points,
        Some(Data::Sum(sum)) => &sum.data_points,
        _ => &[],
    }
}

fn shown(attributes: &[KeyValue]) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    attributes.iter().fold(String::new(), |text, pair| text + &pair.key + "=" + &value(pair) + " ")
}

/// The terms of a receiver, in the order in which they began to send.
///
/// # Errors
/// The first batch of a term that was read after another term had begun: in the same interval there were two senders.
pub fn terms(batches: &[Batch], receiver: &str) -> Result<Vec<Term>, Box<Mixed>> {
    let mut own: Vec<&Batch> = batches.iter().filter(|batch| batch.receiver == receiver).collect();
    own.sort_by_key(|batch| batch.time_ns);
    let mut terms: Vec<Term> = Vec::new();
    for batch in own {
        let is_of = |term: &Term| term.replica == batch.replica && term.started_ns == batch.started_ns;
        match terms.iter().position(is_of) {
            None => terms.push(Term {
                replica: batch.replica.clone(),
                started_ns: batch.started_ns,
                batches: vec![batch.clone()],
            }),
            Some(at) if at + 1 == terms.len() => terms[at].batches.push(batch.clone()),
            Some(_) => {
                let after = terms.last().and_then(|term| term.batches.last()).unwrap_or(batch).clone();
                return Err(Box::new(Mixed { late: batch.clone(), after }));
            }
        }
    }
    Ok(terms)
}

/// The points that came more than once: of one resource and metric, with the same attributes and the same time.
pub fn twice(batches: &[Batch]) -> Vec<&str> {
    let mut seen = HashSet::new();
    let points = batches.iter().flat_map(|batch| &batch.points);
    points.filter(|point| !seen.insert(point.as_str())).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(replica: &str, started_ns: u64, time_ns: u64) -> Batch {
        let points = vec![format!("k8s.pod.name=web k8s.pod.phase @{time_ns}")];
        Batch { replica: replica.to_owned(), receiver: "k8scluster".to_owned(), started_ns, time_ns, at_ns: 0, points }
    }

    #[test]
    fn terms_follow_each_other() {
        let sent = [batch("b", 30, 32), batch("a", 10, 11), batch("a", 10, 12), batch("b", 30, 31), batch("b", 40, 41)];
        let terms = terms(&sent, "k8scluster").unwrap();
        let shown: Vec<_> = terms.iter().map(|term| (term.replica.as_str(), term.first_ns(), term.last_ns())).collect();
        assert_eq!(shown, [("a", 11, 12), ("b", 31, 32), ("b", 41, 41)]);
        assert_eq!(terms[0].gap_to(&terms[1]), Duration::from_nanos(19));
        assert_eq!(super::terms(&sent, "kymastats").unwrap(), []);
    }

    #[test]
    fn two_that_send_in_turns_are_found() {
        let sent = [batch("a", 10, 11), batch("b", 12, 12), batch("a", 10, 13)];
        let mixed = terms(&sent, "k8scluster").unwrap_err();
        assert_eq!((mixed.late.time_ns, mixed.after.time_ns), (13, 12), "{mixed}");
        // The same replica, whose earlier run goes on beside the later one.
        assert!(terms(&[batch("a", 10, 11), batch("a", 12, 12), batch("a", 10, 13)], "k8scluster").is_err());
    }

    #[test]
    fn what_came_twice_is_found_whoever_sent_it() {
        assert_eq!(twice(&[batch("a", 10, 11), batch("a", 10, 12)]), [""; 0]);
        assert_eq!(twice(&[batch("a", 10, 11), batch("b", 9, 11)]), ["k8s.pod.name=web k8s.pod.phase @11"]);
    }

    #[test]
    fn a_file_is_read_up_to_its_last_whole_line() {
        let point = |at: u64| format!(r#"{{"startTimeUnixNano":"5","timeUnixNano":"{at}","asInt":"1"}}"#);
        let metrics = format!(r#"[{{"name":"k8s.pod.phase","gauge":{{"dataPoints":[{},{}]}}}}]"#, point(7), point(8));
        let scope = format!(r#"[{{"scope":{{"name":"x.example/receiver/k8sclusterreceiver"}},"metrics":{metrics}}}]"#);
        let resource = r#"{"attributes":[{"key":"k8s.pod.name","value":{"stringValue":"web"}}]}"#;
        let line = format!(r#"{{"resourceMetrics":[{{"resource":{resource},"scopeMetrics":{scope}}}]}}"#);
        let found = filed("a", &format!("{line}\n{}", &line[..20]));
        let [batch] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((batch.receiver.as_str(), batch.started_ns, batch.time_ns), ("k8scluster", 5, 8));
        assert_eq!(batch.points, ["k8s.pod.name=web k8s.pod.phase @7", "k8s.pod.name=web k8s.pod.phase @8"]);
        assert!(batch.tells(&["=web ", "phase"]) && !batch.tells(&["=web ", "cpu"]));
    }
}
