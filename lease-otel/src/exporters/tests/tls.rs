//! TLS with a private authority and a client certificate, and what is said when that does not fit.

use testbed::otlp::Certificates;

use super::*;

struct Place {
    sink: Sink,
    ca: String,
    cert: String,
    key: String,
}

impl Place {
    fn new() -> (Self, Certificates) {
        Self::with(Certificates::new())
    }

    fn with(certificates: Certificates) -> (Self, Certificates) {
        let (cert, key) = certificates.client();
        let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
        let sink = Sink::start_tls(&certificates);
        (Self { sink, ca: text(certificates.ca()), cert: text(cert), key: text(key) }, certificates)
    }

    /// Both kinds at `localhost`, as the certificate has it.
    async fn both(&self, entries: &[(&str, &str)]) -> [Running; 2] {
        let grpc = format!("localhost:{}", self.sink.grpc().port());
        let http = format!("https://localhost:{}", self.sink.http().port());
        [
            Running::start("otlp", &[&[("endpoint", grpc.as_str())], entries].concat()).await,
            Running::start("otlphttp", &[&[("endpoint", http.as_str())], entries].concat()).await,
        ]
    }
}

#[tokio::test]
async fn a_private_authority_and_a_client_certificate_are_used() {
    // The server has a certificate of the authority, or is the authority.
    for certificates in [Certificates::new(), Certificates::self_signed()] {
        let (place, _files) = Place::with(certificates);
        let entries = [("tls.ca_file", &*place.ca), ("tls.cert_file", &*place.cert), ("tls.key_file", &*place.key)];
        for exporter in place.both(&entries).await {
            exporter.offer(3).await.unwrap();
            exporter.until_sent(3).await;
            exporter.end().await;
        }
        assert_eq!(place.sink.items_taken(), 6);
    }
}

#[tokio::test]
async fn what_does_not_fit_is_told_with_the_way_out() {
    let (place, _files) = Place::new();
    let identity = [("tls.cert_file", &*place.cert), ("tls.key_file", &*place.key)];
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&identity, "is not trusted"),
        (&[("tls.ca_file", &place.ca)], "asks for a client certificate; give it with tls.cert_file and tls.key_file"),
        (
            &[("tls.ca_file", &place.ca), ("tls.server_name_override", "other"), identity[0], identity[1]],
            "the certificate is not for `other`",
        ),
    ];
    for (entries, told) in cases {
        for exporter in place.both(entries).await {
            let (logs, _guard) = Logs::keep();
            exporter.offer(1).await.unwrap();
            logs.until(told).await;
            exporter.end().await;
        }
    }
    assert!(place.sink.received().is_empty());
}

#[tokio::test]
async fn a_server_that_has_signed_its_own_certificate_is_not_trusted_unasked() {
    let (place, _files) = Place::with(Certificates::self_signed());
    let others = Certificates::new();
    let other = others.ca();
    for exporter in place.both(&[("tls.ca_file", other.to_str().unwrap())]).await {
        let (logs, _guard) = Logs::keep();
        exporter.offer(1).await.unwrap();
        logs.until("is not trusted: it is that of an authority, and not one that is given; give its authority").await;
        exporter.end().await;
    }
    assert!(place.sink.received().is_empty());
}

#[tokio::test]
async fn verification_can_be_left_out() {
    let (place, _files) = Place::new();
    let entries =
        [("tls.insecure_skip_verify", "true"), ("tls.cert_file", &*place.cert), ("tls.key_file", &*place.key)];
    for exporter in place.both(&entries).await {
        exporter.offer(1).await.unwrap();
        exporter.until_sent(1).await;
        exporter.end().await;
    }
}

#[tokio::test]
async fn tls_where_there_is_none_and_none_where_there_is_are_told() {
    let plain = Sink::start();
    let (place, _files) = Place::new();
    let cases = [
        ("otlp", plain.grpc().to_string(), "false", "TLS"),
        ("otlphttp", format!("https://{}", plain.http()), "false", "does not speak TLS"),
        ("otlp", place.sink.grpc().to_string(), "true", "TLS"),
        ("otlphttp", format!("http://{}", place.sink.http()), "true", "speaks TLS: write https://"),
    ];
    for (kind, endpoint, insecure, told) in cases {
        let (logs, _guard) = Logs::keep();
        let entries = [("endpoint", &*endpoint), ("tls.insecure", insecure), ("tls.insecure_skip_verify", "true")];
        let exporter = Running::start(kind, &entries).await;
        exporter.offer(1).await.unwrap();
        logs.until(told).await;
        exporter.end().await;
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let (_place, files) = Place::new();
    let (cert, key) = files.client();
    let cases = [
        (vec![("tls.ca_file", "/nowhere/ca.pem")], "tls.ca_file: `/nowhere/ca.pem` cannot be read"),
        (vec![("tls.ca_file", key.to_str().unwrap())], "tls.ca_file holds no certificate in PEM form"),
        (
            vec![("tls.cert_file", cert.to_str().unwrap()), ("tls.key_file", cert.to_str().unwrap())],
            "tls.key_file holds no private key in PEM form",
        ),
    ];
    for (entries, told) in cases {
        let all = [vec![("endpoint", "localhost:1")], entries].concat();
        let registry = registry();
        let (exporter, _) = configured(&all, |fields| registry.exporter("otlp").unwrap().configure(fields));
        let id = "otlp".parse().unwrap();
        let error = exporter.start(&id, CancellationToken::new(), Tally::new()).await.err().unwrap().to_string();
        assert!(error.contains(told), "{error}");
    }
}
