//! Lines, rotation and a disk that is full.

use opentelemetry_proto::tonic::metrics::v1::MetricsData;
use prost::Message;

use super::writer::tests::Disk;
use super::*;
use crate::data::Telemetry;
use crate::exporters::recorded;
use crate::test_kit::{Logs, Tally, batch, configured, problems};

const SENT: &str = "otelcol_exporter_sent_metric_points";
const FAILED: &str = "otelcol_exporter_send_failed_metric_points";

struct Running {
    consumer: Arc<dyn Consumer>,
    tally: Arc<Tally>,
    stop: CancellationToken,
    work: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(path: &Path, entries: &[(&str, &str)]) -> Self {
        let all = [&[("path", path.to_str().unwrap())], entries].concat();
        let (exporter, noted) = configured(&all, |fields| File.configure(fields));
        assert_eq!(noted.errors, []);
        let (tally, stop) = (Tally::new(), CancellationToken::new());
        let (consumer, work) = exporter.start(&"file".parse().unwrap(), stop.clone(), tally.clone()).await.unwrap();
        Self { consumer, tally, stop, work: tokio::spawn(work.unwrap()) }
    }

    async fn offer(&self, points: usize) {
        self.consumer.consume(batch(points, None)).await.unwrap();
    }

    async fn flush(&self) {
        self.consumer.flush(std::time::Instant::now() + Duration::from_mins(1)).await;
    }

    async fn end(self) -> Arc<Tally> {
        self.stop.cancel();
        self.work.await.unwrap();
        self.tally
    }
}

#[tokio::test]
async fn the_lines_are_those_of_the_collector() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.jsonl");
    let file = Running::start(&path, &[]).await;
    let expected: String = recorded::all().map(|recorded| recorded.json).concat();
    for recorded in recorded::all() {
        file.consumer.consume(Batch { telemetry: recorded.telemetry, term: None }).await.unwrap();
    }
    file.flush().await;
    assert!(std::fs::read_to_string(&path).unwrap() == expected);
    assert_eq!(file.end().await.count("otelcol_exporter_sent_spans"), 3);
}

#[tokio::test]
async fn protobuf_has_its_length_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.pb");
    let file = Running::start(&path, &[("format", "proto")]).await;
    let mut sizes = Vec::new();
    for points in [1, 200, 30] {
        let batch = batch(points, None);
        sizes.push(encode_request(batch.telemetry.clone()).len());
        file.consumer.consume(batch).await.unwrap();
    }
    file.end().await;
    let bytes = std::fs::read(&path).unwrap();
    let mut rest = bytes.as_slice();
    for (size, points) in sizes.into_iter().zip([1, 200, 30]) {
        let (length, after) = rest.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*length), u32::try_from(size).unwrap());
        let (message, after) = after.split_at(size);
        let resource_metrics = MetricsData::decode(message).unwrap().resource_metrics;
        assert_eq!(Telemetry::Metrics(resource_metrics), batch(points, None).telemetry);
        rest = after;
    }
    assert!(rest.is_empty());
}

#[tokio::test]
async fn what_was_there_is_kept_only_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/data.jsonl");
    let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
    for (append, expected) in [("false", 1), ("true", 2), ("true", 3), ("false", 1)] {
        let file = Running::start(&path, &[("append", append), ("create_directory", "true")]).await;
        file.offer(1).await;
        assert_eq!(file.end().await.count(SENT), 1);
        assert_eq!(lines(), expected);
    }
}

#[tokio::test]
async fn a_file_that_has_grown_too_large_gets_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.jsonl");
    let file = Running::start(&path, &[("rotation.max_megabytes", "1"), ("rotation.max_backups", "2")]).await;
    // A line is of about 400 kB, so two go into a file.
    for _ in 0..8 {
        file.offer(25_000).await;
        file.flush().await;
    }
    assert_eq!(file.end().await.count(SENT), 200_000);
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "the file and two before it: {files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 2, "{}", file.display());
        assert!(text.len() <= 1 << 20 && text.ends_with('\n'));
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_it_does_not_take_is_counted() {
    let (logs, _guard) = Logs::keep();
    let file = Running::start(Path::new("/dev/full"), &[("flush_interval", "10ms")]).await;
    file.offer(3).await;
    file.offer(4).await;
    logs.until("the file cannot be written to: No space left on device").await;
    assert_eq!(file.tally.count(FAILED), 0, "it is kept, and tried again");
    let tally = file.end().await;
    assert_eq!((tally.count(SENT), tally.count(FAILED)), (0, 7));
    logs.until("dropped: the collector stops").await;
}

#[tokio::test]
async fn no_more_than_the_bound_is_kept_back() {
    let file = Running::start(Path::new("/dev/full"), &[]).await;
    let mut offered = 0;
    let refused = loop {
        match file.consumer.consume(batch(100_000, None)).await {
            Ok(()) => offered += 100_000,
            Err(refused) => break refused,
        }
        assert!(offered < 10_000_000, "there is a bound");
    };
    assert!(matches!(refused, Refused::Full { .. }), "{refused}");
    assert_eq!(file.tally.count("otelcol_exporter_enqueue_failed_metric_points"), 100_000);
    assert_eq!(file.end().await.count(FAILED), offered);
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_an_error_at_the_start() {
    let (exporter, _) = configured(&[("path", "/nowhere/data.jsonl")], |fields| File.configure(fields));
    let started = exporter.start(&"file".parse().unwrap(), CancellationToken::new(), Tally::new()).await;
    let error = started.err().unwrap().to_string();
    assert!(error.starts_with("`/nowhere/data.jsonl` cannot be written to: No such file"), "{error}");
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_yet_holds_up_nothing_but_its_own_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (others_run, is_free) = std::sync::mpsc::channel();
    let pipe = path.clone();
    let reader = std::thread::spawn(move || {
        let is_free = is_free.recv_timeout(Duration::from_secs(10)).is_ok();
        (std::fs::File::open(pipe).unwrap(), is_free)
    });
    let (file, ()) = tokio::join!(Running::start(&path, &[]), async { others_run.send(()).unwrap() });
    let (mut pipe, was_free) = reader.join().unwrap();
    assert!(was_free, "the runtime was held up");
    file.offer(1).await;
    assert_eq!(file.end().await.count(SENT), 1);
    let mut line = String::new();
    io::Read::read_to_string(&mut pipe, &mut line).unwrap();
    assert_eq!(line.lines().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_ends_when_the_disk_refuses_what_it_is_for() {
    let file = Running::start(Path::new("/dev/full"), &[("flush_interval", "1h")]).await;
    let began = Instant::now();
    for points in 1..4 {
        file.offer(points).await;
        file.flush().await;
        assert_eq!(file.tally.count(FAILED), 0, "it is kept, and tried again");
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "neither its deadline nor the next try is waited for");
    assert_eq!(file.end().await.count(FAILED), 1 + 2 + 3);
}

#[test]
fn what_is_wrong_is_told() {
    let told = |entries: &[(&str, &str)]| problems(entries, |fields| drop(File.configure(fields)));
    assert_eq!(told(&[("path", "x"), ("group_by.enabled", "true")]), [] as [&str; 0]);
    assert_eq!(told(&[]), ["path: is missing: the file to write to"]);
    let wrong = [
        ("format", "xml"),
        ("compression", "gzip"),
        ("directory_permissions", "0755"),
        ("flush_interval", "5"),
        ("rotate", "1"),
    ];
    for (key, value) in wrong {
        let errors = told(&[("path", "x"), (key, value)]);
        assert!(errors.len() == 1 && errors[0].starts_with(key), "{key}: {errors:?}");
    }
    let both = [("path", "x"), ("append", "true"), ("rotation.max_days", "1")];
    assert_eq!(told(&both), ["append: is not for files that are rotated: they are always appended to"]);
}

#[tokio::test]
async fn what_a_full_disk_did_not_take_is_written_later_and_in_order() {
    let (holds, tally) = (Arc::default(), Tally::new());
    let disk = Disk { takes: [Some(7), None].into(), holds: Arc::clone(&holds) };
    let counters = Counters::new(&"file".parse().unwrap(), tally.clone());
    let file = Arc::new(Writing::new(false, counters, Output::on(disk, 0, None), CancellationToken::new()));
    let line = |points| json::encode(&batch(points, None).telemetry) + "\n";
    file.consume(batch(1, None)).await.unwrap();
    file.consume(batch(2, None)).await.unwrap();
    let (before, after) = tokio::join!(
        async {
            file.write_out().await;
            tally.count(SENT)
        },
        // While the first ones are being written.
        file.consume(batch(4, None)),
    );
    after.unwrap();
    assert_eq!(before, 0);
    assert_eq!(*holds.lock().unwrap(), line(1).as_bytes()[..7]);
    file.write_out().await;
    assert_eq!(String::from_utf8(holds.lock().unwrap().clone()).unwrap(), [line(1), line(2), line(4)].concat());
    assert_eq!(tally.count(SENT), 7);
    assert_eq!(file.state().bytes, 0);
}

/// A disk that takes what it is told to take, when it is told so.
struct Slow(std::sync::mpsc::Receiver<()>);

impl io::Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.recv().map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_stop_that_is_cut_short_counts_and_tells_what_is_not_written() {
    let (logs, _guard) = Logs::keep();
    let tally = Tally::new();
    let (disk, orders) = std::sync::mpsc::channel();
    let counters = Counters::new(&"file".parse().unwrap(), tally.clone());
    let file = Arc::new(Writing::new(false, counters, Output::to(Box::new(Slow(orders))), CancellationToken::new()));
    for points in [1, 2, 4] {
        file.consume(batch(points, None)).await.unwrap();
    }
    let work = tokio::spawn(Arc::clone(&file).write(Duration::from_millis(1)));
    disk.send(()).unwrap();
    tally.until(|tally| tally.count(SENT) == 1).await;
    // The disk is busy with the second, and one more comes in.
    file.consume(batch(8, None)).await.unwrap();
    file.stop.cancel();
    work.abort();
    assert!(work.await.unwrap_err().is_cancelled());
    assert_eq!((tally.count(SENT), tally.count(FAILED)), (1, 2 + 4 + 8));
    let text = logs.text();
    assert!(text.contains(CUT_SHORT) && text.contains("batches=3 items=14"), "{text}");
    // What the disk takes after all is not counted again.
    disk.send(()).unwrap();
    drop(disk);
    let busy = Arc::clone(&file);
    tokio::task::spawn_blocking(move || drop(busy.output.lock())).await.unwrap();
    assert_eq!((tally.count(SENT), tally.count(FAILED)), (1, 14));
    assert!(matches!(file.consume(batch(1, None)).await, Err(Refused::Closed)));
}
