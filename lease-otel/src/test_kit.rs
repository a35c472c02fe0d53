//! What the tests of components share: sections, batches, a meter and a consumer that keep what they get.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lease_core::Validity;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics};
use tokio::sync::watch;

use crate::component::{Consumer, Meter, Refused};
use crate::config::{ComponentId, Fields, Key, Node, Place, Problems, Value};
use crate::data::{Batch, Telemetry};

fn place() -> Place {
    Place { source: "test".into(), line: 0, column: 0 }
}

fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match (text.parse(), text.parse()) {
            (Ok(int), _) => Value::Int(int),
            (_, Ok(float)) => Value::Float(float),
            _ => Value::String(text.to_owned()),
        },
    }
}

fn insert(entries: &mut Vec<(Key, Node)>, path: &str, value: Value) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(rest) = rest else {
        return entries.push((Key { name: name.to_owned(), place: place() }, Node::new(place(), value)));
    };
    if !entries.iter().any(|(key, _)| key.name == name) {
        insert(entries, name, Value::Map(Vec::new()));
    }
    let (_, node) = entries.iter_mut().find(|(key, _)| key.name == name).unwrap();
    let Value::Map(inner) = &mut node.value else { panic!("{path} is below a scalar") };
    insert(inner, rest, value);
}

/// A section of these keys, with dots between those of sections below it.
pub(crate) fn section(entries: &[(&str, &str)]) -> Node {
    let mut all = Vec::new();
    for (path, value) in entries {
        insert(&mut all, path, scalar(value));
    }
    Node::new(place(), Value::Map(all))
}

/// Configures with a section, and gives what came out and all that was noted.
pub(crate) fn configured<T>(entries: &[(&str, &str)], configure: impl FnOnce(&mut Fields<'_>) -> T) -> (T, Problems) {
    let node = section(entries);
    let mut problems = Problems::default();
    let mut fields = Fields::new(&node, "", &mut problems);
    let made = configure(&mut fields);
    fields.finish();
    (made, problems)
}

/// The errors that a section makes, each with its path.
pub(crate) fn problems(entries: &[(&str, &str)], configure: impl FnOnce(&mut Fields<'_>)) -> Vec<String> {
    let ((), problems) = configured(entries, configure);
    problems.errors.iter().map(|error| format!("{}: {}", error.path, error.message)).collect()
}

/// A batch of one gauge with so many points, whose values count from 0.
pub(crate) fn batch(points: usize, term: Option<Validity>) -> Batch {
    let points = 0..i64::try_from(points).unwrap();
    let data_points = points
        .map(|value| NumberDataPoint { value: Some(Number::AsInt(value)), ..NumberDataPoint::default() })
        .collect();
    let data = Some(Data::Gauge(Gauge { data_points }));
    let metric = Metric { name: "dummy".to_owned(), data, ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    Batch { telemetry: Telemetry::Metrics(vec![resource]), term }
}

/// Adds up what is counted.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: watch::Sender<BTreeMap<&'static str, u64>>,
    gauges: Mutex<BTreeMap<&'static str, f64>>,
}

impl Tally {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { counts: watch::Sender::default(), gauges: Mutex::default() })
    }

    pub(crate) fn count(&self, counter: &str) -> u64 {
        self.counts.borrow().get(counter).copied().unwrap_or(0)
    }

    pub(crate) fn gauge(&self, gauge: &str) -> Option<f64> {
        self.gauges.lock().unwrap().get(gauge).copied()
    }

    /// Waits until the counters are so, a minute at most.
    pub(crate) async fn until(&self, so: impl Fn(&Self) -> bool) {
        let mut counts = self.counts.subscribe();
        let waited = tokio::time::timeout(Duration::from_mins(1), async {
            while !so(self) {
                counts.changed().await.unwrap();
            }
        });
        assert!(waited.await.is_ok(), "never so: {self:?}");
    }
}

impl Meter for Tally {
    fn add(&self, counter: &'static str, _id: &ComponentId, count: u64) {
        self.counts.send_modify(|counts| *counts.entry(counter).or_default() += count);
    }

    fn set(&self, gauge: &'static str, _id: &ComponentId, value: f64) {
        self.gauges.lock().unwrap().insert(gauge, value);
    }
}

/// A consumer that keeps what it gets, and refuses with the next refusal, if there is one.
#[derive(Debug)]
pub(crate) struct Kept {
    batches: watch::Sender<Vec<Batch>>,
    flushes: Mutex<Vec<usize>>,
}

impl Kept {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { batches: watch::Sender::default(), flushes: Mutex::default() })
    }

    /// The points of each batch.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.batches.borrow().iter().map(|batch| batch.telemetry.len()).collect()
    }

    /// The terms of the batches.
    pub(crate) fn terms(&self) -> Vec<Option<Validity>> {
        self.batches.borrow().iter().map(|batch| batch.term.clone()).collect()
    }

    /// How many batches there were at each flush.
    pub(crate) fn flushes(&self) -> Vec<usize> {
        self.flushes.lock().unwrap().clone()
    }

    /// Waits for so many batches.
    pub(crate) async fn until(&self, batches: usize) {
        let mut kept = self.batches.subscribe();
        let waited = tokio::time::timeout(Duration::from_mins(1), kept.wait_for(|kept| kept.len() >= batches));
        let outcome = waited.await.map(drop);
        assert!(outcome.is_ok(), "never so many: {:?}", self.sizes());
    }
}

#[async_trait]
impl Consumer for Kept {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        self.batches.send_modify(|batches| batches.push(batch));
        Ok(())
    }

    async fn flush(&self, _deadline: std::time::Instant) {
        let batches = self.batches.borrow().len();
        self.flushes.lock().unwrap().push(batches);
    }
}

/// The lines that are logged on this thread while it is there.
#[derive(Clone, Debug)]
pub(crate) struct Logs(watch::Sender<String>);

impl Logs {
    /// Begins to keep what is logged.
    pub(crate) fn keep() -> (Self, tracing::subscriber::DefaultGuard) {
        let logs = Self(watch::Sender::default());
        let writer = logs.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (logs, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        self.0.borrow().clone()
    }

    /// Waits until a line has this, a minute at most.
    pub(crate) async fn until(&self, part: &str) {
        let mut logs = self.0.subscribe();
        let waited = tokio::time::timeout(Duration::from_mins(1), logs.wait_for(|text| text.contains(part)));
        let outcome = waited.await.map(drop);
        assert!(outcome.is_ok(), "`{part}` is not in\n{}", self.text());
    }
}

impl std::io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send_modify(|text| text.push_str(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
