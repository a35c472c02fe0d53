//! An HTTP server that says what a test tells it to say, for the answers that a real one does not give on demand.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// How many connections there were before this one's.
    pub(crate) connection: usize,
    /// How many requests there were before this one.
    pub(crate) index: usize,
    /// `PUT /path`
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What to do with a request.
pub(crate) enum Reply {
    /// A whole answer: status, further header lines, body.
    Whole(u16, &'static str, String),
    /// These bytes as the body of a 200, and then nothing while the connection stays open.
    Open(String),
    /// These bytes, whatever they are, and then the connection is closed.
    Cut(String),
    /// Nothing while the connection stays open.
    Mute,
}

pub(crate) fn ok(body: &(impl ToString + ?Sized)) -> Reply {
    Reply::Whole(200, "", body.to_string())
}

/// A refusal as the API server makes it.
pub(crate) fn status(code: u16, reason: &str, kind: &str, message: &str) -> Reply {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": {"name": "foo", "kind": kind}, "code": code,
    });
    Reply::Whole(code, "", body.to_string())
}

/// The server; it ends with the test's runtime.
pub(crate) struct Scripted {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// How many connections the client has closed.
    closed: watch::Receiver<usize>,
}

impl Scripted {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (closing, closed) = watch::channel(0);
        let (script, closing, all) = (Arc::new(script), Arc::new(closing), Arc::clone(&seen));
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, closing, all) = (Arc::clone(&script), Arc::clone(&closing), Arc::clone(&all));
                tokio::spawn(async move {
                    serve(stream, connection, &*script, &all).await;
                    closing.send_modify(|count| *count += 1);
                });
            }
        });
        Self { url, seen, closed }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) async fn connections_closed(&mut self, count: usize) {
        self.closed.wait_for(|closed| *closed >= count).await.unwrap();
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    script: &(impl Fn(&Seen) -> Reply + ?Sized),
    all: &Mutex<Vec<Seen>>,
) {
    let mut bytes = Vec::new();
    while let Some(mut request) = read_request(&mut stream, &mut bytes).await {
        request.connection = connection;
        let reply = {
            let mut all = all.lock().unwrap();
            request.index = all.len();
            all.push(request.clone());
            script(&request)
        };
        match reply {
            Reply::Whole(status, headers, body) => {
                let length = body.len();
                let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Open(body) => {
                let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
                return wait_for_close(&mut stream).await;
            }
            Reply::Cut(answer) => {
                let _ = stream.write_all(answer.as_bytes()).await;
                return;
            }
            Reply::Mute => return wait_for_close(&mut stream).await,
        }
    }
}

async fn wait_for_close(stream: &mut TcpStream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte).await, Ok(1)) {}
}

async fn read_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Seen> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let whole = end + 4 + length.unwrap_or(0usize);
            if bytes.len() >= whole {
                let body = String::from_utf8_lossy(&bytes[end + 4..whole]).into_owned();
                bytes.drain(..whole);
                let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
                return Some(Seen { connection: 0, index: 0, line, head, body });
            }
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}
