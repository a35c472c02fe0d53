//! `lease get`: one look at leases.

use lease_core::LockErrorKind;

use crate::backend::{self, Listed, Store};
use crate::cli::Global;
use crate::exit::{Code, Failure};
use crate::show;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leases to show [default: all]
    names: Vec<String>,
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "names")]
    all_namespaces: bool,
}

pub(crate) async fn get(arguments: &Arguments, global: &Global) -> Result<(), Failure> {
    let store = backend::open(&global.backend).await?;
    let leases = if arguments.names.is_empty() {
        store.list(arguments.all_namespaces).await?
    } else {
        named(store.as_ref(), &arguments.names).await?
    };
    show::leases(&leases, global.output, arguments.all_namespaces)
}

/// One list has them all, with their ages. Who may not list reads each by itself.
async fn named(store: &dyn Store, names: &[String]) -> Result<Vec<Listed>, Failure> {
    let mut listed = match store.list(false).await {
        Ok(listed) => Some(listed),
        Err(error) if error.kind() == LockErrorKind::Denied => None,
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let lease = match &mut listed {
            Some(listed) => listed.iter().position(|lease| lease.name == *name).map(|at| listed.swap_remove(at)),
            None => backend::look(store, name).await?,
        };
        found.push(lease.ok_or_else(|| absent(name, store.namespace()))?);
    }
    Ok(found)
}

/// There is no such lease.
pub(crate) fn absent(name: &str, namespace: Option<&str>) -> Failure {
    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
    Failure::new(Code::No, format!("there is no lease {name:?}{place}")).help("lease get -A shows all there are")
}
