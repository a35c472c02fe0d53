//! The way to one API server: connections, credentials, and what became of a request.
//!
//! Requests go straight to hyper's pooled client. `kube` reads the configuration and gives the TLS connector,
//! but its own client is left out: it repeats requests by default, passes each one through a queue and a
//! tracing layer, and reports failures without saying whether the request had left. HTTP/1.1 is on purpose:
//! a request that is given up takes its connection with it, and no other request shares that one.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{ConfigExt, RustlsTlsError};
use kube::config::Config;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::credentials::{self, Credentials};
use crate::{Access, K8sError, K8sLock};

/// An API server and who we are there, with a pool of connections. Clones share them.
///
/// One client serves any number of locks. Give locks that must not wait for each other's troubles (say, those
/// of two clusters, or a lease and the application's own requests) clients of their own.
///
/// * No request is repeated, with two exceptions that cannot write twice: one that could not leave on a
///   connection that the server had closed meanwhile, and one that was answered with 401, which is sent again
///   once, when re-reading gave another token, client certificate, address or impersonation. When it gave the same,
///   the connections stay.
/// * Nothing times out but TCP's connecting, after 1.5 s: whoever waits drops the future, and the connection is
///   abandoned with it. A dropped write may still be applied. An address that swallows packets makes a write
///   `Unavailable`, as long as the caller's patience (of an election, the attempt timeout: by default 2 s) is longer.
///   Otherwise, and when it is the name's resolution or the TLS handshake that hangs, the write counts as `Unknown`,
///   which is as safe and costs one read more.
/// * Proxies are not used, whatever `HTTPS_PROXY` or the configuration say.
/// * Token files are re-read once a minute, and at once after a 401. Kubeconfigs, certificates and plugins are
///   asked again after a 401 and after a refused certificate, at most once a second.
#[derive(Clone)]
pub struct K8sClient(Arc<Shared>);

struct Shared {
    origin: Origin,
    namespace: String,
    server: String,
    current: RwLock<Arc<Stack>>,
    /// When the stack was last made anew; held while that is being done.
    renewed: tokio::sync::Mutex<Option<Instant>>,
}

/// What a stack can be made from again.
enum Origin {
    Access(Access),
    Config(Box<Config>),
}

/// Connections and credentials that belong together.
struct Stack {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    credentials: Credentials,
    /// What we show the server in the handshake, whether it comes from a file or a plugin.
    certificate: Certificate,
    extra_headers: Vec<(HeaderName, HeaderValue)>,
    base: String,
}

/// A client certificate and those that vouch for it; none when we show none.
type Certificate = Option<Vec<CertificateDer<'static>>>;

/// What one side did not take of a stack.
enum Refused {
    /// The other side's certificate: what is trusted may have changed.
    Certificate,
    /// Who we are, with this `Authorization`.
    Credentials(Option<HeaderValue>),
}

/// A request: what differs from one to the next.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query, below the server's own path.
    pub(crate) path: String,
    /// Empty for none.
    pub(crate) body: Bytes,
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// No answer, or not a whole one.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There were no credentials to send it with.
    NoCredentials(K8sError),
    /// There was no connection. The request did not leave.
    NoConnection(String),
    /// One side refused the other's certificate. The request did not leave, or was not looked at.
    Certificate(String),
    /// The connection broke once the request may have left.
    Lost(String),
}

impl K8sClient {
    /// A client for the API server that `access` leads to. Connects only with the first request.
    pub async fn connect(access: Access) -> Result<Self, K8sError> {
        let config = access.load().await?;
        let namespace = config.default_namespace.clone();
        // A credential plugin may run for seconds.
        let stack = tokio::task::spawn_blocking(move || Stack::build(&config)).await;
        Ok(Self::over(stack.unwrap_or(Err(PLUGIN_PANICKED))?, namespace, Origin::Access(access)))
    }

    /// A client for the API server of a configuration that the caller made.
    ///
    /// Of the configuration's timeouts, retries and proxy nothing is used. Blocks while the configuration's
    /// credential plugin runs, if it has one.
    pub fn from_config(config: Config) -> Result<Self, K8sError> {
        let stack = Stack::build(&config)?;
        let namespace = config.default_namespace.clone();
        Ok(Self::over(stack, namespace, Origin::Config(Box::new(config))))
    }

    /// The namespace that the kubeconfig's context or the service account has; `default` without one.
    pub fn default_namespace(&self) -> &str {
        &self.0.namespace
    }

    /// A lock on the Lease of this name. Nothing is sent.
    pub fn lock(&self, namespace: &str, name: &str) -> Result<K8sLock, K8sError> {
        K8sLock::new(self, namespace, name)
    }

    fn over(stack: Stack, namespace: String, origin: Origin) -> Self {
        Self(Arc::new(Shared {
            origin,
            namespace,
            server: stack.base.clone(),
            current: RwLock::new(Arc::new(stack)),
            renewed: tokio::sync::Mutex::new(None),
        }))
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&self, call: &Call) -> Result<Answer, Failure> {
        let response = self.send(call).await?;
        Answer::read(response).await
    }

    /// Sends a request; the answer's body is still to come.
    pub(crate) async fn send(&self, call: &Call) -> Result<Response<Incoming>, Failure> {
        let stack = self.current();
        let header = stack.header().await.map_err(Failure::NoCredentials)?;
        match stack.request(call, header.as_ref()).await {
            Ok(refused) if refused.status() == StatusCode::UNAUTHORIZED => {
                let Some(stack) = self.other_credentials(&stack, header.as_ref()).await else { return Ok(refused) };
                let header = stack.header().await.map_err(Failure::NoCredentials)?;
                stack.request(call, header.as_ref()).await
            }
            Err(Failure::Certificate(reason)) => {
                // The next attempt finds the new CA or certificate, if there is one by now.
                self.renew(&stack, Refused::Certificate).await;
                Err(Failure::Certificate(reason))
            }
            outcome => outcome,
        }
    }

    /// Another stack, or the same with another token, after the server refused this header.
    async fn other_credentials(&self, refused: &Arc<Stack>, header: Option<&HeaderValue>) -> Option<Arc<Stack>> {
        match refused.credentials.reread(header) {
            Some(changed) => changed.then(|| Arc::clone(refused)),
            None => self.renew(refused, Refused::Credentials(header.cloned())).await,
        }
    }

    /// Makes the stack anew from where it came from, unless somebody else just did. None when that is too early, or
    /// would only be refused again: then the old one stays, and with it the connections that all locks share.
    ///
    /// It goes on when the request that needed it is given up, as a plugin may take longer than any attempt.
    async fn renew(&self, stale: &Arc<Stack>, refused: Refused) -> Option<Arc<Stack>> {
        let (client, stale) = (self.clone(), Arc::clone(stale));
        tokio::spawn(async move { client.make_anew(&stale, refused).await }).await.unwrap_or(None)
    }

    async fn make_anew(&self, stale: &Arc<Stack>, refused: Refused) -> Option<Arc<Stack>> {
        let mut renewed = self.0.renewed.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, stale) {
            return Some(current);
        }
        if renewed.is_some_and(|at| at.elapsed() < RENEW_INTERVAL_MIN) {
            return None;
        }
        *renewed = Some(Instant::now());
        let config = match &self.0.origin {
            Origin::Access(access) => access.load().await.ok()?,
            Origin::Config(config) => (**config).clone(),
        };
        let stack = tokio::task::spawn_blocking(move || Stack::build(&config)).await.ok()?.ok()?;
        if let Refused::Credentials(header) = refused
            && stack.credentials.header().await.ok()? == header
            && stack.is_same_client(stale)
        {
            return None;
        }
        let stack = Arc::new(stack);
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&stack);
        Some(stack)
    }

    fn current(&self) -> Arc<Stack> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The server's address; no credentials.
impl fmt::Display for K8sClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.server)
    }
}

impl fmt::Debug for K8sClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = &self.current().credentials;
        f.debug_struct("K8sClient").field("server", &self.0.server).field("credentials", credentials).finish()
    }
}

impl Stack {
    fn build(config: &Config) -> Result<Self, K8sError> {
        let base = base_url(&config.cluster_url)?;
        let credentials = Credentials::load(config)?;
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // kube takes the process's provider, and rustls panics where two are linked and none was chosen.
            // The only error is that somebody else was faster.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_keepalive(Some(KEEPALIVE));
        let (tls, certificate) = connector(config, tcp).map_err(|error| K8sError::Tls(Box::new(error)))?;
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_CONNECTIONS_MAX)
            .build(tls);
        Ok(Self { http, credentials, certificate, extra_headers: credentials::extra_headers(config)?, base })
    }

    /// Whether the server sees the same client in both, but for the `Authorization`.
    fn is_same_client(&self, other: &Self) -> bool {
        self.base == other.base && self.certificate == other.certificate && self.extra_headers == other.extra_headers
    }

    /// The header to send now.
    ///
    /// A plugin goes on when the request that needed it is given up: otherwise one that takes longer than any attempt
    /// would be started again and again, and never be done.
    async fn header(self: &Arc<Self>) -> Result<Option<HeaderValue>, K8sError> {
        if !matches!(self.credentials, Credentials::Plugin { .. }) {
            return self.credentials.header().await;
        }
        let stack = Arc::clone(self);
        let asked = tokio::spawn(async move { stack.credentials.header().await });
        asked.await.unwrap_or(Err(PLUGIN_PANICKED))
    }

    async fn request(&self, call: &Call, authorization: Option<&HeaderValue>) -> Result<Response<Incoming>, Failure> {
        let uri: Uri = format!("{}{}", self.base, call.path).parse().expect("checked names make a valid path");
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("lease/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT, JSON);
        if !call.body.is_empty() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        for (name, value) in &self.extra_headers {
            headers.append(name, value.clone());
        }
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        self.http.request(request).await.map_err(|error| Failure::of(&error, error.is_connect()))
    }
}

impl Answer {
    pub(crate) async fn read(response: Response<Incoming>) -> Result<Self, Failure> {
        let (parts, body) = response.into_parts();
        let seconds = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => {
                Ok(Self { status: parts.status, retry_after: seconds.map(Duration::from_secs), body: body.to_bytes() })
            }
            Err(error) => Err(Failure::of(&*error, false)),
        }
    }
}

impl Failure {
    pub(crate) fn of(error: &(dyn Error + 'static), before_sending: bool) -> Self {
        let mut last = error;
        let mut certificate = false;
        while let Some(next) = below(last) {
            last = next;
            certificate |= last.downcast_ref::<rustls::Error>().is_some_and(is_about_certificates);
        }
        let reason = last.to_string();
        match (certificate, before_sending) {
            (true, _) => Self::Certificate(reason),
            (false, true) => Self::NoConnection(reason),
            (false, false) => Self::Lost(reason),
        }
    }
}

/// As `kube`'s `rustls_https_connector_with_connector`, which would not show the client certificate.
fn connector(config: &Config, tcp: HttpConnector) -> Result<(HttpsConnector<HttpConnector>, Certificate), kube::Error> {
    let tls = config.rustls_client_config()?;
    // There is one at most, so nothing is chosen here.
    let certificate = tls.client_auth_cert_resolver.resolve(&[], &[]).map(|key| key.cert.clone());
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone());
        let name = name.map_err(|error| kube::Error::RustlsTls(RustlsTlsError::InvalidServerName(error)))?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok((builder.enable_http1().wrap_connector(tcp), certificate))
}

/// The next error in a chain. An `io::Error` passes over the error that it holds, so that one is asked for first.
fn below<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(held) => Some(held),
        None => error.source(),
    }
}

fn is_about_certificates(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => true,
        rustls::Error::AlertReceived(alert) => matches!(
            alert,
            Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::CertificateRequired
        ),
        _ => false,
    }
}

/// Without a slash at its end, so that a path can follow.
fn base_url(url: &Uri) -> Result<String, K8sError> {
    let scheme = url.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
    let authority = url.authority().filter(|authority| !authority.as_str().contains('@'));
    let (Some(scheme), Some(authority)) = (scheme, authority) else { return Err(K8sError::ServerUrl) };
    Ok(format!("{scheme}://{authority}{}", url.path().trim_end_matches('/')))
}

/// A panic in `kube` while it made a header of what a plugin had printed.
const PLUGIN_PANICKED: K8sError =
    K8sError::Plugin { plugin: String::new(), reason: "what it gave cannot be made a header" };
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Below the attempt timeout of the default timing, so that an election learns that nothing was sent. Above the second
/// after which Linux repeats a lost SYN (`TCP_TIMEOUT_INIT`), with half a second for the way. The handshake is not in it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Well below the 90 s after which the API server closes an idle connection (`net/http` `IdleTimeout` in
/// apiserver's `pkg/server/secure_serving.go`), so that a request seldom meets a closing one.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A hundred locks that renew at one instant need as many connections, and making one anew costs more than ten
/// renewals. What is not used goes after [`POOL_IDLE_TIMEOUT`].
const POOL_IDLE_CONNECTIONS_MAX: usize = 128;
const RENEW_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The API server takes objects of at most 3 MiB (`MaxRequestBodyBytes`), and a page of a list holds several.
const BODY_BYTES_MAX: usize = 64 << 20;
