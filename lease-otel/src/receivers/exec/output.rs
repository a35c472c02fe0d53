//! What the command writes, as log records: one for each line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::data::Telemetry;
use crate::receivers::hand_over::Outlet;

/// The streams of a command, while they are read. Each task ends with the number of lines that it has given up.
#[derive(Debug)]
pub(super) struct Output {
    logs: Outlet,
    tasks: JoinSet<usize>,
    /// Nothing waits for room any more: what comes is counted, and dropped.
    give_up: CancellationToken,
}

impl Output {
    pub(super) fn begin(child: &mut Child, logs: Outlet) -> Self {
        let mut output = Self::new(logs);
        if let Some(stdout) = child.stdout.take() {
            output.read(stdout, "stdout");
        }
        if let Some(stderr) = child.stderr.take() {
            output.read(stderr, "stderr");
        }
        output
    }

    fn new(logs: Outlet) -> Self {
        Self { logs, tasks: JoinSet::new(), give_up: CancellationToken::new() }
    }

    fn read(&mut self, stream: impl AsyncRead + Unpin + Send + 'static, name: &'static str) {
        self.tasks.spawn(pump(stream, name, self.logs.clone(), self.give_up.clone()));
    }

    /// Hands on what is left. Everybody who could write more is gone.
    pub(super) async fn finish(mut self) {
        let mut dropped = 0;
        if timeout(FINISH_MAX, all(&mut self.tasks, &mut dropped)).await.is_ok() {
            return;
        }
        self.give_up.cancel();
        let ended = timeout(COUNT_MAX, all(&mut self.tasks, &mut dropped)).await;
        let receiver = self.logs.id();
        if dropped > 0 {
            tracing::warn!(%receiver, lines = dropped, "dropped: what the command has written was not taken in time");
        }
        if ended.is_err() {
            tracing::warn!(%receiver, "the output of the command has no end, and is not read on: somebody else has it open");
            self.tasks.shutdown().await;
        }
    }
}

/// Waits for all tasks, and adds up what they have given up.
async fn all(tasks: &mut JoinSet<usize>, dropped: &mut usize) {
    while let Some(lines) = tasks.join_next().await {
        *dropped += lines.unwrap_or_default();
    }
}

async fn pump(stream: impl AsyncRead + Unpin, name: &'static str, logs: Outlet, give_up: CancellationToken) -> usize {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    let mut dropped = 0;
    loop {
        // As many lines as come together, so that a command that writes much does not make as many batches.
        let mut records = Vec::new();
        let mut read = logs.reading();
        let mut open = next_line(&mut stream, &mut line).await;
        let until = Instant::now() + GATHER;
        while open {
            records.push(record(&std::mem::take(&mut line), name));
            read.holds(records.len());
            if records.len() >= LINES_MAX {
                break;
            }
            match timeout_at(until, next_line(&mut stream, &mut line)).await {
                Ok(more) => open = more,
                // What has come of the next line is kept for it.
                Err(_) => break,
            }
        }
        let lines = records.len();
        tokio::select! {
            biased;
            // A reading that is not handed over counts what it holds.
            () = give_up.cancelled() => dropped += lines,
            () = read.hand_over(telemetry(records)) => {}
        }
        if !open {
            return dropped;
        }
    }
}

/// Reads on until the line is whole, or as long as a line may be. False at the end, when there is none. Dropped while it
/// waits, what it has read stays in `line`.
async fn next_line(stream: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> bool {
    loop {
        let Ok(available) = stream.fill_buf().await else { return !line.is_empty() };
        if available.is_empty() {
            return !line.is_empty();
        }
        let room = LINE_MAX - line.len();
        let ends = available.iter().take(room + 1).position(|byte| *byte == b'\n');
        if ends.is_none() && room == 0 {
            return true;
        }
        let taken = ends.unwrap_or_else(|| available.len().min(room));
        line.extend_from_slice(&available[..taken]);
        stream.consume(taken + usize::from(ends.is_some()));
        if ends.is_some() {
            return true;
        }
    }
}

fn record(line: &[u8], stream: &'static str) -> LogRecord {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = |text: String| AnyValue { value: Some(any_value::Value::StringValue(text)) };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    LogRecord {
        observed_time_unix_nano: u64::try_from(now.as_nanos()).unwrap_or_default(),
        body: Some(text(String::from_utf8_lossy(line).into_owned())),
        attributes: vec![KeyValue {
            key: "log.iostream".to_owned(),
            value: Some(text(stream.to_owned())),
            ..KeyValue::default()
        }],
        ..LogRecord::default()
    }
}

fn telemetry(log_records: Vec<LogRecord>) -> Telemetry {
    let scope = InstrumentationScope { name: "exec".to_owned(), ..InstrumentationScope::default() };
    let scope = ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() };
    Telemetry::Logs(vec![ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() }])
}

/// How long lines are gathered into a batch.
const GATHER: Duration = Duration::from_millis(200);
const LINES_MAX: usize = 256;
/// A longer line is several records.
const LINE_MAX: usize = 64 * 1024;
/// How long the pipeline may take for the last lines.
const FINISH_MAX: Duration = Duration::from_secs(2);
/// How long the rest may take to be read and counted.
const COUNT_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::component::{Consumer, Outputs};
    use crate::data::Signal;
    use crate::receivers::testing::{Crowded, scope};
    use crate::test_kit::Logs;

    const TAKEN: &str = "lease_receiver_points_total";
    const DROPPED: &str = "lease_receiver_points_dropped_total";
    const REFUSED: &str = "lease_receiver_points_refused_total";

    #[tokio::test(start_paused = true)]
    async fn what_the_pipelines_take_or_refuse_is_counted() {
        let (scope, mut batches, counts) = scope(Signal::Logs);
        let mut output = Output::new(Outlet::new(scope, Signal::Logs).unwrap());
        output.read(&b"one\ntwo\nthree"[..], "stdout");
        output.finish().await;
        assert_eq!(batches.recv().await.unwrap().telemetry.len(), 3);
        assert_eq!((counts.of(TAKEN), counts.of(DROPPED), counts.of(REFUSED)), (3, 0, 0));
        assert!(batches.recv().await.is_none(), "nobody has it any more");
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_find_no_room_at_the_end_are_counted_and_told_with_their_number() {
        let (logs, _guard) = Logs::keep();
        let (mut scope, _batches, counts) = scope(Signal::Logs);
        let crowded = Arc::new(Crowded::default());
        scope.outputs = Outputs(vec![(Signal::Logs, Arc::clone(&crowded) as Arc<dyn Consumer>)]);
        let mut output = Output::new(Outlet::new(scope, Signal::Logs).unwrap());
        // Those that wait for room, those behind them, and those that were not even read.
        let (mut stdout, theirs) = tokio::io::duplex(64);
        output.read(theirs, "stdout");
        let write = tokio::spawn(async move { stdout.write_all(&b"x\n".repeat(40 * LINES_MAX)).await });
        output.read(&b"last words"[..], "stderr");
        crowded.0.notified().await;
        output.finish().await;
        write.await.unwrap().unwrap();
        let lines = 40 * LINES_MAX + 1;
        assert_eq!((counts.of(TAKEN), counts.of(DROPPED), counts.of(REFUSED)), (0, lines as u64, 0));
        let told = format!("was not taken in time receiver=x lines={lines}");
        assert!(logs.text().contains(&told), "{}", logs.text());
    }

    #[tokio::test(start_paused = true)]
    async fn an_output_without_end_is_not_waited_for() {
        let (logs, _guard) = Logs::keep();
        let (scope, _batches, counts) = scope(Signal::Logs);
        let mut output = Output::new(Outlet::new(scope, Signal::Logs).unwrap());
        let (_stdout, theirs) = tokio::io::duplex(64);
        output.read(theirs, "stdout");
        let before = Instant::now();
        output.finish().await;
        assert_eq!(before.elapsed(), FINISH_MAX + COUNT_MAX);
        let text = logs.text();
        assert!(text.contains("has no end, and is not read on") && !text.contains("dropped"), "{text}");
        assert_eq!(counts.of(DROPPED), 0);
    }

    #[tokio::test]
    async fn lines_are_split_at_their_ends_and_at_the_limit() {
        let mut text = b"one\ntwo\r\n\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', LINE_MAX + 3));
        text.extend(b"\n");
        text.extend(std::iter::repeat_n(b'y', LINE_MAX));
        text.extend(b"\nlast");
        let mut stream = BufReader::with_capacity(7, text.as_slice());
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        while next_line(&mut stream, &mut line).await {
            lines.push(std::mem::take(&mut line));
        }
        let lengths: Vec<usize> = lines.iter().map(Vec::len).collect();
        assert_eq!(lengths, [3, 4, 0, LINE_MAX, 3, LINE_MAX, 4]);
        let body = record(&lines[1], "stdout").body.and_then(|body| body.value);
        assert_eq!(body, Some(any_value::Value::StringValue("two".to_owned())), "without the carriage return");
    }
}
