//! The extension `health_check`: whether the collector is up, over HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use http::StatusCode;
use lease_core::{Clock, Pretty, SystemClock, Timestamp};

use crate::component::{Extension, ExtensionFactory, Kind, Meter, RunningExtension, StartError};
use crate::config::{ComponentId, Fields};
use crate::http::{Answer, Answers, Server, TEXT};

/// The kind `health_check`: 200 from when the pipelines are ready to when the collector shuts down, and 503 otherwise.
///
/// It says nothing of who leads: a standby is as healthy as a leader, and a rollout that waited for leadership would wait
/// for ever.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `endpoint` | `127.0.0.1:13133` | where it listens |
/// | `path` | `/` | what is to be asked for |
/// | `response_body.healthy`, `.unhealthy` | JSON as the reference's | what it answers with |
#[derive(Clone, Copy, Debug)]
pub struct HealthCheckFactory;

impl ExtensionFactory for HealthCheckFactory {
    fn kind(&self) -> Kind {
        Kind {
            name: "health_check",
            aliases: &[],
            summary: "tells over HTTP whether the collector is up",
            signals: &[],
        }
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Extension> {
        let endpoint = fields.text("endpoint");
        let path = fields.text("path").map_or_else(|| "/".to_owned(), |found| found.value);
        if let Some(endpoint) = &endpoint
            && !is_endpoint(&endpoint.value)
        {
            fields.error(
                "endpoint",
                format_args!("{:?} is not of the form HOST:PORT, such as 127.0.0.1:13133", endpoint.value),
            );
        }
        if !path.starts_with('/') {
            fields.error("path", "path must start with /");
        }
        let (mut healthy, mut unhealthy) = (None, None);
        if let Some(mut body) = fields.section("response_body") {
            healthy = body.text("healthy").map(|found| found.value);
            unhealthy = body.text("unhealthy").map(|found| found.value);
            body.finish();
        }
        fields.accepted(&ACCEPTED);
        let endpoint = endpoint.map_or_else(|| "127.0.0.1:13133".to_owned(), |found| found.value);
        Box::new(HealthCheck { endpoint, path, healthy, unhealthy })
    }
}

/// A server of the reference has them; this one speaks plain HTTP, and asks nobody who he is.
const ACCEPTED: [&str; 16] = [
    "auth",
    "check_collector_pipeline",
    "compression_algorithms",
    "cors",
    "http",
    "grpc",
    "idle_timeout",
    "include_metadata",
    "keep_alives_enabled",
    "max_request_body_size",
    "middlewares",
    "read_header_timeout",
    "read_timeout",
    "response_headers",
    "tls",
    "write_timeout",
];

/// A host, which may be empty for all addresses, and a port.
fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    port.parse::<u16>().is_ok() && (bare.len() < host.len() || !bare.contains(':'))
}

#[derive(Debug)]
struct HealthCheck {
    endpoint: String,
    path: String,
    healthy: Option<String>,
    unhealthy: Option<String>,
}

#[async_trait]
impl Extension for HealthCheck {
    async fn start(&self, id: &ComponentId, _: Arc<dyn Meter>) -> Result<Box<dyn RunningExtension>, StartError> {
        let running = self.listen().await?;
        tracing::info!(extension = %id, address = %running.server.address(), "health is told here");
        Ok(Box::new(running))
    }
}

impl HealthCheck {
    async fn listen(&self) -> Result<Running, StartError> {
        let state = Arc::new(State {
            up: Mutex::new(None),
            path: self.path.clone(),
            healthy: self.healthy.clone(),
            unhealthy: self.unhealthy.clone(),
        });
        let asked = Arc::clone(&state);
        let answers: Answers = Arc::new(move |path| (path == asked.path).then(|| asked.answer()));
        // As in Go, no host means every address.
        let endpoint =
            if self.endpoint.starts_with(':') { format!("0.0.0.0{}", self.endpoint) } else { self.endpoint.clone() };
        let server = Server::listen(&endpoint, answers)
            .await
            .map_err(|error| format!("it cannot listen on {endpoint}: {error}; choose another `endpoint`"))?;
        Ok(Running { state, server })
    }
}

#[derive(Debug)]
struct State {
    /// Since when it is healthy, if it is.
    up: Mutex<Option<(Timestamp, Instant)>>,
    path: String,
    healthy: Option<String>,
    unhealthy: Option<String>,
}

impl State {
    fn set(&self, up: bool) {
        let mut state = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        *state = up.then(|| state.unwrap_or_else(|| (SystemClock.wall(), Instant::now())));
    }

    fn answer(&self) -> Answer {
        let up = *self.up.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, body) = if up.is_some() {
            (StatusCode::OK, &self.healthy)
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, &self.unhealthy)
        };
        if let Some(body) = body {
            return (status, TEXT, body.clone());
        }
        let body = match up {
            Some((since, began)) => serde_json::json!({
                "status": "Server available",
                "upSince": since.to_string(),
                "uptime": Pretty(began.elapsed()).to_string(),
            }),
            None => serde_json::json!({
                "status": "Server not available",
                "upSince": "0001-01-01T00:00:00Z",
                "uptime": "",
            }),
        };
        (status, "application/json", body.to_string())
    }
}

#[derive(Debug)]
struct Running {
    state: Arc<State>,
    server: Server,
}

#[async_trait]
impl RunningExtension for Running {
    fn ready(&self) -> Result<(), StartError> {
        self.state.set(true);
        Ok(())
    }

    fn not_ready(&self) {
        self.state.set(false);
    }

    async fn shutdown(self: Box<Self>) {
        self.server.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    fn check(path: &str, healthy: Option<&str>) -> HealthCheck {
        HealthCheck {
            endpoint: "127.0.0.1:0".to_owned(),
            path: path.to_owned(),
            healthy: healthy.map(str::to_owned),
            unhealthy: None,
        }
    }

    async fn ask(running: &Running, request: &str) -> String {
        let mut stream = TcpStream::connect(running.server.address()).await.expect("somebody listens");
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it is text");
        answer
    }

    #[tokio::test]
    async fn it_is_up_between_ready_and_the_shutdown() {
        let running = check("/", None).listen().await.expect("it listens");
        let answer = ask(&running, "GET /").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Server not available"), "{answer}");
        running.ready().expect("nothing is wrong");
        let answer = ask(&running, "GET /").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("Server available"), "{answer}");
        assert!(answer.contains("content-type: application/json"), "{answer}");
        running.not_ready();
        let answer = ask(&running, "HEAD /").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && !answer.contains("Server"), "no body: {answer}");
        let address = running.server.address();
        Box::new(running).shutdown().await;
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }

    #[tokio::test]
    async fn it_has_its_path_and_its_words() {
        let running = check("/health/status", Some("fine")).listen().await.expect("it listens");
        running.ready().expect("nothing is wrong");
        assert!(ask(&running, "GET /health/status").await.ends_with("\r\n\r\nfine"));
        assert!(ask(&running, "GET /").await.starts_with("HTTP/1.1 404 "));
        assert!(ask(&running, "POST /health/status").await.starts_with("HTTP/1.1 405 "));
        Box::new(running).shutdown().await;
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for good in ["127.0.0.1:13133", "localhost:0", ":13133", "[::1]:80", "0.0.0.0:65535"] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in ["", "13133", "localhost", "localhost:", "localhost:65536", "::1:80", "http://x"] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }
}
