//! The receivers `leader_receiver_creator` and `singleton_receiver_creator`: any other receiver, on a Lease of its own.

use std::time::Duration;

use async_trait::async_trait;
use lease_k8s::AuthType;

use crate::component::{ElectorChoice, Extension, Kind, Receiver, ReceiverFactory, Registry, Scope, StartError, Work};
use crate::config::{ComponentId, Fields, Node, Value, unknown_kind};
use crate::data::Signal;
use crate::extensions::{Kubernetes, Lease, access};

/// The kind `leader_receiver_creator`.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `auth_type`, `context` | `serviceAccount` | how the API server is reached, for the Lease |
/// | `leader_election` | | `lease_name`, `lease_namespace` and the durations, as of `k8s_leader_elector` |
/// | `receiver` | | one receiver, by its kind, with its own section |
#[derive(Clone, Copy, Debug)]
pub struct CreatorFactory;

impl ReceiverFactory for CreatorFactory {
    fn kind(&self) -> Kind {
        Kind {
            name: "leader_receiver_creator",
            aliases: &["singleton_receiver_creator"],
            summary: "runs another receiver while it holds a Lease of its own",
            signals: &[Signal::Metrics, Signal::Logs, Signal::Traces],
        }
    }

    fn configure(&self, fields: &mut Fields<'_>, registry: &Registry) -> Box<dyn Receiver> {
        let access = access(fields);
        // A section that is not there has its defaults.
        let absent = Node::new(fields.place().clone(), Value::Null);
        let node = fields.node("leader_election").unwrap_or(&absent);
        let path = fields.path_of("leader_election");
        let mut section = Fields::new(node, path, fields.problems());
        let lease = Lease::read(&mut section, LEASE_DEFAULT);
        section.finish();
        let inner = inner(fields, registry, access.as_ref().map(|access| access.auth_type));
        let mut elector = Kubernetes { access, lease };
        if let Some(timeout) = inner.as_ref().and_then(|inner| inner.receiver.stop_timeout()) {
            elector.allow_stop(timeout);
        }
        Box::new(Creator { elector: ElectorChoice::Own(Box::new(elector)), inner })
    }
}

/// The one receiver below `receiver`. None when there is none or it is wrong, which is noted.
fn inner(fields: &mut Fields<'_>, registry: &Registry, auth_type: Option<AuthType>) -> Option<Inner> {
    let Some(mut section) = fields.section("receiver") else {
        fields.error("receiver", MISSING);
        return None;
    };
    let path = section.path().to_owned();
    let (key, node) = match section.all() {
        [only] => only,
        [] => {
            let place = section.place().clone();
            section.problems().error(&place, path, MISSING);
            return None;
        }
        [_, (second, _), ..] => {
            let message =
                "one receiver is expected here; write a creator for each, or indent what belongs to the first";
            section.problems().error(&second.place, format!("{path}.{}", second.name), message);
            return None;
        }
    };
    let path = format!("{path}.{}", key.name);
    let id = match key.name.parse::<ComponentId>() {
        Ok(id) => id,
        Err(error) => {
            section.problems().error(&key.place, path, error);
            return None;
        }
    };
    let Some(factory) = registry.receiver(id.kind()) else {
        section.problems().error(&key.place, path, unknown_kind("receiver", id.kind(), &registry.receivers()));
        return None;
    };
    let mut keys = Fields::new(node, path.clone(), section.problems());
    let receiver = factory.configure(&mut keys, registry);
    keys.finish();
    match receiver.elector() {
        None => {}
        Some(ElectorChoice::Named(named)) => {
            let message = "this receiver has the elector of its creator; remove its own";
            section.problems().error(&named.place, named.path.clone(), message);
            return None;
        }
        Some(ElectorChoice::Own(_)) => {
            let message =
                "a creator runs a receiver that has no elector, and this is another creator: name here what it runs";
            section.problems().error(&key.place, path, message);
            return None;
        }
    }
    if receiver.assumes_service_account() && auth_type == Some(AuthType::KubeConfig) {
        section.problems().warning(&key.place, path, SERVICE_ACCOUNT);
    }
    let signals = receiver.signals().unwrap_or(factory.kind().signals);
    Some(Inner { id, receiver, signals })
}

const SERVICE_ACCOUNT: &str = "its creator has `auth_type: kubeConfig`, and this receiver has none, which is serviceAccount; \
                               outside a cluster it needs `auth_type: kubeConfig` too";
const MISSING: &str = "a receiver is missing: name its kind here, and below that its keys";
/// As the singleton receiver creator has it.
const LEASE_DEFAULT: Option<(&str, &str)> = Some(("singleton-receiver", "default"));

#[derive(Debug)]
struct Creator {
    elector: ElectorChoice,
    /// None where the configuration is wrong, and nothing is started.
    inner: Option<Inner>,
}

/// The receiver that runs while the Lease is held.
#[derive(Debug)]
struct Inner {
    id: ComponentId,
    receiver: Box<dyn Receiver>,
    signals: &'static [Signal],
}

#[async_trait]
impl Receiver for Creator {
    fn elector(&self) -> Option<&ElectorChoice> {
        Some(&self.elector)
    }

    fn stop_timeout(&self) -> Option<Duration> {
        self.inner.as_ref().and_then(|inner| inner.receiver.stop_timeout())
    }

    fn signals(&self) -> Option<&'static [Signal]> {
        self.inner.as_ref().map(|inner| inner.signals)
    }

    fn keeps_to_the_fence(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.receiver.keeps_to_the_fence())
    }

    async fn start(&self, scope: Scope) -> Result<Work, StartError> {
        let Some(Inner { id, receiver, .. }) = &self.inner else { return Err("its configuration is wrong".into()) };
        receiver.start(Scope { id: id.clone(), ..scope }).await
    }
}
