//! What the tests of the receivers share.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body_util::StreamBody;
use hyper::body as http_body;
use kube::Client;
use kube::client::Body;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
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
        candidacy: None,
        id: "x".parse().unwrap(),
        outputs: Outputs(vec![(signal, Arc::new(Sink(sender)))]),
        leadership: None,
        stop: CancellationToken::new(),
        telemetry: Arc::clone(&counts) as Arc<dyn Meter>,
    };
    (scope, receiver, counts)
}

/// An API server that a test scripts: for the path and the query of a request, the status and the body of its answer. A
/// watch is answered with a list of events, and stays open after them.
pub(crate) struct Server {
    answer: Box<Answer>,
    asked: watch::Sender<Vec<(tokio::time::Instant, String)>>,
}

impl Server {
    pub(crate) fn new(answer: impl Fn(&str, &str) -> (u16, Json) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { answer: Box::new(answer), asked: watch::Sender::default() })
    }

    /// A client that has no other server.
    pub(crate) fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let answer = server.answer(request.uri());
            async move { Ok::<_, Infallible>(answer) }
        });
        Client::new(service, "default")
    }

    fn answer(&self, uri: &http::Uri) -> http::Response<StreamBody<BoxStream<'static, Result<Frame, Infallible>>>> {
        let query = uri.query().unwrap_or_default();
        self.asked.send_modify(|asked| asked.push((tokio::time::Instant::now(), uri.to_string())));
        let (status, body) = (self.answer)(uri.path(), query);
        let frame = |text: String| Ok(http_body::Frame::data(Bytes::from(text)));
        let body = match body {
            Json::Array(events) if query.contains("watch=") => {
                let lines = events.into_iter().map(move |event| frame(format!("{event}\n"))).collect::<Vec<_>>();
                stream::iter(lines).chain(stream::pending()).boxed()
            }
            body => stream::iter([frame(body.to_string())]).boxed(),
        };
        http::Response::builder().status(status).body(StreamBody::new(body)).unwrap()
    }

    /// What was asked with this in it, and when.
    pub(crate) fn asked(&self, part: &str) -> Vec<tokio::time::Instant> {
        self.asked.borrow().iter().filter(|(_, uri)| uri.contains(part)).map(|(at, _)| *at).collect()
    }

    /// Waits until so much was asked with this in it, an hour at most.
    pub(crate) async fn until_asked(&self, part: &str, times: usize) {
        let mut asked = self.asked.subscribe();
        let count = |asked: &Vec<(_, String)>| asked.iter().filter(|(_, uri)| uri.contains(part)).count();
        let waited = timeout(Duration::from_hours(1), asked.wait_for(|asked| count(asked) >= times));
        let outcome = waited.await.map(drop);
        assert!(outcome.is_ok(), "never asked so often: {:?}", self.asked.borrow());
    }
}

/// What a server says that refuses.
pub(crate) fn refusal(code: u16) -> (u16, Json) {
    (code, json!({"kind": "Status", "status": "Failure", "message": "refused", "reason": "Test", "code": code}))
}

type Answer = dyn Fn(&str, &str) -> (u16, Json) + Send + Sync;
type Frame = http_body::Frame<Bytes>;

/// Some points.
pub(crate) fn points(count: usize) -> Telemetry {
    let gauge = Gauge { data_points: vec![NumberDataPoint::default(); count] };
    let metric = Metric { data: Some(metric::Data::Gauge(gauge)), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    Telemetry::Metrics(vec![ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() }])
}

/// Has never room, and says when somebody waits for it.
#[derive(Debug, Default)]
pub(crate) struct Crowded(pub(crate) Notify);

#[async_trait]
impl Consumer for Crowded {
    async fn consume(&self, _: Batch) -> Result<(), Refused> {
        self.0.notify_one();
        std::future::pending().await
    }

    async fn flush(&self, _: Instant) {}
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
