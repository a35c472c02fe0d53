//! What a renewal costs this process:
//! `cargo run --release -p lease-k8s --example renewals -- [LEASES] [SECONDS] [INSTANTS]`.
//!
//! Renews each lease once a second on a real API server of its own, at as many instants of each second (by default each
//! lease at its own), and prints the processor time per renewal and the resident memory. The server's own processes are
//! not counted. Fewer instants are cheaper: a renewal that follows another finds its code in the caches.

use std::time::Duration;

use futures_util::future::join_all;
use lease_core::{HolderIdentity, LeaseRecord, ResourceLock, Timestamp};
use lease_k8s::{Access, K8sClient, K8sLock};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u32>());
    let lease_count = args.next().transpose()?.unwrap_or(100);
    let seconds = args.next().transpose()?.unwrap_or(20);
    let instants = args.next().transpose()?.unwrap_or(lease_count);
    let cluster = testbed::Cluster::start()?;
    let namespace = cluster.namespace("renewals");
    let client = K8sClient::connect(Access::kubeconfig(Some(cluster.api().kubeconfig("admin")))).await?;
    let start = Instant::now() + Duration::from_secs(2);
    let renewing = (0..lease_count).map(|index| {
        let lock = client.lock(&namespace, &format!("lease-{index}")).expect("a good name");
        renew(lock, start + Duration::from_secs(1) * (index * instants / lease_count) / instants, seconds)
    });
    let measuring = async {
        sleep_until(start).await;
        let before = cpu();
        sleep_until(start + Duration::from_secs(1) * seconds).await;
        cpu().saturating_sub(before)
    };
    let (renewed, used) = tokio::join!(join_all(renewing), measuring);
    let count: u32 = renewed.into_iter().sum();
    println!("{count} renewals of {lease_count} leases, {:?} of processor time each", used / count);
    for line in std::fs::read_to_string("/proc/self/status")?.lines().filter(|line| line.starts_with("VmRSS")) {
        println!("{line}");
    }
    Ok(())
}

async fn renew(lock: K8sLock, start: Instant, seconds: u32) -> u32 {
    let mut record = LeaseRecord {
        holder: HolderIdentity::unique("renewals").ok(),
        lease_duration: Duration::from_secs(15),
        renew_time: Some(Timestamp::from_unix_micros(1_700_000_000_000_000)),
        ..LeaseRecord::default()
    };
    let mut seen = lock.create(&record).await.expect("the server is there");
    for round in 0..seconds {
        sleep_until(start + Duration::from_secs(1) * round).await;
        record.renew_time = record.renew_time.map(|time| time.after(time, Duration::from_secs(1)));
        seen = lock.update(&seen, &record).await.expect("the server is there");
    }
    seconds
}

fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.try_into().unwrap_or_default(), used.tv_nsec.try_into().unwrap_or_default())
}
