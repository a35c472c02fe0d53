//! The exporter `otlp_http`: OTLP over HTTP.

mod answer;

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio_util::sync::CancellationToken;

use super::connect::{Connector, way_out};
use super::json;
use super::mismatch::Expected;
use super::otlp::{encode_request, pretty_timeout};
use super::queue::{Failure, Request, Taken, Transport};
use super::settings::{Common, LOGIN, quoted, wrong_port};
use crate::component::{Consumer, Exporter, ExporterFactory, Kind, Meter, StartError, Work};
use crate::config::{ComponentId, Fields};
use crate::data::{Signal, Telemetry};
use crate::errors::with_causes;

/// The kind `otlp_http`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OtlpHttp;

impl ExporterFactory for OtlpHttp {
    fn kind(&self) -> Kind {
        Kind {
            name: "otlp_http",
            aliases: &["otlphttp"],
            summary: "Sends telemetry as OTLP over HTTP",
            signals: &Signal::ALL,
        }
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Exporter> {
        let settings = Settings {
            endpoints: Endpoints::read(fields),
            json: fields.word("encoding", &[("proto", false), ("json", true)]).unwrap_or(false),
            common: Common::read(fields, TIMEOUT),
        };
        fields.accepted(&[
            "profiles_endpoint",
            "proxy_url",
            "max_idle_conns",
            "max_idle_conns_per_host",
            "max_conns_per_host",
            "idle_conn_timeout",
            "disable_keep_alives",
            "http2_read_idle_timeout",
            "http2_ping_timeout",
            "cookies",
            "force_attempt_http2",
        ]);
        if settings.endpoints.are_plain() {
            settings.common.tls.warn_that_it_is_without(fields);
        }
        Box::new(settings)
    }
}

const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
struct Settings {
    endpoints: Endpoints,
    json: bool,
    common: Common,
}

/// What sends the collector's own metrics to this address; one without a path has the usual one.
pub(super) fn own(endpoint: &Uri, common: Common) -> Arc<dyn Exporter> {
    let metrics = match endpoint.path_and_query().map(PathAndQuery::as_str) {
        None | Some("" | "/") => {
            let mut parts = endpoint.clone().into_parts();
            parts.path_and_query = Some(PathAndQuery::from_static("/v1/metrics"));
            Uri::from_parts(parts).ok()
        }
        Some(_) => Some(endpoint.clone()),
    };
    Arc::new(Settings { endpoints: Endpoints { metrics, ..Endpoints::default() }, json: false, common })
}

/// Where each signal goes.
#[derive(Clone, Default)]
struct Endpoints {
    metrics: Option<Uri>,
    logs: Option<Uri>,
    traces: Option<Uri>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |signal| self.of(signal).map(answer::shown);
        f.debug_map().entries(Signal::ALL.map(|signal| (signal, of(signal)))).finish()
    }
}

impl Endpoints {
    fn read(fields: &mut Fields<'_>) -> Self {
        let mut read = |key: &'static str| {
            let found = fields.text(key).filter(|found| !found.value.is_empty())?;
            match url(&found.value) {
                Ok(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
                    fields.problems().error(&found.place, found.path, LOGIN);
                    Some(String::new())
                }
                Ok(_) => Some(found.value),
                Err(message) => {
                    fields.problems().error(&found.place, found.path, message);
                    // Something was given, so that nothing is said to be missing.
                    Some(String::new())
                }
            }
        };
        let base = read("endpoint");
        let own = [read("metrics_endpoint"), read("logs_endpoint"), read("traces_endpoint")];
        if base.is_none() && own.iter().all(Option::is_none) {
            fields.error("endpoint", "is missing: where to send to, as `http://HOST:4318`; the path is added");
        }
        let [metrics, logs, traces] = own;
        let place = |own: Option<String>, path: &str| {
            let joined = base.as_ref().map(|base| format!("{}/v1/{path}", base.strip_suffix('/').unwrap_or(base)));
            url(&own.or(joined)?).ok()
        };
        Self { metrics: place(metrics, "metrics"), logs: place(logs, "logs"), traces: place(traces, "traces") }
    }

    /// Whether none of them is with TLS.
    fn are_plain(&self) -> bool {
        Signal::ALL.iter().filter_map(|signal| self.of(*signal)).all(|uri| uri.scheme_str() == Some("http"))
    }

    fn of(&self, signal: Signal) -> Option<&Uri> {
        match signal {
            Signal::Metrics => self.metrics.as_ref(),
            Signal::Logs => self.logs.as_ref(),
            Signal::Traces => self.traces.as_ref(),
        }
    }
}

fn url(text: &str) -> Result<Uri, String> {
    let shown = quoted(text);
    let bare = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if bare.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '?', '#'])) {
        return Err(format!("{shown} has no host; write it as `http://HOST:4318`"));
    }
    let uri: Uri = text.parse().map_err(|error| format!("{shown} is not a URL: {error}"))?;
    if let Some(wrong) = uri.authority().and_then(wrong_port) {
        return Err(wrong);
    }
    if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty()) {
        Ok(uri)
    } else {
        Err(format!("{shown} is not a URL with http:// or https:// and a host, such as `http://HOST:4318`"))
    }
}

#[async_trait]
impl Exporter for Settings {
    async fn start(
        &self,
        id: &ComponentId,
        stop: CancellationToken,
        telemetry: Arc<dyn Meter>,
    ) -> Result<(Arc<dyn Consumer>, Option<Work>), StartError> {
        Ok(self.common.start(Arc::new(Http::new(self)?), id, stop, telemetry))
    }
}

type HttpClient = Client<Connector, Full<Bytes>>;

/// Two clients, one for each scheme: which of them an address needs is said by its own.
#[derive(Debug)]
struct Http {
    settings: Settings,
    plain: (HttpClient, Connector),
    tls: Option<(HttpClient, Connector)>,
}

impl Http {
    fn new(settings: &Settings) -> Result<Self, StartError> {
        let client = |connector: Connector| (Client::builder(TokioExecutor::new()).build(connector.clone()), connector);
        let tls = if settings.endpoints.are_plain() {
            None
        } else {
            let tls = &settings.common.tls;
            Some(client(Connector::new(Expected::Http, Some((tls.load("http/1.1")?, tls.server_name.clone())))))
        };
        Ok(Self { settings: settings.clone(), plain: client(Connector::new(Expected::Http, None)), tls })
    }

    /// The client for an address, and who makes its connections.
    fn client(&self, uri: &Uri) -> &(HttpClient, Connector) {
        match &self.tls {
            Some(tls) if uri.scheme_str() == Some("https") => tls,
            _ => &self.plain,
        }
    }

    async fn post(&self, uri: &Uri, request: &Request) -> Result<Taken, Failure> {
        let (client, connector) = self.client(uri);
        let permanent = |error: &dyn fmt::Display| Failure::Permanent(format!("no request can be made: {error}"));
        let mut message = http::Request::post(uri.clone())
            .header(CONTENT_TYPE, if self.settings.json { "application/json" } else { "application/x-protobuf" })
            .header(USER_AGENT, concat!("lease-otel/", env!("CARGO_PKG_VERSION")));
        let mut body = request.body.clone();
        if self.settings.common.gzip {
            body = compressed(&body).map_err(|error| permanent(&error))?;
            message = message.header(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let mut message = message.body(Full::new(body)).map_err(|error| permanent(&error))?;
        // A header of the configuration replaces one of ours, as in the reference.
        message.headers_mut().extend(self.settings.common.headers.0.clone());
        match client.request(message).await {
            Ok(answer) => answer::read(uri, request.signal, answer).await,
            Err(error) => {
                let shown = answer::shown(uri);
                let known = way_out(&error).or_else(|| connector.instead(&shown));
                let message = known.unwrap_or_else(|| format!("`{shown}` cannot be sent to: {}", with_causes(&error)));
                Err(Failure::Retryable { message, after: None })
            }
        }
    }
}

fn compressed(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

#[async_trait]
impl Transport for Http {
    fn encode(&self, telemetry: Telemetry) -> Bytes {
        if self.settings.json { json::encode(&telemetry).into() } else { encode_request(telemetry) }
    }

    async fn send(&self, request: &Request) -> Result<Taken, Failure> {
        let Some(uri) = self.settings.endpoints.of(request.signal) else {
            let signal = request.signal;
            let message = format!("there is no address for {signal}: give `endpoint` or `{signal}_endpoint`");
            return Err(Failure::Permanent(message));
        };
        let post = self.post(uri, request);
        let Some(limit) = self.settings.common.timeout else { return post.await };
        tokio::time::timeout(limit, post).await.unwrap_or_else(|_| {
            let (_, connector) = self.client(uri);
            let shown = answer::shown(uri);
            let message = connector.instead(&shown).unwrap_or_else(|| pretty_timeout(&shown, limit));
            Err(Failure::Retryable { message, after: None })
        })
    }
}
