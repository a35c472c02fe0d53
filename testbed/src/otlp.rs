//! A receiver of OTLP, over gRPC and HTTP, that keeps what it gets and answers as a test says.
//!
//! It has threads and a runtime of its own, so that tests in virtual time and programs under test can use it alike. Its
//! ports stay the same when it is stopped and started again.

mod grpc;
mod http;
mod serve;
mod tls;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use tokio::runtime::Runtime;

pub use self::tls::Certificates;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// HTTP, with a protobuf body.
    HttpProto,
    /// HTTP, with a JSON body.
    HttpJson,
}

/// What a request carried.
#[derive(Clone, Debug, PartialEq)]
pub enum Telemetry {
    /// Metric points.
    Metrics(ExportMetricsServiceRequest),
    /// Log records.
    Logs(ExportLogsServiceRequest),
    /// Spans.
    Traces(ExportTraceServiceRequest),
}

impl Telemetry {
    /// The points, records or spans.
    pub fn items(&self) -> usize {
        match self {
            Self::Metrics(request) => {
                let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
                scopes.flat_map(|scope| &scope.metrics).filter_map(|metric| metric.data.as_ref()).map(points).sum()
            }
            Self::Logs(request) => {
                let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
                scopes.map(|scope| scope.log_records.len()).sum()
            }
            Self::Traces(request) => {
                let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
                scopes.map(|scope| scope.spans.len()).sum()
            }
        }
    }
}

fn points(data: &Data) -> usize {
    match data {
        Data::Gauge(gauge) => gauge.data_points.len(),
        Data::Sum(sum) => sum.data_points.len(),
        Data::Histogram(histogram) => histogram.data_points.len(),
        Data::ExponentialHistogram(histogram) => histogram.data_points.len(),
        Data::Summary(summary) => summary.data_points.len(),
    }
}

/// A request that arrived, whatever it was answered.
#[derive(Clone, Debug)]
pub struct Received {
    /// When it had arrived as a whole, in nanoseconds of [`boottime_ns`](crate::boottime_ns).
    pub at_ns: u64,
    /// Who sent it.
    pub peer: SocketAddr,
    /// How it came.
    pub protocol: Protocol,
    /// Whether it was compressed with gzip.
    pub gzip: bool,
    /// Its headers, in lower case; a value that is not text is empty.
    pub headers: Vec<(String, String)>,
    /// What it carried.
    pub telemetry: Telemetry,
    /// Whether the answer was that it is taken, at least in part.
    pub taken: bool,
}

impl Received {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What a request is answered.
#[derive(Clone, Debug, Default)]
pub enum Answer {
    /// It is taken.
    #[default]
    Take,
    /// It is taken but for so many items.
    TakePart {
        /// The items that are not taken.
        rejected: i64,
        /// Why.
        message: String,
    },
    /// It is not taken.
    Refuse {
        /// The code of gRPC, as a number.
        grpc: i32,
        /// The status of HTTP.
        http: u16,
        /// The wait that is asked for, in whole seconds over HTTP.
        retry_after: Option<Duration>,
    },
    /// The answer comes after a while, and then it is taken.
    Delay(Duration),
}

impl Answer {
    /// The endpoint is busy: what every sender has to try again.
    pub fn unavailable() -> Self {
        Self::Refuse { grpc: 14, http: 503, retry_after: None }
    }

    /// The request is malformed: what no sender may try again.
    pub fn invalid() -> Self {
        Self::Refuse { grpc: 3, http: 400, retry_after: None }
    }
}

/// What the tests and the servers share.
#[derive(Debug, Default)]
struct Book {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Entries {
    received: Vec<Received>,
    next: VecDeque<Answer>,
    otherwise: Answer,
}

impl Book {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request, and says what it is answered.
    fn note(&self, mut received: Received) -> Answer {
        let mut entries = self.entries();
        let answer = entries.next.pop_front().unwrap_or_else(|| entries.otherwise.clone());
        received.taken = !matches!(answer, Answer::Refuse { .. });
        entries.received.push(received);
        self.changed.notify_all();
        answer
    }
}

/// A receiver on this machine.
#[derive(Debug)]
pub struct Sink {
    grpc: SocketAddr,
    http: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    book: Arc<Book>,
    runtime: Option<Runtime>,
}

impl Sink {
    /// Starts one, at two free ports.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start() -> Self {
        let mut sink = Self::stopped(None);
        sink.restart();
        sink
    }

    /// Starts one that speaks TLS, and takes clients with a certificate of the authority only.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start_tls(certificates: &Certificates) -> Self {
        let mut sink = Self::stopped(Some(certificates.server()));
        sink.restart();
        sink
    }

    /// One whose ports are chosen, but which is down.
    ///
    /// # Panics
    /// When no port is free.
    pub fn down() -> Self {
        Self::stopped(None)
    }

    fn stopped(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        // Both at once, so that they differ.
        let [grpc, http] = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free"));
        let address = |listener: &TcpListener| listener.local_addr().expect("what is bound has an address");
        Self { grpc: address(&grpc), http: address(&http), tls, book: Arc::default(), runtime: None }
    }

    /// Where gRPC is spoken.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where HTTP is spoken.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Breaks all connections off and takes no new ones, as a crash does. What was received is kept.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for its threads, so that the ports are free afterwards; from a thread where one may wait.
            std::thread::scope(|scope| scope.spawn(|| runtime.shutdown_timeout(STOP_TIMEOUT)).join().ok());
        }
    }

    /// Starts again at the same ports.
    ///
    /// # Panics
    /// When another process has taken one of them.
    pub fn restart(&mut self) {
        self.stop();
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime can be made");
        let bind = async {
            let grpc = serve::Listener::bind(self.grpc, self.tls.clone(), "h2").await?;
            let http = serve::Listener::bind(self.http, self.tls.clone(), "http/1.1").await?;
            tokio::spawn(grpc::serve(grpc, Arc::clone(&self.book)));
            tokio::spawn(http::serve(http, Arc::clone(&self.book)));
            io::Result::Ok(())
        };
        let started = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(bind)).join());
        started.expect("binding does not panic").expect("the ports are still free");
        self.runtime = Some(runtime);
    }

    /// Answers the next requests so, one after the other.
    pub fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.book.entries().next.extend(answers);
    }

    /// Answers all others so.
    pub fn otherwise(&self, answer: Answer) {
        self.book.entries().otherwise = answer;
    }

    /// Everything that has arrived so far, in the order in which it did.
    pub fn received(&self) -> Vec<Received> {
        self.book.entries().received.clone()
    }

    /// The items that were taken so far, a request that came twice counted twice.
    pub fn items_taken(&self) -> usize {
        items_taken(&self.book.entries().received)
    }

    /// Waits until what has arrived is so, and gives it.
    ///
    /// # Panics
    /// With what has arrived, when it is not so within half a minute.
    #[track_caller]
    pub fn wait_until(&self, so: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        let mut entries = self.book.entries();
        while !so(&entries.received) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never so: {:#?}", entries.received);
            let waited = self.book.changed.wait_timeout(entries, left);
            entries = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        entries.received.clone()
    }

    /// Waits until so many items were taken.
    ///
    /// # Panics
    /// With what has arrived, when they are not within half a minute.
    #[track_caller]
    pub fn wait_for_items(&self, items: usize) -> Vec<Received> {
        self.wait_until(|received| items_taken(received) >= items)
    }
}

fn items_taken(received: &[Received]) -> usize {
    received.iter().filter(|request| request.taken).map(|request| request.telemetry.items()).sum()
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Also from within another runtime, where one must not block.
            runtime.shutdown_background();
        }
    }
}

const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
