//! One Lease object as a lock, and the list of all of them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use http::Method;
use lease_core::{
    Constraints, LeaseRecord, LockError, LockErrorKind, ResourceLock, Timestamp, Versioned, WatchEvent, WatchLock,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::{Asked, Verb};
use crate::client::{Answer, Call};
use crate::object::{self, Found, Kept};
use crate::{K8sClient, K8sError, names, watch};

/// A Lease object of `coordination.k8s.io/v1`.
///
/// Every write is a PUT. One that creates has no version, so that a Role with `get`, `update` and `create` on this
/// one name suffices (a POST has no name that a rule could match). One that replaces always carries the uid and the
/// version of what was read, because with the version alone the API server re-creates a Lease that was deleted.
/// Labels, annotations, owners, finalizers and fields that are not the record's are sent back as they were read.
///
/// `Malformed` is only a Lease, with its version and uid, whose record cannot be understood. An answer that is none, such
/// as the login page of a proxy, leaves a read `Unavailable` and a write `Unknown`.
///
/// Lease durations are whole seconds from 1 s; others are refused as `Denied` before anything is sent. Clones and
/// other locks of the same client share its connections.
#[derive(Clone)]
pub struct K8sLock(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) client: K8sClient,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A Lease that was found in a list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NamedLease {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Its record, or why that cannot be understood: `Malformed`, or `Unavailable` when it has no version or uid.
    pub lease: Result<Versioned, LockError>,
}

impl K8sLock {
    /// A lock on the Lease of this name. Nothing is sent.
    pub fn new(client: &K8sClient, namespace: &str, name: &str) -> Result<Self, K8sError> {
        names::check_namespace(namespace)?;
        names::check_name(name)?;
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Ok(Self(Arc::new(Inner { client: client.clone(), namespace, name })))
    }

    /// Whether a Lease can have this name, which is a DNS subdomain.
    pub fn check_name(name: &str) -> Result<(), K8sError> {
        names::check_name(name)
    }

    /// Whether there can be a namespace of this name, which is a DNS label.
    pub fn check_namespace(namespace: &str) -> Result<(), K8sError> {
        names::check_namespace(namespace)
    }

    /// A lock with a client of its own: see [`K8sClient::from_config`].
    pub fn from_config(config: kube::Config, namespace: &str, name: &str) -> Result<Self, K8sError> {
        Self::new(&K8sClient::from_config(config)?, namespace, name)
    }

    /// The client that this lock shares.
    pub fn client(&self) -> &K8sClient {
        &self.0.client
    }

    /// The namespace of the Lease.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The name of the Lease.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Deletes the Lease that was `seen`, and no later one.
    ///
    /// `Conflict` when it has changed since, `NotFound` when it is gone. A Lease with finalizers stays until they are
    /// done.
    pub async fn delete(&self, seen: &Versioned) -> Result<(), LockError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Preconditions<'a> {
            uid: &'a str,
            resource_version: &'a str,
        }
        let asked = self.0.asked(Verb::Delete);
        let kept = asked.kept(seen)?;
        let preconditions = Preconditions { uid: &kept.uid, resource_version: seen.version.as_str() };
        let body = serde_json::json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
        let call = Call { method: Method::DELETE, path: self.0.path(), body: body.to_string().into() };
        self.0.client.succeed(&asked, &call).await.map(drop)
    }

    async fn put(&self, verb: Verb, body: Result<Vec<u8>, K8sError>) -> Result<Versioned, LockError> {
        let asked = self.0.asked(verb);
        let body = body
            .map_err(|error| LockError::new(LockErrorKind::Denied, format!("{asked}: {error}")).with_source(error))?;
        let call = Call { method: Method::PUT, path: self.0.path(), body: body.into() };
        let answer = self.0.client.succeed(&asked, &call).await?;
        let found = object::decode(&answer.body).map_err(|error| asked.unreadable(&error.0))?;
        match found.problem {
            None => Ok(found.versioned),
            // It was written, but what is stored now is not what a lock may hand out as a record.
            Some(problem) => Err(asked.unreadable(&problem)),
        }
    }
}

#[async_trait]
impl ResourceLock for K8sLock {
    fn constraints(&self) -> Constraints {
        Constraints::WHOLE_SECONDS
    }

    async fn get(&self) -> Result<Option<Versioned>, LockError> {
        let asked = self.0.asked(Verb::Get);
        let call = Call { method: Method::GET, path: self.0.path(), body: Bytes::new() };
        match self.0.client.succeed(&asked, &call).await {
            Ok(answer) => asked.record(object::decode(&answer.body)).map(Some),
            Err(error) if error.kind() == LockErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, record: &LeaseRecord) -> Result<Versioned, LockError> {
        self.put(Verb::Create, object::encode(&self.0.namespace, &self.0.name, record, None)).await
    }

    async fn update(&self, seen: &Versioned, record: &LeaseRecord) -> Result<Versioned, LockError> {
        let kept = self.0.asked(Verb::Update).kept(seen)?;
        let seen = Some((kept, &seen.version));
        self.put(Verb::Update, object::encode(&self.0.namespace, &self.0.name, record, seen)).await
    }
}

impl WatchLock for K8sLock {
    /// Needs the verbs `list` and `watch`. Without them the stream says so once, as `Lost` with a `Denied` error, and
    /// tries again every five minutes.
    fn watch(&self) -> BoxStream<'static, WatchEvent> {
        watch::events(Arc::clone(&self.0))
    }
}

/// `namespace/name`
impl fmt::Display for K8sLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.namespace, self.0.name)
    }
}

impl fmt::Debug for K8sLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "K8sLock({self} at {})", self.0.client)
    }
}

impl Inner {
    pub(crate) fn asked(&self, verb: Verb) -> Asked<'_> {
        Asked { verb, namespace: Some(&self.namespace), name: Some(&self.name) }
    }

    fn path(&self) -> String {
        format!("{}/{}", collection(Some(&self.namespace)), self.name)
    }
}

impl Asked<'_> {
    /// What a write needs of what was read.
    fn kept<'v>(&self, seen: &'v Versioned) -> Result<&'v Kept, LockError> {
        seen.attachment.downcast::<Kept>().ok_or_else(|| {
            LockError::new(LockErrorKind::Conflict, format!("{self}: the version was not read from a Kubernetes Lease"))
        })
    }

    pub(crate) fn record(&self, decoded: Result<Found, object::NoLease>) -> Result<Versioned, LockError> {
        match decoded {
            Ok(Found { versioned, problem: None, .. }) => Ok(versioned),
            Ok(Found { versioned, problem: Some(problem), .. }) => {
                let context = format!("{self}: malformed: {}", crate::answer::shown(&problem));
                Err(LockError::malformed(context, Some(versioned)))
            }
            // Somebody else's answer, such as the login page of a proxy, says nothing of the record.
            Err(error) => Err(self.unreadable(&error.0)),
        }
    }
}

impl K8sClient {
    /// All Leases of a namespace, or of all namespaces, in the server's order. Needs the verb `list`.
    ///
    /// Leases that are not used for election, such as the kubelets', are among them.
    pub async fn leases(&self, namespace: Option<&str>) -> Result<Vec<NamedLease>, LockError> {
        let asked = Asked { verb: Verb::List, namespace, name: None };
        if let Some(namespace) = namespace {
            names::check_namespace(namespace).map_err(|error| {
                LockError::new(LockErrorKind::Denied, format!("{asked}: {error}")).with_source(error)
            })?;
        }
        let mut leases = Vec::new();
        let mut next = String::new();
        loop {
            let path = format!("{}?limit={PAGE_LEASES_MAX}{next}", collection(namespace));
            let call = Call { method: Method::GET, path, body: Bytes::new() };
            let answer = self.succeed(&asked, &call).await?;
            let page: List<'_> =
                serde_json::from_slice(&answer.body).map_err(|error| asked.unreadable(&error.to_string()))?;
            leases.extend(page.items.iter().filter_map(|item| named(&asked, item)));
            if page.metadata.next.is_empty() {
                return Ok(leases);
            }
            next = format!("&continue={}", query_value(&page.metadata.next));
        }
    }

    /// Sends a request; whatever is no success is an error.
    pub(crate) async fn succeed(&self, asked: &Asked<'_>, call: &Call) -> Result<Answer, LockError> {
        match self.ask(call).await {
            Ok(answer) if answer.status.is_success() => Ok(answer),
            Ok(answer) => Err(asked.refused(&answer)),
            Err(failure) => Err(asked.failed(failure)),
        }
    }
}

/// A page of a list, with its items as text.
#[derive(Deserialize)]
pub(crate) struct List<'a> {
    #[serde(default)]
    pub(crate) metadata: ListMetadata,
    #[serde(borrow, default)]
    pub(crate) items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListMetadata {
    #[serde(rename = "resourceVersion")]
    pub(crate) version: String,
    #[serde(rename = "continue")]
    next: String,
}

/// What is left to show of an item without a version or a uid.
#[derive(Deserialize)]
struct NameOnly {
    metadata: NameMetadata,
}

#[derive(Deserialize)]
struct NameMetadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

/// None for what has not even a name.
fn named(asked: &Asked<'_>, item: &RawValue) -> Option<NamedLease> {
    let decoded = object::decode(item.get().as_bytes());
    let (namespace, name, created) = if let Ok(found) = &decoded {
        (found.namespace.clone(), found.name.clone(), found.created)
    } else {
        let NameOnly { metadata } = serde_json::from_str(item.get()).ok()?;
        (metadata.namespace, metadata.name, None)
    };
    let lease = Asked { namespace: Some(&namespace), name: Some(&name), ..*asked }.record(decoded);
    Some(NamedLease { namespace, name, created, lease })
}

pub(crate) fn collection(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
        None => "/apis/coordination.k8s.io/v1/leases".to_owned(),
    }
}

/// Percent-encodes what the server gave us to send back in a query.
pub(crate) fn query_value(text: &str) -> String {
    use fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    encoded
}

const PAGE_LEASES_MAX: u32 = 500;
