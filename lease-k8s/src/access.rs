//! Where the API server is and who we are there: the three ways of the OpenTelemetry Collector.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::K8sError;

/// How a [`K8sClient`](crate::K8sClient) finds the API server and its credentials.
///
/// The default is the service account of the pod that the program runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Where address and credentials come from.
    pub auth_type: AuthType,
    /// The context of the kubeconfig; its current one when none is given. Only for [`AuthType::KubeConfig`].
    pub context: Option<String>,
    /// The kubeconfig; otherwise those in `KUBECONFIG`, and without that `~/.kube/config`. Only for
    /// [`AuthType::KubeConfig`].
    pub kubeconfig: Option<PathBuf>,
}

/// Where address and credentials come from. Written as in the OpenTelemetry Collector's `auth_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AuthType {
    /// `serviceAccount`: the environment and the mounted files of a pod. The default.
    #[default]
    ServiceAccount,
    /// `kubeConfig`: a kubeconfig file, with tokens, certificates or a credential plugin.
    KubeConfig,
    /// `none`: the address in a pod's environment, and no credentials.
    ///
    /// Unlike the Collector's, it does check the server's certificate: against the cluster's CA where a
    /// service account is mounted, and otherwise against the system's roots.
    None,
}

impl AuthType {
    /// As it is written in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "serviceAccount",
            Self::KubeConfig => "kubeConfig",
            Self::None => "none",
        }
    }
}

impl fmt::Display for AuthType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for AuthType {
    type Err = K8sError;

    fn from_str(text: &str) -> Result<Self, K8sError> {
        [Self::ServiceAccount, Self::KubeConfig, Self::None]
            .into_iter()
            .find(|auth_type| auth_type.as_str() == text)
            .ok_or_else(|| K8sError::AuthType { auth_type: text.to_owned() })
    }
}

impl Access {
    /// Access by a kubeconfig: this one, or the ones that `kubectl` would use.
    pub fn kubeconfig(path: Option<PathBuf>) -> Self {
        Self { auth_type: AuthType::KubeConfig, context: None, kubeconfig: path }
    }

    /// Reads what there is to read, now.
    pub(crate) async fn load(&self) -> Result<Config, K8sError> {
        if self.auth_type != AuthType::KubeConfig && (self.context.is_some() || self.kubeconfig.is_some()) {
            return Err(K8sError::NoKubeconfig { auth_type: self.auth_type });
        }
        match self.auth_type {
            AuthType::ServiceAccount => {
                service_address()?;
                Config::incluster().map_err(K8sError::ServiceAccount)
            }
            AuthType::KubeConfig => self.load_kubeconfig().await,
            AuthType::None => {
                let mut config = Config::new(service_address()?);
                let ca = Path::new(SERVICE_ACCOUNT_CA);
                if ca.exists() {
                    // The file decides; the empty set only keeps kube from loading the system's roots.
                    config.root_cert = Some(Vec::new());
                    config.root_cert_file = Some(ca.to_owned());
                }
                Ok(config)
            }
        }
    }

    async fn load_kubeconfig(&self) -> Result<Config, K8sError> {
        let paths = self.kubeconfig_paths()?;
        let path = paths[0].clone();
        let kubeconfig = read_all(&paths)?;
        if proxy_url(&kubeconfig, self.context.as_deref()).is_some() {
            return Err(K8sError::ProxyUrl { path });
        }
        let options = KubeConfigOptions { context: self.context.clone(), cluster: None, user: None };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|source| K8sError::KubeconfigUse { path, source })?;
        // What is left here comes from HTTPS_PROXY. The API server is reached directly, as in the Collector.
        config.proxy_url = None;
        Ok(config)
    }

    /// At least one path.
    fn kubeconfig_paths(&self) -> Result<Vec<PathBuf>, K8sError> {
        if let Some(path) = &self.kubeconfig {
            return Ok(vec![path.clone()]);
        }
        let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
        let listed: Vec<PathBuf> = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
        if !listed.is_empty() {
            return Ok(listed);
        }
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        Ok(vec![home.ok_or(K8sError::KubeconfigUnset)?.join(".kube/config")])
    }
}

/// Refuses UTF-16 that ends in the middle of a character: kube 5.0.0 panics on it.
fn torn(path: &Path) -> Result<(), KubeconfigError> {
    match std::fs::read(path).as_deref() {
        Ok(bytes @ ([0xff, 0xfe, ..] | [0xfe, 0xff, ..])) if bytes.len() % 2 == 1 => {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, "UTF-16 of an odd number of bytes");
            Err(KubeconfigError::ReadConfig(source, path.to_owned()))
        }
        // Whatever else is wrong is found again.
        _ => Ok(()),
    }
}

/// Merges the files as `kubectl` does: of several, those that do not exist are passed over.
fn read_all(paths: &[PathBuf]) -> Result<Kubeconfig, K8sError> {
    let mut merged: Option<Kubeconfig> = None;
    let mut absent = None;
    for path in paths {
        let next = match torn(path).and_then(|()| Kubeconfig::read_from(path)) {
            Ok(next) => next,
            Err(KubeconfigError::ReadConfig(source, _)) => {
                let not_found = source.kind() == std::io::ErrorKind::NotFound;
                let error = K8sError::KubeconfigRead { path: path.clone(), source };
                if not_found {
                    absent.get_or_insert(error);
                    continue;
                }
                return Err(error);
            }
            Err(KubeconfigError::Parse(error)) => {
                // Its text quotes the lines around the error, and those may hold a token.
                let location = error.location();
                let (line, column) = location.map_or((0, 0), |at| (at.line(), at.column()));
                return Err(K8sError::KubeconfigParse { path: path.clone(), line, column });
            }
            Err(source) => return Err(K8sError::KubeconfigUse { path: path.clone(), source }),
        };
        merged = Some(match merged {
            None => next,
            Some(before) => {
                before.merge(next).map_err(|source| K8sError::KubeconfigUse { path: path.clone(), source })?
            }
        });
    }
    merged.ok_or_else(|| absent.unwrap_or(K8sError::KubeconfigUnset))
}

/// The proxy that the context's cluster asks for; the environment, which kube would read too, is left out.
fn proxy_url<'k>(kubeconfig: &'k Kubeconfig, context: Option<&str>) -> Option<&'k str> {
    let wanted = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == wanted)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.as_deref().filter(|url| !url.is_empty())
}

/// The address in a pod's environment. Like client-go, it needs both variables, and takes an empty one for none.
fn service_address() -> Result<http::Uri, K8sError> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or(K8sError::NotInCluster);
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let uri = port.parse::<u16>().ok().and_then(|port| format!("https://{bracketed}:{port}").parse().ok());
    uri.ok_or(K8sError::ServiceAddress { host, port })
}

/// Where Kubernetes mounts the cluster's CA into a pod.
const SERVICE_ACCOUNT_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
