//! What is no mistake by itself and yet hardly meant: electors that nobody names, and what two components want for themselves.

use std::collections::{HashMap, HashSet};

use lease_k8s::AuthType;

use super::components::Section;
use super::id::ComponentId;
use super::problems::Problems;
use super::tree::Place;
use crate::component::{ElectorChoice, Extension, Receiver};
use crate::elector::ELECTOR_KEYS;

type At<'a> = (&'a Place, &'a str);

/// Notes each key of an elector that has none behind it, with those that there are. Without an elector the receiver would run
/// on every replica, which nobody would notice.
pub(super) fn without_elector(found: &[(Place, String)], extensions: &Section<dyn Extension>, problems: &mut Problems) {
    let electors = extensions.components.iter().filter(|defined| defined.component.is_elector());
    let names: Vec<String> = electors.map(|defined| format!("`{}`", defined.id)).collect();
    let way_out = if names.is_empty() {
        "define one in `extensions` and name it here".to_owned()
    } else {
        format!("name {}", names.join(" or "))
    };
    for (place, path) in found {
        let message =
            format_args!("an elector is missing; {way_out}, or leave the key out: then it runs on every replica");
        problems.error(place, path.clone(), message);
    }
}

/// Notes electors that run for nothing, and receivers that reach another API server than their elector, or none.
pub(super) fn electors(
    receivers: &Section<dyn Receiver>,
    used: &HashSet<usize>,
    extensions: &Section<dyn Extension>,
    started: &HashSet<usize>,
    problems: &mut Problems,
) {
    let mut named: HashSet<&ComponentId> = HashSet::new();
    for defined in used.iter().map(|at| &receivers.components[*at]) {
        let Some(ElectorChoice::Named(name)) = defined.component.elector() else { continue };
        named.insert(&name.value);
        let elector = extensions.components.iter().find(|extension| extension.id == name.value);
        let by_kubeconfig = elector.and_then(|elector| elector.component.auth_type()) == Some(AuthType::KubeConfig);
        if by_kubeconfig && defined.component.assumes_service_account() {
            let message = format_args!(
                "its elector `{}` has `auth_type: kubeConfig`, and this receiver has none, which is serviceAccount; outside a \
                 cluster it needs `auth_type: kubeConfig` too",
                name.value
            );
            problems.warning(&defined.place, defined.path.clone(), message);
        }
    }
    for defined in started.iter().map(|at| &extensions.components[*at]) {
        if defined.component.is_elector() && !named.contains(&defined.id) {
            let message = format_args!(
                "no receiver that runs names it, so nothing runs under it; write `{}: {}` into each that is to run on one \
                 replica only",
                ELECTOR_KEYS[0], defined.id
            );
            problems.warning(&defined.place, defined.path.clone(), message);
        }
    }
}

/// Notes electors that contend for one lease.
pub(super) fn collisions(
    receivers: &Section<dyn Receiver>,
    used: &HashSet<usize>,
    extensions: &Section<dyn Extension>,
    started: &HashSet<usize>,
    problems: &mut Problems,
) {
    let named = started.iter().map(|at| &extensions.components[*at]);
    let named = named.filter_map(|defined| Some((defined.component.claim()?, defined.at())));
    let own = used.iter().map(|at| &receivers.components[*at]);
    let own = own.filter_map(|defined| match defined.component.elector()? {
        ElectorChoice::Own(elector) => Some((elector.claim()?, defined.at())),
        ElectorChoice::Named(_) => None,
    });
    claimed_twice(named.chain(own), LEASE, problems);
}

/// What comes of two electors with the same lease.
const LEASE: &str = "they contend with each other, and what is under one of them does not run here; let receivers share one \
                     elector, or give each a lease of its own";

/// Notes what two have claimed, with both places: at the later one.
pub(super) fn claimed_twice<'a>(
    claims: impl Iterator<Item = (String, At<'a>)>,
    outcome: &str,
    problems: &mut Problems,
) {
    let mut claims: Vec<(String, At<'a>)> = claims.collect();
    claims.sort_by_key(|(_, (place, path))| (place.line, place.column, *path));
    let mut first: HashMap<String, At<'a>> = HashMap::new();
    for (claim, at) in claims {
        if let Some((place, path)) = first.get(&claim) {
            let message = format_args!("{claim} is that of `{path}` at {place} too; {outcome}");
            problems.warning(at.0, at.1, message);
        } else {
            first.insert(claim, at);
        }
    }
}
