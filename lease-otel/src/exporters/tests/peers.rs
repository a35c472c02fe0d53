//! What is said of a peer that speaks something else, for each that an address may lead to by mistake.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;

/// Who is at the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// OTLP over HTTP, which ends a connection of HTTP/2 without an answer.
    Http,
    /// OTLP over gRPC.
    Grpc,
    /// TLS with a certificate that nobody trusts, which speaks only these protocols.
    Tls(&'static str),
    /// It says this to whatever comes, and closes.
    Says(&'static [u8]),
    /// It waits for what is said, and closes without an answer.
    Hears,
    /// It waits for ever.
    Silent,
    /// It closes at once.
    Closes,
    /// HTTP/2, and knows no path.
    Web,
}

/// A port where the peer is, until it is dropped.
struct Port {
    address: SocketAddr,
    /// Of a peer with TLS.
    ca: String,
    _sink: Option<Sink>,
    _served: tokio::task::JoinSet<()>,
}

impl Port {
    async fn open(peer: Peer) -> Self {
        let mut served = tokio::task::JoinSet::new();
        if matches!(peer, Peer::Http | Peer::Grpc) {
            let sink = Sink::start();
            let address = if peer == Peer::Http { sink.http() } else { sink.grpc() };
            return Self { address, ca: String::new(), _sink: Some(sink), _served: served };
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let ca = certificate.pem();
        let tls = tls(certificate.der().clone(), &key, if let Peer::Tls(protocols) = peer { protocols } else { "" });
        served.spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(meet(peer, stream, tls.clone()));
            }
        });
        Self { address, ca, _sink: None, _served: served }
    }
}

fn tls(certificate: rustls::pki_types::CertificateDer<'static>, key: &KeyPair, protocols: &str) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = protocols.split_whitespace().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// One connection.
async fn meet(peer: Peer, mut stream: TcpStream, tls: TlsAcceptor) {
    let mut heard = [0; 4096];
    match peer {
        Peer::Tls(_) => {
            if let Ok(stream) = tls.accept(stream).await {
                speak_tls(stream).await;
            }
        }
        Peer::Says(words) => {
            drop(stream.read(&mut heard).await);
            drop(stream.write_all(words).await);
            // What is unread at the end would reset the connection, and the words with it.
            drop(stream.shutdown().await);
            while stream.read(&mut heard).await.is_ok_and(|read| read > 0) {}
        }
        Peer::Hears => drop(stream.read(&mut heard).await),
        Peer::Silent => while stream.read(&mut heard).await.is_ok_and(|read| read > 0) {},
        Peer::Web => {
            let service = service_fn(async |_| {
                let mut answer = http::Response::new(Empty::<bytes::Bytes>::new());
                *answer.status_mut() = http::StatusCode::NOT_FOUND;
                Ok::<_, Infallible>(answer)
            });
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        }
        Peer::Closes | Peer::Http | Peer::Grpc => {}
    }
}

async fn speak_tls(mut stream: TlsStream<TcpStream>) {
    let mut heard = [0; 4096];
    drop(stream.read(&mut heard).await);
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    drop(stream.write_all(answer).await);
    drop(stream.shutdown().await);
    while stream.read(&mut heard).await.is_ok_and(|read| read > 0) {}
}

const HTTPS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.9\r\n";

/// The exporter `kind` at that peer, with TLS or not; what it says of it, once.
async fn is_told(peer: Peer, kind: &str, scheme: &str, entries: &[(&str, &str)], told: &[&str]) {
    let port = Port::open(peer).await;
    let (logs, _guard) = Logs::keep();
    let host = format!("localhost:{}", port.address.port());
    let endpoint = if kind == "otlp" { host.clone() } else { format!("{scheme}{host}") };
    let insecure = if scheme == "https://" { "false" } else { "true" };
    let mut all = vec![("endpoint", &*endpoint), ("tls.insecure", insecure)];
    if entries.contains(&TRUSTED) {
        all.push(("tls.ca_pem", &port.ca));
    }
    all.extend(entries.iter().filter(|entry| **entry != TRUSTED));
    let exporter = Running::start(kind, &all).await;
    exporter.offer(3).await.unwrap();
    for part in told {
        logs.until(part).await;
    }
    assert!(logs.text().contains("localhost"), "the endpoint is named: {}", logs.text());
    exporter.end().await;
}

/// Who is there, how the exporter speaks, its other settings, and what it says.
type Case<'a> = (Peer, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

/// Stands for the certificate of the peer.
const TRUSTED: (&str, &str) = ("trusted", "");

#[tokio::test]
async fn an_exporter_of_grpc_tells_what_is_there_instead() {
    let grpc = "OTLP over gRPC is usually at port 4317";
    let http = "for this endpoint use the exporter otlp_http";
    let (plain, secure) = ("http://", "https://");
    let cases: [Case<'_>; 14] = [
        (Peer::Http, plain, &[], &["breaks them off without a word: it may speak HTTP/1, as at port 4318", "or TLS"]),
        (Peer::Says(HTTPS), plain, &[], &["speaks HTTP/1, not gRPC", grpc, http]),
        (Peer::Web, plain, &[], &["speaks HTTP/2, but not gRPC, and answers 404", grpc, http]),
        (Peer::Tls("h2"), plain, &[], &["speaks TLS: leave tls.insecure out"]),
        (Peer::Says(SSH), plain, &[], &["speaks neither HTTP nor TLS, so it is not a receiver of OTLP", grpc]),
        (Peer::Closes, plain, &[], &["breaks them off without a word"]),
        (Peer::Http, secure, &[], &["does not speak TLS, but HTTP/1", grpc, http, "with http://"]),
        (Peer::Grpc, secure, &[], &["does not speak TLS; if that is meant to be, set tls.insecure: true"]),
        (
            Peer::Tls("http/1.1"),
            secure,
            &[TRUSTED],
            &["speaks TLS, but not HTTP/2 in it, which gRPC needs", grpc, http],
        ),
        (Peer::Tls(""), secure, &[TRUSTED], &["speaks HTTP/1, not gRPC", grpc, http]),
        (Peer::Says(SSH), secure, &[], &["speaks neither TLS nor HTTP, so it is not a receiver of OTLP", grpc]),
        (Peer::Says(b"+"), secure, &[], &["speaks neither TLS nor HTTP"]),
        (
            Peer::Hears,
            secure,
            &[],
            &["breaks them off at the TLS handshake: it may not speak TLS", "tls.insecure: true"],
        ),
        (
            Peer::Silent,
            secure,
            &[("timeout", "100ms")],
            &["does not answer the TLS handshake: it may not speak TLS", "tls.insecure: true"],
        ),
    ];
    for (peer, scheme, entries, told) in cases {
        is_told(peer, "otlp", scheme, entries, told).await;
    }
}

#[tokio::test]
async fn an_exporter_of_http_tells_what_is_there_instead() {
    let http = "OTLP over HTTP is usually at port 4318";
    let grpc = "for this endpoint use the exporter otlp_grpc";
    let (plain, secure) = ("http://", "https://");
    let cases: [Case<'_>; 12] = [
        (Peer::Grpc, plain, &[], &["speaks gRPC", http, grpc]),
        (Peer::Tls("http/1.1"), plain, &[], &["speaks TLS: write https://"]),
        (Peer::Says(HTTPS), plain, &[], &["answers 400 Bad Request; it speaks TLS: write https://"]),
        (Peer::Says(SSH), plain, &[], &["speaks neither HTTP nor TLS, so it is not a receiver of OTLP", http]),
        (Peer::Says(b"+"), plain, &[], &["speaks neither HTTP nor TLS"]),
        (Peer::Closes, plain, &[], &["breaks them off without a word: it may speak TLS", "https://", http]),
        (Peer::Http, secure, &[], &["does not speak TLS; if that is meant to be, write http://"]),
        (Peer::Grpc, secure, &[], &["does not speak TLS, but gRPC without it", http, grpc, "tls.insecure: true"]),
        (
            Peer::Tls("h2"),
            secure,
            &[TRUSTED],
            &["speaks TLS, but not HTTP/1 in it, and is probably for gRPC", http, grpc],
        ),
        (Peer::Says(SSH), secure, &[], &["speaks neither TLS nor HTTP, so it is not a receiver of OTLP", http]),
        (Peer::Hears, secure, &[], &["breaks them off at the TLS handshake: it may not speak TLS", "write http://"]),
        (
            Peer::Silent,
            secure,
            &[("timeout", "100ms")],
            &["does not answer the TLS handshake: it may not speak TLS", "write http://"],
        ),
    ];
    for (peer, scheme, entries, told) in cases {
        is_told(peer, "otlphttp", scheme, entries, told).await;
    }
}

#[tokio::test]
async fn a_tls_handshake_that_is_refused_says_what_may_be_wrong() {
    for kind in ["otlp", "otlphttp"] {
        let refused = b"\x15\x03\x03\0\x02\x02\x28";
        let told = ["refuses the TLS handshake: it may ask for a client certificate", "tls.min_version"];
        is_told(Peer::Says(refused), kind, "https://", &[], &told).await;
        let version = b"\x15\x03\x03\0\x02\x02\x46";
        is_told(Peer::Says(version), kind, "https://", &[], &["allows no TLS version that is offered"]).await;
        let told = ["is not trusted: its issuer is unknown; give its authority with tls.ca_file"];
        let protocols = if kind == "otlp" { "h2" } else { "http/1.1" };
        is_told(Peer::Tls(protocols), kind, "https://", &[], &told).await;
    }
}
