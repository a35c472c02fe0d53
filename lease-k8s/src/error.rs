//! What can be wrong before the first request, and the one refusal that a program can explain by itself.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lease_core::LockError;

/// A client or a lock that cannot be made, or a record that a Lease cannot hold.
///
/// No variant carries a secret: what the libraries below say is reduced to the place where it went wrong
/// whenever it could quote a file or a program's output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum K8sError {
    /// The namespace is not a DNS label.
    #[error(
        "namespace {namespace:?} is not a DNS label: 1 to 63 characters of a-z, 0-9 and -, a letter or digit at both ends"
    )]
    Namespace {
        /// What was given.
        namespace: String,
    },
    /// The name of the lease is not a DNS subdomain.
    #[error(
        "lease name {name:?} is not a DNS subdomain: 1 to 253 characters of a-z, 0-9, - and ., a letter or digit at both ends of each part"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// The way to authenticate is not known.
    #[error("auth type {auth_type:?} is not one of serviceAccount, kubeConfig, none")]
    AuthType {
        /// What was given.
        auth_type: String,
    },
    /// A context or a kubeconfig was named, but the auth type reads no kubeconfig.
    #[error("a context or kubeconfig needs auth type kubeConfig, not {auth_type}")]
    NoKubeconfig {
        /// The auth type.
        auth_type: crate::AuthType,
    },
    /// The program does not run in a cluster. The text is the OpenTelemetry Collector's.
    #[error("unable to load k8s config, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined")]
    NotInCluster,
    /// The cluster's address in the environment is no address.
    #[error("KUBERNETES_SERVICE_HOST {host:?} and KUBERNETES_SERVICE_PORT {port:?} are not an address")]
    ServiceAddress {
        /// The host.
        host: String,
        /// The port.
        port: String,
    },
    /// The files of the service account cannot be used.
    #[error("unable to load the service account")]
    ServiceAccount(#[source] kube::config::InClusterError),
    /// There is no kubeconfig to read, and no place to look for one.
    #[error("no kubeconfig: KUBECONFIG is not set and there is no home directory; name one")]
    KubeconfigUnset,
    /// A kubeconfig cannot be read.
    #[error("kubeconfig {} cannot be read", path.display())]
    KubeconfigRead {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A kubeconfig is no valid YAML, or not of the expected form. What it holds is not quoted.
    #[error("kubeconfig {} is malformed near line {line}, column {column}", path.display())]
    KubeconfigParse {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 when it is not known.
        line: u64,
        /// The column, from 1; 0 when it is not known.
        column: u64,
    },
    /// A kubeconfig has no such context, or what it refers to is missing or unreadable.
    #[error("kubeconfig {} cannot be used", path.display())]
    KubeconfigUse {
        /// The (first) file.
        path: PathBuf,
        /// What is missing.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// The kubeconfig asks for a proxy, which this client does not support.
    #[error("kubeconfig {} sets proxy-url, and leases are not kept through a proxy", path.display())]
    ProxyUrl {
        /// The (first) file.
        path: PathBuf,
    },
    /// The server's address is unusable. It is not quoted, because it may have a password.
    #[error("the server address must be http://HOST or https://HOST, with a port and a path if need be and no user")]
    ServerUrl,
    /// A token is no possible value of a header.
    #[error("the token has characters that a header cannot carry")]
    TokenCharacters,
    /// A token file cannot be read.
    #[error("token file {} cannot be read", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A credential plugin gave no usable credentials. Its output is not quoted.
    #[error("credential plugin {plugin:?} failed: {reason}")]
    Plugin {
        /// The command, or the name of the provider.
        plugin: String,
        /// What went wrong.
        reason: &'static str,
    },
    /// The certificates or the key cannot be used.
    #[error("the TLS configuration cannot be used")]
    Tls(#[source] Box<kube::Error>),
    /// A lease duration with a part of a second, which a Lease would truncate.
    #[error("lease duration {duration:?} has a part of a second, and a Kubernetes Lease keeps whole seconds")]
    SubSecondDuration {
        /// The duration.
        duration: Duration,
    },
    /// A lease duration that a Lease cannot hold.
    #[error("lease duration {duration:?} is not between 1 s and 2147483647 s, as a Kubernetes Lease demands")]
    DurationRange {
        /// The duration.
        duration: Duration,
    },
    /// A time that a Lease cannot hold.
    #[error("time {time} is outside of the years 0 to 9999")]
    TimeRange {
        /// The time.
        time: lease_core::Timestamp,
    },
}

/// A right that the user of a [`K8sClient`](crate::K8sClient) lacks, as far as the server said.
///
/// The source of a `Denied` [`LockError`] that a missing rule explains: see [`MissingRule::of`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub struct MissingRule {
    /// The verb, such as `update`.
    pub verb: &'static str,
    /// The name of the lease; none when the request was for all of them.
    pub name: Option<Box<str>>,
    /// The namespace; none when the request was for all of them.
    pub namespace: Option<Box<str>>,
}

impl MissingRule {
    /// The API group of the resource.
    pub const API_GROUP: &'static str = "coordination.k8s.io";
    /// The resource.
    pub const RESOURCE: &'static str = "leases";

    /// The rule whose absence this error reports, if it does.
    pub fn of(error: &LockError) -> Option<&Self> {
        source_of(error)
    }
}

/// The namespace of a lease does not exist.
///
/// The source of a `Denied` [`LockError`] upon a create: see [`MissingNamespace::of`]. A read cannot tell: a lease that is
/// absent and a lease in an absent namespace are one answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("namespace {namespace} does not exist")]
pub struct MissingNamespace {
    /// Its name.
    pub namespace: Box<str>,
}

impl MissingNamespace {
    /// The namespace whose absence this error reports, if it does.
    pub fn of(error: &LockError) -> Option<&Self> {
        source_of(error)
    }
}

fn source_of<E: std::error::Error + 'static>(error: &LockError) -> Option<&E> {
    let source = std::error::Error::source(error)?;
    // A `LockError` shares its source, and the share is the error that `source` shows.
    let shared = source.downcast_ref::<std::sync::Arc<dyn std::error::Error + Send + Sync>>();
    shared.map_or_else(|| source.downcast_ref(), |shared| shared.downcast_ref())
}

/// As one element of the `rules` of a Role (or of a `ClusterRole`, without a namespace), in YAML's flow style.
impl fmt::Display for MissingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{apiGroups: [{}], resources: [{}]", Self::API_GROUP, Self::RESOURCE)?;
        if let Some(name) = &self.name {
            write!(f, ", resourceNames: [{name}]")?;
        }
        write!(f, ", verbs: [{}]}}", self.verb)
    }
}
