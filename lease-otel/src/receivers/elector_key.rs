//! The key by which a receiver names its elector.

use crate::component::ElectorChoice;
use crate::config::{ComponentId, Fields, Located};

/// Its names: that of today, that of the Collector's v0.121, and that of the design before.
const KEYS: [&str; 3] = ["k8s_leader_elector", "leader_elector", "leaderelector"];

/// The elector that a receiver names, under any of the key's names; none when it names none, and then always runs.
pub(crate) fn elector_of(fields: &mut Fields<'_>) -> Option<ElectorChoice> {
    let mut first: Option<(&str, Option<Located<ComponentId>>)> = None;
    for key in KEYS {
        if fields.node(key).is_none() {
            continue;
        }
        let id = fields.parsed::<ComponentId>(key);
        match &first {
            None => first = Some((key, id)),
            Some((other, _)) => fields.error(key, format_args!("is another name of `{other}`; keep one of them")),
        }
    }
    first.and_then(|(_, id)| id).map(ElectorChoice::Named)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::receivers::testing::section;

    #[test]
    fn each_of_the_three_names_names_an_elector() {
        for key in KEYS {
            let (choice, problems) = section(&json!({ key: "k8s_leader_elector/foo" }), elector_of);
            let Some(ElectorChoice::Named(named)) = choice else { panic!("{key}: {problems:?}") };
            assert_eq!(
                (named.value.to_string().as_str(), named.path.as_str()),
                ("k8s_leader_elector/foo", &*format!("x.{key}"))
            );
            assert!(problems.errors.is_empty() && problems.warnings.is_empty());
        }
        assert!(section(&json!({}), elector_of).0.is_none());
    }

    #[test]
    fn two_of_them_or_no_name_are_errors() {
        let (_, problems) = section(&json!({"k8s_leader_elector": "a", "leaderelector": "b"}), elector_of);
        assert_eq!(problems.errors.len(), 1);
        assert_eq!(problems.errors[0].message, "is another name of `k8s_leader_elector`; keep one of them");
        let (choice, problems) = section(&json!({"leader_elector": "/foo"}), elector_of);
        assert!(choice.is_none() && problems.errors[0].message.contains("names no component"), "{problems:?}");
    }
}
