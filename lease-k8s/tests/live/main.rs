//! On a real API server: the table of its answers, the conformance suite, and what only a real one shows.

// The helpers are parts of tests, and panic as those do.
#![allow(clippy::unwrap_used)]

mod conformance;
mod real;
mod table;

use kube::Config;
use lease_k8s::K8sClient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::SecretString;
use testbed::Cluster;

/// A configuration for the server at this address, which shows the cluster's certificate.
fn config(cluster: &Cluster, url: &str, user: &str) -> Config {
    let mut config = Config::new(url.parse().unwrap());
    config.root_cert = Some(vec![CertificateDer::from_pem_slice(cluster.api().ca_pem().as_bytes()).unwrap().to_vec()]);
    config.auth_info.token = Some(SecretString::from(cluster.api().token(user)));
    config
}

fn client(cluster: &Cluster, user: &str) -> K8sClient {
    K8sClient::from_config(config(cluster, &cluster.api().url(), user)).unwrap()
}

/// The rules of a Role with these verbs on one Lease.
fn rules(verbs: &[&str], name: &str) -> serde_json::Value {
    serde_json::json!([{
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [name], "verbs": verbs,
    }])
}

mod kube_apiserver {
    use testbed::Cluster;

    use super::table::Api;

    fn api(restarted: bool) -> Option<Api> {
        if !restarted {
            return testbed::cluster().map(on);
        }
        let cluster = Cluster::own()?;
        cluster.api().restart().unwrap();
        let api = on(&cluster);
        Some(Api { _server: Some(Box::new(cluster)), ..api })
    }

    /// The table's users: one with a Role on the Lease `named`, one without any right.
    fn on(cluster: &Cluster) -> Api {
        let namespace = cluster.namespace("table");
        let verbs = ["get", "update", "create", "list", "watch"];
        cluster.api().grant(&namespace, "user-0", &super::rules(&verbs, "named"));
        Api {
            client: cluster.api().client().clone(),
            namespace,
            all: cluster.api().token("admin"),
            named: cluster.api().token("user-0"),
            none: cluster.api().token("user-7"),
            _server: None,
        }
    }

    super::table::tests!(api);
}
