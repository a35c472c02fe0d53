//! The elector `k8s_leader_elector`: a Lease of Kubernetes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lease_core::{Constraints, LeaderElection};
use lease_k8s::{Access, AuthType, K8sClient, K8sError, K8sLock};

use super::candidate::{Candidate, candidate};
use super::election::{Named, RunningElector};
use crate::component::{Extension, ExtensionFactory, Kind, Meter, RunningExtension, StartError};
use crate::config::{ComponentId, Fields};
use crate::elector::Candidacy;
use crate::errors::with_causes;

/// The kind `k8s_leader_elector`.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `auth_type` | `serviceAccount` | or `kubeConfig`, `none` |
/// | `context` | the current one | of the kubeconfig |
/// | `lease_name`, `lease_namespace` | | the Lease; both must be set |
/// | `lease_duration` | `15s` | how long the others wait after the last renewal they saw; whole seconds |
/// | `renew_deadline` | `10s` | how long this one acts after the last renewal that was acknowledged |
/// | `retry_period` | `2s` | how often it renews |
/// | `identity` | `LEASE_HOLDER_ID`, `POD_NAME`, the host | the name of this replica; a random part is added |
/// | `start_when` | `ready` | or `immediately`: contend before the pipelines are ready |
#[derive(Clone, Copy, Debug)]
pub struct KubernetesElectorFactory;

impl ExtensionFactory for KubernetesElectorFactory {
    fn kind(&self) -> Kind {
        Kind {
            name: "k8s_leader_elector",
            aliases: &["leaderelector"],
            summary: "leads where it holds a Lease of Kubernetes",
            signals: &[],
        }
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Extension> {
        let access = access(fields);
        let lease = Lease::read(fields, None);
        Box::new(Kubernetes { access, lease })
    }
}

/// Where the API server is and who we are there. None when that is wrong, which is noted.
pub(crate) fn access(fields: &mut Fields<'_>) -> Option<Access> {
    let wanted = fields.text("auth_type");
    let context = fields.text("context").map(|found| found.value).filter(|context| !context.is_empty());
    let auth_type = match wanted.map_or(Ok(AuthType::default()), |found| found.value.parse::<AuthType>()) {
        Ok(auth_type) => auth_type,
        Err(error) => {
            fields.error("auth_type", error);
            return None;
        }
    };
    if context.is_some() && auth_type != AuthType::KubeConfig {
        fields.error("context", K8sError::NoKubeconfig { auth_type });
        return None;
    }
    Some(Access { auth_type, context, kubeconfig: None })
}

/// Why the API server cannot be reached, with the way out of a section.
pub(crate) fn unreachable(error: &K8sError) -> String {
    let text = with_causes(error);
    match error {
        K8sError::NotInCluster => format!("{text}; outside a cluster set `auth_type: kubeConfig`"),
        _ => text,
    }
}

/// A Lease and this replica as a candidate for it.
#[derive(Debug)]
pub(crate) struct Lease {
    name: String,
    namespace: String,
    candidate: Candidate,
}

impl Lease {
    /// Reads everything but how the API server is reached. None when something is wrong, which is noted.
    pub(crate) fn read(fields: &mut Fields<'_>, default: Option<(&str, &str)>) -> Option<Self> {
        let (default_name, default_namespace) = default.unwrap_or_default();
        let name = fields.text("lease_name").map_or_else(|| default_name.to_owned(), |found| found.value);
        let namespace =
            fields.text("lease_namespace").map_or_else(|| default_namespace.to_owned(), |found| found.value);
        let named = if name.is_empty() || namespace.is_empty() {
            let key = if name.is_empty() { "lease_name" } else { "lease_namespace" };
            fields.error(key, LEASE_UNNAMED);
            false
        } else {
            let name = K8sLock::check_name(&name).map_err(|error| fields.error("lease_name", error));
            let namespace =
                K8sLock::check_namespace(&namespace).map_err(|error| fields.error("lease_namespace", error));
            name.is_ok() && namespace.is_ok()
        };
        let candidate = candidate(fields, Constraints::WHOLE_SECONDS)?;
        named.then_some(Self { name, namespace, candidate })
    }

    /// As of the elector that it makes.
    pub(crate) fn allow_stop(&mut self, stop_timeout: Duration) {
        self.candidate.allow_stop(stop_timeout);
    }
}

/// As the OpenTelemetry Collector says it.
const LEASE_UNNAMED: &str = "lease name and namespace must be set";

/// An elector on a Lease, as configured.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    /// None where the configuration is wrong, and nothing is started.
    pub(crate) access: Option<Access>,
    pub(crate) lease: Option<Lease>,
}

#[async_trait]
impl Extension for Kubernetes {
    async fn start(
        &self,
        id: &ComponentId,
        telemetry: Arc<dyn Meter>,
    ) -> Result<Box<dyn RunningExtension>, StartError> {
        let (Some(access), Some(lease)) = (&self.access, &self.lease) else {
            return Err("its configuration is wrong".into());
        };
        let Lease { name, namespace, candidate } = lease;
        // A client of its own, so that nothing else holds up the renewals.
        let client = K8sClient::connect(access.clone()).await.map_err(|error| unreachable(&error))?;
        let lock = client.lock(namespace, name)?;
        let identity = candidate.identity(namespace, name)?;
        tracing::info!(elector = %id, lease = %lock, %identity, durations = candidate.timing.durations(), "standing by");
        tracing::debug!(elector = %id, timing = %candidate.timing, "what these durations mean");
        // A thread of its own, so that receivers that are busy do not either.
        let candidacy = Candidacy { lease: name.clone(), identity: identity.to_string() };
        let election = LeaderElection::watched(lock, identity).timing(candidate.timing).dedicated_thread();
        let named = Named { lease: name.clone(), namespace: namespace.clone(), backend: "k8s" };
        Ok(Box::new(RunningElector::start(id, election, named, candidacy, candidate.start_when, telemetry)?))
    }

    fn is_elector(&self) -> bool {
        true
    }

    fn claim(&self) -> Option<String> {
        let Lease { name, namespace, .. } = self.lease.as_ref()?;
        // Another context may be another cluster.
        let context = self.access.as_ref()?.context.as_ref().map(|context| format!(" of context {context}"));
        Some(format!("the Lease {namespace}/{name}{}", context.unwrap_or_default()))
    }

    fn auth_type(&self) -> Option<AuthType> {
        self.access.as_ref().map(|access| access.auth_type)
    }

    fn allow_stop(&mut self, stop_timeout: Duration) {
        if let Some(lease) = &mut self.lease {
            lease.allow_stop(stop_timeout);
        }
    }
}
