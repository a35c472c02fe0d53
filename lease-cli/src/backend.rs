//! Where leases are kept. A further kind of store is a further arm of [`open`].

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use lease_core::{LockError, ResourceLock, Timestamp, Versioned, WatchLock};
use lease_k8s::{Access, K8sClient};

use crate::exit::{Code, Failure};

/// What the command line and the environment say about the store.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the leases are kept
    #[arg(long, global = true, help_heading = CLUSTER, env = "LEASE_BACKEND", default_value = "k8s", value_name = "URL")]
    pub(crate) backend: String,
    /// Kubeconfig file [default: that of kubectl; in a pod, its service account]
    #[arg(long, global = true, help_heading = CLUSTER, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, global = true, help_heading = CLUSTER, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace of the lease [default: that of the context or the service account]
    #[arg(short, long, global = true, help_heading = CLUSTER, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

/// A store, for one command.
#[async_trait]
pub(crate) trait Store: Debug + Send + Sync {
    /// The lock of this name. Nothing is sent.
    fn lock(&self, name: &str) -> Result<Arc<dyn WatchLock>, Failure>;

    /// All leases, of every namespace or of the chosen one.
    async fn list(&self, all_namespaces: bool) -> Result<Vec<Listed>, LockError>;

    /// Deletes the lease that was `seen`, and no later one.
    async fn delete(&self, name: &str, seen: &Versioned) -> Result<(), Failure>;

    /// The chosen namespace, where the store has such a thing.
    fn namespace(&self) -> Option<&str>;
}

/// A lease as a list shows it.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) created: Option<Timestamp>,
    /// The record, or why it cannot be understood.
    pub(crate) lease: Result<Versioned, LockError>,
}

/// The store that the options name. Nothing is sent.
pub(crate) async fn open(options: &Options) -> Result<Box<dyn Store>, Failure> {
    let scheme = options.backend.split_once(':').map_or(options.backend.as_str(), |(scheme, _)| scheme);
    match scheme {
        "k8s" => Ok(Box::new(Kubernetes::open(options).await?)),
        "memory" => Err(Failure::new(Code::Usage, "backend memory: is shared with nobody, so it excludes nobody")
            .help("use --backend k8s")),
        _ => Err(Failure::new(Code::Usage, format!("unknown backend {scheme:?}")).help("use --backend k8s")),
    }
}

/// Lease objects of one namespace.
#[derive(Debug)]
struct Kubernetes {
    client: K8sClient,
    namespace: String,
}

impl Kubernetes {
    async fn open(options: &Options) -> Result<Self, Failure> {
        if options.backend != "k8s" {
            return Err(Failure::new(Code::Usage, "backend k8s has no address of its own")
                .help("use --backend k8s with --kubeconfig FILE and --context NAME"));
        }
        let client = K8sClient::connect(access(options)).await?;
        let namespace = options.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        Ok(Self { client, namespace })
    }
}

/// As kubectl chooses: a kubeconfig where one is named, the service account in a pod, and otherwise the
/// kubeconfig in the home directory.
fn access(options: &Options) -> Access {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let named = options.kubeconfig.is_some() || options.context.is_some() || set("KUBECONFIG");
    if !named && set("KUBERNETES_SERVICE_HOST") {
        return Access::default();
    }
    Access { context: options.context.clone(), ..Access::kubeconfig(options.kubeconfig.clone()) }
}

#[async_trait]
impl Store for Kubernetes {
    fn lock(&self, name: &str) -> Result<Arc<dyn WatchLock>, Failure> {
        Ok(Arc::new(self.client.lock(&self.namespace, name)?))
    }

    async fn list(&self, all_namespaces: bool) -> Result<Vec<Listed>, LockError> {
        let namespace = (!all_namespaces).then_some(self.namespace.as_str());
        let leases = self.client.leases(namespace).await?;
        let listed = leases.into_iter().map(|lease| Listed {
            namespace: Some(lease.namespace),
            name: lease.name,
            created: lease.created,
            lease: lease.lease,
        });
        Ok(listed.collect())
    }

    async fn delete(&self, name: &str, seen: &Versioned) -> Result<(), Failure> {
        Ok(self.client.lock(&self.namespace, name)?.delete(seen).await?)
    }

    fn namespace(&self) -> Option<&str> {
        Some(&self.namespace)
    }
}

/// Reads one lease, as a list would show it; none when there is none.
pub(crate) async fn look(store: &dyn Store, name: &str) -> Result<Option<Listed>, Failure> {
    let lease = match store.lock(name)?.get().await {
        Ok(None) => return Ok(None),
        Ok(Some(seen)) => Ok(seen),
        // One that cannot be understood is there, and is shown as such.
        Err(error) if error.kind() == lease_core::LockErrorKind::Malformed => Err(error),
        Err(error) => return Err(error.into()),
    };
    let namespace = store.namespace().map(str::to_owned);
    Ok(Some(Listed { namespace, name: name.to_owned(), created: None, lease }))
}

/// The heading in every help text of what only concerns commands that speak to a server.
pub(crate) const CLUSTER: &str = "Cluster (for those commands that use one)";
