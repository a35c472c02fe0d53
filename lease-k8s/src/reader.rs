//! The same way to the API server for whoever reads with `kube`: its types, lists and watchers, our connections,
//! credentials and patience.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Method, Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use kube::client::Body;
use tokio::time::timeout;

use crate::K8sClient;
use crate::client::{Answer, Call, Failure};

impl K8sClient {
    /// A client of `kube` that reads over this client's connections and with its credentials: nothing is repeated but
    /// what was answered with 401 and has other credentials by then.
    ///
    /// A read, and the start of a watch, get an answer within 30 s or fail. A watch that has begun lasts as long as the
    /// server lets it. Requests that write are refused, because they would need what only a lock takes care of.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn reader(&self) -> kube::Client {
        let client = self.clone();
        let service = tower::service_fn(move |request| {
            let client = client.clone();
            async move { read(&client, request).await }
        });
        kube::Client::new(service, self.default_namespace())
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum NotRead {
    Failed(Failure),
    Late,
    Write(Method),
}

async fn read(
    client: &K8sClient,
    request: Request<Body>,
) -> Result<Response<Either<Full<Bytes>, Incoming>>, Box<dyn Error + Send + Sync>> {
    let (parts, _) = request.into_parts();
    if parts.method != Method::GET {
        return Err(NotRead::Write(parts.method).into());
    }
    let path = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let is_watch = parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    let call = Call { method: Method::GET, path, body: Bytes::new() };
    if is_watch {
        let response = timeout(ANSWER_TIMEOUT, client.send(&call)).await.map_err(|_| NotRead::Late)?;
        return Ok(response.map_err(NotRead::Failed)?.map(Either::Right));
    }
    let answer = timeout(ANSWER_TIMEOUT, client.ask(&call)).await.map_err(|_| NotRead::Late)?;
    let Answer { status, retry_after, body } = answer.map_err(NotRead::Failed)?;
    let mut response = Response::builder().status(status);
    if let Some(pause) = retry_after {
        response = response.header(RETRY_AFTER, pause.as_secs());
    }
    Ok(response.body(Either::Left(Full::new(body)))?)
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(Failure::NoCredentials(error)) => {
                write!(f, "there are no credentials: {error}")
            }
            Self::Failed(Failure::NoConnection(reason)) => write!(f, "the API server cannot be reached: {reason}"),
            Self::Failed(Failure::Certificate(reason)) => write!(f, "a certificate was refused: {reason}"),
            Self::Failed(Failure::Lost(reason)) => write!(f, "the connection was lost: {reason}"),
            Self::Late => write!(f, "the API server gave no answer within {} s", ANSWER_TIMEOUT.as_secs()),
            Self::Write(method) => write!(f, "this client only reads, and was asked for a {method}"),
        }
    }
}

impl Error for NotRead {}

/// For the whole answer to a read, which may be a page of a few MB, and for the head of a watch's.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
