//! `cargo xtask cluster` as a user has it, and when it is killed.

use std::process::Command;
use std::time::Duration;

use testbed::process::{Program, Signal, is_stopped, signal_process, wait_until};

const STARTED_WITHIN: Duration = Duration::from_mins(2);
const ENDED_WITHIN: Duration = Duration::from_secs(20);

fn start() -> Option<(Program, String)> {
    // The cluster of this process is not used: it says whether the servers can be had at all.
    testbed::cluster()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("cluster");
    let program = Program::spawn(command).expect("xtask starts");
    let line = program.wait_for_line("export KUBECONFIG=", STARTED_WITHIN).expect("it starts");
    let kubeconfig = line.text.strip_prefix("export KUBECONFIG=").expect("a line to paste").to_owned();
    program.wait_for_line("Ctrl-C", ENDED_WITHIN).expect("it says how to end it");
    Some((program, kubeconfig))
}

#[test]
fn it_runs_until_ctrl_c_and_leaves_nothing_behind() {
    let Some((mut program, kubeconfig)) = start() else { return };
    assert!(std::fs::read_to_string(&kubeconfig).unwrap().contains("https://127.0.0.1:"));
    assert_eq!(program.tree().len(), 3);
    program.signal(Signal::INT).unwrap();
    assert!(program.wait(ENDED_WITHIN).unwrap().success());
    program.wait_for_tree(ENDED_WITHIN).unwrap();
    assert!(!std::path::Path::new(&kubeconfig).exists());
}

#[test]
fn its_servers_end_with_it_when_it_is_killed_even_if_they_are_stopped() {
    let Some((mut program, kubeconfig)) = start() else { return };
    let servers: Vec<u32> = program.tree().into_iter().filter(|id| *id != program.id()).collect();
    for id in &servers {
        signal_process(*id, Signal::STOP).unwrap();
    }
    assert!(wait_until(ENDED_WITHIN, || servers.iter().all(|id| is_stopped(*id))));
    program.signal(Signal::KILL).unwrap();
    program.wait_for_tree(ENDED_WITHIN).unwrap();
    assert!(!std::path::Path::new(&kubeconfig).exists());
}
