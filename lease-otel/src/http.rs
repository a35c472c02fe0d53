//! A small HTTP server for what is asked of a collector: its health and its metrics.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// An answer: status, content type, body.
pub(crate) type Answer = (StatusCode, &'static str, String);

/// What a path is answered with; none when there is nothing there.
pub(crate) type Answers = Arc<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

/// A server that runs until it is dropped or shut down.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Server {
    /// Listens on `HOST:PORT`.
    pub(crate) async fn listen(endpoint: &str, answers: Answers) -> io::Result<Self> {
        let listener = TcpListener::bind(endpoint).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, answers, stop.clone()));
        Ok(Self { address, stop, tasks })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it, and what it is answering.
    pub(crate) async fn shutdown(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn accept(listener: TcpListener, answers: Answers, stop: CancellationToken) {
    // Dropped at the end, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(TokioIo::new(stream), Arc::clone(&answers)));
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

async fn serve(stream: TokioIo<tokio::net::TcpStream>, answers: Answers) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(&request, &answers);
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADERS_MAX);
    if let Err(error) = server.serve_connection(stream, service).await {
        tracing::debug!(%error, "a connection broke");
    }
}

fn respond(request: &Request<Incoming>, answers: &Answers) -> Response<Full<Bytes>> {
    let (status, kind, body) = match *request.method() {
        Method::GET | Method::HEAD => {
            answers(request.uri().path()).unwrap_or((StatusCode::NOT_FOUND, TEXT, "nothing is here\n".to_owned()))
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
/// More wait until one of these ends.
const CONNECTIONS_MAX: usize = 64;
/// Who sends nothing for so long is not waited for.
const HEADERS_MAX: Duration = Duration::from_secs(10);
/// Where the system has no descriptors left, trying at once would only use up the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
