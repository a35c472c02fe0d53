//! The changes of a resource, one after the other and for ever: what ended is begun again where it was.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use kube::Client;
use kube::api::WatchEvent;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use serde_json::Value as Json;
use tokio::time::{Instant, sleep, timeout};

use super::rest::{Page, Resource, Selectors, WATCH_SECONDS};
use super::seen::Seen;
use super::trouble::Trouble;
use crate::config::ComponentId;

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With what changes from now on.
    Now,
    /// With everything that is there, as if it had just been added.
    All,
    /// With what changed after this version; with what changes from now on, when the server has forgotten it.
    After(String),
}

/// A change of one object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// As the API calls it: `ADDED`, `MODIFIED`, `DELETED`.
    pub(crate) kind: &'static str,
    /// The whole object.
    pub(crate) object: Json,
}

/// Follows one resource.
pub(crate) struct Follow {
    client: Client,
    resource: Resource,
    selectors: Selectors,
    receiver: ComponentId,
    phase: Phase,
    /// The version of the last change that was told; none before the first list.
    version: Option<String>,
    told: VecDeque<Change>,
    /// Whether the version is one that the server gave, and not one that a configuration asked to begin with.
    is_known: bool,
    backoff: DefaultBackoff,
    said: Option<Trouble>,
}

enum Phase {
    Begin(Begin),
    /// A list, of which what is newer than this version is told; everything when there is none.
    List {
        pages: BoxStream<'static, Result<Page<Json>, kube::Error>>,
        after: Option<u128>,
        /// What it has told, also before it was begun again.
        seen: Seen,
    },
    Watch,
    Stream {
        events: BoxStream<'static, Result<WatchEvent<Json>, kube::Error>>,
        since: Instant,
        told: bool,
    },
}

impl Follow {
    /// Nothing is sent before the first change is asked for.
    pub(crate) fn new(
        receiver: ComponentId,
        client: Client,
        resource: Resource,
        selectors: Selectors,
        begin: Begin,
    ) -> Self {
        Self {
            client,
            resource,
            selectors,
            receiver,
            phase: Phase::Begin(begin),
            version: None,
            told: VecDeque::new(),
            is_known: false,
            backoff: DefaultBackoff::default(),
            said: None,
        }
    }

    /// As one that has followed up to its version, which the server then forgot.
    #[cfg(test)]
    pub(crate) fn expired(mut self) -> Self {
        if let Phase::Begin(Begin::After(version)) = &self.phase {
            (self.version, self.is_known) = (Some(version.clone()), true);
            self.phase = self.after_expiry();
        }
        self
    }

    /// The name in the plural of what is followed.
    pub(crate) fn plural(&self) -> &str {
        &self.resource.plural
    }

    /// The changes. The stream never ends.
    pub(crate) fn changes(self) -> impl Stream<Item = Change> {
        futures_util::stream::unfold(self, |mut follow| async move {
            let change = follow.next().await;
            Some((change, follow))
        })
    }

    async fn next(&mut self) -> Change {
        loop {
            if let Some(change) = self.told.pop_front() {
                return change;
            }
            let step = match &mut self.phase {
                Phase::Begin(begin) => {
                    let begin = begin.clone();
                    self.begin(begin).await
                }
                Phase::List { .. } => self.list().await,
                Phase::Watch => self.watch().await,
                Phase::Stream { .. } => self.read().await,
            };
            if let Err(trouble) = step {
                self.recover(trouble).await;
            }
        }
    }

    async fn begin(&mut self, begin: Begin) -> Result<(), Trouble> {
        match begin {
            Begin::After(version) => {
                self.version = Some(version);
                self.phase = Phase::Watch;
            }
            Begin::All => self.phase = self.listing(None, Seen::default()),
            Begin::Now => {
                // The first page tells the version of all of them.
                let mut pages = self.resource.pages::<Json>(&self.client, &self.selectors, None);
                if let Some(page) = pages.next().await {
                    self.version = Some(page.map_err(|error| Trouble::of(&error, "list"))?.metadata.version);
                    self.is_known = true;
                    self.phase = Phase::Watch;
                }
            }
        }
        Ok(())
    }

    fn listing(&self, after: Option<u128>, seen: Seen) -> Phase {
        Phase::List { pages: self.resource.pages(&self.client, &self.selectors, None), after, seen }
    }

    async fn list(&mut self) -> Result<(), Trouble> {
        let Phase::List { pages, after, seen } = &mut self.phase else { return Ok(()) };
        let Some(page) = pages.next().await else {
            self.phase = Phase::Watch;
            return Ok(());
        };
        let page = page.map_err(|error| Trouble::of(&error, "list"))?;
        self.version = Some(page.metadata.version);
        self.is_known = true;
        let is_told =
            |object: &Json| after.is_none_or(|last| number(version_of(object)).is_some_and(|version| version > last));
        for object in page.items.into_iter().filter(is_told) {
            if let Some(kind) = seen.change(&object) {
                self.told.push_back(Change { kind, object: typed(object, &page.api_version, &page.kind) });
            }
        }
        Ok(())
    }

    async fn watch(&mut self) -> Result<(), Trouble> {
        let version = self.version.clone().unwrap_or_default();
        let started = self.resource.watch(&self.client, &self.selectors, &version).await;
        let events = started.map_err(|error| Trouble::of(&error, "watch"))?;
        if self.said.take().is_some() {
            tracing::info!(receiver = %self.receiver, "{} can be read now", self.resource.target());
        }
        self.phase = Phase::Stream { events, since: Instant::now(), told: false };
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Trouble> {
        let Phase::Stream { events, since, told } = &mut self.phase else { return Ok(()) };
        // The server ends it earlier. One whose connection is dead does not say so.
        let Ok(Some(event)) = timeout(SILENCE_MAX, events.next()).await else {
            let was_short = !*told && since.elapsed() < SHORT;
            self.phase = Phase::Watch;
            if was_short {
                // A server that ends every watch at once is not to be asked a thousand times a second.
                return Err(Trouble::Passing("the server ended the watch at once".to_owned()));
            }
            return Ok(());
        };
        let event = event.map_err(|error| Trouble::of(&error, "watch"))?;
        *told = true;
        let (kind, object) = match event {
            WatchEvent::Added(object) => ("ADDED", object),
            WatchEvent::Modified(object) => ("MODIFIED", object),
            WatchEvent::Deleted(object) => ("DELETED", object),
            WatchEvent::Bookmark(bookmark) => {
                self.version = Some(bookmark.metadata.resource_version);
                self.is_known = true;
                return Ok(());
            }
            WatchEvent::Error(status) => return Err(Trouble::of(&kube::Error::Api(status), "watch")),
        };
        self.backoff.reset();
        self.is_known = true;
        if let Some(version) = version_of(&object) {
            self.version = Some(version.to_owned());
        }
        self.told.push_back(Change { kind, object });
        Ok(())
    }

    /// What changed since the version that the server has forgotten is told from a list, by the versions. A version that a
    /// configuration asked to begin with says nothing of what was told, so that all of it would be told.
    fn after_expiry(&self) -> Phase {
        let last = number(self.version.as_deref()).filter(|_| self.is_known);
        last.map_or(Phase::Begin(Begin::Now), |last| self.listing(Some(last), Seen::default()))
    }

    /// Goes on after a pause: a server that refuses at once is not to be asked a thousand times a second.
    async fn recover(&mut self, trouble: Trouble) {
        let has_expired = trouble == Trouble::Expired;
        if !has_expired && self.said.as_ref() != Some(&trouble) {
            tracing::warn!(receiver = %self.receiver, "{}", trouble.about(&self.resource.target()));
            self.said = Some(trouble);
        }
        self.phase = match std::mem::replace(&mut self.phase, Phase::Watch) {
            Phase::List { after, seen, .. } => self.listing(after, seen),
            _ if has_expired => self.after_expiry(),
            Phase::Begin(begin) => Phase::Begin(begin),
            Phase::Watch | Phase::Stream { .. } => Phase::Watch,
        };
        sleep(self.backoff.next().unwrap_or(PAUSE_MAX)).await;
    }
}

/// The version of an object.
fn version_of(object: &Json) -> Option<&str> {
    object["metadata"]["resourceVersion"].as_str()
}

/// A version as what it is on every server but some aggregated ones: a number that grows with each write.
fn number(version: Option<&str>) -> Option<u128> {
    version?.parse().ok()
}

/// The items of a list do not say their kind; the list does.
pub(crate) fn typed(mut object: Json, api_version: &str, list_kind: &str) -> Json {
    if let (Json::Object(map), Some(kind)) = (&mut object, list_kind.strip_suffix("List")) {
        for (key, value) in [("apiVersion", api_version), ("kind", kind)] {
            map.entry(key).or_insert_with(|| value.into());
        }
    }
    object
}

/// A little longer than the longest watch.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
/// A watch that ends before this and has told nothing was refused, in fact.
const SHORT: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
