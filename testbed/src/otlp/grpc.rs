//! The three services over gRPC.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::stream;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::serve::{Listener, Peer};
use super::{Answer, Book, Protocol, Received, Telemetry};

/// Serves until the runtime ends.
pub(super) async fn serve(listener: Listener, book: Arc<Book>) {
    let incoming = stream::unfold(listener, async |listener| Some((listener.accept().await, listener)));
    let services = Services { book };
    let served = Server::builder()
        .add_service(MetricsServiceServer::new(services.clone()).accept_compressed(CompressionEncoding::Gzip))
        .add_service(LogsServiceServer::new(services.clone()).accept_compressed(CompressionEncoding::Gzip))
        .add_service(TraceServiceServer::new(services).accept_compressed(CompressionEncoding::Gzip))
        .serve_with_incoming(incoming)
        .await;
    // A test that needs the server fails by itself, and this says why.
    if let Err(error) = served {
        eprintln!("the receiver of OTLP over gRPC has ended: {error}");
    }
}

#[derive(Clone, Debug)]
struct Services {
    book: Arc<Book>,
}

impl Services {
    /// Notes a request; gives what it rejects, or the error.
    async fn take<T>(
        &self,
        request: Request<T>,
        telemetry: impl FnOnce(T) -> Telemetry,
    ) -> Result<Option<(i64, String)>, Status> {
        let peer = request.extensions().get::<Peer>().map_or((Ipv4Addr::UNSPECIFIED, 0).into(), |peer| peer.0);
        let (metadata, _, message) = request.into_parts();
        match self.book.note(received(peer, metadata, telemetry(message))) {
            Answer::Take => Ok(None),
            Answer::TakePart { rejected, message } => Ok(Some((rejected, message))),
            Answer::Delay(delay) => {
                tokio::time::sleep(delay).await;
                Ok(None)
            }
            Answer::Refuse { grpc, retry_after, .. } => {
                let (code, message) = (Code::from_i32(grpc), "refused by the test");
                Err(match retry_after {
                    Some(after) => {
                        Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(after)))
                    }
                    None => Status::new(code, message),
                })
            }
        }
    }
}

fn received(peer: SocketAddr, metadata: MetadataMap, telemetry: Telemetry) -> Received {
    let headers = metadata.into_headers();
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    Received {
        at_ns: crate::boottime_ns(),
        peer,
        protocol: Protocol::Grpc,
        gzip: headers.get("grpc-encoding").is_some_and(|value| value == "gzip"),
        headers: headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        telemetry,
        taken: false,
    }
}

macro_rules! service {
    ($service:ident, $request:ident -> $response:ident { $partial:ident . $rejected:ident }, $telemetry:ident) => {
        #[tonic::async_trait]
        impl $service for Services {
            async fn export(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                let part = self.take(request, Telemetry::$telemetry).await?;
                let partial_success =
                    part.map(|(rejected, error_message)| $partial { $rejected: rejected, error_message });
                Ok(Response::new($response { partial_success }))
            }
        }
    };
}

service!(MetricsService, ExportMetricsServiceRequest -> ExportMetricsServiceResponse {
    ExportMetricsPartialSuccess.rejected_data_points
}, Metrics);
service!(LogsService, ExportLogsServiceRequest -> ExportLogsServiceResponse {
    ExportLogsPartialSuccess.rejected_log_records
}, Logs);
service!(TraceService, ExportTraceServiceRequest -> ExportTraceServiceResponse {
    ExportTracePartialSuccess.rejected_spans
}, Traces);
