//! Connections to an endpoint, with or without TLS, and what is said when they fail.
//!
//! The first bytes of an answer are looked at: whoever has configured gRPC where HTTP is spoken, or the reverse, is told so
//! instead of what a parser makes of it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use lease_core::Pretty;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

/// Makes connections to one endpoint.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: Option<(Arc<ClientConfig>, Option<String>)>,
    spoken: Arc<AtomicU8>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("tls", &self.tls.is_some()).field("spoken", &self.spoken()).finish()
    }
}

/// What the peer of the latest connection has been heard to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// Nothing that is known here, or nothing at all.
    Unknown,
    /// HTTP/1.
    Http1,
    /// HTTP/2: gRPC, most likely.
    Http2,
    /// TLS, to a client that does not.
    Tls,
    /// Nothing: it broke the connection off.
    Silence,
    /// TLS, and that a client without a certificate is not taken.
    CertificateRequired,
}

impl Spoken {
    fn of(first: &[u8]) -> Self {
        match first {
            [b'H', b'T', b'T', b'P', b'/'] => Self::Http1,
            // A frame SETTINGS, with which every server of HTTP/2 begins.
            [0, 0, _, 4, _] => Self::Http2,
            // An alert; the version follows.
            [0x15, 3, ..] => Self::Tls,
            _ => Self::Unknown,
        }
    }
}

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("`{host}` cannot be connected to at port {port}: {source}")]
    Tcp { host: String, port: u16, source: io::Error },
    #[error("`{name}` is no name that a certificate can have; correct the endpoint or tls.server_name_override")]
    Name { name: String },
    #[error("the certificate of `{name}` is not trusted: {reason}; give its authority with tls.ca_file")]
    Untrusted { name: String, reason: String },
    #[error(
        "the certificate is not for `{name}`; correct the endpoint, or give the name that it has with \
         tls.server_name_override"
    )]
    OtherName { name: String },
    #[error("the endpoint asks for a client certificate; give it with tls.cert_file and tls.key_file")]
    CertificateRequired,
    #[error("the endpoint does not speak TLS; if that is meant to be, set tls.insecure: true and no https://")]
    Plain,
    #[error("no connection to `{address}` within {}", Pretty(CONNECT_MAX))]
    Slow { address: String },
    #[error("TLS with `{name}` fails: {source}")]
    Tls { name: String, source: io::Error },
}

/// As long as the reference waits at least.
const CONNECT_MAX: Duration = Duration::from_secs(20);

impl Connector {
    /// Connections with TLS where `tls` is given, under that name if there is one.
    pub(crate) fn new(tls: Option<(Arc<ClientConfig>, Option<String>)>) -> Self {
        Self { tls, spoken: Arc::default() }
    }

    /// What the peer of the latest connection has been heard to speak.
    pub(crate) fn spoken(&self) -> Spoken {
        match self.spoken.load(Ordering::Relaxed) {
            1 => Spoken::Http1,
            2 => Spoken::Http2,
            3 => Spoken::Tls,
            4 => Spoken::Silence,
            5 => Spoken::CertificateRequired,
            _ => Spoken::Unknown,
        }
    }

    /// A connection, or why there is none: a peer that takes it and says nothing would otherwise hold up a channel, which
    /// makes one connection at a time, for ever.
    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, ConnectError> {
        let address = uri.authority().map(ToString::to_string).unwrap_or_default();
        let connect = timeout(CONNECT_MAX, self.connect_now(uri));
        connect.await.unwrap_or(Err(ConnectError::Slow { address }))
    }

    async fn connect_now(self, uri: Uri) -> Result<TokioIo<Stream>, ConnectError> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let connected = TcpStream::connect((host.as_str(), port)).await;
        let tcp = match connected.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)) {
            Ok(tcp) => tcp,
            Err(source) => return Err(ConnectError::Tcp { host, port, source }),
        };
        let spoken = Arc::clone(&self.spoken);
        let Some((config, name)) = self.tls else { return Ok(TokioIo::new(Stream::Plain(Heard::new(tcp, spoken)))) };
        let name = name.unwrap_or(host);
        let Ok(server_name) = ServerName::try_from(name.clone()) else { return Err(ConnectError::Name { name }) };
        match TlsConnector::from(config).connect(server_name, tcp).await {
            Ok(stream) => Ok(TokioIo::new(Stream::Tls(Box::new(Heard::new(stream, spoken))))),
            Err(error) => Err(handshake_error(name, error)),
        }
    }
}

fn handshake_error(name: String, error: io::Error) -> ConnectError {
    use rustls::{CertificateError, Error};
    match tls_error(&error) {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => ConnectError::OtherName { name },
        Some(Error::InvalidCertificate(reason)) => ConnectError::Untrusted { name, reason: reason.to_string() },
        Some(Error::InvalidMessage(_)) => ConnectError::Plain,
        Some(Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure)) => {
            ConnectError::CertificateRequired
        }
        _ => ConnectError::Tls { name, source: error },
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The way out, where an error is, or was caused by, one that has one.
pub(crate) fn way_out(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(known) = error.downcast_ref::<ConnectError>() {
            return Some(known.to_string());
        }
        cause = error.source();
    }
    None
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.clone().connect(uri).boxed()
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Heard<TcpStream>),
    Tls(Box<Heard<TlsStream<TcpStream>>>),
}

/// A stream whose first bytes are noted.
#[derive(Debug)]
pub(crate) struct Heard<S> {
    inner: S,
    first: Vec<u8>,
    /// A write that has failed, until what the peer said before has been heard.
    failed: Option<io::Error>,
    spoken: Arc<AtomicU8>,
}

const FIRST: usize = 5;

impl<S: AsyncRead + Unpin> Heard<S> {
    fn new(inner: S, spoken: Arc<AtomicU8>) -> Self {
        Self { inner, first: Vec::new(), failed: None, spoken }
    }

    fn say(&self, spoken: Spoken) {
        let number = match spoken {
            Spoken::Unknown => 0,
            Spoken::Http1 => 1,
            Spoken::Http2 => 2,
            Spoken::Tls => 3,
            Spoken::Silence => 4,
            Spoken::CertificateRequired => 5,
        };
        self.spoken.store(number, Ordering::Relaxed);
    }

    /// Notes what a read gave; nothing is the end.
    fn hear(&mut self, read: &[u8]) {
        if self.first.len() >= FIRST {
            return;
        }
        if read.is_empty() && self.first.is_empty() {
            return self.say(Spoken::Silence);
        }
        let missing = FIRST - self.first.len();
        self.first.extend_from_slice(&read[..read.len().min(missing)]);
        if self.first.len() == FIRST {
            self.say(Spoken::of(&self.first));
        }
    }

    fn hear_error(&mut self, error: &io::Error) {
        // In TLS 1.3 a server refuses a client after the handshake of that client.
        if let Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) = tls_error(error) {
            self.say(Spoken::CertificateRequired);
        } else if self.first.is_empty() && self.spoken.load(Ordering::Relaxed) != 5 {
            self.say(Spoken::Silence);
        }
    }

    /// A write has failed: the peer has closed, and what it said before can still be read, but maybe not at once.
    fn fail<T>(&mut self, error: io::Error, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.first.is_empty() {
            let mut bytes = [0; 16];
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) => self.hear(buf.filled()),
                Poll::Ready(Err(error)) => self.hear_error(&error),
                Poll::Pending => {
                    self.failed = Some(error);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Err(error))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        match &outcome {
            Ok(()) => self.hear(&buf.filled()[before..]),
            Err(error) => self.hear_error(error),
        }
        Poll::Ready(outcome)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.failed.take() {
            return self.fail(error, cx);
        }
        match ready!(Pin::new(&mut self.inner).poll_write(cx, buf)) {
            Ok(written) => Poll::Ready(Ok(written)),
            Err(error) => self.fail(error, cx),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return self.fail(error, cx);
        }
        match ready!(Pin::new(&mut self.inner).poll_flush(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => self.fail(error, cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporters::tls::TlsSettings;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_connection_and_says_nothing_is_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("https://{}", silent.local_addr().unwrap()).parse().unwrap();
        let trust = TlsSettings::any_server().load("h2").unwrap();
        let began = tokio::time::Instant::now();
        let error = Connector::new(Some((trust, None))).connect(uri.clone()).await.expect_err("nobody speaks");
        assert_eq!(error.to_string(), format!("no connection to `{}` within 20s", uri.authority().unwrap()));
        assert_eq!(began.elapsed(), CONNECT_MAX);
    }
}
