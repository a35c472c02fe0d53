//! What an endpoint answers over HTTP, by the rules of OTLP.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use serde_json::Value;

use crate::data::Signal;
use crate::exporters::queue::{Failure, Taken};

/// No more of an answer is read.
const BODY_MAX: usize = 64 * 1024;

/// What the answer means.
pub(super) async fn read(uri: &Uri, signal: Signal, answer: Response<Incoming>) -> Result<Taken, Failure> {
    let (head, body) = answer.into_parts();
    // The status says what became of the request; a body that breaks off changes nothing about that.
    let body =
        Limited::new(body, BODY_MAX).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if head.status.is_success() {
        return Ok(taken(signal, &head.headers, &body));
    }
    let message = message(uri, head.status, &head.headers, &body);
    match head.status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Err(Failure::Retryable { message, after: retry_after(&head.headers, Timestamp::now()) })
        }
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Retryable { message, after: None }),
        _ => Err(Failure::Permanent(message)),
    }
}

fn is(headers: &HeaderMap, kind: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|value| value.trim().eq_ignore_ascii_case(kind))
}

fn taken(signal: Signal, headers: &HeaderMap, body: &Bytes) -> Taken {
    if is(headers, "application/x-protobuf") {
        // The answers of the three services differ in the name of a field only, and names are not transmitted.
        let answer = ExportMetricsServiceResponse::decode(body.as_ref()).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let rejected = partial.rejected_data_points.try_into().unwrap_or(0);
        Taken { rejected, message: partial.error_message }
    } else if is(headers, "application/json") {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let partial = &answer["partialSuccess"];
        let rejected = &partial[match signal {
            Signal::Metrics => "rejectedDataPoints",
            Signal::Logs => "rejectedLogRecords",
            Signal::Traces => "rejectedSpans",
        }];
        // 64 bits are a text in this form, and a number where it is not taken seriously.
        let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
        Taken { rejected, message: partial["errorMessage"].as_str().unwrap_or_default().to_owned() }
    } else if is(headers, "text/html") {
        let message = "it answers with a page of HTML, which no receiver of OTLP does: check the address".to_owned();
        Taken { rejected: 0, message }
    } else {
        Taken::default()
    }
}

/// An address as it is shown: what stands behind a `?` may be a secret.
pub(super) fn shown(uri: &Uri) -> String {
    let (scheme, authority) = (uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |name| name.as_str()));
    format!("{scheme}://{authority}{}", uri.path())
}

fn message(uri: &Uri, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> String {
    let said = if is(headers, "application/x-protobuf") {
        tonic_types::Status::decode(body.as_ref()).unwrap_or_default().message
    } else if is(headers, "application/json") {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        answer["message"].as_str().unwrap_or_default().to_owned()
    } else {
        String::new()
    };
    let way_out = match status {
        StatusCode::BAD_REQUEST if uri.scheme_str() == Some("http") && wants_tls(body) => {
            "; it speaks TLS: write https://"
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            "; `/v1/SIGNAL` is added to `endpoint`, and a `SIGNAL_endpoint` is taken as it is: check the path"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; check `headers` and the certificate in `tls`",
        StatusCode::PAYLOAD_TOO_LARGE => "; set send_batch_max_size of the processor batch",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "; check `encoding` and `compression`",
        _ if status.is_redirection() => "; redirections are not followed: give the address that it names",
        _ => "",
    };
    let said = if said.is_empty() { said } else { format!(": {said}") };
    format!("`{}` answers {status}{said}{way_out}", shown(uri))
}

/// Whether somebody who speaks TLS answers a client that does not, as Go's servers and nginx do.
fn wants_tls(body: &Bytes) -> bool {
    let said = String::from_utf8_lossy(body);
    ["HTTP request to an HTTPS server", "HTTP request was sent to HTTPS port"].iter().any(|part| said.contains(part))
}

/// The wait that an answer asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(at.duration_since(now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().unwrap();
        let after = |value| retry_after(&headers(&[("retry-after", value)]), now);
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(after("Wed, 21 Oct 2015 07:26:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn partial_success_is_read_in_both_encodings() {
        let json = headers(&[("content-type", "application/json; charset=utf-8")]);
        let body = Bytes::from(r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}"#);
        let expected = Taken { rejected: 3, message: "too old".to_owned() };
        assert_eq!(taken(Signal::Logs, &json, &body), expected);
        assert_eq!(taken(Signal::Metrics, &json, &body).rejected, 0);
        // Field 1 is a message of field 1 (3) and field 2 ("too old").
        let proto = headers(&[("content-type", "application/x-protobuf")]);
        let body = Bytes::from_static(b"\x0a\x0b\x08\x03\x12\x07too old");
        assert_eq!(taken(Signal::Logs, &proto, &body), expected);
        assert_eq!(taken(Signal::Logs, &HeaderMap::new(), &body), Taken::default());
    }

    #[test]
    fn a_page_is_no_answer_of_a_receiver() {
        let html = headers(&[("content-type", "text/html; charset=utf-8")]);
        let found = taken(Signal::Logs, &html, &Bytes::from_static(b"<html>"));
        assert!(found.rejected == 0 && found.message.contains("check the address"), "{found:?}");
    }

    #[test]
    fn what_may_be_a_secret_in_an_address_is_not_shown() {
        let uri: Uri = "https://host:1/v1/metrics?key=hush".parse().unwrap();
        let said = message(&uri, StatusCode::NOT_FOUND, &HeaderMap::new(), &Bytes::new());
        assert!(said.starts_with("`https://host:1/v1/metrics` answers 404") && !said.contains("hush"), "{said}");
    }
}
