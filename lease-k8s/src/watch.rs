//! The watch on one Lease: a list for the state, then the changes from its version on, for ever.
//!
//! What it tells is only a hint, so it is built to be cheap and to come back by itself. The API server ends a watch
//! when it likes; answers 200 and then an error event (410) for a version it has forgotten; and answers 200 and stays
//! mute for a version that it does not have yet, which is what a store restored from a backup looks like. So each
//! watch has an end that we choose, and one that stays silent for too long is started again from a new list.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use lease_core::{LockError, LockErrorKind, WatchEvent};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout};

use crate::answer::{Asked, Status, Verb};
use crate::client::{Answer, Call, Failure};
use crate::error::MissingRule;
use crate::lock::{Inner, List, collection, query_value};
use crate::object;

/// The events of the watch. Dropping the stream drops its connection.
pub(crate) fn events(lock: Arc<Inner>) -> BoxStream<'static, WatchEvent> {
    let watcher = Watcher {
        lock,
        phase: Phase::List,
        told: VecDeque::new(),
        lost: None,
        pause: PAUSE_MIN,
        start_at: Instant::now(),
        held: None,
        mute: 0,
    };
    futures_util::stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await;
        Some((event, watcher))
    })
    .boxed()
}

struct Watcher {
    lock: Arc<Inner>,
    phase: Phase,
    /// What is still to be told.
    told: VecDeque<WatchEvent>,
    /// Why the watch is lost, and already said to be.
    lost: Option<LockErrorKind>,
    /// How long to wait after the next failure.
    pause: Duration,
    /// No request before this.
    start_at: Instant,
    /// The lease duration while there is a holder, who writes well within it.
    held: Option<Duration>,
    /// How many watches in a row have told nothing at all.
    mute: u32,
}

enum Phase {
    /// The state is to be listed.
    List,
    /// The state as of this version is known.
    Watch {
        from: String,
    },
    Stream(Stream),
}

struct Stream {
    from: String,
    body: Incoming,
    /// What came after the last whole line.
    rest: BytesMut,
    /// Whether anything came, be it a bookmark.
    alive: bool,
}

/// Why a watch cannot go on.
enum Cut {
    /// The ordinary end of one: the next starts where it ended.
    End,
    /// Its version is forgotten, or it has been mute for too long: only a list can tell what is.
    Stale,
    /// Something is wrong.
    Broken(LockError),
}

/// A line of a watch (`metav1.WatchEvent`).
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl Watcher {
    async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(event) = self.told.pop_front() {
                return event;
            }
            let step = match &mut self.phase {
                Phase::List => self.list().await,
                Phase::Watch { .. } => self.start().await,
                Phase::Stream(_) => self.read().await,
            };
            if let Err(cut) = step {
                self.cut(cut);
            }
        }
    }

    /// Finds the state and the version to go on from. The selector makes this a single read on the server, and lets a
    /// Role that is limited to one name grant it.
    async fn list(&mut self) -> Result<(), Cut> {
        self.wait().await;
        let lock = Arc::clone(&self.lock);
        let asked = lock.asked(Verb::List);
        let call = get(format!("{}?fieldSelector={}", collection(Some(&lock.namespace)), selector(&lock)));
        let answer = in_time(&asked, async { lock.client.succeed(&asked, &call).await }).await.map_err(Cut::Broken)?;
        let broken = |what: String| Cut::Broken(asked.unreadable(&what));
        let list: List<'_> = serde_json::from_slice(&answer.body).map_err(|error| broken(error.to_string()))?;
        if list.metadata.version.is_empty() {
            return Err(broken("the list has no version".to_owned()));
        }
        let found = list.items.iter().filter_map(|item| object::decode(item.get().as_bytes()).ok());
        match found.into_iter().find(|found| found.name == lock.name) {
            Some(found) => self.found(found),
            None => self.gone(),
        }
        self.phase = Phase::Watch { from: list.metadata.version };
        // Told once the watch is live, after its `Ready`.
        self.start().await
    }

    /// Starts the stream of changes.
    async fn start(&mut self) -> Result<(), Cut> {
        self.wait().await;
        let Phase::Watch { from } = &self.phase else { return Ok(()) };
        let from = from.clone();
        let lock = Arc::clone(&self.lock);
        let asked = lock.asked(Verb::Watch);
        let seconds = fastrand::u64(WATCH_SECONDS);
        let call = get(format!(
            "{}?watch=1&allowWatchBookmarks=true&fieldSelector={}&resourceVersion={}&timeoutSeconds={seconds}",
            collection(Some(&lock.namespace)),
            selector(&lock),
            query_value(&from),
        ));
        self.start_at = Instant::now() + jittered(START_INTERVAL_MIN);
        let body = in_time(&asked, async {
            let response = lock.client.send(&call).await.map_err(|failure| asked.failed(failure))?;
            if response.status() == StatusCode::OK {
                return Ok(Some(response.into_body()));
            }
            let answer = Answer::read(response).await.map_err(|failure| asked.failed(failure))?;
            if answer.status == StatusCode::GONE { Ok(None) } else { Err(asked.refused(&answer)) }
        })
        .await
        .map_err(Cut::Broken)?;
        let body = body.ok_or(Cut::Stale)?;
        self.phase = Phase::Stream(Stream { from, body, rest: BytesMut::new(), alive: false });
        self.lost = None;
        self.told.push_front(WatchEvent::Ready);
        Ok(())
    }

    /// Waits for the next piece of the stream and takes the whole lines out of it.
    async fn read(&mut self) -> Result<(), Cut> {
        let silence_max = self.silence_max();
        let Phase::Stream(stream) = &mut self.phase else { return Ok(()) };
        let Ok(frame) = timeout(silence_max, stream.body.frame()).await else { return Err(Cut::Stale) };
        let asked = self.lock.asked(Verb::Watch);
        let data = match frame {
            None => return Err(Cut::End),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => return Err(Cut::Broken(asked.failed(Failure::of(&error, false)))),
        };
        stream.rest.extend_from_slice(&data);
        if stream.rest.len() > LINE_BYTES_MAX {
            return Err(Cut::Broken(asked.unreadable("a watch event is too long")));
        }
        let mut lines = Vec::new();
        while let Some(end) = stream.rest.iter().position(|&byte| byte == b'\n') {
            lines.push(stream.rest.split_to(end));
            stream.rest.advance(1);
        }
        for line in lines.iter().filter(|line| !line.is_empty()) {
            self.line(line)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Cut> {
        let lock = Arc::clone(&self.lock);
        let asked = lock.asked(Verb::Watch);
        let broken = |what: &str| Cut::Broken(asked.unreadable(what));
        let line: Line<'_> = serde_json::from_slice(line).map_err(|error| broken(&error.to_string()))?;
        // A sign of life: the next failure is the first again.
        self.pause = PAUSE_MIN;
        self.mute = 0;
        if let Phase::Stream(stream) = &mut self.phase {
            stream.alive = true;
        }
        match line.kind {
            "ADDED" | "MODIFIED" | "DELETED" => {
                let Ok(found) = object::decode(line.object.get().as_bytes()) else { return Ok(()) };
                if found.name != lock.name {
                    return Ok(());
                }
                self.advance(found.versioned.version.as_str().to_owned());
                if line.kind == "DELETED" {
                    self.gone();
                } else {
                    self.found(found);
                }
                Ok(())
            }
            "BOOKMARK" => {
                let bookmark: List<'_> =
                    serde_json::from_str(line.object.get()).map_err(|error| broken(&error.to_string()))?;
                self.advance(bookmark.metadata.version);
                Ok(())
            }
            "ERROR" => {
                let status: Status = serde_json::from_str(line.object.get()).unwrap_or_default();
                if status.code == StatusCode::GONE.as_u16() || status.reason == "Expired" {
                    return Err(Cut::Stale);
                }
                Err(broken(&status.message))
            }
            other => Err(broken(&format!("watch event of type {other:?}"))),
        }
    }

    fn advance(&mut self, version: String) {
        if let Phase::Stream(stream) = &mut self.phase
            && !version.is_empty()
        {
            stream.from = version;
        }
    }

    fn found(&mut self, found: object::Found) {
        let record = &found.versioned.record;
        self.held = record.holder.is_some().then_some(record.lease_duration);
        // What cannot be understood is not told: whoever polls will see it.
        if found.problem.is_none() {
            self.told.push_back(WatchEvent::Changed(found.versioned));
        }
    }

    fn gone(&mut self) {
        self.held = None;
        self.told.push_back(WatchEvent::Deleted);
    }

    /// How long nothing may come before the watch is taken for mute. A holder writes well within its lease duration; a
    /// dead one's lease does not stay as it is for long, if there is anybody else.
    fn silence_max(&self) -> Duration {
        let held = self.held.map(|duration| duration.saturating_mul(SILENCE_LEASE_DURATIONS).max(SILENCE_MIN));
        // Mute once more after a new list: the holder is dead and nobody follows. Look less and less often.
        let patience = 1 << self.mute.min(PATIENCE_DOUBLINGS_MAX);
        held.unwrap_or(SILENCE_MAX).saturating_mul(patience).min(SILENCE_MAX)
    }

    fn cut(&mut self, cut: Cut) {
        match (std::mem::replace(&mut self.phase, Phase::List), &cut) {
            (Phase::Stream(Stream { from, alive: true, .. }), Cut::End) => self.phase = Phase::Watch { from },
            // It may have started from a version that the store does not have, so its version is no place to go on.
            (Phase::Stream(_), Cut::End | Cut::Stale) => self.mute = self.mute.saturating_add(1),
            (Phase::Stream(_), Cut::Broken(_)) => {}
            // Found in a list, but the watch that was to follow did not start: the next list tells it again.
            (Phase::List | Phase::Watch { .. }, _) => self.told.clear(),
        }
        match cut {
            Cut::End | Cut::Stale => self.lose(None),
            Cut::Broken(error) => {
                let forbidden = MissingRule::of(&error).is_some();
                let pause = if forbidden { PAUSE_FORBIDDEN } else { self.pause };
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                let pause = pause.max(error.retry_after().unwrap_or_default().min(PAUSE_MAX));
                self.start_at = Instant::now() + jittered(pause);
                self.lose(Some(error));
            }
        }
    }

    /// Says that the watch is lost, unless it was said for the same reason before.
    fn lose(&mut self, error: Option<LockError>) {
        let kind = error.as_ref().map_or(LockErrorKind::Unavailable, LockError::kind);
        if self.lost.replace(kind) != Some(kind) {
            self.told.push_back(WatchEvent::Lost(error));
        }
    }

    async fn wait(&self) {
        sleep_until(self.start_at).await;
    }
}

/// Bounds the wait for the first answer; nobody else does, as the stream is not dropped while it is silent.
async fn in_time<T>(asked: &Asked<'_>, answer: impl Future<Output = Result<T, LockError>>) -> Result<T, LockError> {
    timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| {
        Err(LockError::new(LockErrorKind::Unavailable, format!("{asked}: no answer within {ANSWER_TIMEOUT:?}")))
    })
}

fn get(path: String) -> Call {
    Call { method: Method::GET, path, body: Bytes::new() }
}

fn selector(lock: &Inner) -> String {
    format!("metadata.name%3D{}", lock.name)
}

/// A little more, so that the candidates of one lease do not come all at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + fastrand::f64() * 0.25)
}

/// Between the starts of two watches, whatever the server does.
const START_INTERVAL_MIN: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A Role does not change often, and everything works without the watch.
const PAUSE_FORBIDDEN: Duration = Duration::from_mins(5);
/// One or two requests in this time are what an idle watch costs.
const WATCH_SECONDS: std::ops::RangeInclusive<u64> = 240..=300;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const SILENCE_LEASE_DURATIONS: u32 = 3;
const SILENCE_MIN: Duration = Duration::from_secs(30);
const PATIENCE_DOUBLINGS_MAX: u32 = 4;
/// Longer than any watch that we ask for.
const SILENCE_MAX: Duration = Duration::from_secs(330);
/// More than the largest object, which is of 3 MiB.
const LINE_BYTES_MAX: usize = 8 << 20;
