//! What the receivers of Kubernetes have in common: the way to the API server, and what is said when it refuses.

pub(crate) mod follow;
pub(crate) mod image;
pub(crate) mod keys;
pub(crate) mod otlp;
pub(crate) mod quantity;
pub(crate) mod rest;
pub(crate) mod snake;
pub(crate) mod trouble;

use lease_k8s::{Access, AuthType, K8sClient};

use crate::component::StartError;
use crate::config::Fields;
pub(crate) use crate::errors::with_causes;

/// Reads `auth_type` and `context`.
pub(crate) fn access(fields: &mut Fields<'_>) -> Access {
    let auth_type = fields.parsed::<AuthType>("auth_type").map_or(AuthType::default(), |found| found.value);
    let mut context = fields.text("context");
    if auth_type != AuthType::KubeConfig
        && let Some(context) = context.take()
        && !context.value.is_empty()
    {
        let message = format!("has no effect with `auth_type: {auth_type}`; write `auth_type: kubeConfig` for it");
        fields.problems().warning(&context.place, context.path, message);
    }
    let context = context.map(|found| found.value).filter(|context| !context.is_empty());
    Access { auth_type, context, kubeconfig: None }
}

/// A client of a receiver's own, with its own connections and credentials. Fails only on what is wrong with those: a
/// server that is away is waited for.
pub(crate) async fn connect(access: &Access) -> Result<kube::Client, StartError> {
    let client = K8sClient::connect(access.clone()).await.map_err(|error| with_causes(&error))?;
    Ok(client.reader())
}

/// The status of a condition, or of what is like one, as a number.
pub(crate) fn truth(status: &str) -> i64 {
    match status {
        "True" => 1,
        "False" => 0,
        _ => -1,
    }
}
