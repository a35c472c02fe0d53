//! The direction of dependencies between our crates, and the one TLS provider, held over `cargo metadata`.
//!
//! Everything may point to `lease-core`, which points to nothing of ours. Backends never see each other, so that a
//! user of one pays for one. What is made for tests never reaches a user at all.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::{Failure, root};

/// The crate that everything points to.
const CORE: &str = "lease-core";
/// The crates that speak to one kind of store each.
const BACKENDS: [&str; 4] = ["lease-memory", "lease-k8s", "lease-etcd", "lease-redis"];
/// The crates that may name more than one backend: programs and tests, never a library below them.
const GATHERERS: [&str; 5] = ["lease-otel", "lease-cli", "benches", "testbed", "xtask"];
/// What the tree must not hold: a second TLS provider costs build time and makes one of the clients panic.
const REFUSED: [&str; 6] = ["aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys", "openssl", "openssl-sys", "native-tls"];

/// A dependency of one crate of ours on another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The crate that depends.
    pub from: String,
    /// Whether users get it: it may be published.
    pub is_shipped: bool,
    /// The crate that it depends on.
    pub to: String,
    /// Whether only its tests do.
    pub is_dev: bool,
}

/// The workspace as Cargo sees it, for this platform and with the features that tests are built with.
///
/// # Errors
/// What cargo says.
pub fn metadata() -> Result<Metadata, Failure> {
    let mut command = MetadataCommand::new();
    command.current_dir(root());
    command.other_options(["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"].map(str::to_owned));
    Ok(command.exec()?)
}

/// Every dependency between two members of the workspace.
pub fn edges(metadata: &Metadata) -> Vec<Edge> {
    let members = metadata.workspace_packages();
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut edges = Vec::new();
    for member in &members {
        // A crate that depends on itself turns a feature on for its own tests.
        let others = member.dependencies.iter().filter(|dependency| dependency.name != *member.name);
        for dependency in others.filter(|dependency| names.contains(dependency.name.as_str())) {
            edges.push(Edge {
                from: member.name.to_string(),
                is_shipped: member.publish.as_ref().is_none_or(|registries| !registries.is_empty()),
                to: dependency.name.clone(),
                is_dev: dependency.kind == DependencyKind::Development,
            });
        }
    }
    edges
}

/// The rules of direction that the dependencies break, one sentence each.
pub fn wrong_directions(edges: &[Edge], test_only: &BTreeSet<&str>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut backends_named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Edge { from, to, is_shipped, is_dev } in edges {
        let (from, to) = (from.as_str(), to.as_str());
        if from == CORE {
            findings.push(format!("{CORE} depends on {to}: it must point to nothing of ours"));
        }
        if BACKENDS.contains(&from) && BACKENDS.contains(&to) {
            findings.push(format!("{from} depends on {to}: backends must not see each other"));
        }
        if *is_shipped && !is_dev && test_only.contains(to) {
            findings.push(format!("{from} depends on {to}: what users get must not depend on what is made for tests"));
        }
        if BACKENDS.contains(&to) {
            backends_named.entry(from).or_default().insert(to);
        }
    }
    for (from, backends) in backends_named {
        if backends.len() > 1 && !GATHERERS.contains(&from) {
            let backends = backends.into_iter().collect::<Vec<_>>().join(" and ");
            findings.push(format!("{from} depends on {backends}: only {} may name two", GATHERERS.join(", ")));
        }
    }
    findings
}

/// The members of the workspace that are never published.
pub fn test_only(metadata: &Metadata) -> BTreeSet<&str> {
    let members = metadata.workspace_packages().into_iter();
    let unpublished = members.filter(|member| member.publish.as_ref().is_some_and(Vec::is_empty));
    unpublished.map(|member| member.name.as_str()).collect()
}

/// What the resolved tree has beside its one TLS provider; `packages` are names with versions.
pub fn wrong_providers<'a>(packages: impl Iterator<Item = (&'a str, String)>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut rings = Vec::new();
    for (name, version) in packages {
        if name == "ring" {
            rings.push(version);
        } else if REFUSED.contains(&name) {
            findings.push(format!("the tree has {name} {version}: ring is the one TLS provider"));
        }
    }
    if rings.len() != 1 {
        findings.push(format!("the tree has {} versions of ring, not one: {}", rings.len(), rings.join(", ")));
    }
    findings
}

/// All findings about the dependencies of this workspace.
///
/// # Errors
/// When cargo does not tell.
pub fn check() -> Result<Vec<String>, Failure> {
    let metadata = metadata()?;
    let mut findings = wrong_directions(&edges(&metadata), &test_only(&metadata));
    // Only what is resolved is built; the list of packages holds more.
    let resolved = metadata.resolve.as_ref().expect("cargo resolves unless told not to");
    let resolved = resolved.nodes.iter().map(|node| &metadata[&node.id]);
    findings.extend(wrong_providers(resolved.map(|package| (package.name.as_str(), package.version.to_string()))));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(edges: &[(&str, &str, bool)]) -> Vec<String> {
        let test_only = BTreeSet::from(["testbed", "testbed-worker", "xtask", "benches"]);
        let edge = |&(from, to, is_dev): &(&str, &str, bool)| {
            let is_shipped = !test_only.contains(from);
            Edge { from: from.to_owned(), is_shipped, to: to.to_owned(), is_dev }
        };
        wrong_directions(&edges.iter().map(edge).collect::<Vec<_>>(), &test_only)
    }

    #[test]
    fn this_workspace_keeps_the_direction_of_dependencies_and_one_tls_provider() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_wanted_directions_pass() {
        let edges = [
            ("lease-k8s", "lease-core", false),
            ("lease-k8s", "testbed", true),
            ("lease-cli", "lease-k8s", false),
            ("lease-cli", "lease-memory", false),
            ("lease-apiserver", "lease-memory", false),
            ("xtask", "testbed", false),
        ];
        assert_eq!(findings(&edges), Vec::<String>::new());
    }

    #[test]
    fn the_core_points_to_nothing_of_ours_not_even_in_its_tests() {
        assert_eq!(findings(&[("lease-core", "lease-memory", true)]).len(), 1);
    }

    #[test]
    fn backends_do_not_see_each_other_not_even_in_their_tests() {
        assert_eq!(findings(&[("lease-k8s", "lease-memory", true)]).len(), 1);
    }

    #[test]
    fn a_library_does_not_name_two_backends() {
        let edges = [("lease-apiserver", "lease-memory", false), ("lease-apiserver", "lease-k8s", true)];
        assert_eq!(findings(&edges).len(), 1);
    }

    #[test]
    fn what_users_get_does_not_depend_on_the_testbed() {
        assert_eq!(findings(&[("lease-cli", "testbed", false)]).len(), 1);
    }

    #[test]
    fn a_second_provider_is_found() {
        let tree = |names: &[&'static str]| wrong_providers(names.iter().copied().map(|name| (name, "1".to_owned())));
        assert_eq!(tree(&["ring", "rustls"]), Vec::<String>::new());
        assert_eq!(tree(&["ring", "ring"]).len(), 1);
        assert_eq!(tree(&[]).len(), 1);
        assert_eq!(tree(&["ring", "aws-lc-sys", "openssl"]).len(), 2);
    }
}
