//! The exporter `otlp_grpc`: OTLP over gRPC.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes};
use http::Uri;
use http::uri::{Authority, PathAndQuery};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::connect::{Connector, way_out};
use super::mismatch::Expected;
use super::otlp::{encode_request, pretty_timeout};
use super::queue::{Failure, Request, Taken, Transport};
use super::settings::{Common, Headers, LOGIN, wrong_port};
use crate::component::{Consumer, Exporter, ExporterFactory, Kind, Meter, StartError, Work};
use crate::config::{ComponentId, Fields};
use crate::data::{Signal, Telemetry};
use crate::errors::with_causes;

/// The kind `otlp_grpc`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OtlpGrpc;

impl ExporterFactory for OtlpGrpc {
    fn kind(&self) -> Kind {
        Kind {
            name: "otlp_grpc",
            aliases: &["otlp"],
            summary: "Sends telemetry as OTLP over gRPC",
            signals: &Signal::ALL,
        }
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Exporter> {
        let settings = Settings {
            endpoint: endpoint(fields),
            common: Common::read(fields, TIMEOUT),
            keepalive: keepalive(fields),
        };
        fields.accepted(&["wait_for_ready", "balancer_name"]);
        if settings.common.tls.is_plain() && !settings.endpoint.https {
            settings.common.tls.warn_that_it_is_without(fields);
        }
        Box::new(settings)
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Settings {
    endpoint: Address,
    common: Common,
    keepalive: Option<Keepalive>,
}

/// What sends the collector's own metrics to this address.
pub(super) fn own(endpoint: &Uri, common: Common) -> Arc<dyn Exporter> {
    let target = endpoint.authority().map(ToString::to_string).unwrap_or_default();
    let https = endpoint.scheme_str() == Some("https");
    let endpoint = Address { target, authority: None, https };
    Arc::new(Settings { endpoint, common, keepalive: None })
}

/// Where to connect, and the name that requests carry.
#[derive(Clone, Debug, Default)]
struct Address {
    /// Host and port.
    target: String,
    authority: Option<String>,
    https: bool,
}

#[derive(Clone, Debug)]
struct Keepalive {
    interval: Duration,
    timeout: Duration,
    while_idle: bool,
}

fn endpoint(fields: &mut Fields<'_>) -> Address {
    let authority = fields.text("authority").filter(|name| !name.value.is_empty());
    let mut address = Address::default();
    if let Some(authority) = authority {
        if authority.value.parse::<Authority>().is_ok() {
            address.authority = Some(authority.value);
        } else {
            fields.error("authority", format_args!("`{}` is neither a host nor HOST:PORT", authority.value));
        }
    }
    let Some(found) = fields.text("endpoint").filter(|endpoint| !endpoint.value.is_empty()) else {
        fields.error("endpoint", "is missing: where to send to, as `HOST:4317`");
        return address;
    };
    let text = found.value.as_str();
    address.https = text.starts_with("https://");
    let target = ["https://", "http://", "dns:///", "dns://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or(text);
    if text.contains('@') {
        fields.error("endpoint", LOGIN);
        return address;
    }
    if let Some((scheme, rest)) = target.split_once("://").filter(|(scheme, _)| *scheme != "unix") {
        let host = rest.split('/').next().unwrap_or_default();
        let instead = if host.is_empty() { "HOST:4317" } else { host };
        fields.error("endpoint", format_args!("`{scheme}://` is no scheme of an endpoint of gRPC: write `{instead}`"));
        return address;
    }
    match target.parse::<Authority>() {
        Ok(parsed) if wrong_port(&parsed).is_some() => {
            fields.error("endpoint", wrong_port(&parsed).unwrap_or_default());
        }
        Ok(parsed) if parsed.port_u16().is_some() && !parsed.host().is_empty() => {
            target.clone_into(&mut address.target);
        }
        Ok(parsed) if parsed.port().is_none() && !text.contains("unix:") => {
            fields.error("endpoint", format_args!("`{text}` has no port; OTLP over gRPC is usually at {parsed}:4317"));
        }
        _ if target.contains('/') && !text.contains("unix:") => {
            let host = target.split('/').next().unwrap_or_default();
            let message =
                format!("`{text}` has a path, which gRPC does not have: write `{host}`, or use the exporter otlp_http");
            fields.error("endpoint", message);
        }
        _ => fields.error("endpoint", format_args!("`{text}` is not of the form HOST:PORT")),
    }
    address
}

fn keepalive(fields: &mut Fields<'_>) -> Option<Keepalive> {
    let mut section = fields.section("keepalive")?;
    let mut duration = |key| section.duration(key).map_or(Duration::from_secs(10), |found| found.value);
    let keepalive = Keepalive {
        interval: duration("time"),
        timeout: duration("timeout"),
        while_idle: section.truth("permit_without_stream").unwrap_or_default(),
    };
    section.finish();
    (!keepalive.interval.is_zero()).then_some(keepalive)
}

#[async_trait]
impl Exporter for Settings {
    async fn start(
        &self,
        id: &ComponentId,
        stop: CancellationToken,
        telemetry: Arc<dyn Meter>,
    ) -> Result<(Arc<dyn Consumer>, Option<Work>), StartError> {
        Ok(self.common.start(Arc::new(Grpc::new(self)?), id, stop, telemetry))
    }
}

/// A channel to the endpoint, which connects when there is something to send.
#[derive(Debug)]
struct Grpc {
    endpoint: String,
    channel: Channel,
    connector: Connector,
    headers: Headers,
    gzip: bool,
    timeout: Option<Duration>,
}

impl Grpc {
    fn new(settings: &Settings) -> Result<Self, StartError> {
        let Address { target, authority, https } = &settings.endpoint;
        let Common { tls, headers, gzip, timeout, .. } = &settings.common;
        let server_name = tls.server_name.clone();
        let plain = tls.is_plain() && !https;
        let (tls, scheme) =
            if plain { (None, "http") } else { (Some((tls.load("h2")?, server_name.clone())), "https") };
        let connector = Connector::new(Expected::Grpc, tls);
        let name = authority.as_ref().or(server_name.as_ref()).unwrap_or(target);
        let origin = Uri::builder().scheme(scheme).authority(name.as_str()).path_and_query("/").build()?;
        // The scheme of the address itself is always http: TLS is the connector's.
        let mut endpoint = Endpoint::from_shared(format!("http://{target}"))?
            .origin(origin)
            .user_agent(concat!("lease-otel/", env!("CARGO_PKG_VERSION")))?;
        if let Some(keepalive) = &settings.keepalive {
            endpoint = endpoint
                .http2_keep_alive_interval(keepalive.interval)
                .keep_alive_timeout(keepalive.timeout)
                .keep_alive_while_idle(keepalive.while_idle);
        }
        Ok(Self {
            endpoint: target.clone(),
            channel: endpoint.connect_with_connector_lazy(connector.clone()),
            connector,
            headers: headers.clone(),
            gzip: *gzip,
            timeout: *timeout,
        })
    }

    async fn call(&self, request: &Request) -> Result<Taken, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        client = client.accept_compressed(CompressionEncoding::Gzip);
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path = match request.signal {
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        };
        let mut message = tonic::Request::new(request.body.clone());
        *message.metadata_mut() = MetadataMap::from_headers(self.headers.0.clone());
        if let Some(timeout) = self.timeout {
            message.set_timeout(timeout);
        }
        // The answers of the three services differ in the name of a field only, and names are not transmitted.
        let codec = Encoded::<ExportMetricsServiceResponse>(PhantomData);
        let answer = client.unary(message, PathAndQuery::from_static(path), codec).await?;
        let partial = answer.into_inner().partial_success.unwrap_or_default();
        Ok(Taken { rejected: partial.rejected_data_points.try_into().unwrap_or(0), message: partial.error_message })
    }

    fn failure(&self, status: &Status) -> Failure {
        let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        // A status that the endpoint has sent itself has no cause.
        let is_answer = std::error::Error::source(status).is_none();
        let known = way_out(status).or_else(|| self.hint(status, is_answer));
        let message = known.unwrap_or_else(|| {
            let cause = std::error::Error::source(status).map(with_causes).unwrap_or_default();
            let said = if cause.is_empty() { status.message() } else { &cause };
            // As every implementation of gRPC says it of a message, and only of that.
            let is_too_large = status.code() == Code::ResourceExhausted && said.contains("larger than max");
            let way_out = if is_too_large { "; set send_batch_max_size of the processor batch" } else { "" };
            format!("`{}` answers {:?}: {said}{way_out}", self.endpoint, status.code())
        });
        match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => Failure::Retryable { message, after },
            // Only where the endpoint says that it can recover.
            Code::ResourceExhausted if status.get_details_retry_info().is_some() => {
                Failure::Retryable { message, after }
            }
            // What tonic makes of a connection that broke or could not be made.
            Code::Unknown | Code::Internal if std::error::Error::source(status).is_some() => {
                Failure::Retryable { message, after }
            }
            _ => Failure::Permanent(message),
        }
    }

    fn hint(&self, status: &Status, is_answer: bool) -> Option<String> {
        let endpoint = &self.endpoint;
        if !is_answer {
            return self.connector.instead(endpoint);
        }
        if let Some(answer) = web_answer(status) {
            return Some(Expected::web_server(endpoint, answer));
        }
        match status.code() {
            Code::Unimplemented => Some(format!(
                "`{endpoint}` speaks gRPC, but does not take this signal over OTLP: correct the endpoint, or enable \
                 the pipeline of that signal there"
            )),
            Code::Unauthenticated | Code::PermissionDenied => {
                Some(format!("`{endpoint}` refuses the credentials: check `headers` and the certificate in `tls`"))
            }
            _ => None,
        }
    }
}

/// The status of HTTP, where an answer has none of gRPC, and which is not that of a proxy before a receiver: one that wants
/// credentials, or cannot reach it.
fn web_answer(status: &Status) -> Option<&str> {
    let (_, answer) = status.message().split_once("grpc-status header missing, mapped from HTTP status code ")?;
    matches!(answer, "400" | "404" | "405" | "406" | "415" | "501").then_some(answer)
}

#[async_trait]
impl Transport for Grpc {
    fn encode(&self, telemetry: Telemetry) -> Bytes {
        encode_request(telemetry)
    }

    async fn send(&self, request: &Request) -> Result<Taken, Failure> {
        let call = self.call(request);
        let outcome = match self.timeout {
            Some(limit) => {
                let Ok(outcome) = tokio::time::timeout(limit, call).await else {
                    let message = self.connector.instead(&self.endpoint);
                    let message = message.unwrap_or_else(|| pretty_timeout(&self.endpoint, limit));
                    return Err(Failure::Retryable { message, after: None });
                };
                outcome
            }
            None => call.await,
        };
        outcome.map_err(|status| self.failure(&status))
    }
}

/// Requests that are encoded already, so that another attempt costs nothing, and answers of type `R`.
#[derive(Debug)]
struct Encoded<R>(PhantomData<R>);

impl<R: Message + Default + 'static> Codec for Encoded<R> {
    type Encode = Bytes;
    type Decode = R;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<R> Encoder for Encoded<R> {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl<R: Message + Default> Decoder for Encoded<R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        R::decode(src).map(Some).map_err(|error| Status::internal(format!("the answer cannot be read: {error}")))
    }
}
