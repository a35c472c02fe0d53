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
    let kubeconfig = cluster.api().kubeconfig(ADMIN);
    let kubeconfig = kubeconfig.display();
    let lease = "cargo run --quiet --package lease-cli --";
    println!("Kubernetes API server: {}", cluster.api().url());
    println!("kubeconfig of its administrator: {kubeconfig}\n");
    println!("Paste this into two terminals, then end the one that leads:");
    println!("  KUBECONFIG={kubeconfig} {lease} run demo -- sh -c 'while echo I lead; do sleep 1; done'\n");
    println!("Who leads:");
    println!("  KUBECONFIG={kubeconfig} {lease} get demo\n");
    println!("Ctrl-C stops the servers and forgets everything.");
    signals.forever().next();
    println!("stopping");
    Ok(())
}
