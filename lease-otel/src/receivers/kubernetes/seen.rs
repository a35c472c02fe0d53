//! What a list that is begun again has told already.

use std::collections::HashMap;

use serde_json::Value as Json;

/// The objects that were told so far, each with its version.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashMap<Box<str>, Box<str>>);

impl Seen {
    /// As what an object is to be told, as the API calls it; none when it was told as it is.
    pub(crate) fn change(&mut self, object: &Json) -> Option<&'static str> {
        let of = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        // What some aggregated servers make up has no uid.
        let key = match of("uid") {
            "" => format!("{}/{}", of("namespace"), of("name")),
            uid => uid.to_owned(),
        };
        match self.0.insert(key.into(), of("resourceVersion").into()) {
            None => Some("ADDED"),
            Some(version) => (*version != *of("resourceVersion")).then_some("MODIFIED"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_told_once_in_each_version() {
        let mut seen = Seen::default();
        let mut change = |uid: Option<&str>, name: &str, version: &str| {
            seen.change(&json!({"metadata": {"uid": uid, "name": name, "resourceVersion": version}}))
        };
        assert_eq!(change(Some("u"), "a", "1"), Some("ADDED"));
        assert_eq!(change(Some("u"), "a", "1"), None);
        assert_eq!(change(Some("u"), "a", "2"), Some("MODIFIED"));
        assert_eq!(change(Some("v"), "a", "3"), Some("ADDED"), "it was made anew under the same name");
        assert_eq!(change(None, "a", ""), Some("ADDED"));
        assert_eq!(change(None, "a", ""), None);
    }
}
