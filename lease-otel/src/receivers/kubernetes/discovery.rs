//! Which resources the API server has.

use std::collections::{BTreeMap, HashSet};

use kube::Client;
use serde::Deserialize;

use super::with_causes;

/// What the server says that it has.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// By name in the plural: groups and versions, in the order in which the server prefers them.
    places: BTreeMap<String, Vec<(String, String)>>,
    /// Groups of which the server does not tell now what is in them, and why not.
    silent: Vec<(String, String)>,
}

/// Why a resource was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotFound {
    /// The server does not have it.
    Absent(String),
    /// It may be in a group of which the server does not tell now.
    Unclear(String),
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    /// The name in the plural.
    name: String,
}

impl Served {
    /// Asks the server. A group whose own server is away does not hide the others.
    pub(crate) async fn ask(client: &Client) -> Result<Self, kube::Error> {
        let mut served = Self::default();
        let mut versions = vec![(String::new(), "v1".to_owned())];
        for group in client.list_api_groups().await?.groups {
            let preferred = group.preferred_version.map(|preferred| preferred.version);
            let all = group.versions.into_iter().map(|each| each.version);
            // Those that are not preferred come after: a resource may be in one of them only.
            let mut all: Vec<String> = preferred.into_iter().chain(all).collect();
            let mut seen = HashSet::new();
            all.retain(|version| seen.insert(version.clone()));
            versions.extend(all.into_iter().map(|version| (group.name.clone(), version)));
        }
        for (group, version) in versions {
            let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
            match client.request::<Resources>(request).await {
                Ok(Resources { resources }) => served.add(&group, &version, resources),
                // It was taken away meanwhile.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => served.silent.push((group, with_causes(&error))),
            }
        }
        Ok(served)
    }

    fn add(&mut self, group: &str, version: &str, resources: Vec<Resource>) {
        for Resource { name } in resources {
            let places = self.places.entry(name).or_default();
            if !places.iter().any(|(known, _)| known == group) {
                places.push((group.to_owned(), version.to_owned()));
            }
        }
    }

    /// Group and version of a resource. Without a group it is that which the server names first.
    pub(crate) fn find(&self, name: &str, group: Option<&str>) -> Result<(String, String), NotFound> {
        let places = self.places.get(name).map(Vec::as_slice).unwrap_or_default();
        if let Some(found) = places.iter().find(|(at, _)| group.is_none_or(|group| group == at)) {
            return Ok(found.clone());
        }
        let wanted = group.map_or_else(|| format!("`{name}`"), |group| format!("`{name}` in {}", group_named(group)));
        let silent = self.silent.iter().find(|(at, _)| group.is_none_or(|group| group == at));
        if let Some((at, why)) = silent {
            let at = group_named(at);
            return Err(NotFound::Unclear(format!("the server does not tell whether it has {wanted}: {at}: {why}")));
        }
        let way_out = if places.is_empty() {
            "`kubectl api-resources` lists all".to_owned()
        } else {
            let groups: Vec<String> = places.iter().map(|(group, _)| group_named(group)).collect();
            format!("it has one in {}: write that as `group`, or none", groups.join(" and in "))
        };
        Err(NotFound::Absent(format!("the server has no resource {wanted}; {way_out}")))
    }
}

fn group_named(group: &str) -> String {
    if group.is_empty() { "the core group".to_owned() } else { format!("the group `{group}`") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::receivers::testing::Server;

    async fn served(broken: &'static str) -> Served {
        let server = Server::new(move |path, _| match path {
            path if path == broken => (503, json!({"message": "away", "code": 503, "reason": "", "status": "Failure"})),
            "/apis" => {
                let group = |name: &str, versions: &[&str]| {
                    let versions: Vec<_> =
                        versions.iter().map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v})).collect();
                    json!({"name": name, "versions": versions, "preferredVersion": versions.last()})
                };
                (200, json!({"groups": [group("apps", &["v1beta1", "v1"]), group("events.k8s.io", &["v1"])]}))
            }
            "/api/v1" => (200, json!({"resources": [{"name": "pods"}, {"name": "events"}]})),
            "/apis/apps/v1" => (200, json!({"resources": [{"name": "deployments"}]})),
            "/apis/apps/v1beta1" => (200, json!({"resources": [{"name": "deployments"}, {"name": "old"}]})),
            "/apis/events.k8s.io/v1" => (200, json!({"resources": [{"name": "events"}]})),
            other => panic!("{other}"),
        });
        Served::ask(&server.client()).await.unwrap()
    }

    fn at(group: &str, version: &str) -> (String, String) {
        (group.to_owned(), version.to_owned())
    }

    #[tokio::test]
    async fn the_group_that_is_named_or_else_the_first_has_it() {
        let served = served("").await;
        assert_eq!(served.find("events", None), Ok(at("", "v1")));
        assert_eq!(served.find("events", Some("events.k8s.io")), Ok(at("events.k8s.io", "v1")));
        assert_eq!(served.find("deployments", Some("apps")), Ok(at("apps", "v1")));
        assert_eq!(served.find("old", None), Ok(at("apps", "v1beta1")), "a version that is not preferred has it alone");
    }

    #[tokio::test]
    async fn what_is_mistyped_is_told_with_what_there_is() {
        let served = served("").await;
        let absent = |message: &str| Err(NotFound::Absent(message.to_owned()));
        let message = "the server has no resource `widgets`; `kubectl api-resources` lists all";
        assert_eq!(served.find("widgets", None), absent(message));
        let message = "the server has no resource `events` in the group `events.k8s`; it has one in the core group and \
                       in the group `events.k8s.io`: write that as `group`, or none";
        assert_eq!(served.find("events", Some("events.k8s")), absent(message));
    }

    #[tokio::test]
    async fn what_may_be_in_a_group_whose_server_is_away_is_not_absent() {
        let served = served("/apis/events.k8s.io/v1").await;
        assert_eq!(served.find("events", None), Ok(at("", "v1")));
        let unclear = |found: Result<_, NotFound>| matches!(found, Err(NotFound::Unclear(why)) if why.contains("away"));
        assert!(unclear(served.find("events", Some("events.k8s.io"))));
        assert!(unclear(served.find("widgets", None)));
        assert!(matches!(served.find("widgets", Some("apps")), Err(NotFound::Absent(_))));
    }
}
