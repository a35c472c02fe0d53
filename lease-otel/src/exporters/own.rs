//! What sends the collector's own metrics: the exporter of a periodic reader in `service.telemetry`.
//!
//! Its keys are those of the OpenTelemetry configuration file, and not those of the exporters of a pipeline. Nothing is
//! queued: metrics are cumulative, and the next ones say all that those before them did.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::retry::RetrySettings;
use super::settings::{Common, Headers, LOGIN, QueueSettings, quoted};
use super::tls::{PEM_NOT_PATH, TlsSettings, is_pem};
use super::{otlp_grpc, otlp_http};
use crate::component::Exporter;
use crate::config::Fields;

/// Reads the section `otlp`; none where it is wrong, which is noted.
pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Arc<dyn Exporter>> {
    let protocol = fields.word("protocol", &[("grpc", Protocol::Grpc), ("http/protobuf", Protocol::Http)]);
    if !fields.has("protocol") {
        fields.error("protocol", "is missing: grpc or http/protobuf");
    }
    let insecure = fields.truth("insecure").unwrap_or_default();
    let endpoint = endpoint(fields, protocol.unwrap_or(Protocol::Grpc), insecure);
    let common = common(fields, endpoint.as_ref().is_some_and(|uri| uri.scheme_str() == Some("http")));
    temporality(fields);
    fields.accepted(&["default_histogram_aggregation"]);
    let (protocol, endpoint) = (protocol?, endpoint?);
    Some(match protocol {
        Protocol::Grpc => otlp_grpc::own(&endpoint, common),
        Protocol::Http => otlp_http::own(&endpoint, common),
    })
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Grpc,
    Http,
}

/// A URL; what has no scheme is https, unless `insecure` says otherwise.
fn endpoint(fields: &mut Fields<'_>, protocol: Protocol, insecure: bool) -> Option<Uri> {
    let default = match protocol {
        Protocol::Grpc => "localhost:4317",
        Protocol::Http => "localhost:4318",
    };
    let text = fields.text("endpoint").filter(|found| !found.value.is_empty()).map(|found| found.value);
    let text = text.as_deref().unwrap_or(default);
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    let scheme = match (has_scheme, insecure) {
        (true, _) => "",
        (false, true) => "http://",
        (false, false) => "https://",
    };
    match format!("{scheme}{text}").parse::<Uri>() {
        Ok(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            fields.error("endpoint", LOGIN);
            None
        }
        Ok(uri) if matches!(protocol, Protocol::Grpc) && uri.port_u16().is_none() => {
            fields.error(
                "endpoint",
                format_args!("{} has no port; OTLP over gRPC is usually at port 4317", quoted(text)),
            );
            None
        }
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Some(uri),
        _ if text.contains('@') => {
            fields.error("endpoint", LOGIN);
            None
        }
        _ => {
            fields.error("endpoint", format_args!("{} is not a URL, such as `https://HOST:4317`", quoted(text)));
            None
        }
    }
}

fn common(fields: &mut Fields<'_>, plain: bool) -> Common {
    let mut path = |key| {
        let path = fields.text(key).map(|found| found.value).filter(|path| !path.is_empty())?;
        if is_pem(&path) {
            fields.error(key, PEM_NOT_PATH);
        }
        Some(path)
    };
    let (ca, cert, key) = (path("certificate"), path("client_certificate"), path("client_key"));
    if cert.is_some() != key.is_some() {
        let (there, missing) =
            if cert.is_some() { ("client_certificate", "client_key") } else { ("client_key", "client_certificate") };
        fields.error(there, format_args!("a client certificate needs its key: `{missing}` is missing"));
    }
    if plain {
        for key in ["certificate", "client_certificate", "client_key"] {
            fields.warning(key, "has no effect: the endpoint is without TLS");
        }
    }
    let mut headers = Headers::read_list(fields, "headers_list");
    headers.0.extend(Headers::read(fields).0);
    Common {
        tls: if plain { TlsSettings::plain() } else { TlsSettings::of_files(ca, cert.zip(key)) },
        headers,
        gzip: fields.word("compression", &[("gzip", true), ("none", false)]).unwrap_or(false),
        timeout: Some(fields.milliseconds("timeout").unwrap_or(TIMEOUT)),
        queue: QueueSettings { enabled: false, num_consumers: 1, ..QueueSettings::default() },
        retry: RetrySettings { max_elapsed_time: RETRY_MAX, ..RetrySettings::default() },
    }
}

fn temporality(fields: &mut Fields<'_>) {
    let words = [("cumulative", true), ("delta", false), ("lowmemory", false)];
    if fields.word("temporality_preference", &words) == Some(false) {
        fields.warning("temporality_preference", "has no effect here: counters are cumulative");
    }
}

/// As the OpenTelemetry SDK has them.
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_mins(1);
