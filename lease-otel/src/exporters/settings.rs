//! The keys that exporters share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use tokio_util::sync::CancellationToken;

use super::counters::Counters;
use super::queue::{Sending, Transport};
use super::retry::RetrySettings;
use super::tls::TlsSettings;
use crate::component::{Consumer, Meter, Work};
use crate::config::{ComponentId, Fields, Value};

/// The section `sending_queue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueSettings {
    /// Whether there is one. Without it a receiver waits until its batch has been sent.
    pub(crate) enabled: bool,
    /// How many requests are sent at a time.
    pub(crate) num_consumers: usize,
    /// What it holds at most, what is being sent included, in the unit of the sizer.
    pub(crate) queue_size: u64,
    /// Whether a batch waits for room, rather than being dropped.
    pub(crate) block_on_overflow: bool,
    /// What is counted.
    pub(crate) sizer: Sizer,
}

/// What a queue counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizer {
    /// Requests.
    Requests,
    /// Points, records or spans.
    Items,
    /// Bytes of the encoded requests.
    Bytes,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { enabled: true, num_consumers: 10, queue_size: 1_000, block_on_overflow: false, sizer: Sizer::Requests }
    }
}

impl QueueSettings {
    /// Reads the section of an exporter, which may be missing.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Self {
        let mut settings = Self::default();
        let Some(mut section) = fields.section("sending_queue") else { return settings };
        settings.enabled = section.truth("enabled").unwrap_or(settings.enabled);
        if let Some(count) = section.count("num_consumers", 1, CONSUMERS_MAX) {
            settings.num_consumers = usize::try_from(count).unwrap_or(settings.num_consumers);
        }
        settings.queue_size = section.count("queue_size", 1, i64::MAX.unsigned_abs()).unwrap_or(settings.queue_size);
        settings.block_on_overflow = section.truth("block_on_overflow").unwrap_or(settings.block_on_overflow);
        let words = [("requests", Sizer::Requests), ("items", Sizer::Items), ("bytes", Sizer::Bytes)];
        settings.sizer = section.word("sizer", &words).unwrap_or(settings.sizer);
        section.accepted(&["wait_for_result", "storage", "batch"]);
        section.finish();
        settings
    }
}

/// More at a time would only be more memory.
const CONSUMERS_MAX: u64 = 1_000;

/// The headers of every request of an exporter. They may be secrets, so they are never shown.
#[derive(Clone, Default)]
pub(crate) struct Headers(pub(crate) HeaderMap);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Headers {
    /// Reads `headers`: a map, or a list of `{name, value}`.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Self {
        let mut headers = Self::default();
        match fields.node("headers").map(|node| &node.value) {
            Some(Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{}[{index}]", fields.path_of("headers"));
                    let mut section = Fields::new(item, path, fields.problems());
                    match (section.text("name"), section.text("value")) {
                        (Some(name), Some(value)) => headers.add(&name.value, &value.value, &mut section, "name"),
                        (name, _) if matches!(item.value, Value::Map(_)) => {
                            let missing = if name.is_none() { "name" } else { "value" };
                            section.error(missing, "is missing: each header has a `name` and a `value`");
                        }
                        // That it is no map has been said.
                        _ => {}
                    }
                    section.finish();
                }
            }
            Some(_) => {
                if let Some(mut section) = fields.section("headers") {
                    for (key, node) in section.all() {
                        let nothing = (node.value == Value::Null).then(String::new);
                        match node.text().or(nothing) {
                            Some(value) => headers.add(&key.name, &value, &mut section, &key.name),
                            None => section.error(&key.name, "a text is expected here"),
                        }
                    }
                    section.finish();
                }
            }
            None => {}
        }
        headers
    }

    /// Reads `NAME=VALUE,NAME=VALUE` with values in percent-encoding, as the variables of the OpenTelemetry SDK have it.
    pub(crate) fn read_list(fields: &mut Fields<'_>, key: &'static str) -> Self {
        let mut headers = Self::default();
        let Some(found) = fields.text(key) else { return headers };
        for pair in found.value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                fields.error(key, "NAME=VALUE is expected here, with commas between several");
                continue;
            };
            let value = percent_decode_str(value.trim()).decode_utf8_lossy();
            headers.add(name.trim(), &value, fields, key);
        }
        headers
    }

    fn add(&mut self, name: &str, value: &str, section: &mut Fields<'_>, key: &str) {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                self.0.insert(name, value);
            }
            (Err(_), _) => section.error(key, format_args!("`{name}` cannot be the name of a header")),
            (_, Err(_)) => {
                section.error(key, "its value has characters that a header cannot carry, such as a line break");
            }
        }
    }
}

/// What both ways of OTLP are configured with.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) tls: TlsSettings,
    pub(crate) headers: Headers,
    pub(crate) gzip: bool,
    /// For one attempt; none waits for ever.
    pub(crate) timeout: Option<Duration>,
    pub(crate) queue: QueueSettings,
    pub(crate) retry: RetrySettings,
}

impl Common {
    /// Reads their keys; an attempt has this time unless the section says otherwise.
    pub(crate) fn read(fields: &mut Fields<'_>, default: Duration) -> Self {
        let common = Self {
            tls: TlsSettings::read(fields),
            headers: Headers::read(fields),
            gzip: gzip(fields),
            timeout: timeout(fields, default),
            queue: QueueSettings::read(fields),
            retry: RetrySettings::read(fields),
        };
        fields.accepted(&["read_buffer_size", "write_buffer_size", "auth", "middlewares", "compression_params"]);
        common
    }

    /// The consumer in front of a way to an endpoint, and the work of sending.
    pub(crate) fn start(
        &self,
        transport: Arc<dyn Transport>,
        id: &ComponentId,
        stop: CancellationToken,
        telemetry: Arc<dyn Meter>,
    ) -> (Arc<dyn Consumer>, Option<Work>) {
        let counters = Counters::new(id, telemetry);
        let (sending, work) = Sending::start(transport, self.queue.clone(), self.retry.clone(), counters, stop);
        (sending, Some(work))
    }
}

/// What is said of a login in an address: addresses are shown in logs and in errors, and logins are not.
pub(crate) const LOGIN: &str =
    "a login has no place in it; give it with `headers`, as `authorization: Basic BASE64` of USER:PASSWORD";

/// An address in an error: what may hold a login or a key is not shown.
pub(crate) fn quoted(address: &str) -> String {
    if address.contains(['@', '?']) { "it".to_owned() } else { format!("`{address}`") }
}

/// Reads `timeout`; zero is none.
fn timeout(fields: &mut Fields<'_>, default: Duration) -> Option<Duration> {
    let timeout = fields.duration("timeout").map_or(default, |found| found.value);
    (!timeout.is_zero()).then_some(timeout)
}

/// Whether `compression` says gzip, which it does when it is missing.
fn gzip(fields: &mut Fields<'_>) -> bool {
    let Some(found) = fields.text("compression") else { return true };
    match found.value.as_str() {
        "gzip" => true,
        "none" | "" => false,
        other @ ("zstd" | "zlib" | "deflate" | "snappy" | "x-snappy-framed" | "lz4") => {
            let message = format!("`{other}` is not built in; gzip is used, which every OTLP receiver takes");
            fields.problems().warning(&found.place, found.path, message);
            true
        }
        other => {
            let message = format!("`{other}` is none of gzip, none");
            fields.problems().error(&found.place, found.path, message);
            true
        }
    }
}

/// A number from `least` to `most`.
pub(crate) fn decimal(fields: &mut Fields<'_>, key: &'static str, least: f64, most: f64) -> Option<f64> {
    let node = fields.node(key)?;
    #[allow(clippy::cast_precision_loss, reason = "a factor of more than 2^53 is the same factor")]
    let value = match node.value {
        Value::Float(value) => value,
        Value::Int(value) => value as f64,
        Value::Null => return None,
        _ => {
            fields.error(key, format_args!("a number is expected here, not {}", node.value.kind()));
            return None;
        }
    };
    if (least..=most).contains(&value) {
        return Some(value);
    }
    if most < f64::MAX {
        fields.error(key, format_args!("{value} is not between {least} and {most}"));
    } else {
        fields.error(key, format_args!("{value} is less than {least}"));
    }
    None
}
/// What is wrong with the port of an address, if it has one that cannot be: a parser may take it for none.
pub(super) fn wrong_port(authority: &Authority) -> Option<String> {
    let after_host = authority.as_str().rsplit_once(authority.host())?.1;
    let port = after_host.strip_prefix(':')?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    (!is_port).then(|| format!("`{port}` is not a port: those are 1 to 65535"))
}
