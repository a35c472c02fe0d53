//! What the receivers of Kubernetes have in common: the way to the API server, when it is asked, and what is said when it
//! refuses.

pub(crate) mod discovery;
pub(crate) mod follow;
pub(crate) mod image;
pub(crate) mod keys;
pub(crate) mod otlp;
pub(crate) mod quantity;
pub(crate) mod rest;
pub(crate) mod rounds;
pub(crate) mod seen;
pub(crate) mod snake;
pub(crate) mod trouble;

use std::fmt;

use async_trait::async_trait;
use kube::Client;
use lease_k8s::{Access, K8sClient};

use super::hand_over::{Outlet, until_stopped};
use crate::component::{ElectorChoice, Receiver, Scope, StartError, Work};
use crate::config::Fields;
use crate::data::Signal;
use crate::elector::chosen;
pub(crate) use crate::errors::with_causes;
use crate::extensions::{self, unreachable};

/// What one kind of receiver reads and hands over.
pub(crate) trait Reader: Clone + fmt::Debug + Send + Sync + 'static {
    /// What it makes.
    const SIGNAL: Signal;

    /// Reads all keys but that of the elector.
    fn read(fields: &mut Fields<'_>) -> Self;

    /// How the API server is reached.
    fn access(&self) -> &Access;

    /// Reads and hands over. Ends only when it cannot go on, and has said why.
    fn run(self, client: Client, outlet: Outlet) -> impl Future<Output = ()> + Send;
}

/// A receiver of Kubernetes as configured.
#[derive(Debug)]
pub(crate) struct Configured<R> {
    pub(crate) reader: R,
    elector: Option<ElectorChoice>,
    says_auth_type: bool,
}

impl<R: Reader> Configured<R> {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Self {
        let says_auth_type = fields.has("auth_type") && !fields.is_blank("auth_type");
        Self { elector: chosen(fields), reader: R::read(fields), says_auth_type }
    }

    pub(crate) fn work(&self, client: Client, scope: Scope) -> Work {
        let reader = self.reader.clone();
        until_stopped(scope, R::SIGNAL, |outlet| reader.run(client, outlet))
    }
}

#[async_trait]
impl<R: Reader> Receiver for Configured<R> {
    fn elector(&self) -> Option<&ElectorChoice> {
        self.elector.as_ref()
    }

    fn assumes_service_account(&self) -> bool {
        !self.says_auth_type
    }

    /// Asks the server nothing: one that is away is waited for by the work.
    async fn start(&self, scope: Scope) -> Result<Work, StartError> {
        let client = K8sClient::connect(self.reader.access().clone()).await.map_err(|error| unreachable(&error))?;
        Ok(self.work(client.reader(), scope))
    }
}

/// Reads `auth_type` and `context`. What is wrong with them is noted, and then what is given back is not used.
pub(crate) fn access(fields: &mut Fields<'_>) -> Access {
    extensions::access(fields).unwrap_or_default()
}

/// Each of these namespaces; without any the one place that is all of them.
pub(crate) fn places(namespaces: &[String]) -> impl Iterator<Item = Option<String>> {
    let everywhere = namespaces.is_empty().then_some(None);
    everywhere.into_iter().chain(namespaces.iter().cloned().map(Some))
}

/// The status of a condition, or of what is like one, as a number.
pub(crate) fn truth(status: &str) -> i64 {
    match status {
        "True" => 1,
        "False" => 0,
        _ => -1,
    }
}
