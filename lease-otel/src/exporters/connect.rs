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

use super::mismatch::{Expected, Spoken};
use super::tls::is_authority;

/// Makes connections to one endpoint.
#[derive(Clone)]
pub(crate) struct Connector {
    expected: Expected,
    tls: Option<(Arc<ClientConfig>, Option<String>)>,
    spoken: Arc<AtomicU8>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("expected", &self.expected)
            .field("tls", &self.tls.is_some())
            .field("spoken", &self.spoken())
            .finish()
    }
}

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("`{host}` cannot be connected to at port {port}: {source}")]
    Tcp { host: String, port: u16, source: io::Error },
    #[error("`{name}` is not a name that a certificate can have; correct the endpoint or tls.server_name_override")]
    Name { name: String },
    #[error("the certificate of `{name}` is not trusted: {reason}; give its authority with tls.ca_file")]
    Untrusted { name: String, reason: String },
    #[error(
        "the certificate is not for `{name}`; correct the endpoint, or give the name that it has with \
         tls.server_name_override"
    )]
    OtherName { name: String },
    #[error("`{address}` asks for a client certificate; give it with tls.cert_file and tls.key_file")]
    CertificateRequired { address: String },
    #[error(
        "`{address}` refuses the TLS handshake: it may ask for a client certificate (tls.cert_file and tls.key_file), or \
         allow no version or cipher that is offered (tls.min_version, tls.max_version)"
    )]
    Refused { address: String },
    #[error("`{address}` allows no TLS version that is offered; see tls.min_version and tls.max_version")]
    Version { address: String },
    /// It speaks something else.
    #[error("{0}")]
    Mismatch(String),
    #[error("no connection to `{address}` within {}", Pretty(CONNECT_MAX))]
    Slow { address: String },
    #[error("TLS with `{name}` fails: {source}")]
    Tls { name: String, source: io::Error },
}

/// As long as the reference waits at least.
const CONNECT_MAX: Duration = Duration::from_secs(20);

impl Connector {
    /// Connections with TLS where `tls` is given, under that name if there is one.
    pub(crate) fn new(expected: Expected, tls: Option<(Arc<ClientConfig>, Option<String>)>) -> Self {
        Self { expected, tls, spoken: Arc::default() }
    }

    /// What the peer of the latest connection has been heard to speak.
    pub(crate) fn spoken(&self) -> Spoken {
        Spoken::numbered(self.spoken.load(Ordering::Relaxed))
    }

    /// What is said of the peer of the latest connection, if it speaks something else.
    pub(crate) fn instead(&self, endpoint: impl fmt::Display) -> Option<String> {
        self.expected.instead(endpoint, self.spoken())
    }

    /// A connection, or why there is none: a peer that takes it and says nothing would otherwise hold up a channel, which
    /// makes one connection at a time, for ever.
    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, ConnectError> {
        let address = uri.authority().map(ToString::to_string).unwrap_or_default();
        let connect = timeout(CONNECT_MAX, self.clone().connect_now(uri));
        connect.await.unwrap_or_else(|_| {
            let silent = Some(self.spoken()).filter(|spoken| *spoken == Spoken::Handshake);
            let mismatch = silent.and_then(|spoken| self.expected.instead(&address, spoken));
            Err(mismatch.map_or(ConnectError::Slow { address }, ConnectError::Mismatch))
        })
    }

    async fn connect_now(self, uri: Uri) -> Result<TokioIo<Stream>, ConnectError> {
        let address = uri.authority().map(ToString::to_string).unwrap_or_default();
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let say = |spoken: Spoken| self.spoken.store(spoken as u8, Ordering::Relaxed);
        say(Spoken::Unknown);
        let connected = TcpStream::connect((host.as_str(), port)).await;
        let tcp = match connected.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)) {
            Ok(tcp) => tcp,
            Err(source) => return Err(ConnectError::Tcp { host, port, source }),
        };
        let Some((config, name)) = self.tls.clone() else {
            return Ok(TokioIo::new(Stream::Plain(Heard::new(tcp, self.spoken))));
        };
        let name = name.unwrap_or(host);
        let Ok(server_name) = ServerName::try_from(name.clone()) else { return Err(ConnectError::Name { name }) };
        say(Spoken::Handshake);
        // What is heard below TLS tells what is spoken instead of it.
        let below = Arc::<AtomicU8>::default();
        match TlsConnector::from(config).connect(server_name, Heard::new(tcp, Arc::clone(&below))).await {
            Ok(stream) => {
                say(Spoken::Unknown);
                Ok(TokioIo::new(Stream::Tls(Box::new(Heard::new(stream, self.spoken)))))
            }
            Err(error) => {
                say(Spoken::Unknown);
                let heard = Spoken::numbered(below.load(Ordering::Relaxed));
                Err(handshake_error(self.expected, address, name, error, heard))
            }
        }
    }
}

fn handshake_error(expected: Expected, address: String, name: String, error: io::Error, heard: Spoken) -> ConnectError {
    use rustls::{CertificateError, Error};
    let is_no_message = matches!(tls_error(&error), Some(Error::InvalidMessage(_))) && heard == Spoken::Unknown;
    if let Some(said) = expected.instead_of_tls(&address, if is_no_message { Spoken::Other } else { heard }) {
        return ConnectError::Mismatch(said);
    }
    match tls_error(&error) {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => ConnectError::OtherName { name },
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            ConnectError::Untrusted { name, reason: "its issuer is unknown".to_owned() }
        }
        Some(error) if is_authority(error) => {
            ConnectError::Untrusted { name, reason: "it is that of an authority, and not one that is given".to_owned() }
        }
        Some(Error::InvalidCertificate(reason)) => ConnectError::Untrusted { name, reason: reason.to_string() },
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            ConnectError::CertificateRequired { address }
        }
        Some(Error::AlertReceived(AlertDescription::HandshakeFailure)) => ConnectError::Refused { address },
        Some(Error::AlertReceived(AlertDescription::ProtocolVersion)) => ConnectError::Version { address },
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            ConnectError::Mismatch(expected.instead_in_tls(address))
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
    Tls(Box<Heard<TlsStream<Heard<TcpStream>>>>),
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
        self.spoken.store(spoken as u8, Ordering::Relaxed);
    }

    /// Notes what a read gave; nothing is the end.
    fn hear(&mut self, read: &[u8]) {
        if self.first.len() >= FIRST {
            return;
        }
        if read.is_empty() {
            return self.say(if self.first.is_empty() { Spoken::Silence } else { Spoken::Other });
        }
        let missing = FIRST - self.first.len();
        self.first.extend_from_slice(&read[..read.len().min(missing)]);
        if self.first.len() == FIRST {
            self.say(Spoken::of(&self.first));
        } else if Spoken::is_other(&self.first) {
            self.say(Spoken::Other);
        }
    }

    fn hear_error(&mut self, error: &io::Error) {
        // In TLS 1.3 a server refuses a client after the handshake of that client.
        if let Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) = tls_error(error) {
            self.say(Spoken::CertificateRequired);
        } else if self.first.is_empty() && self.spoken.load(Ordering::Relaxed) != Spoken::CertificateRequired as u8 {
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
        let connector = Connector::new(Expected::Http, Some((trust, None)));
        let error = connector.connect(uri.clone()).await.expect_err("nobody speaks");
        let said = format!(
            "`{}` takes connections, but does not answer the TLS handshake: it may not speak TLS; if that is meant to \
             be, write http://",
            uri.authority().unwrap()
        );
        assert_eq!(error.to_string(), said);
        assert_eq!(began.elapsed(), CONNECT_MAX);
    }
}
