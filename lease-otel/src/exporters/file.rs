//! The exporter `file`: a line of OTLP as JSON for each batch, or protobuf messages with their length before them.

mod rotation;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use lease_core::Pretty;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::rotation::Rotation;
use self::writer::{Chunk, Output};
use super::counters::Counters;
use super::json;
use super::otlp::encode_request;
use crate::component::{Consumer, Exporter, ExporterFactory, Kind, Meter, Refused, StartError, Work};
use crate::config::{ComponentId, Fields, Thing};
use crate::data::{Batch, Signal};

/// The kind `file`.
#[derive(Clone, Copy, Debug, Default)]
pub struct File;

impl ExporterFactory for File {
    fn kind(&self) -> Kind {
        Kind {
            name: "file",
            aliases: &[],
            summary: "Writes telemetry to a file, as lines of JSON or as protobuf",
            signals: &Signal::ALL,
        }
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Exporter> {
        let makes_directory = fields.truth("create_directory").unwrap_or_default();
        let path = fields.text("path").map(|path| path.value).filter(|path| !path.is_empty());
        if path.is_none() {
            fields.error("path", "is missing: the file to write to");
        }
        let parent = path.as_ref().and_then(|path| Path::new(path).parent()).filter(|parent| *parent != Path::new(""));
        if let Some(parent) = parent.filter(|_| !makes_directory) {
            fields.names("path", Thing::Directory(parent.to_owned()));
        }
        let rotation = Rotation::read(fields);
        let append = fields.truth("append").unwrap_or_default();
        if append && rotation.is_some() {
            fields.error("append", "is not for files that are rotated: they are always appended to");
        }
        let interval = fields.duration("flush_interval").map_or(Duration::ZERO, |found| found.value);
        let settings = Settings {
            path: path.unwrap_or_default().into(),
            append,
            rotation,
            proto: fields.word("format", &[("json", false), ("proto", true)]).unwrap_or_default(),
            flush_interval: if interval.is_zero() { FLUSH_INTERVAL } else { interval },
            directory: directory(fields),
        };
        if let Some(compression) = fields.text("compression").filter(|text| !text.value.is_empty()) {
            if compression.value == "zstd" {
                let message = "`zstd` is not built in: the file is written without compression";
                fields.problems().warning(&compression.place, compression.path, message);
            } else {
                fields.error("compression", format_args!("`{}` is not zstd", compression.value));
            }
        }
        fields.accepted(&["encoding", "group_by"]);
        Box::new(settings)
    }
}

const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// The permissions of the directories that are made, if any are.
fn directory(fields: &mut Fields<'_>) -> Option<u32> {
    let create = fields.truth("create_directory").unwrap_or_default();
    let Some(text) = fields.text("directory_permissions").filter(|text| !text.value.is_empty()) else {
        return create.then_some(0o755);
    };
    if !create {
        fields.error("directory_permissions", "is for create_directory: true only");
        return None;
    }
    match u32::from_str_radix(&text.value, 8) {
        Ok(mode) if mode <= 0o777 => Some(mode),
        _ => {
            let message = format!("`{}` is not of the form \"0755\"", text.value);
            fields.error("directory_permissions", message);
            None
        }
    }
}

#[derive(Clone, Debug)]
struct Settings {
    path: PathBuf,
    append: bool,
    rotation: Option<Rotation>,
    proto: bool,
    flush_interval: Duration,
    /// Permissions for directories that are missing; none if those are not to be made.
    directory: Option<u32>,
}

#[async_trait]
impl Exporter for Settings {
    fn claim(&self) -> Option<String> {
        // Any number may write to what is no file, such as /dev/stdout.
        (!self.path.starts_with("/dev")).then(|| format!("the file {}", self.path.display()))
    }

    async fn start(
        &self,
        id: &ComponentId,
        stop: CancellationToken,
        telemetry: Arc<dyn Meter>,
    ) -> Result<(Arc<dyn Consumer>, Option<Work>), StartError> {
        let settings = self.clone();
        // A named pipe is not open before somebody reads it, which may never be.
        let open = move || Output::open(&settings.path, settings.append, settings.rotation, settings.directory);
        let output = tokio::task::spawn_blocking(open)
            .await?
            .map_err(|error| format!("`{}` cannot be written to: {error}", self.path.display()))?;
        let file = Arc::new(Writing::new(self.proto, Counters::new(id, telemetry), output, stop));
        let work = Arc::clone(&file).write(self.flush_interval).boxed();
        Ok((file, Some(work)))
    }
}

/// More than this is not kept back when the file cannot be written to.
const PENDING_MAX: usize = 8 << 20;

/// As soon as there is this much, it is written.
const WRITE_AT: usize = 64 << 10;

#[derive(Debug)]
struct Writing {
    proto: bool,
    counters: Counters,
    state: Mutex<State>,
    /// Locked while it is written, which a slow disk may make long.
    output: Mutex<Output>,
    wake: Notify,
    /// A flush does not wait for the next time that a full disk is tried.
    flush: Notify,
    progress: watch::Sender<Progress>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<Chunk>,
    /// What is handed to the disk and not written yet.
    writing: VecDeque<(Signal, u64)>,
    bytes: usize,
    taken_in: u64,
    /// How many writes were begun.
    begun: u64,
    closed: bool,
    /// What was wrong when a batch was last written.
    trouble: Option<String>,
    told: Option<Instant>,
}

/// What a flush waits for.
#[derive(Debug, Default)]
struct Progress {
    /// How many batches were written or dropped, of all that were ever taken in.
    written: u64,
    /// How many writes were begun when the latest that failed was, that one counted.
    failed: u64,
}

impl Writing {
    fn new(proto: bool, counters: Counters, output: Output, stop: CancellationToken) -> Self {
        Self {
            proto,
            counters,
            state: Mutex::default(),
            output: Mutex::new(output),
            wake: Notify::new(),
            flush: Notify::new(),
            progress: watch::Sender::default(),
            stop,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(self: Arc<Self>, interval: Duration) {
        let mut end = End { writing: &self, cut_short: true };
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = self.wake.notified() => {}
                () = self.flush.notified() => {}
                () = self.stop.cancelled() => break,
            }
            self.write_out().await;
            if self.state().trouble.is_some() {
                // Who wakes this cannot make a full disk emptier.
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = self.flush.notified() => self.flush.notify_one(),
                    () = self.stop.cancelled() => break,
                }
            }
        }
        self.state().closed = true;
        self.write_out().await;
        end.cut_short = false;
    }

    /// This was written, or dropped: it is counted by whoever settles it first.
    fn settle(&self, count: impl FnOnce(&Counters, Signal, u64)) {
        // Under the lock, so that the end and the disk do not both count it.
        let settled = self.state().writing.pop_front();
        if let Some((signal, items)) = settled {
            count(&self.counters, signal, items);
            self.count_written(1);
        }
    }

    fn count_written(&self, batches: u64) {
        self.progress.send_modify(|progress| progress.written += batches);
    }

    /// Writes what is pending, away from the threads of the runtime; what cannot be written stays so.
    async fn write_out(self: &Arc<Self>) {
        let (chunks, begun) = {
            let mut state = self.state();
            state.bytes = 0;
            state.begun += 1;
            let chunks = std::mem::take(&mut state.pending);
            state.writing = chunks.iter().map(|chunk| (chunk.signal, chunk.items)).collect();
            (chunks, state.begun)
        };
        if chunks.is_empty() {
            return;
        }
        let this = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let mut output = this.output.lock().unwrap_or_else(PoisonError::into_inner);
            let mut chunks = chunks;
            let outcome = output.write(&mut chunks, || this.settle(Counters::sent));
            (outcome, chunks)
        });
        let Ok((error, rest)) = done.await else { return };
        {
            let mut state = self.state();
            // Before what has come in since.
            state.bytes += rest.iter().map(Chunk::len).sum::<usize>();
            state.writing.clear();
            let since = std::mem::replace(&mut state.pending, rest);
            state.pending.extend(since);
        }
        let has_failed = error.is_some();
        self.tell(error);
        if has_failed {
            self.progress.send_modify(|progress| progress.failed = begun);
        }
    }

    fn tell(&self, error: Option<io::Error>) {
        const TELL_EVERY: Duration = Duration::from_secs(10);
        let mut state = self.state();
        let id = self.counters.id();
        match error {
            Some(error) => {
                let message = error.to_string();
                let now = Instant::now();
                if state.told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY) {
                    state.told = Some(now);
                    let kept = Pretty(TELL_EVERY);
                    tracing::error!(
                        exporter = %id, kept_bytes = state.bytes, told_every = %kept,
                        "the file cannot be written to: {message}; it is tried again, and {PENDING_MAX} bytes are kept"
                    );
                }
                state.trouble = Some(message);
            }
            None if state.trouble.take().is_some() => {
                state.told = None;
                tracing::info!(exporter = %id, "the file can be written to again");
            }
            None => {}
        }
    }
}

/// The end of the writing, which may come while the disk is busy: what is not written by then is counted and told.
struct End<'a> {
    writing: &'a Writing,
    cut_short: bool,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let rest: Vec<_> = {
            let mut state = self.writing.state();
            state.closed = true;
            let pending = std::mem::take(&mut state.pending);
            let pending = pending.iter().map(|chunk| (chunk.signal, chunk.items));
            state.writing.drain(..).chain(pending).collect()
        };
        for (signal, items) in &rest {
            self.writing.counters.send_failed(*signal, *items);
        }
        self.writing.count_written(u64::try_from(rest.len()).unwrap_or(u64::MAX));
        if !rest.is_empty() {
            let (id, batches) = (self.writing.counters.id(), rest.len());
            let items: u64 = rest.iter().map(|(_, items)| items).sum();
            let why = if self.cut_short { CUT_SHORT } else { "the file takes nothing" };
            tracing::error!(exporter = %id, batches, items, "dropped: the collector stops, and {why}");
        }
    }
}

/// Why something is dropped that a hastened stop left no time for.
const CUT_SHORT: &str = "it was cut short before the file had taken them";

#[async_trait]
impl Consumer for Writing {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        batch.check()?;
        let signal = batch.telemetry.signal();
        let items = u64::try_from(batch.telemetry.len()).unwrap_or(u64::MAX);
        let bytes = if self.proto {
            let message = encode_request(batch.telemetry);
            let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
            [length.to_be_bytes().as_slice(), message.as_ref()].concat()
        } else {
            let mut line = json::encode(&batch.telemetry);
            line.push('\n');
            line.into_bytes()
        };
        let size = {
            let mut state = self.state();
            if state.closed {
                drop(state);
                self.counters.enqueue_failed(signal, items);
                return Err(Refused::Closed);
            }
            let size = state.bytes.saturating_add(bytes.len());
            // One batch is always taken in, however large.
            if size > PENDING_MAX && !state.pending.is_empty() {
                drop(state);
                self.counters.enqueue_failed(signal, items);
                let (size, capacity) = (size as u64, PENDING_MAX as u64);
                return Err(Refused::Full { exporter: self.counters.id().clone(), size, capacity });
            }
            state.bytes = size;
            state.taken_in += 1;
            state.pending.push(Chunk::new(bytes, signal, items));
            size
        };
        if size >= WRITE_AT {
            self.wake.notify_one();
        }
        Ok(())
    }

    async fn flush(&self, deadline: std::time::Instant) {
        let mut progress = self.progress.subscribe();
        let (taken_in, begun) = {
            let state = self.state();
            (state.taken_in, state.begun)
        };
        self.flush.notify_one();
        tokio::select! {
            // What a full disk has refused just now, it refuses until the deadline.
            _ = progress.wait_for(|progress| progress.written >= taken_in || progress.failed > begun) => {}
            () = sleep_until(deadline.into()) => {}
        }
    }
}

#[cfg(test)]
mod tests;
