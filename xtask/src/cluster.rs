//! `cargo xtask cluster`: a Kubernetes API server to try things on, until Ctrl-C.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use testbed::Cluster;
use testbed::server::ADMIN;

use crate::Failure;

/// Starts the servers, says how to use them, and stops them at the first signal.
///
/// # Errors
/// Which server does not run, and why.
pub fn run() -> Result<(), Failure> {
    // Registered first, so that an early Ctrl-C leaves nothing behind either.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Failure::io("signals"))?;
    let cluster = Cluster::start()?;
    // The line that README tells to paste, so it stands alone.
    println!("export KUBECONFIG={}\n", cluster.api().kubeconfig(ADMIN).display());
    println!("Paste it into two terminals, and then, in each:\n");
    println!("  {LEASE} run demo -- sh -c 'while :; do echo \"$LEASE_IDENTITY acts\"; sleep 1; done'\n");
    println!("End the one that acts: the other goes on. Who leads, from a third terminal:\n");
    println!("  {LEASE} get\n");
    println!("Ctrl-C stops the servers and forgets everything.");
    signals.forever().next();
    println!("stopping");
    Ok(())
}

const LEASE: &str = "cargo run --package lease-cli --";
