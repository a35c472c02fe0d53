//! What is to load, and what it gives.

use super::*;
use crate::config::{MetricsEndpoint, Pipeline};

/// What the excerpts leave out.
const REST: &str = "
processors: {batch: }
exporters: {otlp: {endpoint: 'localhost:4317'}}
";

const EXTENSION: &str = "
receivers:
  k8s_cluster:                                     # or dummy/foo, kymastats, exec/cmd
    k8s_leader_elector: k8s_leader_elector         # also accepted: leader_elector (v0.121), leaderelector (design 013)
extensions:
  k8s_leader_elector:                              # also k8s_leader_elector/foo, .../bar: several electors, several leases
    auth_type: kubeConfig                          # serviceAccount (factory default) | kubeConfig | none ; context: NAME
    lease_name: foo
    lease_namespace: default
    lease_duration: 15s
    renew_deadline: 10s
    retry_period: 2s
service:
  extensions: [k8s_leader_elector]
  pipelines: {metrics: {receivers: [k8s_cluster], processors: [batch], exporters: [otlp]}}
";

const CREATOR: &str = "
receivers:
  leader_receiver_creator:                         # also singleton_receiver_creator, and with /name
    auth_type: serviceAccount
    leader_election: {lease_name: foo, lease_namespace: bar, lease_duration: 15s, renew_deadline: 10s, retry_period: 2s}
    receiver:
      k8s_cluster:
        auth_type: serviceAccount
        node_conditions_to_report: [Ready, MemoryPressure]
        allocatable_types_to_report: [cpu, memory]
        metrics: {k8s.container.cpu_limit: {enabled: false}}
        resource_attributes: {container.id: {enabled: false}}
";

const CREATOR_REST: &str = "
service: {pipelines: {metrics: {receivers: [leader_receiver_creator], processors: [batch], exporters: [otlp]}}}
";

#[test]
fn the_extension_of_the_collector_loads() {
    let Loaded { collector, warnings, .. } = load_all(&[EXTENSION, REST]).expect("it is good");
    assert!(warnings.len() == 1 && warnings[0].message.contains("`auth_type: kubeConfig` too"), "{warnings:?}");
    assert_eq!(ids(&collector.extensions), ["k8s_leader_elector"]);
    assert_eq!(ids(&collector.receivers), ["k8s_cluster"]);
    assert_eq!((ids(&collector.processors), ids(&collector.exporters)), (vec!["batch".into()], vec!["otlp".into()]));
    let id = |text: &str| text.parse().expect("it is an id");
    let metrics = Pipeline {
        id: "metrics".parse().expect("it is an id"),
        receivers: vec![id("k8s_cluster")],
        processors: vec![id("batch")],
        exporters: vec![id("otlp")],
    };
    assert_eq!(collector.pipelines, [metrics]);
    let Some(ElectorChoice::Named(name)) = collector.receivers[0].1.elector() else { panic!("it names one") };
    assert_eq!(name.value, id("k8s_leader_elector"));
}

#[test]
fn every_spelling_of_the_elector_loads() {
    for key in ["leader_elector", "leaderelector"] {
        let text = EXTENSION.replace("    k8s_leader_elector: k8s", &format!("    {key}: k8s"));
        assert!(text.contains(&format!("    {key}: k8s")));
        load_all(&[&text, REST]).expect(key);
    }
    // The kind too, and a name, with the spaces that the Collector leaves out.
    let older = EXTENSION.replace("k8s_leader_elector: k8s_leader_elector ", "leaderelector: leaderelector / a ");
    let older = older.replace("  k8s_leader_elector:  ", "  leaderelector/a :  ");
    let older = older.replace("[k8s_leader_elector]", "[leaderelector/a]");
    let loaded = load_all(&[&older, REST]).expect("it is good");
    assert_eq!(ids(&loaded.collector.extensions), ["leaderelector/a"]);
    assert!(loaded.collector.extensions[0].1.is_elector());
}

#[test]
fn the_receiver_creator_loads_under_both_names() {
    for name in ["leader_receiver_creator", "singleton_receiver_creator", "leader_receiver_creator/x"] {
        let excerpt = CREATOR.replace("  leader_receiver_creator:", &format!("  {name}:"));
        let rest = CREATOR_REST.replace("leader_receiver_creator", name);
        let loaded = load_all(&[&excerpt, REST, &rest]).expect(name);
        assert_eq!(ids(&loaded.collector.receivers), [name]);
        assert!(matches!(loaded.collector.receivers[0].1.elector(), Some(ElectorChoice::Own(_))));
    }
}

#[test]
fn later_sources_and_variables_change_what_earlier_ones_say() {
    let sources = [
        Source::Yaml(EXTENSION.to_owned()),
        Source::Yaml(REST.to_owned()),
        Source::Yaml("extensions::k8s_leader_elector::lease_name: ${LEASE}".to_owned()),
        Source::Yaml("exporters: {debug: {verbosity: detailed}}".to_owned()),
        Source::set("service.pipelines.metrics.exporters=[debug, otlp, debug]").expect("it has a `=`"),
        Source::set("exporters.otlp.endpoint=${env:ENDPOINT}").expect("it has a `=`"),
    ];
    let resolved = resolve(&sources, &environment);
    let shown = crate::config::Printed::new(&resolved.root, crate::config::Mode::Redacted);
    let shown = serde_json::to_string(&shown).expect("it can be shown");
    assert!(shown.contains(r#""lease_name":"leader","lease_namespace":"default""#), "{shown}");
    assert!(shown.contains(r#""endpoint":"collector:4317""#), "{shown}");
    let loaded = resolved.configure(&registry()).expect("it is good");
    let exporters = &loaded.collector.pipelines[0].exporters;
    assert_eq!(exporters.iter().map(ToString::to_string).collect::<Vec<_>>(), ["debug", "otlp"]);
}

#[test]
fn extensions_keep_the_order_in_which_they_are_started() {
    let text = "
receivers: {dummy/b: , dummy/a: , dummy/unused: }
exporters: {debug: , file/unused: {path: x}}
extensions: {memory_leader_elector/a: , memory_leader_elector/b: , memory_leader_elector/c: , memory_leader_elector/d: }
service:
  extensions: [memory_leader_elector/d, memory_leader_elector/a, memory_leader_elector/c]
  pipelines:
    metrics/two: {receivers: [dummy/a, dummy/b], exporters: [debug]}
    metrics: {receivers: [dummy/a], exporters: [debug]}
";
    let loaded = load_all(&[text]).expect("it is good");
    let names = ["memory_leader_elector/d", "memory_leader_elector/a", "memory_leader_elector/c"];
    assert_eq!(ids(&loaded.collector.extensions), names);
    assert_eq!(ids(&loaded.collector.receivers), ["dummy/b", "dummy/a"]);
    let pipelines: Vec<String> = loaded.collector.pipelines.iter().map(|pipeline| pipeline.id.to_string()).collect();
    assert_eq!(pipelines, ["metrics/two", "metrics"]);
    let warnings = loaded.warnings.iter().map(ToString::to_string);
    assert_eq!(
        warnings.filter(|warning| warning.ends_with("so it does not run")).collect::<Vec<_>>(),
        [
            "yaml:2:35: receivers.dummy/unused: is in no pipeline, so it does not run",
            "yaml:3:22: exporters.file/unused: is in no pipeline, so it does not run",
            "yaml:4:41: extensions.memory_leader_elector/b: is not in `service.extensions`, so it does not run",
        ]
    );
}

#[test]
fn own_metrics_are_where_the_configuration_says() {
    let endpoint = |host: &str, port| Some(MetricsEndpoint { host: host.to_owned(), port });
    for (metrics, expected) in [
        ("{}", None),
        ("{level: detailed}", None),
        ("{address: ':8888'}", endpoint("0.0.0.0", 8888)),
        ("{address: 'localhost:0'}", endpoint("localhost", 0)),
        ("{address: '[::1]:8888', level: basic}", endpoint("::1", 8888)),
        ("{address: ':8888', level: none}", None),
        ("{readers: [{pull: {exporter: {prometheus: {host: '0.0.0.0', port: 8888}}}}]}", endpoint("0.0.0.0", 8888)),
        ("{readers: [{pull: {exporter: {prometheus: {port: 1}}}}]}", endpoint("localhost", 1)),
        ("{readers: }", None),
    ] {
        let telemetry = format!("service::telemetry::metrics: {metrics}");
        let loaded = load_all(&[OWN, &telemetry]).expect(metrics);
        assert_eq!((loaded.collector.telemetry.metrics, loaded.warnings.len()), (expected, 0), "{metrics}");
    }
}

const OWN: &str = "
receivers: {dummy: }
exporters: {debug: }
service: {pipelines: {metrics: {receivers: [dummy], exporters: [debug]}}}
";

#[test]
fn own_metrics_are_sent_to_where_the_configuration_says() {
    let telemetry = "
service::telemetry:
  resource: {service.name: me, service.instance.id: , build: 0123}
  metrics:
    level: detailed
    readers:
      - pull: {exporter: {prometheus: {port: 1}}}
      - periodic: {exporter: {otlp: {protocol: grpc, endpoint: 'collector:4317'}}}
      - periodic:
          interval: 10000
          timeout: 5000
          exporter:
            otlp:
              protocol: http/protobuf
              endpoint: https://collector:4318/in
              headers: [{name: x-key, value: hush}]
              headers_list: x-key=other,x-list=a%20b
              compression: gzip
              timeout: 2000
              temporality_preference: cumulative
              certificate: ca.pem
              client_certificate: client.pem
              client_key: key.pem
";
    let loaded = load_all(&[OWN, telemetry]).expect("it is good");
    assert_eq!(loaded.warnings, []);
    let own = loaded.collector.telemetry;
    assert_eq!(own.metrics.map(|endpoint| endpoint.port), Some(1));
    let text = |text: &str| Some(text.to_owned());
    let resource = [("service.name", text("me")), ("service.instance.id", None), ("build", text("0123"))];
    assert_eq!(own.resource, resource.map(|(key, value)| (key.to_owned(), value)));
    let secs = std::time::Duration::from_secs;
    let times: Vec<_> = own.exports.iter().map(|export| (export.interval, export.timeout)).collect();
    assert_eq!(times, [(secs(60), secs(30)), (secs(10), secs(5))]);
    let shown = format!("{:?}", own.exports);
    assert!(shown.contains("collector:4317") && shown.contains("https://collector:4318/in"), "{shown}");
    assert!(shown.contains("x-list") && shown.contains("ca.pem") && !shown.contains("hush"), "{shown}");
    let off = load_all(&[OWN, telemetry, "service::telemetry::metrics::level: none"]).expect("it is good");
    assert!(off.collector.telemetry.exports.is_empty(), "none is none");
}

#[test]
fn what_is_wrong_with_the_readers_of_own_metrics_is_told() {
    let reader = "service.telemetry.metrics.readers[0]";
    for (text, path, message) in [
        ("{}", ".periodic", "a reader is one of `pull` and `periodic`; write an item for each"),
        ("{periodic: {}}", ".periodic.exporter", "an exporter is missing: otlp, with protocol and endpoint"),
        (
            "{periodic: {exporter: {}}}",
            ".periodic.exporter.otlp",
            "an exporter is missing: otlp, with protocol and endpoint",
        ),
        (
            "{pull: {exporter: {}}}",
            ".pull.exporter.prometheus",
            "an exporter is missing: prometheus, with host and port",
        ),
        (
            "{periodic: {exporter: {otlp: {endpoint: 'x:1'}}}}",
            ".periodic.exporter.otlp.protocol",
            "is missing: grpc or http/protobuf",
        ),
        (
            "{periodic: {exporter: {otlp: {protocol: http}}}}",
            ".periodic.exporter.otlp.protocol",
            "`http` is none of grpc, http/protobuf",
        ),
        (
            "{periodic: {interval: 1m, exporter: {otlp: {protocol: grpc}}}}",
            ".periodic.interval",
            "a whole number of milliseconds is expected here; write 60000 for 1m",
        ),
        (
            "{periodic: {exporter: {otlp: {protocol: grpc, endpoint: 'https://a:b@c:1'}}}}",
            ".periodic.exporter.otlp.endpoint",
            "a login has no place in it; give it with `headers`",
        ),
        (
            "{periodic: {exporter: {otlp: {protocol: grpc, client_key: x}}}}",
            ".periodic.exporter.otlp.client_key",
            "a client certificate needs its key: `client_certificate` is missing",
        ),
        ("{periodic: {exporter: {otlp: {protocol: grpc, tls: {}}}}}", ".periodic.exporter.otlp.tls", ""),
    ] {
        let telemetry = format!("service::telemetry::metrics::readers: [{text}]");
        let errors = load_all(&[OWN, &telemetry]).expect_err(text).errors;
        assert_eq!((errors.len(), errors[0].path.clone()), (1, format!("{reader}{path}")), "{text}: {errors:?}");
        assert!(errors[0].message.starts_with(message), "{text}: {errors:?}");
    }
}

#[test]
fn what_the_collector_knows_about_its_own_telemetry_is_accepted() {
    let accepted = "
service::telemetry:
  logs: {level: debug}
  traces: {}
  resource: {a: b}
  metrics: {readers: [{producers: [], periodic: {exporter: {console: {}}}}], views: []}
";
    let loaded = load_all(&[OWN, accepted]).expect("the Collector knows them");
    let paths: Vec<&str> = loaded.warnings.iter().map(|warning| warning.path.as_str()).collect();
    let (own, reader) = ("service.telemetry", "service.telemetry.metrics.readers[0]");
    assert_eq!(
        paths,
        [
            format!("{own}.logs"),
            format!("{own}.traces"),
            format!("{own}.resource"),
            format!("{reader}.producers"),
            format!("{reader}.periodic.exporter.console"),
            format!("{own}.metrics.views"),
        ]
    );
}
