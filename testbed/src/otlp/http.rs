//! The three paths over HTTP.

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::serve::Listener;
use super::{Answer, Book, Protocol, Received, Telemetry};

/// Serves until the runtime ends.
pub(super) async fn serve(listener: Listener, book: Arc<Book>) {
    while let Ok(connection) = listener.accept().await {
        let (book, peer) = (Arc::clone(&book), connection.peer);
        let service = service_fn(move |request| {
            let book = Arc::clone(&book);
            async move { Ok::<_, Infallible>(answer(&book, peer, request).await) }
        });
        let served = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
        // A client that breaks off, or speaks something else, is none of the server's business.
        tokio::spawn(async move { drop(served.await) });
    }
}

async fn answer(book: &Book, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return plain(StatusCode::BAD_REQUEST) };
    let read = Parsed::read(head.uri.path(), &head.headers, &body.to_bytes());
    let Parsed { telemetry, protocol, gzip } = match read {
        Ok(parsed) => parsed,
        Err(status) => return plain(status),
    };
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let rejected_name = match &telemetry {
        Telemetry::Metrics(_) => "rejectedDataPoints",
        Telemetry::Logs(_) => "rejectedLogRecords",
        Telemetry::Traces(_) => "rejectedSpans",
    };
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let at_ns = crate::boottime_ns();
    let partial = match book.note(Received { at_ns, peer, protocol, gzip, headers, telemetry, taken: false }) {
        Answer::Take => None,
        Answer::TakePart { rejected, message } => Some((rejected, message)),
        Answer::Delay(delay) => {
            tokio::time::sleep(delay).await;
            None
        }
        Answer::Refuse { http, retry_after, .. } => {
            let mut refusal = plain(StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
            if let Some(after) = retry_after {
                refusal.headers_mut().insert(RETRY_AFTER, after.as_secs().into());
            }
            return refusal;
        }
    };
    taken(protocol, rejected_name, partial)
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// In the encoding of the request, as the protocol asks for.
fn taken(protocol: Protocol, rejected_name: &str, partial: Option<(i64, String)>) -> Response<Full<Bytes>> {
    use opentelemetry_proto::tonic::collector::metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
    };
    let (kind, body) = if protocol == Protocol::HttpJson {
        let body = partial.map_or_else(
            || json!({}),
            |(rejected, message)| {
                json!({"partialSuccess": {rejected_name: rejected.to_string(), "errorMessage": message}})
            },
        );
        ("application/json", body.to_string().into_bytes())
    } else {
        // The three answers are written alike.
        let partial_success = partial.map(|(rejected_data_points, error_message)| ExportMetricsPartialSuccess {
            rejected_data_points,
            error_message,
        });
        ("application/x-protobuf", ExportMetricsServiceResponse { partial_success }.encode_to_vec())
    };
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

struct Parsed {
    telemetry: Telemetry,
    protocol: Protocol,
    gzip: bool,
}

impl Parsed {
    fn read(path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Self, StatusCode> {
        let is = |name, value: &str| headers.get(name).is_some_and(|found| found == value);
        let gzip = is(CONTENT_ENCODING, "gzip");
        let mut unpacked = Vec::new();
        let body = if gzip {
            GzDecoder::new(body).read_to_end(&mut unpacked).map_err(|_| StatusCode::BAD_REQUEST)?;
            unpacked.as_slice()
        } else {
            body
        };
        let protocol = if is(CONTENT_TYPE, "application/json") {
            Protocol::HttpJson
        } else if is(CONTENT_TYPE, "application/x-protobuf") {
            Protocol::HttpProto
        } else {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        };
        let telemetry = match path {
            "/v1/metrics" => decoded(protocol, body).map(Telemetry::Metrics),
            "/v1/logs" => decoded(protocol, body).map(Telemetry::Logs),
            "/v1/traces" => decoded(protocol, body).map(Telemetry::Traces),
            _ => return Err(StatusCode::NOT_FOUND),
        };
        Ok(Self { telemetry: telemetry.ok_or(StatusCode::BAD_REQUEST)?, protocol, gzip })
    }
}

fn decoded<T: Message + Default + DeserializeOwned>(protocol: Protocol, body: &[u8]) -> Option<T> {
    match protocol {
        Protocol::HttpJson => serde_json::from_slice(body).ok(),
        _ => T::decode(body).ok(),
    }
}
