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
    let Loaded { collector, warnings } = load_all(&[EXTENSION, REST]).expect("it is good");
    assert_eq!(warnings, []);
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
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "yaml:2:35: receivers.dummy/unused: is in no pipeline, so it does not run",
            "yaml:3:22: exporters.file/unused: is in no pipeline, so it does not run",
            "yaml:4:41: extensions.memory_leader_elector/b: is not in `service.extensions`, so it does not run",
        ]
    );
}

#[test]
fn own_metrics_are_where_the_configuration_says() {
    let base = "
receivers: {dummy: }
exporters: {debug: }
service: {pipelines: {metrics: {receivers: [dummy], exporters: [debug]}}}
";
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
        let loaded = load_all(&[base, &telemetry]).expect(metrics);
        assert_eq!((loaded.collector.telemetry.metrics, loaded.warnings.len()), (expected, 0), "{metrics}");
    }
    let accepted =
        "service::telemetry: {logs: {level: debug}, traces: {}, metrics: {readers: [{periodic: {}}], views: []}}";
    let loaded = load_all(&[base, accepted]).expect("the Collector knows them");
    let paths: Vec<&str> = loaded.warnings.iter().map(|warning| warning.path.as_str()).collect();
    let metrics = ["service.telemetry.metrics.readers[0].periodic", "service.telemetry.metrics.views"];
    assert_eq!(paths, ["service.telemetry.logs", "service.telemetry.traces", metrics[0], metrics[1]]);
}
