//! What the command writes, as log records: one for each line.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lease_core::{Leadership, Validity};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::component::{Consumer, Scope};
use crate::config::ComponentId;
use crate::data::{Batch, Telemetry};

/// The two streams of a command, while they are read.
#[derive(Debug)]
pub(super) struct Output(JoinSet<()>);

impl Output {
    pub(super) fn begin(child: &mut Child, logs: Arc<dyn Consumer>, scope: &Scope) -> Self {
        let sink = Sink {
            id: scope.id.clone(),
            logs,
            // Not the leadership: what is left to be read does not keep the term.
            term: scope.leadership.as_ref().map(Leadership::validity),
        };
        let mut tasks = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            tasks.spawn(pump(stdout, "stdout", sink.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tasks.spawn(pump(stderr, "stderr", sink));
        }
        Self(tasks)
    }

    /// Hands on what is left. Everybody who could write more is gone.
    pub(super) async fn finish(mut self) {
        let all = async { while self.0.join_next().await.is_some() {} };
        if timeout(FINISH_MAX, all).await.is_err() {
            tracing::warn!("what a command has written was not taken in time, and is dropped");
            self.0.shutdown().await;
        }
    }
}

#[derive(Clone, Debug)]
struct Sink {
    id: ComponentId,
    logs: Arc<dyn Consumer>,
    term: Option<Validity>,
}

async fn pump(stream: impl AsyncRead + Unpin, name: &'static str, sink: Sink) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        // As many lines as come together, so that a command that writes much does not make as many batches.
        let mut records = Vec::new();
        let mut open = next_line(&mut stream, &mut line).await;
        let until = Instant::now() + GATHER;
        while open {
            records.push(record(&std::mem::take(&mut line), name));
            if records.len() >= LINES_MAX {
                break;
            }
            match timeout_at(until, next_line(&mut stream, &mut line)).await {
                Ok(more) => open = more,
                // What has come of the next line is kept for it.
                Err(_) => break,
            }
        }
        if !records.is_empty() {
            sink.send(records).await;
        }
        if !open {
            return;
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

impl Sink {
    async fn send(&self, log_records: Vec<LogRecord>) {
        let scope = InstrumentationScope { name: "exec".to_owned(), ..InstrumentationScope::default() };
        let scope = ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() };
        let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
        let batch = Batch { telemetry: Telemetry::Logs(vec![resource]), term: self.term.clone() };
        if let Err(refused) = self.logs.consume(batch).await {
            tracing::debug!(receiver = %self.id, %refused, "lines were not taken");
        }
    }
}

/// How long lines are gathered into a batch.
const GATHER: Duration = Duration::from_millis(200);
const LINES_MAX: usize = 256;
/// A longer line is several records.
const LINE_MAX: usize = 64 * 1024;
/// How long the pipeline may take for the last lines.
const FINISH_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

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
