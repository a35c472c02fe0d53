//! Many elections in one process: `elections KUBECONFIG NAMESPACE PREFIX COUNT`, on the leases `PREFIX-0` and so on.
//!
//! The counterpart of the stock elector with `--leases`: one client, one thread, each lease renewed once a second. It
//! prints `started LEASE` for each term and ends with its standard input.

use std::env;
use std::io::{self, Read};
use std::time::Duration;

use lease_core::{HolderIdentity, LeaderElection, Timing};
use lease_k8s::{Access, K8sClient};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    // The one goodbye that also a killed starter sends.
    std::thread::spawn(|| {
        while matches!(io::stdin().read(&mut [0; 64]), Ok(1..)) {}
        std::process::exit(70);
    });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args: Vec<String> = env::args().skip(1).collect();
    let [kubeconfig, namespace, prefix, count] = args.as_slice() else {
        return Err("usage: elections KUBECONFIG NAMESPACE PREFIX COUNT".into());
    };
    let seconds = Duration::from_secs;
    let timing = Timing::new(seconds(4), seconds(3), seconds(1))?;
    let client = K8sClient::connect(Access::kubeconfig(Some(kubeconfig.into()))).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..count.parse::<u32>()? {
        let lease = format!("{prefix}-{index}");
        let lock = client.lock(namespace, &lease)?;
        let election = LeaderElection::watched(lock, HolderIdentity::unique("elections")?).timing(timing).start()?;
        tasks.spawn(async move {
            while let Ok(leadership) = election.campaign().await {
                println!("started {lease}");
                leadership.draining().cancelled().await;
            }
        });
    }
    tasks.join_all().await;
    Err("an election has ended by itself".into())
}
