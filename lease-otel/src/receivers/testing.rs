//! What the tests of the receivers share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric};
use serde_json::Value as Json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::component::{Consumer, Meter, Outputs, Refused, Scope};
use crate::config::{ComponentId, Fields, Key, Node, Place, Problems, Value};
use crate::data::{Batch, Signal, Telemetry};

/// Reads a section, called `x`, with this reader, and gives all that is wrong with it.
pub(crate) fn section<T>(section: &Json, read: impl FnOnce(&mut Fields<'_>) -> T) -> (T, Problems) {
    let mut problems = Problems::default();
    let node = node(section);
    let mut fields = Fields::new(&node, "x", &mut problems);
    let read = read(&mut fields);
    fields.finish();
    (read, problems)
}

fn node(json: &Json) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Int),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(node).collect()),
        Json::Object(map) => Value::Map(
            map.iter().map(|(name, value)| (Key { name: name.clone(), place: place() }, node(value))).collect(),
        ),
    };
    Node::new(place(), value)
}

fn place() -> Place {
    Place { source: "test".into(), line: 0, column: 0 }
}

/// Where a test sees what a receiver hands over: the scope of a receiver without an elector, its batches, its counters.
pub(crate) fn scope(signal: Signal) -> (Scope, UnboundedReceiver<Batch>, Arc<Counts>) {
    let (sender, receiver) = unbounded_channel();
    let counts = Arc::new(Counts::default());
    let scope = Scope {
        id: "x".parse().unwrap(),
        outputs: Outputs(vec![(signal, Arc::new(Sink(sender)))]),
        leadership: None,
        stop: CancellationToken::new(),
        telemetry: Arc::clone(&counts) as Arc<dyn Meter>,
    };
    (scope, receiver, counts)
}

/// Some points.
pub(crate) fn points(count: usize) -> Telemetry {
    let gauge = Gauge { data_points: vec![NumberDataPoint::default(); count] };
    let metric = Metric { data: Some(metric::Data::Gauge(gauge)), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    Telemetry::Metrics(vec![ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() }])
}

#[derive(Debug)]
struct Sink(UnboundedSender<Batch>);

#[async_trait]
impl Consumer for Sink {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        self.0.send(batch).map_err(|_| Refused::Closed)
    }

    async fn flush(&self, _: Instant) {}
}

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<&'static str, u64>>);

impl Counts {
    pub(crate) fn of(&self, counter: &'static str) -> u64 {
        self.0.lock().unwrap().get(counter).copied().unwrap_or(0)
    }
}

impl Meter for Counts {
    fn add(&self, counter: &'static str, _: &ComponentId, count: u64) {
        *self.0.lock().unwrap().entry(counter).or_default() += count;
    }

    fn set(&self, _: &'static str, _: &ComponentId, _: f64) {}
}
