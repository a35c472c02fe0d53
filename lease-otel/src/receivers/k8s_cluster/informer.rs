//! What is known of the cluster: every kind is listed once and then watched, so that an idle cluster costs nothing.

use std::collections::HashMap;
use std::fmt;

use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::emit::Emission;
use super::kinds::{
    CronJob, DaemonSet, Deployment, HorizontalPodAutoscaler, Job, Namespace, Node, Pod, ReplicaSet,
    ReplicationController, ResourceQuota, StatefulSet,
};
use super::objects::Told;
use crate::config::ComponentId;
use crate::receivers::kubernetes::places;
use crate::receivers::kubernetes::trouble::{Target, Trouble};

/// The objects of one kind, in one namespace or all of them.
struct Shelf {
    /// Whose it is, for what is said of it.
    receiver: ComponentId,
    target: Target,
    objects: HashMap<Box<str>, Box<dyn Told>>,
    /// What a list that has begun has told so far.
    arriving: Option<HashMap<Box<str>, Box<dyn Told>>>,
    state: State,
    /// What has been said of it, so that a retry does not say it again.
    said: Option<Trouble>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is known yet.
    Begun,
    /// All of its objects are known.
    Synced,
    /// The first attempt failed; others follow.
    Failed,
}

/// Everything that is known, and the watches that keep it so.
pub(super) struct Informer {
    receiver: ComponentId,
    shelves: Vec<Shelf>,
    changes: SelectAll<BoxStream<'static, (usize, Change)>>,
}

/// An event of one shelf.
enum Change {
    ListBegun,
    Listed(Box<str>, Box<dyn Told>),
    ListEnded,
    Applied(Box<str>, Box<dyn Told>),
    Deleted(Box<str>),
    Failed(Trouble),
}

impl Informer {
    /// Watches every kind in these namespaces, or in the whole cluster. Nothing is sent before the first
    /// [`next`](Self::next).
    pub(super) fn new(receiver: &ComponentId, client: &Client, namespaces: &[String]) -> Self {
        let mut informer = Self { receiver: receiver.clone(), shelves: Vec::new(), changes: SelectAll::new() };
        informer.add::<Pod>(client, namespaces);
        if namespaces.is_empty() {
            informer.add::<Node>(client, namespaces);
            informer.add::<Namespace>(client, namespaces);
        }
        informer.add::<ReplicationController>(client, namespaces);
        informer.add::<ResourceQuota>(client, namespaces);
        informer.add::<Deployment>(client, namespaces);
        informer.add::<ReplicaSet>(client, namespaces);
        informer.add::<DaemonSet>(client, namespaces);
        informer.add::<StatefulSet>(client, namespaces);
        informer.add::<Job>(client, namespaces);
        informer.add::<CronJob>(client, namespaces);
        informer.add::<HorizontalPodAutoscaler>(client, namespaces);
        informer
    }

    fn add<K>(&mut self, client: &Client, namespaces: &[String])
    where
        K: Resource<DynamicType = (), Scope = kube::core::DynamicResourceScope>
            + Told
            + Clone
            + DeserializeOwned
            + fmt::Debug
            + Send
            + 'static,
    {
        for namespace in places(namespaces) {
            let api: Api<K> = match &namespace {
                None => Api::all_with(client.clone(), &()),
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &()),
            };
            let number = self.shelves.len();
            self.changes.push(changes(api).map(move |change| (number, change)).boxed());
            let target = Target { group: K::group(&()).into_owned(), resource: K::plural(&()).into_owned(), namespace };
            self.shelves.push(Shelf::new(self.receiver.clone(), target));
        }
    }

    /// Waits for the next change and takes it in.
    pub(super) async fn next(&mut self) {
        // None of the streams ever ends.
        if let Some((number, change)) = self.changes.next().await {
            self.shelves[number].take_in(change);
        }
    }

    /// Whether there is something to tell, and nothing more to wait for: each kind was listed, or that failed.
    pub(super) fn is_settled(&self) -> bool {
        self.shelves.iter().all(|shelf| shelf.state != State::Begun)
            && self.shelves.iter().any(|shelf| shelf.state == State::Synced)
    }

    /// What all objects tell.
    pub(super) fn tell(&self, to: &mut Emission<'_>) {
        for object in self.shelves.iter().flat_map(|shelf| shelf.objects.values()) {
            object.tell(to);
        }
    }
}

impl Shelf {
    fn new(receiver: ComponentId, target: Target) -> Self {
        Self { receiver, target, objects: HashMap::new(), arriving: None, state: State::Begun, said: None }
    }

    fn take_in(&mut self, change: Change) {
        match change {
            Change::ListBegun => self.arriving = Some(HashMap::new()),
            Change::Listed(uid, object) => {
                self.arriving.get_or_insert_default().insert(uid, object);
            }
            Change::ListEnded => {
                self.objects = self.arriving.take().unwrap_or_default();
                self.objects.shrink_to_fit();
                self.recovered();
            }
            Change::Applied(uid, object) => {
                self.objects.insert(uid, object);
                self.recovered();
            }
            Change::Deleted(uid) => {
                self.objects.remove(&uid);
                self.recovered();
            }
            Change::Failed(trouble) => self.failed(trouble),
        }
    }

    fn recovered(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(receiver = %self.receiver, "{} can be read now", self.target);
        }
        self.state = State::Synced;
    }

    fn failed(&mut self, trouble: Trouble) {
        if trouble.is_refusal() {
            // What may not be seen any more is not told from memory.
            self.objects = HashMap::new();
        }
        if self.state == State::Begun {
            self.state = State::Failed;
        }
        if self.said.as_ref() == Some(&trouble) {
            return;
        }
        let about = trouble.about(&self.target);
        match &trouble {
            // The watcher lists again at once, and nothing is missing: it is no outage, and ends none.
            Trouble::Expired => return tracing::debug!(receiver = %self.receiver, "{about}"),
            Trouble::Absent => tracing::info!(receiver = %self.receiver, "{about}; its metrics are left out"),
            _ => tracing::warn!(receiver = %self.receiver, "{about}; the other kinds go on"),
        }
        self.said = Some(trouble);
    }
}

impl fmt::Debug for Informer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.shelves.iter().map(|shelf| (shelf.target.to_string(), shelf.objects.len()));
        f.debug_map().entries(counts).finish()
    }
}

fn changes<K>(api: Api<K>) -> impl Stream<Item = Change>
where
    K: Resource + Told + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    let watch = Watch { api, events: None, pause: DefaultBackoff::default(), is_first: true };
    futures_util::stream::unfold(watch, |mut watch| async move {
        let change = watch.next().await;
        Some((change, watch))
    })
}

/// A watch that begins anew with a list when it was denied: what is told again then has to be known again.
struct Watch<K> {
    api: Api<K>,
    events: Option<BoxStream<'static, watcher::Result<Event<K>>>>,
    /// Before the next list after a denied one: 0.8 s, and longer each time, up to 30 s, each up to twice as
    /// long by chance.
    pause: DefaultBackoff,
    is_first: bool,
}

impl<K> Watch<K>
where
    K: Resource + Told + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    async fn next(&mut self) -> Change {
        loop {
            let Some(events) = &mut self.events else {
                if !std::mem::take(&mut self.is_first) {
                    sleep(self.pause.next().unwrap_or_default()).await;
                }
                let config = watcher::Config::default().page_size(PAGE);
                // After any other failure it goes on where it was, after the same pauses.
                self.events = Some(watcher::watcher(self.api.clone(), config).default_backoff().boxed());
                continue;
            };
            return match events.next().await {
                Some(Ok(Event::Init)) => Change::ListBegun,
                Some(Ok(Event::InitApply(object))) => Change::Listed(key(&object), Box::new(object)),
                Some(Ok(Event::InitDone)) => {
                    self.pause.reset();
                    Change::ListEnded
                }
                Some(Ok(Event::Apply(object))) => Change::Applied(key(&object), Box::new(object)),
                Some(Ok(Event::Delete(object))) => Change::Deleted(key(&object)),
                Some(Err(error)) => {
                    let trouble = Trouble::of_watcher(&error);
                    if trouble.is_refusal() {
                        self.events = None;
                    }
                    Change::Failed(trouble)
                }
                None => {
                    self.events = None;
                    continue;
                }
            };
        }
    }
}

fn key<K: Resource>(object: &K) -> Box<str> {
    object.meta().uid.as_deref().unwrap_or_default().into()
}

/// A page of pods is about 2 MB of text, and it is all there at once.
const PAGE: u32 = 250;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::Logs;

    #[test]
    fn an_outage_is_told_with_its_receiver_and_its_kind_and_its_end_once() {
        let (logs, _guard) = Logs::keep();
        let target = Target { group: "apps".to_owned(), resource: "deployments".to_owned(), namespace: None };
        let mut shelf = Shelf::new("k8s_cluster/prod".parse().expect("a name"), target);
        let listed = |shelf: &mut Shelf| [Change::ListBegun, Change::ListEnded].map(|change| shelf.take_in(change));
        listed(&mut shelf);
        shelf.take_in(Change::Failed(Trouble::Expired));
        listed(&mut shelf);
        assert_eq!(logs.text(), "", "a watch that has expired is no outage");
        let away = || Change::Failed(Trouble::Passing("connection refused".to_owned()));
        // One that has expired meanwhile does not begin it anew.
        for change in [away(), Change::Failed(Trouble::Expired), away()] {
            shelf.take_in(change);
        }
        for _ in 0..2 {
            listed(&mut shelf);
        }
        let text = logs.text();
        let told = ["deployments.apps: connection refused; the other kinds go on", "deployments.apps can be read now"];
        for told in told {
            assert_eq!(text.matches(&format!("{told} receiver=k8s_cluster/prod")).count(), 1, "{told}: {text}");
        }
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
