//! What is not to load, and what is said about it.

use super::*;

/// Everything that a pipeline needs, each on a line of its own.
const GOOD: &str = "receivers: {dummy: {interval: 1s}}
processors: {batch: }
exporters: {debug: }
extensions: {memory_leader_elector: , health_check: }
service:
  extensions: [memory_leader_elector, health_check]
  pipelines:
    metrics: {receivers: [dummy], processors: [batch], exporters: [debug]}
";

/// The errors of the good configuration in which `what` is replaced.
fn damaged(what: &str, by: &str) -> Vec<String> {
    let text = GOOD.replace(what, by);
    assert_ne!(text, GOOD, "{what}");
    errors(&[&text])
}

/// The only one.
fn error(what: &str, by: &str) -> String {
    let errors = damaged(what, by);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors[0].clone()
}

#[test]
fn what_is_good_is_good() {
    let warnings = load_all(&[GOOD]).expect("it is good").warnings;
    let says: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let way_out = "write `k8s_leader_elector: memory_leader_elector` into each that is to run on one replica only";
    let elector =
        "yaml:4:14: extensions.memory_leader_elector: no receiver that runs names it, so nothing runs under it; ";
    assert_eq!(says, [format!("{elector}{way_out}")]);
    let led = GOOD.replace("interval: 1s", "interval: 1s, k8s_leader_elector: memory_leader_elector");
    assert_eq!(load_all(&[&led]).expect("it is good").warnings, []);
}

#[test]
fn an_elector_that_is_not_named_is_no_elector_that_is_not_wanted() {
    let old = "interval: 1s";
    for key in ["k8s_leader_elector: ", "leader_elector: ''", "leaderelector: ' '"] {
        let error = error(old, key);
        let says =
            "an elector is missing; name `memory_leader_elector`, or leave the key out: then it runs on every replica";
        assert!(error.starts_with("1:21: receivers.dummy.") && error.ends_with(says), "{error}");
    }
    let set = Source::set("receivers.dummy.k8s_leader_elector=").expect("it has a `=`");
    let problems = load(&[Source::Yaml(GOOD.to_owned()), set], &environment, &registry()).expect_err("it is empty");
    let said = problems.errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(
        said.len() == 1 && said[0].starts_with("--set receivers.dummy.k8s_leader_elector: an elector is"),
        "{said:?}"
    );
    let none = GOOD.replace(old, "k8s_leader_elector: ").replace("memory_leader_elector: , ", "");
    let errors = errors(&[&none.replace("[memory_leader_elector, h", "[h")]);
    assert!(errors.len() == 1 && errors[0].contains("missing; define one in `extensions` and name it"), "{errors:?}");
}

/// The warnings of what is good.
fn warnings(text: &str) -> Vec<String> {
    let loaded = load_all(&[text]).unwrap_or_else(|problems| panic!("{problems:?}"));
    loaded.warnings.iter().map(|warning| warning.to_string().trim_start_matches("yaml:").to_owned()).collect()
}

#[test]
fn what_two_want_for_themselves_is_told_with_both_places() {
    let text = "receivers:
  dummy/a: {k8s_leader_elector: k8s_leader_elector/a}
  dummy/b: {k8s_leader_elector: k8s_leader_elector/b}
  leader_receiver_creator: {leader_election: {lease_name: x, lease_namespace: y}, receiver: {dummy: }}
extensions:
  k8s_leader_elector/a: {lease_name: x, lease_namespace: y}
  k8s_leader_elector/b: {lease_name: x, lease_namespace: z}
exporters: {file/a: {path: /tmp/f}, file/b: {path: /tmp/f}, file/c: {path: /dev/stdout}, file/d: {path: /dev/stdout}}
service:
  extensions: [k8s_leader_elector/a, k8s_leader_elector/b]
  pipelines:
    metrics: {receivers: [dummy/a, dummy/b, leader_receiver_creator], exporters: [file/a, file/b, file/c, file/d]}
";
    let said = warnings(text);
    assert_eq!(said.len(), 2, "{said:#?}");
    let lease =
        "the Lease y/x is that of `receivers.leader_receiver_creator` at yaml:4:3 too; they contend with each other";
    assert!(said[0].starts_with(&format!("6:3: extensions.k8s_leader_elector/a: {lease}")), "{said:#?}");
    let file = "the file /tmp/f is that of `exporters.file/a` at yaml:8:13 too; what they write is mixed or lost";
    assert!(said[1].starts_with(&format!("8:37: exporters.file/b: {file}")), "{said:#?}");
    assert_eq!(warnings(&text.replace("lease_namespace: z", "lease_namespace: y")).len(), 3);
    let contexts = text.replace("a: {lease_name: x", "a: {auth_type: kubeConfig, context: c, lease_name: x");
    assert_eq!(warnings(&contexts).len(), 1, "another cluster has another lease");
    assert_eq!(warnings(&text.replace("file/a, file/b", "file/a")).len(), 2, "one that does not run takes nothing");
}

#[test]
fn a_receiver_that_reaches_the_server_otherwise_than_its_elector_is_told() {
    let text = |receiver: &str, auth_type: &str| {
        format!(
            "receivers: {{k8s_cluster: {{{receiver}k8s_leader_elector: k8s_leader_elector}}}}\nexporters: {{debug: }}\n\
             extensions: {{k8s_leader_elector: {{auth_type: {auth_type}, lease_name: x, lease_namespace: y}}}}\n\
             service: {{extensions: [k8s_leader_elector], pipelines: {{metrics: {{receivers: [k8s_cluster], exporters: [debug]}}}}}}"
        )
    };
    let said = warnings(&text("", "kubeConfig"));
    let expected =
        "1:13: receivers.k8s_cluster: its elector `k8s_leader_elector` has `auth_type: kubeConfig`, and this receiver";
    assert!(said.len() == 1 && said[0].starts_with(expected), "{said:?}");
    for (receiver, auth_type) in [
        ("", "serviceAccount"),
        ("auth_type: kubeConfig, ", "kubeConfig"),
        ("auth_type: serviceAccount, ", "kubeConfig"),
    ] {
        assert_eq!(warnings(&text(receiver, auth_type)), [] as [String; 0], "{receiver} {auth_type}");
    }
    let creator = "receivers: {leader_receiver_creator: {auth_type: kubeConfig, receiver: {k8s_cluster: }}}\nexporters: \
                   {debug: }\nservice: {pipelines: {metrics: {receivers: [leader_receiver_creator], exporters: [debug]}}}";
    let said = warnings(creator);
    let expected =
        "1:73: receivers.leader_receiver_creator.receiver.k8s_cluster: its creator has `auth_type: kubeConfig`";
    assert!(said.len() == 1 && said[0].starts_with(expected), "{said:?}");
    assert_eq!(warnings(&creator.replace("k8s_cluster: }", "k8s_cluster: {auth_type: none}}")), [] as [String; 0]);
}

#[test]
fn only_keys_that_are_valid_at_a_place_are_named_there() {
    let text = "receivers: {k8s_cluster: {zzz: 1}}\nexporters: {debug: }\n\
                service: {pipelines: {metrics: {receivers: [k8s_cluster], exporters: [debug]}}}";
    let errors = errors(&[text]);
    let known = "allocatable_types_to_report, auth_type, collection_interval, context, distribution, k8s_leader_elector, \
                 leader_elector, leaderelector, metrics, namespace, namespaces, node_conditions_to_report, \
                 resource_attributes";
    assert_eq!(errors, [format!("1:27: receivers.k8s_cluster.zzz: unknown key; known here: {known}")]);
}

#[test]
fn an_unknown_name_is_told_with_the_nearest() {
    for (what, by, says) in [
        ("{dummy: {", "{dumy: {", "1:13: receivers.dumy: unknown kind of receiver `dumy`; did you mean `dummy`?"),
        ("{batch: }", "{bacth: }", "2:14: processors.bacth: unknown kind of processor `bacth`; did you mean `batch`?"),
        ("{debug: }", "{zzz: }", "3:13: exporters.zzz: unknown kind of exporter `zzz`; known: "),
        ("health_check: }", "helth_check: }", "4:39: extensions.helth_check: unknown kind of extension"),
        ("interval: 1s", "intervall: 1s", "1:21: receivers.dummy.intervall: unknown key; did you mean `interval`?"),
        ("service:", "sevice:", "5:1: sevice: unknown key; did you mean `service`?"),
        ("  pipelines:", "  pipeline:", "7:3: service.pipeline: unknown key; did you mean `pipelines`?"),
        ("processors: [b", "procesors: [b", "8:35: service.pipelines.metrics.procesors: unknown key; did you mean"),
        (
            "  metrics: {",
            "  metric: {",
            "8:5: service.pipelines.metric: `metric` names no pipeline: did you mean `metrics`",
        ),
        ("  metrics: {", "  profiles: {", "`profiles` names no pipeline: it begins with metrics, logs or traces"),
        ("[dummy]", "[dumy]", "8:27: service.pipelines.metrics.receivers[0]: the receiver `dumy` is not defined; did"),
        ("[debug]", "[otlp]", "the exporter `otlp` is not defined; add it to `exporters`"),
        ("_elector, h", "_elector/a, h", "the extension `memory_leader_elector/a` is not defined; did you mean"),
    ] {
        let errors = damaged(what, by);
        assert!(errors.iter().any(|error| error.contains(says)), "{says}: {errors:#?}");
    }
}

#[test]
fn a_name_that_is_none_is_told() {
    for (what, by, says) in [
        ("{dummy: {", "{'dummy/': {", "1:13: receivers.dummy/: `dummy/` names no component"),
        ("[dummy]", "['/x']", "`/x` names no component"),
        ("{dummy: {", "{dummy: , ' dummy ': {", "the receiver `dummy` is defined twice; it is at yaml:1:13 too"),
        ("  metrics: {", "  ' metrics ': {receivers: [dummy], exporters: [debug]}\n    metrics: {", "defined twice"),
        ("[batch]", "[batch, batch]", "processors[1]: `batch` comes twice"),
        ("[dummy]", "[[dummy]]", "receivers[0]: a text is expected here, not a list"),
        ("[dummy]", "{dummy: }", "service.pipelines.metrics.receivers: a list of texts is expected here, not a map"),
    ] {
        let errors = damaged(what, by);
        assert!(errors.iter().any(|error| error.contains(says)), "{says}: {errors:#?}");
    }
}

#[test]
fn a_pipeline_needs_both_ends_and_components_of_its_signal() {
    for (what, by, says) in [
        (
            "receivers: [dummy], p",
            "p",
            "8:14: service.pipelines.metrics.receivers: a pipeline needs at least one of its receivers",
        ),
        ("[debug]", "[]", "service.pipelines.metrics.exporters: a pipeline needs at least one of its exporters"),
        (
            "  metrics: {",
            "  logs: {",
            "8:24: service.pipelines.logs.receivers[0]: the receiver `dummy` carries metrics, and no logs",
        ),
    ] {
        let errors = damaged(what, by);
        assert!(errors.iter().any(|error| error.contains(says)), "{says}: {errors:#?}");
    }
    for nothing in ["", "{}", "service: ", "service: {pipelines: {}}", "receivers: {dummy: }\nservice: {pipelines: }"] {
        let errors = errors(&[nothing]);
        assert!(errors.len() == 1 && errors[0].contains("at least one pipeline is needed"), "{nothing}: {errors:?}");
    }
}

#[test]
fn an_elector_has_to_be_one_that_runs() {
    let receiver = |name: &str| format!("{{dummy: {{k8s_leader_elector: {name}}}}}");
    let old = "{dummy: {interval: 1s}}";
    for (name, says) in [
        ("x", "1:41: receivers.dummy.k8s_leader_elector: unknown k8s leader elector \"x\": there is no such extension"),
        (
            "memory_leader_electr",
            "unknown k8s leader elector \"memory_leader_electr\": there is no such extension; did you mean `memory_leader_elector`?",
        ),
        ("health_check", "the extension `health_check` is not a leader elector"),
        ("a b", "`a b` names no component"),
    ] {
        let error = error(old, &receiver(name));
        assert!(error.contains(says), "{says}: {error}");
    }
    let text = GOOD.replace(old, &receiver("memory_leader_elector")).replace("[memory_leader_elector, h", "[h");
    let errors = errors(&[&text]);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("unknown k8s leader elector \"memory_leader_elector\": add it to `service.extensions`"));
    // A receiver that is in no pipeline asks nobody.
    let text = GOOD.replace(old, "{dummy: , dummy/x: {k8s_leader_elector: x}}");
    let said = warnings(&text);
    assert!(said.len() == 2 && said[0].contains("receivers.dummy/x: is in no pipeline"), "{said:?}");
}

#[test]
fn a_creator_has_one_receiver() {
    let creator = |receiver: &str| {
        format!(
            "receivers:\n  leader_receiver_creator:\n    leader_election: {{lease_name: a, lease_namespace: b}}\n    \
             receiver: {receiver}\nexporters: {{debug: }}\nservice: {{pipelines: {{metrics: {{receivers: \
             [leader_receiver_creator], exporters: [debug]}}}}}}\n"
        )
    };
    load_all(&[&creator("{dummy: }")]).expect("it is good");
    let at = "receivers.leader_receiver_creator.receiver";
    for (receiver, says) in [
        ("{dummy: , k8s_cluster: }", format!("4:25: {at}.k8s_cluster: one receiver is expected")),
        ("{}", format!("{at}: a receiver is missing")),
        ("", "a receiver is missing".to_owned()),
        ("{dumy: }", format!("4:16: {at}.dumy: unknown kind of receiver `dumy`; did you mean `dummy`?")),
        ("{k8s_events: }", "`leader_receiver_creator` carries logs, and no metrics".to_owned()),
        ("{dummy: {intervall: 1s}}", format!("{at}.dummy.intervall: unknown key; did you mean `interval`?")),
    ] {
        let errors = errors(&[&creator(receiver)]);
        assert!(errors.len() == 1 && errors[0].contains(&says), "{says}: {errors:?}");
    }
}

/// The YAML of the design, as it is printed there.
#[test]
fn lost_indentation_is_told_for_what_it_is() {
    let text = "receivers:
  leader_receiver_creator:
    leader_election:
      lease_name: foo
      lease_namespace: bar
    receiver:
      k8s_cluster:
        auth_type: serviceAccount
        metrics:
        k8s.container.cpu_limit:
          enabled: false
        resource_attributes:
        container.id:
          enabled: false
exporters: {debug: }
service: {pipelines: {metrics: {receivers: [leader_receiver_creator], exporters: [debug]}}}
";
    let errors = errors(&[text]);
    assert_eq!(errors.len(), 2, "{errors:#?}");
    let at = "receivers.leader_receiver_creator.receiver.k8s_cluster";
    for (error, place, key, section) in [
        (&errors[0], "10:9", "k8s.container.cpu_limit", "metrics"),
        (&errors[1], "13:9", "container.id", "resource_attributes"),
    ] {
        let says = format!("belongs under `{section}`: indent it by two spaces more than `{section}:`");
        assert_eq!(*error, format!("{place}: {at}.{key}: {says}"));
    }
}

#[test]
fn a_value_that_is_not_known_is_told_once() {
    let old = "{dummy: {interval: 1s}}";
    let unset = error(old, "{dummy: {interval: '${NOBODY}'}}");
    assert!(unset.starts_with("1:31: receivers.dummy.interval: the variable `NOBODY` is not set"), "{unset}");
    // Not that there are no receivers, or that what is in it is missing.
    for (what, by) in [
        (old, "${NOBODY}"),
        ("[dummy]", "'${NOBODY}'"),
        ("{receivers: [dummy], processors: [batch], exporters: [debug]}", "${NOBODY}"),
        ("\n    metrics: {receivers: [dummy], processors: [batch], exporters: [debug]}", " ${NOBODY}"),
    ] {
        let error = error(what, by);
        assert!(error.contains("the variable `NOBODY` is not set"), "{error}");
    }
    let missing = error(old, "${file:/nobody/here}");
    assert!(missing.contains("the file `/nobody/here` cannot be read: No such file"), "{missing}");
}

#[test]
fn files_that_name_each_other_are_told_of_with_the_chain() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name).display().to_string();
    std::fs::write(path("a.yaml"), format!("dummy: ${{file:{}}}\n", path("b.yaml"))).expect("it can be written");
    std::fs::write(path("b.yaml"), format!("interval: ${{file:{}}}\n", path("a.yaml"))).expect("it can be written");
    let error = error("{dummy: {interval: 1s}}", &format!("${{file:{}}}", path("a.yaml")));
    let [a, b] = ["a.yaml", "b.yaml"].map(path);
    let chain = format!("this leads back to itself: file:{a} -> file:{b} -> file:{a}");
    assert!(error.contains(&chain) && error.contains("b.yaml:1:11: receivers.dummy.interval: "), "{error}");
}

#[test]
fn everything_is_told_at_once_in_the_order_of_its_place() {
    let first = "receivers: {dummy: {interval: 5}}\nexporters: {debug: {verbosit: x}, nothing: }\n";
    let second =
        "service:\n  pipelines: {metrics: {receivers: [dumy], exporters: [debug]}}\n  extensions: [x]\nextra: 1\n";
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name).display().to_string();
    std::fs::write(path("z.yaml"), first).expect("it can be written");
    std::fs::write(path("a.yaml"), second).expect("it can be written");
    let set = Source::set("exporters.debug.verbosity=${NOBODY}").expect("it has a `=`");
    let sources = [Source::File(path("z.yaml")), Source::File(path("a.yaml")), set];
    let problems = load(&sources, &environment, &registry()).expect_err("much is wrong");
    let shown = |problem: &crate::config::Problem| {
        let place = problem.place.to_string();
        format!("{} {}", place.rsplit('/').next().unwrap_or(&place), problem.path)
    };
    assert_eq!(
        problems.errors.iter().map(shown).collect::<Vec<_>>(),
        [
            "z.yaml:1:31 receivers.dummy.interval",
            "z.yaml:2:21 exporters.debug.verbosit",
            "z.yaml:2:35 exporters.nothing",
            "a.yaml:2:37 service.pipelines.metrics.receivers[0]",
            "a.yaml:3:16 service.extensions[0]",
            "a.yaml:4:1 extra",
            "--set exporters.debug.verbosity exporters.debug.verbosity",
        ]
    );
}

#[test]
fn where_a_source_is_not_there_nothing_is_said_of_what_is_missing() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name).display().to_string();
    std::fs::write(path("bad.yaml"), "receivers: {dummy: \n").expect("it can be written");
    for name in ["missing.yaml", "bad.yaml"] {
        let other = Source::Yaml("service: {pipelines: {metrics: {receivers: [dummy]}}}".into());
        let problems = load(&[Source::File(path(name)), other], &environment, &registry());
        let problems = problems.expect_err("a file is not there");
        assert_eq!(problems.errors.len(), 1, "{problems:?}");
        assert_eq!(*problems.errors[0].place.source, *path(name));
    }
}

#[test]
fn connectors_are_refused_once() {
    let text = GOOD.replace("service:", "connectors: {forward: }\nservice:").replace("[debug]", "[debug, forward]");
    let errors = errors(&[&text]);
    assert!(errors.len() == 1 && errors[0].starts_with("5:1: connectors: there are no connectors here"), "{errors:?}");
    load_all(&[&GOOD.replace("service:", "connectors: {}\nservice:")]).expect("there are none");
}

#[test]
fn a_path_that_a_set_has_is_said_once() {
    let set = Source::set("receivers.dummy.interval=soon").expect("it has a `=`");
    let problems = load(&[Source::Yaml(GOOD.to_owned()), set], &environment, &registry()).expect_err("no duration");
    let said = problems.errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(said.len() == 1 && said[0].matches("receivers.dummy.interval").count() == 1, "{said:?}");
    let set = Source::set("receivers.dummy={intervall: 1s}").expect("it has a `=`");
    let problems = load(&[Source::Yaml(GOOD.to_owned()), set], &environment, &registry()).expect_err("no key");
    let said = problems.errors[0].to_string();
    assert!(said.starts_with("--set receivers.dummy: receivers.dummy.intervall: unknown key"), "{said}");
}

#[test]
fn own_metrics_that_make_no_sense_are_told() {
    for (metrics, says) in [
        ("{address: nowhere}", "HOST:PORT is expected"),
        ("{level: some}", "`some` is none of none, basic, normal, detailed"),
        ("{readers: {}}", "a list is expected here, not a map"),
        ("{readers: [{pull: {exporter: {prometheus: {port: 70000}}}}]}", "70000 is not between 0 and 65535"),
        ("{readers: [{pull: {exporter: {prometheus: {host: a}}}}]}", "the port to listen on is missing"),
        ("{readers: [{pull: {exporter: {prometeus: {}}}}]}", "did you mean `prometheus`?"),
        ("{address: ':1', readers: [{pull: {exporter: {prometheus: {port: 1}}}}]}", "leave out one of the two"),
    ] {
        let errors = errors(&[GOOD, &format!("service::telemetry::metrics: {metrics}")]);
        assert!(errors.len() == 1 && errors[0].contains(says), "{metrics}: {errors:?}");
    }
}
