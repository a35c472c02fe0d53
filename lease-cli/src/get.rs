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
    if arguments.names.is_empty() {
        let leases = store.list(arguments.all_namespaces).await?;
        return show::leases(&leases, global.output, arguments.all_namespaces);
    }
    let (found, missing) = named(store.as_ref(), &arguments.names).await?;
    if !found.is_empty() {
        show::leases(&found, global.output, false)?;
    }
    if missing.is_empty() { Ok(()) } else { Err(absent(&missing, store.namespace())) }
}

/// Those that are there, and the names of those that are not. One list has them all, with their ages. Who may not list
/// reads each by itself.
async fn named<'n>(store: &dyn Store, names: &'n [String]) -> Result<(Vec<Listed>, Vec<&'n str>), Failure> {
    let mut listed = match store.list(false).await {
        Ok(listed) => Some(listed),
        Err(error) if error.kind() == LockErrorKind::Denied => None,
        Err(error) => return Err(error.into()),
    };
    let (mut found, mut missing) = (Vec::with_capacity(names.len()), Vec::new());
    for name in names {
        let lease = match &mut listed {
            Some(listed) => listed.iter().position(|lease| lease.name == *name).map(|at| listed.swap_remove(at)),
            None => backend::look(store, name).await?,
        };
        match lease {
            Some(lease) => found.push(lease),
            None => missing.push(name.as_str()),
        }
    }
    Ok((found, missing))
}

/// There are no such leases.
pub(crate) fn absent(names: &[&str], namespace: Option<&str>) -> Failure {
    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    Failure::new(Code::No, format!("there is no lease {}{place}", names.join(", ")))
        .help("lease get -A shows all there are")
}
