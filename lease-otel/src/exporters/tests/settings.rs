//! The keys of both exporters.

use super::*;
use crate::test_kit::problems;

fn errors(kind: &str, entries: &[(&str, &str)]) -> Vec<String> {
    problems(entries, |fields| drop(registry().exporter(kind).unwrap().configure(fields)))
}

#[test]
fn an_endpoint_of_grpc_is_a_host_and_a_port() {
    for good in ["localhost:4317", "http://localhost:4317", "https://otel.example:443", "dns:///host:1", "[::1]:4317"] {
        assert_eq!(errors("otlp", &[("endpoint", good)]), [] as [&str; 0], "{good}");
    }
    let bad = [
        ("localhost", "endpoint: `localhost` has no port; OTLP over gRPC is usually at localhost:4317"),
        (
            "http://host:4318/v1/metrics",
            "endpoint: `http://host:4318/v1/metrics` has a path, which gRPC does not have: write `host:4318`, or use the \
             exporter otlp_http",
        ),
        ("a:99999", "endpoint: `99999` is not a port: those are 1 to 65535"),
        ("a:0", "endpoint: `0` is not a port: those are 1 to 65535"),
        ("[::1]:99999", "endpoint: `99999` is not a port: those are 1 to 65535"),
        ("unix:///run/x.sock", "endpoint: `unix:///run/x.sock` is not of the form HOST:PORT"),
        ("grpc://localhost:4317", "endpoint: `grpc://` is no scheme of an endpoint of gRPC: write `localhost:4317`"),
        ("http://tcp://a:1/x", "endpoint: `tcp://` is no scheme of an endpoint of gRPC: write `a:1`"),
        ("grpc://", "endpoint: `grpc://` is no scheme of an endpoint of gRPC: write `HOST:4317`"),
    ];
    for (endpoint, message) in bad {
        assert_eq!(errors("otlp", &[("endpoint", endpoint)]), [message]);
    }
    assert_eq!(errors("otlp_grpc", &[]), ["endpoint: is missing: where to send to, as `HOST:4317`"]);
}

#[test]
fn an_endpoint_of_http_is_a_url() {
    assert_eq!(errors("otlphttp", &[("endpoint", "https://host/otlp/")]), [] as [&str; 0]);
    assert_eq!(errors("otlphttp", &[("logs_endpoint", "http://host:4318/x")]), [] as [&str; 0]);
    assert_eq!(errors("otlp_http", &[]).len(), 1);
    let port = ["endpoint: `99999` is not a port: those are 1 to 65535"];
    assert_eq!(errors("otlphttp", &[("endpoint", "http://a:99999")]), port);
    assert_eq!(errors("otlphttp", &[("endpoint", "http://[::1]:4318")]), [] as [&str; 0]);
    for bad in ["http://", "https://", "http:///v1/metrics", "http://:4318"] {
        let told = format!("endpoint: `{bad}` has no host; write it as `http://HOST:4318`");
        assert_eq!(errors("otlphttp", &[("endpoint", bad)]), [told]);
    }
    for bad in ["localhost:4318", "ftp://host", "/v1/metrics"] {
        let told = errors("otlphttp", &[("endpoint", bad)]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("with http:// or https://"), "{told:?}");
    }
}

#[test]
fn what_the_reference_knows_is_accepted_with_a_warning_and_what_it_refuses_is_refused() {
    let entries = [("endpoint", "host:1"), ("wait_for_ready", "true"), ("sending_queue.batch.min_size", "5")];
    let ((), noted) = configured(&entries, |fields| drop(registry().exporter("otlp").unwrap().configure(fields)));
    assert_eq!(noted.errors, []);
    let paths: Vec<&str> = noted.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(paths, ["sending_queue.batch", "wait_for_ready"]);
    let wrong = [
        ("sending_queue.queue_size", "0"),
        ("sending_queue.num_consumers", "0"),
        ("sending_queue.sizer", "lines"),
        ("retry_on_failure.randomization_factor", "1.5"),
        ("retry_on_failure.multiplier", "-1"),
        ("retry_on_failure.max_elapsed_time", "1s"),
        ("compression", "br"),
        ("tls.cert_file", "x.pem"),
        ("tls.max_version", "1.1"),
        ("tls.ca", "x.pem"),
    ];
    for (key, value) in wrong {
        let told = errors("otlp", &[("endpoint", "host:1"), (key, value)]);
        assert!(!told.is_empty() && told.iter().all(|error| error.starts_with(key)), "{key}: {told:?}");
    }
}

#[tokio::test]
async fn headers_are_sent_and_never_shown() {
    let sink = Sink::start();
    let (logs, _guard) = Logs::keep();
    let entries = [("headers.Authorization", "Bearer hush"), ("headers.x-tenant", "7")];
    for exporter in both(&sink, &entries).await {
        assert!(!format!("{:?}", exporter.consumer).contains("hush"));
        exporter.offer(1).await.unwrap();
        exporter.flush().await;
        exporter.end().await;
    }
    for request in sink.received() {
        assert_eq!((request.header("authorization"), request.header("x-tenant")), (Some("Bearer hush"), Some("7")));
    }
    let registry = registry();
    let all = [entries.as_slice(), &[("endpoint", "host:1"), ("tls.key_pem", "hush"), ("tls.cert_pem", "x")]].concat();
    let (exporter, _) = configured(&all, |fields| registry.exporter("otlp").unwrap().configure(fields));
    let shown = format!("{exporter:?}");
    assert!(shown.contains("x-tenant") && !shown.contains("hush"), "{shown}");
    assert!(!logs.text().contains("hush"));
    let wrong = errors("otlp", &[("endpoint", "host:1"), ("headers.bad name", "hush"), ("headers.k", "hush\n")]);
    assert_eq!(wrong.len(), 2);
    assert!(!wrong.concat().contains("hush"), "{wrong:?}");
}

#[test]
fn a_login_in_an_address_is_refused_and_no_secret_of_an_address_is_shown() {
    for (kind, endpoint) in [
        ("otlp", "user:hush@host:4317"),
        ("otlp", "https://user:hush@host:4317"),
        ("otlp", "user:hush@host"),
        ("otlphttp", "https://user:hush@host:4318"),
        ("otlphttp", "user:hush@host:4318"),
        ("otlphttp", "https://user:hu sh@host"),
        ("otlphttp", "host:4318?key=hush"),
        ("otlphttp", "https://host/?key=hu sh"),
    ] {
        let told = errors(kind, &[("endpoint", endpoint)]);
        assert!(told.len() == 1 && !told[0].contains("hu"), "{endpoint}: {told:?}");
    }
    assert_eq!(errors("otlphttp", &[("endpoint", "https://host/a@b")]), [] as [&str; 0], "that is a path");
    let good = [("metrics_endpoint", "https://host/v1/metrics?key=hush")];
    let (exporter, _) = configured(&good, |fields| registry().exporter("otlphttp").unwrap().configure(fields));
    let shown = format!("{exporter:?}");
    assert!(shown.contains("https://host/v1/metrics") && !shown.contains("hush"), "{shown}");
}

#[test]
fn a_key_where_a_path_belongs_is_told_and_not_shown() {
    let key = "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n";
    let entries = [("endpoint", "host:1"), ("tls.cert_file", "a"), ("tls.key_file", key), ("tls.ca_file", key)];
    let told = errors("otlp", &entries);
    assert!(told.len() >= 2 && told.iter().all(|error| !error.contains("hush")), "{told:?}");
    let expected = "tls.key_file: the path of a file is expected here, not what the file holds; write it as `key_pem`";
    assert!(told.iter().any(|error| error == expected), "{told:?}");
}

#[test]
fn settings_of_tls_that_nothing_comes_of_are_told() {
    let warnings = |kind: &str, entries: &[(&str, &str)]| -> Vec<String> {
        let ((), noted) = configured(entries, |fields| drop(registry().exporter(kind).unwrap().configure(fields)));
        assert_eq!(noted.errors, []);
        noted.warnings.into_iter().map(|warning| format!("{}: {}", warning.path, warning.message)).collect()
    };
    let told = ["tls: has no effect: the endpoint is without TLS, and nothing is encrypted"];
    let client = [("tls.cert_file", "a"), ("tls.key_file", "b")];
    let (plain, insecure) = (("endpoint", "http://host:4318"), ("tls.insecure", "true"));
    assert_eq!(warnings("otlphttp", &[&[plain], &client[..]].concat()), told);
    assert_eq!(warnings("otlphttp", &[plain, ("tls.ca_file", "a")]), told);
    assert_eq!(warnings("otlphttp", &[plain, insecure]), [""; 0]);
    assert_eq!(warnings("otlphttp", &[&[("endpoint", "https://host")], &client[..]].concat()), [""; 0]);
    let mixed = ("traces_endpoint", "https://host");
    assert_eq!(warnings("otlphttp", &[&[plain, mixed], &client[..]].concat()), [""; 0]);
    assert_eq!(warnings("otlp", &[&[("endpoint", "host:1"), insecure], &client[..]].concat()), told);
    assert_eq!(warnings("otlp", &[("endpoint", "host:1"), insecure, ("tls.min_version", "1.3")]), told);
    assert_eq!(warnings("otlp", &[("endpoint", "https://host:1"), insecure, ("tls.min_version", "1.3")]), [""; 0]);
    assert_eq!(
        warnings("otlp", &[("endpoint", "host:1"), insecure, ("tls.ca_file", "a")]),
        [""; 0],
        "that asks for TLS"
    );
}

#[test]
fn a_header_is_what_is_written_also_where_it_looks_like_a_number() {
    use crate::config::{Fields, Problems, parse};
    let mut problems = Problems::default();
    let text = "headers: {octal: 0123, decimal: 1.10, exponent: 1e3, truth: True, quoted: '007', none: }";
    let node = parse(&"test".into(), text, &mut problems).unwrap();
    let headers = crate::exporters::settings::Headers::read(&mut Fields::new(&node, "", &mut problems));
    assert_eq!(problems.errors, []);
    let value = |name: &str| headers.0[name].to_str().unwrap().to_owned();
    let found = ["octal", "decimal", "exponent", "truth", "quoted", "none"].map(value);
    assert_eq!(found, ["0123", "1.10", "1e3", "True", "007", ""]);
}

#[test]
fn each_header_of_a_list_has_a_name_and_a_value() {
    use crate::config::{Fields, Problems, parse};
    let mut problems = Problems::default();
    let text = "headers: [a, {name: x}, {value: y}, {name: z, value: 1}]";
    let node = parse(&"test".into(), text, &mut problems).unwrap();
    let headers = crate::exporters::settings::Headers::read(&mut Fields::new(&node, "", &mut problems));
    assert_eq!(headers.0["z"], "1");
    let found: Vec<String> =
        problems.errors.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    let missing = "is missing: each header has a `name` and a `value`";
    let expected = [
        "headers[0]: a map is expected here, not a text".to_owned(),
        format!("headers[1].value: {missing}"),
        format!("headers[2].name: {missing}"),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn requests_are_compressed_unless_that_is_off() {
    let sink = Sink::start();
    for (index, compression) in ["gzip", "none"].into_iter().enumerate() {
        for exporter in both(&sink, &[("compression", compression)]).await {
            exporter.offer(50).await.unwrap();
            exporter.flush().await;
            exporter.end().await;
        }
        let gzip: Vec<bool> = sink.received()[2 * index..].iter().map(|request| request.gzip).collect();
        assert_eq!(gzip, [compression == "gzip"; 2]);
    }
    assert_eq!(sink.items_taken(), 200);
}

#[tokio::test]
async fn a_signal_may_have_an_address_of_its_own() {
    let sink = Sink::start();
    let metrics = format!("http://{}/v1/metrics", sink.http());
    let exporter = Running::start("otlphttp", &[("metrics_endpoint", &metrics), ("encoding", "json")]).await;
    exporter.offer(3).await.unwrap();
    exporter.flush().await;
    let [request] = sink.received().try_into().unwrap();
    assert_eq!((request.protocol, request.telemetry.items()), (Protocol::HttpJson, 3));
    let [_, logs, _] = recorded::all();
    exporter.consumer.consume(Batch { telemetry: logs.telemetry, term: None }).await.unwrap();
    exporter.flush().await;
    assert_eq!(exporter.tally.count("otelcol_exporter_send_failed_log_records"), 4, "there is no address for logs");
}
