//! The collector's own metrics, sent to a receiver of OTLP.

use std::env::VarError;
use std::sync::Arc;
use std::time::Duration;

use lease_otel::config;
use lease_otel::host::Host;
use lease_otel::telemetry::Telemetry;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use testbed::otlp::{Answer, Protocol, Received, Sink, Telemetry as Arrived};

async fn start(namespace: &str, otlp: &str, interval_ms: u64) -> Host {
    let text = format!(
        "
extensions:
  memory_leader_elector: {{lease_namespace: {namespace}, lease_duration: 15s, renew_deadline: 10s, retry_period: 100ms}}
receivers: {{dummy: {{interval: 1h, k8s_leader_elector: memory_leader_elector}}}}
exporters: {{debug: }}
service:
  extensions: [memory_leader_elector]
  pipelines: {{metrics: {{receivers: [dummy], exporters: [debug]}}}}
  telemetry:
    resource: {{service.name: tested}}
    metrics: {{readers: [{{periodic: {{interval: {interval_ms}, exporter: {{otlp: {{{otlp}}}}}}}}}]}}
"
    );
    let source = format!("yaml:{text}").parse().expect("a source");
    let registry = lease_otel::registry();
    let loaded = config::load(&[source], &|_| Err(VarError::NotPresent), &registry).expect("nothing is wrong with it");
    Host::start(loaded.collector, Arc::new(Telemetry::new())).await.expect("it starts")
}

fn resource(request: &Received) -> &ResourceMetrics {
    let Arrived::Metrics(metrics) = &request.telemetry else { panic!("metrics are expected") };
    let [resource] = metrics.resource_metrics.as_slice() else { panic!("one resource is expected") };
    resource
}

/// The value of a metric that has one point.
fn value(request: &Received, name: &str) -> Option<Value> {
    let mut metrics = resource(request).scope_metrics.iter().flat_map(|scope| &scope.metrics);
    let points = match metrics.find(|metric| metric.name == name)?.data.as_ref()? {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => &sum.data_points,
        _ => return None,
    };
    let [point] = points.as_slice() else { panic!("{name} has one point, not {points:?}") };
    point.value
}

const LEADS: &str = "lease_is_leader";

#[tokio::test(flavor = "multi_thread")]
async fn they_are_sent_by_both_protocols_now_and_again_and_at_the_end() {
    let sink = Sink::start();
    for (protocol, endpoint, expected) in [
        ("grpc", sink.grpc().to_string(), Protocol::Grpc),
        ("http/protobuf", format!("http://{}", sink.http()), Protocol::HttpProto),
    ] {
        let before = sink.received().len();
        let otlp = format!("protocol: {protocol}, endpoint: '{endpoint}', insecure: true, headers: {{x-key: hush}}");
        let host = start(&format!("own-{}", expected as u8), &otlp, 50).await;
        let leads = |request: &Received| value(request, LEADS) == Some(Value::AsDouble(1.0));
        let received = sink.wait_until(|received| received[before..].iter().any(leads));
        let request = received[before..].iter().find(|request| leads(request)).expect("it was waited for");
        assert_eq!((request.protocol, request.gzip, request.header("x-key")), (expected, false, Some("hush")));
        let attributes = &resource(request).resource.as_ref().expect("it has one").attributes;
        let name = attributes.iter().find(|attribute| attribute.key == "service.name").expect("it has a name");
        let name = name.value.as_ref().and_then(|value| value.value.clone());
        assert_eq!(name, Some(Any::StringValue("tested".to_owned())));
        assert_eq!(value(request, "lease_acquisitions"), Some(Value::AsInt(1)));
        host.shutdown(Duration::from_secs(5)).await;
        let last = sink.received().pop().expect("there were some before");
        assert_eq!(value(&last, LEADS), Some(Value::AsDouble(0.0)), "the end is told too");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_away_holds_nothing_up_and_is_told_all_when_it_is_back() {
    let sink = Sink::start();
    sink.otherwise(Answer::invalid());
    let otlp = format!("protocol: grpc, endpoint: '{}', insecure: true", sink.grpc());
    let host = start("own-away", &otlp, 20).await;
    sink.wait_until(|received| received.len() > 2);
    sink.otherwise(Answer::Take);
    // The first that is taken may have been made before it led.
    let leads = |request: &Received| value(request, "lease_acquisitions") == Some(Value::AsInt(1));
    sink.wait_until(|received| received.iter().any(|request| request.taken && leads(request)));
    sink.otherwise(Answer::Delay(Duration::from_mins(1)));
    let count = sink.received().len();
    sink.wait_until(|received| received.len() > count);
    let stopped = host.shutdown(Duration::from_secs(20)).await;
    assert_eq!(stopped, lease_otel::host::Stopped::InOrder, "it does not wait for an endpoint that hangs");
}
