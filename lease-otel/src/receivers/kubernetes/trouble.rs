//! What is said when the API server refuses or is away.

use std::fmt;

use kube::runtime::watcher;

/// What is read: all that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The API group; empty for the core group.
    pub(crate) group: String,
    /// The resource, in the plural.
    pub(crate) resource: String,
    /// The namespace; none for all of them, or for what is in none.
    pub(crate) namespace: Option<String>,
}

/// Why something cannot be read, by what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A rule is missing.
    Denied(&'static str),
    /// The server does not know who we are.
    Unknown,
    /// The server has no such resource.
    Absent,
    /// The version to go on from is forgotten; a new list follows by itself.
    Expired,
    /// Something that may pass.
    Passing(String),
}

impl Trouble {
    /// What became of a request with this verb.
    pub(crate) fn of(error: &kube::Error, verb: &'static str) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_code(status.code, &status.message, verb),
            other => Self::Passing(super::with_causes(other)),
        }
    }

    /// What a watcher met.
    pub(crate) fn of_watcher(error: &watcher::Error) -> Self {
        match error {
            watcher::Error::InitialListFailed(error) => Self::of(error, "list"),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => Self::of(error, "watch"),
            watcher::Error::WatchError(status) => Self::of_code(status.code, &status.message, "watch"),
            watcher::Error::NoResourceVersion => Self::Passing(error.to_string()),
        }
    }

    fn of_code(code: u16, message: &str, verb: &'static str) -> Self {
        match code {
            401 => Self::Unknown,
            403 => Self::Denied(verb),
            404 => Self::Absent,
            410 => Self::Expired,
            _ => Self::Passing(message.to_owned()),
        }
    }

    /// Whether the server has answered that there is nothing for us, rather than that it cannot tell now.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::Absent)
    }

    /// What is said of it where the target is listed and watched, with the way out.
    pub(crate) fn about(&self, target: &Target) -> String {
        self.told(target, "list, watch")
    }

    /// The same where it is listed only.
    pub(crate) fn about_list(&self, target: &Target) -> String {
        self.told(target, "list")
    }

    fn told(&self, target: &Target, verbs: &str) -> String {
        match self {
            Self::Denied(verb) => {
                let role = if target.namespace.is_some() { "Role" } else { "ClusterRole" };
                format!(
                    "the server does not let us {verb} {target}; it needs this rule in a {role}: {{apiGroups: [{:?}], \
                     resources: [{}], verbs: [{}]}}",
                    target.group, target.resource, verbs
                )
            }
            Self::Unknown => format!("{target}: the server does not accept our credentials"),
            Self::Absent => format!("{target}: the server has no such resource"),
            Self::Expired => format!("{target}: the server has forgotten where the watch was"),
            Self::Passing(reason) => format!("{target}: {reason}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " in namespace {namespace}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_list_names_the_missing_rule() {
        let target = Target { group: "apps".to_owned(), resource: "deployments".to_owned(), namespace: None };
        assert_eq!(
            Trouble::of_code(403, "", "list").about(&target),
            "the server does not let us list deployments.apps; it needs this rule in a ClusterRole: \
             {apiGroups: [\"apps\"], resources: [deployments], verbs: [list, watch]}"
        );
        let listed = Trouble::of_code(403, "", "list").about_list(&target);
        assert!(listed.ends_with("resources: [deployments], verbs: [list]}"), "{listed}");
        let target = Target { group: String::new(), resource: "pods".to_owned(), namespace: Some("shop".to_owned()) };
        let said = Trouble::of_code(403, "", "watch").about(&target);
        assert!(
            said.contains("watch pods in namespace shop") && said.contains("in a Role: {apiGroups: [\"\"]"),
            "{said}"
        );
    }
}
