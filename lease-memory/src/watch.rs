//! Watches: a bounded queue of events for each watcher, told under the store's own mutex.
//!
//! A watcher that does not keep up is told that it lost some, and the state as it is then. Nothing is
//! ever dropped in silence, except where a test asks for that.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use lease_core::WatchEvent;

use crate::store::{Answer, MemoryStore};

/// What the watches on a lease do: see [`MemoryStore::set_watches`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Watches {
    /// They tell every change. Mending them tells the state as it is, and then that the watch is live.
    #[default]
    Live,
    /// They have said that they are lost, and tell nothing more.
    Lost,
    /// They tell nothing more, and do not say so: a watch that lies.
    Mute,
}

/// How many events wait for a watcher before it is told that it lost some.
pub(crate) const QUEUED_MAX: usize = 64;

/// The watches on one lease.
#[derive(Default)]
pub(crate) struct Topic {
    watches: Watches,
    feeds: Vec<Feed>,
    id_last: u64,
}

struct Feed {
    id: u64,
    queue: VecDeque<WatchEvent>,
    waker: Option<Waker>,
}

impl Topic {
    pub(crate) fn len(&self) -> usize {
        self.feeds.len()
    }

    pub(crate) fn set(&mut self, watches: Watches, present: &Answer, wakers: &mut Vec<Waker>) {
        if std::mem::replace(&mut self.watches, watches) == watches {
            return;
        }
        for feed in &mut self.feeds {
            feed.greet(watches, present);
            wakers.extend(feed.waker.take());
        }
    }

    pub(crate) fn tell(&mut self, present: &Answer, wakers: &mut Vec<Waker>) {
        if self.watches != Watches::Live {
            return;
        }
        for feed in &mut self.feeds {
            if feed.queue.len() < QUEUED_MAX {
                feed.queue.push_back(state(present));
                // A record that cannot be read cannot be told; the watch itself is well.
                feed.queue.extend(present.is_err().then_some(WatchEvent::Ready));
            } else {
                feed.queue.clear();
                feed.greet(Watches::Lost, present);
                feed.greet(Watches::Live, present);
            }
            wakers.extend(feed.waker.take());
        }
    }

    fn subscribe(&mut self, present: &Answer) -> u64 {
        self.id_last += 1;
        let mut feed = Feed { id: self.id_last, queue: VecDeque::new(), waker: None };
        feed.greet(self.watches, present);
        self.feeds.push(feed);
        self.id_last
    }
}

impl Feed {
    /// What a watcher learns when its watch comes into this condition.
    fn greet(&mut self, watches: Watches, present: &Answer) {
        match watches {
            Watches::Live => self.queue.extend([state(present), WatchEvent::Ready]),
            Watches::Lost => self.queue.push_back(WatchEvent::Lost(None)),
            Watches::Mute => {}
        }
    }
}

fn state(present: &Answer) -> WatchEvent {
    match present {
        Ok(Some(versioned)) => WatchEvent::Changed(versioned.clone()),
        Ok(None) => WatchEvent::Deleted,
        Err(error) => WatchEvent::Lost(Some(error.clone())),
    }
}

/// One watcher's end. It never ends by itself.
pub(crate) struct Watch {
    store: MemoryStore,
    name: Arc<str>,
    id: u64,
}

impl Watch {
    pub(crate) fn open(store: MemoryStore, name: Arc<str>) -> Self {
        let id = store.with(|state| {
            let present = state.get(&name);
            state.topics.entry(name.clone()).or_default().subscribe(&present)
        });
        Self { store, name, id }
    }
}

impl Stream for Watch {
    type Item = WatchEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        self.store.with(|state| {
            let topic = state.topics.get_mut(&self.name).expect("topics stay");
            let feed =
                topic.feeds.iter_mut().find(|feed| feed.id == self.id).expect("a feed stays while it is watched");
            let event = feed.queue.pop_front();
            if event.is_none() {
                feed.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(event)
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.store.with(|state| {
            if let Some(topic) = state.topics.get_mut(&self.name) {
                topic.feeds.retain(|feed| feed.id != self.id);
            }
        });
    }
}
