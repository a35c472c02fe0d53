//! What the API server answers, row by row, below any client of ours.
//!
//! [`tests`] expands to one test a row on whatever server its function gives, so that one which claims to be a
//! Kubernetes API server can be held to the same answers.

use std::any::Any;

use serde_json::{Value, json};
use testbed::http::{Answer, Client};

/// A server, with a namespace that nobody else uses.
pub(crate) struct Api {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// The token of a user who may do everything.
    pub(crate) all: String,
    /// The token of a user with get, update, create, list and watch on the Lease `named` alone.
    pub(crate) named: String,
    /// The token of a user without any right.
    pub(crate) none: String,
    /// What keeps the server running, where nobody else does.
    pub(crate) _server: Option<Box<dyn Any>>,
}

impl Api {
    fn path(&self, name: &str) -> String {
        format!(
            "/apis/coordination.k8s.io/v1/namespaces/{}/leases{}{name}",
            self.namespace,
            if name.is_empty() { "" } else { "/" }
        )
    }

    fn send(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.client.request(method, path, Some(token), body).unwrap()
    }

    fn put(&self, lease: &Value) -> Answer {
        let name = lease["metadata"]["name"].as_str().unwrap();
        self.send(&self.all, "PUT", &self.path(name), Some(lease))
    }

    fn lease(&self, name: &str) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0,
                "renewTime": "2023-11-14T22:13:20.000000Z"},
        })
    }

    /// A Lease that exists, as the server shows it.
    fn created(&self, name: &str) -> Value {
        let answer = self.put(&self.lease(name));
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json
    }

    fn delete(&self, name: &str) {
        self.send(&self.all, "DELETE", &self.path(name), None).ok();
    }

    /// The lines of a watch that ends after a second.
    fn watch(&self, token: &str, query: &str) -> Answer {
        self.send(token, "GET", &format!("{}?watch=1&timeoutSeconds=1&{query}", self.path("")), None)
    }
}

fn with(lease: &Value, pointer: &str, value: impl Into<Value>) -> Value {
    let mut changed = lease.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    changed.pointer_mut(parent).unwrap()[key] = value.into();
    changed
}

fn version(lease: &Value) -> u64 {
    lease["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[track_caller]
fn assert_refused(answer: &Answer, code: u16, reason: &str, message: &str) {
    let status = &answer.json;
    assert_eq!(
        (answer.status, &status["kind"], &status["code"]),
        (code, &"Status".into(), &code.into()),
        "{}",
        answer.text
    );
    assert_eq!(status["reason"], reason, "{}", answer.text);
    assert!(status["message"].as_str().unwrap().contains(message), "{}", answer.text);
}

macro_rules! rows {
    ($($(#[$doc:meta])* fn $name:ident($api:ident $($restarted:ident)?) $body:block)*) => {
        $( $(#[$doc])* pub(crate) fn $name($api: &Api) $body )*

        /// One test a row. `$server` is a function that gives an [`Api`], or none when there is no server; it is told
        /// whether the server must have forgotten its first versions.
        macro_rules! tests {
            ($server:path) => { $(
                #[test]
                fn $name() {
                    let restarted = !stringify!($($restarted)?).is_empty();
                    if let Some(api) = $server(restarted) {
                        crate::table::$name(&api);
                    }
                }
            )* };
        }
        pub(crate) use tests;
    };
}

rows! {
    fn a_post_is_forbidden_to_who_is_limited_by_name(api) {
        let answer = api.send(&api.named, "POST", &api.path(""), Some(&api.lease("named")));
        assert_refused(&answer, 403, "Forbidden", "cannot create resource \"leases\"");
    }

    fn a_put_without_a_version_creates_for_who_is_limited_by_name(api) {
        let answer = api.send(&api.named, "PUT", &api.path("named"), Some(&api.lease("named")));
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    fn a_put_without_a_version_on_an_existing_lease_is_invalid(api) {
        api.created("x");
        let answer = api.put(&api.lease("x"));
        assert_refused(&answer, 422, "Invalid", "metadata.resourceVersion: Invalid value: 0: must be specified for an update");
    }

    fn an_identical_put_keeps_the_version(api) {
        let lease = api.created("x");
        let answer = api.put(&lease);
        assert_eq!((answer.status, version(&answer.json)), (200, version(&lease)), "{}", answer.text);
    }

    fn a_microsecond_makes_a_new_version(api) {
        let lease = api.created("x");
        let answer = api.put(&with(&lease, "/spec/renewTime", "2023-11-14T22:13:20.000001Z"));
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(version(&answer.json) > version(&lease));
    }

    fn a_stale_version_conflicts(api) {
        let stale = api.created("x");
        api.put(&with(&stale, "/spec/holderIdentity", "b")).ok();
        let answer = api.put(&with(&stale, "/spec/holderIdentity", "c"));
        assert_refused(&answer, 409, "Conflict", "the object has been modified");
    }

    fn another_uid_conflicts(api) {
        let lease = api.created("x");
        let answer = api.put(&with(&lease, "/metadata/uid", "11111111-2222-3333-4444-555555555555"));
        assert_refused(&answer, 409, "Conflict", "Precondition failed: UID in precondition");
    }

    fn the_uid_of_a_former_lease_conflicts(api) {
        let former = api.created("x");
        api.delete("x");
        let deleted = api.put(&former);
        assert_refused(&deleted, 409, "Conflict", "Precondition failed: UID in precondition");
        api.created("x");
        let re_created = api.put(&former);
        assert_refused(&re_created, 409, "Conflict", "Precondition failed: UID in precondition");
    }

    fn the_version_alone_re_creates_a_deleted_lease(api) {
        let mut former = api.created("x");
        former["metadata"].as_object_mut().unwrap().remove("uid");
        api.delete("x");
        let answer = api.put(&former);
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    fn a_time_without_six_digits_is_a_bad_request(api) {
        for time in ["2023-11-14T22:13:20Z", "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.000000000Z"] {
            let answer = api.put(&with(&api.lease("x"), "/spec/renewTime", time));
            assert_refused(&answer, 400, "BadRequest", "cannot be handled as a Lease: parsing time");
        }
    }

    fn numbers_out_of_range_are_refused(api) {
        let put = |pointer, value: i64| api.put(&with(&api.lease("x"), pointer, value));
        assert_refused(&put("/spec/leaseDurationSeconds", 0), 422, "Invalid", "must be greater than 0");
        assert_refused(&put("/spec/leaseTransitions", -1), 422, "Invalid", "must be greater than or equal to 0");
        assert_refused(&put("/spec/leaseTransitions", 2_147_483_648), 400, "BadRequest", "cannot unmarshal");
        assert_refused(&put("/spec/leaseDurationSeconds", 2_147_483_648), 400, "BadRequest", "cannot unmarshal");
    }

    fn a_long_holder_is_taken_and_an_unknown_field_is_dropped(api) {
        let long = with(&api.lease("x"), "/spec/holderIdentity", "x".repeat(300));
        let answer = api.put(&with(&long, "/spec/future", 1));
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.json["spec"]["holderIdentity"], long["spec"]["holderIdentity"]);
        assert_eq!(answer.json["spec"].get("future"), None);
    }

    fn an_empty_holder_is_kept(api) {
        let answer = api.put(&with(&api.lease("x"), "/spec/holderIdentity", ""));
        assert_eq!((answer.status, &answer.json["spec"]["holderIdentity"]), (201, &"".into()), "{}", answer.text);
    }

    fn a_post_on_an_existing_lease_conflicts(api) {
        api.created("x");
        let answer = api.send(&api.all, "POST", &api.path(""), Some(&api.lease("x")));
        assert_refused(&answer, 409, "AlreadyExists", "already exists");
    }

    fn a_create_in_an_absent_namespace_is_not_found_by_namespace(api) {
        let lease = with(&api.lease("x"), "/metadata/namespace", "absent");
        let path = "/apis/coordination.k8s.io/v1/namespaces/absent/leases/x";
        let answer = api.send(&api.all, "PUT", path, Some(&lease));
        assert_refused(&answer, 404, "NotFound", "namespaces \"absent\" not found");
        assert_eq!(answer.json["details"]["kind"], "namespaces");
    }

    fn an_absent_lease_is_not_found_by_lease(api) {
        for path in [api.path("absent"), "/apis/coordination.k8s.io/v1/namespaces/absent/leases/x".to_owned()] {
            let answer = api.send(&api.all, "GET", &path, None);
            assert_refused(&answer, 404, "NotFound", "not found");
            assert_eq!(answer.json["details"]["kind"], "leases");
        }
    }

    fn a_preferred_holder_without_a_strategy_is_dropped(api) {
        let lease = api.created("x");
        let answer = api.put(&with(&lease, "/spec/preferredHolder", "b"));
        assert_eq!((answer.status, answer.json["spec"].get("preferredHolder")), (200, None), "{}", answer.text);
    }

    fn a_merge_patch_with_a_stale_version_conflicts(api) {
        let lease = api.created("x");
        api.put(&with(&lease, "/spec/holderIdentity", "b")).ok();
        let patch = json!({
            "metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": {"holderIdentity": "c"},
        });
        let answer = api.send(&api.all, "PATCH", &api.path("x"), Some(&patch));
        assert_refused(&answer, 409, "Conflict", "the object has been modified");
    }

    fn a_watch_by_name_is_granted_by_name(api) {
        let lease = api.created("named");
        let before = version(&lease) - 1;
        let watch = api.watch(&api.named, &format!("fieldSelector=metadata.name%3Dnamed&resourceVersion={before}"));
        assert_eq!(watch.status, 200, "{}", watch.text);
        let event: Value = serde_json::from_str(watch.text.lines().next().unwrap()).unwrap();
        assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&"ADDED".into(), &"named".into()));
        assert_refused(&api.watch(&api.named, "resourceVersion=0"), 403, "Forbidden", "cannot watch resource \"leases\"");
    }

    fn a_list_by_name_is_granted_by_name(api) {
        api.created("named");
        api.created("other");
        let list = api.send(&api.named, "GET", &format!("{}?fieldSelector=metadata.name%3Dnamed", api.path("")), None);
        assert_eq!((list.status, list.json["items"].as_array().unwrap().len()), (200, 1), "{}", list.text);
        assert!(version(&list.json) > 0);
        assert_refused(&api.send(&api.named, "GET", &api.path(""), None), 403, "Forbidden", "cannot list resource");
    }

    fn versions_are_decimals_of_one_counter(api) {
        let (one, two) = (api.created("one"), api.created("two"));
        let again = api.put(&with(&one, "/spec/holderIdentity", "b")).ok();
        assert!(version(&one) < version(&two) && version(&two) < version(&again));
        api.delete("one");
        assert!(version(&again) < version(&api.created("one")));
    }

    /// A server remembers everything since its start, so this one has been started again.
    fn a_watch_from_too_old_a_version_is_an_error_event(api restarted) {
        let watch = api.watch(&api.all, "resourceVersion=1");
        let event: Value = serde_json::from_str(watch.text.lines().next().unwrap_or("{}")).unwrap();
        assert_eq!((watch.status, &event["type"]), (200, &"ERROR".into()), "{}", watch.text);
        assert_eq!((&event["object"]["code"], &event["object"]["reason"]), (&410.into(), &"Expired".into()));
    }

    fn a_watch_from_a_version_to_come_is_mute(api) {
        let future = version(&api.created("x")) + 1_000_000;
        let watch = api.watch(&api.all, &format!("resourceVersion={future}"));
        assert_eq!((watch.status, watch.text.as_str()), (200, ""));
    }

    fn an_unknown_token_is_unauthorized(api) {
        assert_refused(&api.send("who", "GET", &api.path("x"), None), 401, "Unauthorized", "Unauthorized");
    }

    fn who_has_no_right_is_forbidden(api) {
        for (method, verb) in [("GET", "get"), ("PUT", "update"), ("DELETE", "delete")] {
            let body = (method == "PUT").then(|| api.lease("x"));
            let answer = api.send(&api.none, method, &api.path("x"), body.as_ref());
            assert_refused(&answer, 403, "Forbidden", &format!("cannot {verb} resource \"leases\""));
        }
    }

    fn a_delete_with_preconditions_spares_another_version(api) {
        let lease = api.created("x");
        let now = api.put(&with(&lease, "/spec/holderIdentity", "b")).ok();
        let delete = |lease: &Value| {
            let preconditions = json!({
                "uid": lease["metadata"]["uid"], "resourceVersion": lease["metadata"]["resourceVersion"],
            });
            api.send(&api.all, "DELETE", &api.path("x"), Some(&json!({"preconditions": preconditions})))
        };
        assert_refused(&delete(&lease), 409, "Conflict", "does not match the ResourceVersion in record");
        assert_eq!(delete(&now).status, 200);
        assert_eq!(delete(&now).status, 404);
    }
}
