//! Watches: hints, but honest ones.

use futures_core::stream::BoxStream;
use futures_util::StreamExt;

use super::support::{create, ensure, held, overwrite};
use super::{Checked, DeleteHarness, Harness, Lease, Violation};
use crate::lock::{WatchEvent, WatchLock};
use crate::record::{LeaseRecord, Versioned};

/// A watch that starts tells whether there is a record and which, just as a read shows it, and that it is live.
pub async fn a_starting_watch_tells_the_present_state<H>(harness: &H, lease: &Lease<H>) -> Checked
where
    H: Harness<Lock: WatchLock>,
{
    let absent = Watcher::start(harness, lease).state().await?;
    ensure!(absent.is_none(), "a watch on an absent lease tells {absent:?}");
    let record = create(&lease.one, &held("one", 0)).await?;
    let told = Watcher::start(harness, lease).state().await?;
    ensure!(told.as_ref() == Some(&record), "a watch on {record:?} tells {told:?}");
    Ok(())
}

/// A live watch tells each of many quick changes, or tells that it was interrupted and then how things are.
pub async fn a_watch_tells_every_change_or_that_it_lost_some<H>(harness: &H, lease: &Lease<H>) -> Checked
where
    H: Harness<Lock: WatchLock>,
{
    create(&lease.one, &held("one", 0)).await?;
    let mut watcher = Watcher::start(harness, lease);
    watcher.ready().await?;
    let mut untold: Vec<LeaseRecord> = (1..=CHANGE_COUNT).map(|step| held("two", step)).collect();
    for record in &untold {
        overwrite(&lease.two, record).await?;
    }
    let last = untold.last().cloned();
    let mut interrupted = false;
    loop {
        match watcher.next().await? {
            WatchEvent::Changed(told) => {
                untold.retain(|record| *record != told.record);
                if Some(told.record) == last {
                    break;
                }
            }
            WatchEvent::Lost(_) => interrupted = true,
            WatchEvent::Ready => {}
            WatchEvent::Deleted => return Err(Violation::new("a watch tells a deletion that was none")),
        }
    }
    ensure!(interrupted || untold.is_empty(), "a watch skips {} of {CHANGE_COUNT} changes in silence", untold.len());
    Ok(())
}

/// A live watch tells that the lease was deleted, and that it was made anew.
pub async fn a_watch_tells_a_deletion<H>(harness: &H, lease: &Lease<H>) -> Checked
where
    H: DeleteHarness<Lock: WatchLock>,
{
    create(&lease.one, &held("one", 0)).await?;
    let mut watcher = Watcher::start(harness, lease);
    watcher.ready().await?;
    harness.delete(&lease.guard).await;
    while !matches!(watcher.next().await?, WatchEvent::Deleted) {}
    let anew = held("two", 1);
    create(&lease.two, &anew).await?;
    while !matches!(watcher.next().await?, WatchEvent::Changed(told) if told.record == anew) {}
    Ok(())
}

/// A watch with a limit to how long it may keep silent.
struct Watcher<'a, H: Harness> {
    harness: &'a H,
    events: BoxStream<'static, WatchEvent>,
}

impl<'a, H: Harness<Lock: WatchLock>> Watcher<'a, H> {
    fn start(harness: &'a H, lease: &Lease<H>) -> Self {
        Self { harness, events: lease.one.watch() }
    }

    async fn next(&mut self) -> Result<WatchEvent, Violation> {
        let patience = self.harness.patience();
        match tokio::time::timeout(patience, self.events.next()).await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(Violation::new("a watch ends by itself")),
            Err(_) => Err(Violation::new(format!("a watch tells nothing for {patience:?}"))),
        }
    }

    async fn ready(&mut self) -> Checked {
        while !matches!(self.next().await?, WatchEvent::Ready) {}
        Ok(())
    }

    /// What the watch tells of the present, once it has also said that it is live.
    async fn state(mut self) -> Result<Option<Versioned>, Violation> {
        let (mut ready, mut state) = (false, None);
        loop {
            match self.next().await? {
                WatchEvent::Ready => ready = true,
                WatchEvent::Changed(told) => state = Some(Some(told)),
                WatchEvent::Deleted => state = Some(None),
                WatchEvent::Lost(_) => ready = false,
            }
            if ready && let Some(told) = state.take() {
                return Ok(told);
            }
        }
    }
}

const CHANGE_COUNT: u32 = 20;
