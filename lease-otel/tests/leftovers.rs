//! Ten terms leave no task and no descriptor behind. A process of its own, so that nobody else opens any.
#![allow(clippy::wildcard_imports, dead_code, missing_docs, unreachable_pub, reason = "a kit of tests")]

#[path = "host/kit.rs"]
mod kit;

use std::sync::Arc;
use std::time::Duration;

use kit::*;
use lease_core::Reason;
use lease_otel::host::{Host, Stopped};
use lease_otel::telemetry::Telemetry;
use lease_otel::testing::ScriptedElector;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a directory").count()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn ten_terms_leave_nothing_behind() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new()
        .elector("elector", &elector)
        .exporter("exporter", false)
        .processor("processor")
        .receiver("docile", Some("elector"), Does::Emits(2))
        .receiver("stubborn", Some("elector"), Does::Ignores)
        .receiver("fickle", Some("elector"), Does::Ends(times(5)));
    let journal = kit.journal.clone();
    let (tasks_at_first, descriptors_at_first) = (tasks(), descriptors());
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    let before = (tasks(), descriptors());
    for term in 1..=10 {
        elector.lead().await;
        journal.until("stubborn starts", term).await;
        journal.until("docile starts", term).await;
        assert!(tasks() > before.0, "the term has tasks");
        if term % 2 == 0 {
            elector.lose(Reason::Expired).await;
        } else {
            elector.drain(Reason::Resigned).await;
        }
        assert_eq!((tasks(), descriptors()), before, "after term {term}");
    }
    assert_eq!(host.shutdown(Duration::from_secs(25)).await, Stopped::InOrder);
    // A task is counted until the runtime has turned once more.
    tokio::task::yield_now().await;
    assert_eq!((tasks(), descriptors()), (tasks_at_first, descriptors_at_first), "after the shutdown");
}
