//! A small blocking HTTP client for tests: one request, one answer, whatever its status.
//!
//! It never retries, follows no redirect and takes no proxy from the environment: a test wants the server's own word.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    agent: Agent,
}

/// An answer of the server; any status is an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as it came; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// The body as JSON, `null` if it is none.
    pub json: Value,
}

impl Answer {
    /// The body of a successful answer.
    ///
    /// # Panics
    /// With the whole answer if its status is not 2xx.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "the server answered {}: {}", self.status, self.text);
        self.json
    }
}

/// No answer: the server is down, stopped or not who it should be.
#[derive(Debug, thiserror::Error)]
#[error("{method} {url}: {source}")]
pub struct NoAnswer {
    /// The method of the request.
    pub method: String,
    /// Where it went.
    pub url: String,
    /// What happened to it.
    pub source: Box<ureq::Error>,
}

impl Client {
    /// A client of `base`, such as `http://127.0.0.1:2379`; for HTTPS it trusts the certificates of `ca_pem` alone.
    ///
    /// # Errors
    /// When `ca_pem` holds no certificate.
    pub fn new(base: &str, ca_pem: Option<&str>) -> Result<Self, NoAnswer> {
        let bad_ca = |source| NoAnswer { method: "CONNECT".to_owned(), url: base.to_owned(), source: Box::new(source) };
        let roots = ca_pem.map(|pem| Certificate::from_pem(pem.as_bytes())).transpose().map_err(bad_ca)?;
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(roots.as_slice()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .tls_config(tls);
        Ok(Self { base: base.to_owned(), agent: config.build().into() })
    }

    /// Sends one request and reads the whole answer, within ten seconds.
    ///
    /// A body goes as JSON; a PATCH as a merge patch, or as an apply patch if its path names a `fieldManager`.
    ///
    /// # Errors
    /// [`NoAnswer`] when there is none.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, NoAnswer> {
        let kind = match method {
            "PATCH" if path.contains("fieldManager=") => "application/apply-patch+yaml",
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        self.send(method, path, token, body.map(|body| (kind, body.to_string())))
    }

    /// Sends one request with a body of any kind: `(content type, text)`.
    ///
    /// # Errors
    /// [`NoAnswer`] when there is none.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<(&str, String)>,
    ) -> Result<Answer, NoAnswer> {
        let url = format!("{}{path}", self.base);
        let failed = |source: ureq::Error| {
            let source = Box::new(source);
            NoAnswer { method: method.to_owned(), url: url.clone(), source }
        };
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = match body {
            Some((kind, text)) => {
                let request = request.header("content-type", kind).body(text);
                request.map_err(ureq::Error::from).and_then(|request| self.agent.run(request))
            }
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
        };
        answer.and_then(read).map_err(failed)
    }
}

fn read(answer: Response<Body>) -> Result<Answer, ureq::Error> {
    let (parts, mut body) = answer.into_parts();
    let bytes = body.read_to_vec()?;
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, text, json })
}

const TIMEOUT: Duration = Duration::from_secs(10);
