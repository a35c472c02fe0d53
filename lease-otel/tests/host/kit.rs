//! Components that write down what happens to them, and collectors made of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lease_core::Reason;
use lease_otel::component::*;
use lease_otel::config::{Collector, ComponentId, Located, Pipeline, PipelineId, Place};
use lease_otel::data::{Batch, Signal, Telemetry};
use lease_otel::elector::LeaderElector;
use lease_otel::testing::ScriptedElector;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub fn id(text: &str) -> ComponentId {
    text.parse().expect("a name")
}

/// What has happened, in order.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<(Mutex<Vec<String>>, Notify)>);

impl Journal {
    pub fn note(&self, line: impl Into<String>) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.into());
        self.0.1.notify_waiters();
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|found| *found == line).count()
    }

    /// Where this line is; the test fails without it.
    pub fn position(&self, line: &str) -> usize {
        let lines = self.lines();
        lines.iter().position(|found| found == line).unwrap_or_else(|| panic!("{line:?} is not in {lines:#?}"))
    }

    /// Waits until this line is there so many times.
    pub async fn until(&self, line: &str, times: usize) {
        let seen = async {
            loop {
                let news = self.0.1.notified();
                let mut news = std::pin::pin!(news);
                news.as_mut().enable();
                if self.count(line) >= times {
                    return;
                }
                news.await;
            }
        };
        let patience = Duration::from_mins(1);
        assert!(tokio::time::timeout(patience, seen).await.is_ok(), "no {line:?} in {:#?}", self.lines());
    }
}

/// A batch of so many points, which does not say in which term it was read.
pub fn batch(points: usize) -> Batch {
    let gauge = Gauge { data_points: vec![NumberDataPoint::default(); points] };
    let metric = Metric { data: Some(metric::Data::Gauge(gauge)), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    Batch { telemetry: Telemetry::Metrics(vec![resource]), term: None }
}

/// What a receiver of a test does once it has started.
#[derive(Clone, Debug)]
pub enum Does {
    /// It waits until it is stopped.
    Waits,
    /// It hands on these points at once, and waits.
    Emits(usize),
    /// It hands on these points when it is told to stop.
    EmitsAtStop(usize),
    /// It does not stop.
    Ignores,
    /// It hands on a point every 10 ms, and does not stop.
    Streams,
    /// It ends by itself so many times, and waits then.
    Ends(Arc<AtomicU32>),
    /// It panics so many times, and waits then.
    Panics(Arc<AtomicU32>),
    /// It neither starts nor says that it does not.
    Hangs,
    /// It does not start so many times.
    Fails(Arc<AtomicU32>),
}

pub fn times(count: u32) -> Arc<AtomicU32> {
    Arc::new(AtomicU32::new(count))
}

/// Takes one off, while there is one.
fn once_less(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[derive(Debug)]
pub struct TestReceiver {
    pub name: &'static str,
    pub journal: Journal,
    pub does: Does,
    pub elector: Option<ElectorChoice>,
}

#[async_trait]
impl Receiver for TestReceiver {
    fn elector(&self) -> Option<&ElectorChoice> {
        self.elector.as_ref()
    }

    async fn start(&self, scope: Scope) -> Result<Work, StartError> {
        if let Does::Fails(left) = &self.does
            && once_less(left)
        {
            self.journal.note(format!("{} fails", self.name));
            return Err("the port is in use".into());
        }
        if matches!(self.does, Does::Hangs) {
            std::future::pending::<()>().await;
        }
        self.journal.note(format!("{} starts", self.name));
        let gone = NoteOnDrop { journal: self.journal.clone(), line: format!("{} is gone", self.name) };
        Ok(Box::pin(work(self.name, self.does.clone(), gone, scope)))
    }
}

async fn work(name: &'static str, does: Does, gone: NoteOnDrop, scope: Scope) {
    let journal = gone.journal.clone();
    let emit = async |points| {
        let output = scope.outputs.of(Signal::Metrics).expect("a pipeline of metrics");
        if let Err(refused) = output.consume(batch(points)).await {
            journal.note(format!("{name}: {refused}"));
        }
    };
    match does {
        Does::Ends(left) if once_less(&left) => return,
        Does::Panics(left) if once_less(&left) => panic!("out of luck"),
        Does::Emits(points) => emit(points).await,
        _ => {}
    }
    if matches!(does, Does::Ignores) {
        std::future::pending::<()>().await;
    }
    if matches!(does, Does::Streams) {
        loop {
            emit(1).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    scope.stop.cancelled().await;
    if let Does::EmitsAtStop(points) = does {
        emit(points).await;
    }
    journal.note(format!("{name} stops"));
}

struct NoteOnDrop {
    journal: Journal,
    line: String,
}

impl Drop for NoteOnDrop {
    fn drop(&mut self) {
        self.journal.note(self.line.clone());
    }
}

/// An exporter that notes how many points it is given.
#[derive(Clone, Debug)]
pub struct TestExporter {
    pub name: &'static str,
    pub journal: Journal,
    /// Whether it never has room.
    pub full: bool,
}

#[async_trait]
impl Exporter for TestExporter {
    async fn start(
        &self,
        _: &ComponentId,
        stop: CancellationToken,
        _: Arc<dyn Meter>,
    ) -> Result<(Arc<dyn Consumer>, Option<Work>), StartError> {
        self.journal.note(format!("{} starts", self.name));
        let (name, journal) = (self.name, self.journal.clone());
        let work = async move {
            stop.cancelled().await;
            journal.note(format!("{name} stops"));
        };
        Ok((Arc::new(self.clone()), Some(Box::pin(work))))
    }
}

#[async_trait]
impl Consumer for TestExporter {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        if self.full {
            self.journal.note(format!("{} is full", self.name));
            std::future::pending::<()>().await;
        }
        self.journal.note(format!("{} takes {}", self.name, batch.telemetry.len()));
        Ok(())
    }

    async fn flush(&self, _: Instant) {
        self.journal.note(format!("{} flushes", self.name));
    }
}

/// A processor that keeps everything back until it is flushed.
#[derive(Debug)]
pub struct TestProcessor {
    pub name: &'static str,
    pub journal: Journal,
}

#[derive(Debug)]
struct Held {
    kept: tokio::sync::Mutex<Vec<Batch>>,
    next: Arc<dyn Consumer>,
    name: &'static str,
    journal: Journal,
}

impl Processor for TestProcessor {
    fn start(
        &self,
        _: &ComponentId,
        next: Arc<dyn Consumer>,
        stop: CancellationToken,
        _: Arc<dyn Meter>,
    ) -> (Arc<dyn Consumer>, Option<Work>) {
        self.journal.note(format!("{} starts", self.name));
        let held = Arc::new(Held {
            kept: tokio::sync::Mutex::default(),
            next,
            name: self.name,
            journal: self.journal.clone(),
        });
        let kept = Arc::clone(&held);
        let work = async move {
            stop.cancelled().await;
            kept.flush(Instant::now()).await;
            kept.journal.note(format!("{} stops", kept.name));
        };
        (held, Some(Box::pin(work)))
    }
}

#[async_trait]
impl Consumer for Held {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        self.kept.lock().await.push(batch);
        self.journal.note(format!("{} keeps", self.name));
        Ok(())
    }

    async fn flush(&self, deadline: Instant) {
        for batch in std::mem::take(&mut *self.kept.lock().await) {
            // What is refused is counted by who refuses it.
            let _ = self.next.consume(batch).await;
        }
        self.next.flush(deadline).await;
    }
}

/// An extension, with an elector that the test scripts or without.
#[derive(Debug)]
pub struct TestExtension {
    pub name: &'static str,
    pub journal: Journal,
    pub elector: Option<Arc<ScriptedElector>>,
    pub fails: Fails,
}

/// When an extension fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fails {
    #[default]
    Never,
    /// It does not start.
    AtStart,
    /// It neither starts nor says that it does not.
    Hangs,
    /// It cannot go on when data can flow.
    AtReady,
}

#[derive(Debug)]
struct RunningTest {
    name: &'static str,
    journal: Journal,
    elector: Option<Arc<ScriptedElector>>,
    fails: Fails,
}

#[async_trait]
impl Extension for TestExtension {
    async fn start(&self, _: &ComponentId, _: Arc<dyn Meter>) -> Result<Box<dyn RunningExtension>, StartError> {
        match self.fails {
            Fails::AtStart => return Err("there is no server".into()),
            Fails::Hangs => {
                self.journal.note(format!("{} hangs", self.name));
                std::future::pending::<()>().await;
            }
            Fails::Never | Fails::AtReady => {}
        }
        self.journal.note(format!("{} starts", self.name));
        let Self { name, journal, elector, fails } = self;
        Ok(Box::new(RunningTest { name, journal: journal.clone(), elector: elector.clone(), fails: *fails }))
    }

    fn is_elector(&self) -> bool {
        self.elector.is_some()
    }

    fn allow_stop(&mut self, stop_timeout: Duration) {
        self.journal.note(format!("{} leaves {stop_timeout:?} to stop", self.name));
    }
}

#[async_trait]
impl RunningExtension for RunningTest {
    fn elector(&self) -> Option<Arc<dyn LeaderElector>> {
        self.elector.clone().map(|elector| elector as Arc<dyn LeaderElector>)
    }

    fn ready(&self) -> Result<(), StartError> {
        if self.fails == Fails::AtReady {
            return Err("there are no threads left".into());
        }
        self.journal.note(format!("{} is ready", self.name));
        Ok(())
    }

    fn not_ready(&self) {
        self.journal.note(format!("{} is not ready", self.name));
    }

    async fn shutdown(self: Box<Self>) {
        if let Some(elector) = &self.elector {
            elector.drain(Reason::Shutdown).await;
        }
        self.journal.note(format!("{} stops", self.name));
    }
}

/// A collector with one pipeline of metrics.
pub struct Kit {
    pub journal: Journal,
    pub collector: Collector,
}

impl Kit {
    pub fn new() -> Self {
        let collector = Collector {
            extensions: Vec::new(),
            receivers: Vec::new(),
            processors: Vec::new(),
            exporters: Vec::new(),
            pipelines: vec![Pipeline {
                id: PipelineId { signal: Signal::Metrics, name: "".into() },
                receivers: Vec::new(),
                processors: Vec::new(),
                exporters: Vec::new(),
            }],
            telemetry: lease_otel::config::Telemetry::default(),
        };
        Self { journal: Journal::default(), collector }
    }

    pub fn extension(self, name: &'static str) -> Self {
        self.failing(name, Fails::Never)
    }

    pub fn failing(mut self, name: &'static str, fails: Fails) -> Self {
        let extension = TestExtension { name, journal: self.journal.clone(), elector: None, fails };
        self.collector.extensions.push((id(name), Box::new(extension)));
        self
    }

    pub fn elector(mut self, name: &'static str, elector: &Arc<ScriptedElector>) -> Self {
        let elector = Some(Arc::clone(elector));
        let extension = TestExtension { name, journal: self.journal.clone(), elector, fails: Fails::Never };
        self.collector.extensions.push((id(name), Box::new(extension)));
        self
    }

    pub fn exporter(mut self, name: &'static str, full: bool) -> Self {
        let exporter = TestExporter { name, journal: self.journal.clone(), full };
        self.collector.exporters.push((id(name), Box::new(exporter)));
        self.collector.pipelines[0].exporters.push(id(name));
        self
    }

    pub fn processor(mut self, name: &'static str) -> Self {
        let processor = TestProcessor { name, journal: self.journal.clone() };
        self.collector.processors.push((id(name), Box::new(processor)));
        self.collector.pipelines[0].processors.push(id(name));
        self
    }

    pub fn receiver(mut self, name: &'static str, elector: Option<&str>, does: Does) -> Self {
        let elector = elector.map(|elector| {
            let place = Place { source: "test".into(), line: 1, column: 1 };
            ElectorChoice::Named(Located { value: id(elector), place, path: String::new() })
        });
        let receiver = TestReceiver { name, journal: self.journal.clone(), does, elector };
        self.collector.receivers.push((id(name), Box::new(receiver)));
        self.collector.pipelines[0].receivers.push(id(name));
        self
    }
}
