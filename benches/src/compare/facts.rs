//! On what a comparison was made. Not on whose machine: its name says nothing and is nobody's business.

use std::fs;
use std::process::Command;

use super::root;

/// What the figures depend on, in lines for a page.
pub(super) fn gather() -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map_or("", |(_, name)| name);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let gib = memory.unwrap_or(0_u64) / (1 << 20);
    let modules = fs::read_to_string(root().join("testbed/go/go.mod")).unwrap_or_default();
    let module = |name: &str| version_in(&modules, name).unwrap_or("unknown").to_owned();
    vec![
        format!("{cores} cores ({}), {gib} GiB of memory, Linux {}", model.trim(), kernel.trim()),
        format!(
            "client-go {}, kube-apiserver {}, etcd {} with every write on its disk, all on the same machine",
            module("k8s.io/client-go"),
            module("k8s.io/kubernetes"),
            module("go.etcd.io/etcd/server/v3")
        ),
        format!(
            "lease at commit {}, {}",
            said("git", &["describe", "--always", "--dirty", "--exclude=*"]),
            said("rustc", &["--version"])
        ),
    ]
}

/// The day, in universal time.
pub(super) fn today() -> String {
    said("date", &["-u", "+%Y-%m-%d"])
}

/// The version that a `go.mod` requires of a module.
fn version_in<'a>(modules: &'a str, name: &str) -> Option<&'a str> {
    let mut required = modules.lines().filter_map(|line| line.trim().split_once(' '));
    required.find(|(module, _)| *module == name).map(|(_, version)| version.trim())
}

/// The first line that a program prints.
fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(root()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_of_the_testbed() {
        let modules = fs::read_to_string(root().join("testbed/go/go.mod")).unwrap();
        assert!(version_in(&modules, "k8s.io/client-go").unwrap().starts_with("v0."));
        assert!(version_in(&modules, "k8s.io/kubernetes").unwrap().starts_with("v1."));
        assert_eq!(version_in(&modules, "k8s.io/no-such"), None);
    }
}
