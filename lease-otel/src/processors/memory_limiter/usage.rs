//! How much memory the process uses, and how much there is for it.

use std::fs;
use std::path::{Path, PathBuf};

/// The bytes of this process that are in memory; none where the system does not say.
pub(super) fn resident() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The bytes that this process can have: the least limit of its control groups, or what the machine has.
///
/// `root` is where `proc` and `sys` are.
pub(super) fn total(root: &Path) -> Option<u64> {
    let machine = kibibytes(&fs::read_to_string(root.join("proc/meminfo")).ok()?, "MemTotal:")?;
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(|line| limits_of(&root.join("sys/fs/cgroup"), line));
    Some(limits.fold(machine, u64::min))
}

/// The value of a line such as `VmRSS:     5720 kB`.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The limits of a group and of all above it. A line is `NUMBER:CONTROLLERS:PATH`.
fn limits_of(mount: &Path, line: &str) -> Vec<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (mount, file) = if controllers.is_empty() {
        (mount.to_owned(), "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        (mount.join("memory"), "memory.limit_in_bytes")
    } else {
        return Vec::new();
    };
    // Inside of a container the path may be that of the host, which is not there; the group itself is the root then.
    let group: PathBuf = path.trim_start_matches('/').into();
    let groups = group.ancestors().map(|group| mount.join(group).join(file));
    // `max` is no number, and none. In the older hierarchy none is a huge number.
    groups.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       16384 kB\nMemFree:  10 kB\n");

    #[test]
    fn the_least_limit_counts() {
        let group = ("proc/self/cgroup", "0::/pods/one\n");
        let max = ("sys/fs/cgroup/pods/one/memory.max", "max\n");
        assert_eq!(total(root(&[MEMINFO]).path()), Some(16 << 20));
        assert_eq!(total(root(&[MEMINFO, group, max]).path()), Some(16 << 20));
        let above = ("sys/fs/cgroup/pods/memory.max", "4194304\n");
        assert_eq!(total(root(&[MEMINFO, group, max, above]).path()), Some(4 << 20));
        let more = ("sys/fs/cgroup/pods/memory.max", "9999999999\n");
        assert_eq!(total(root(&[MEMINFO, group, max, more]).path()), Some(16 << 20));
        assert_eq!(total(root(&[]).path()), None);
    }

    #[test]
    fn the_older_hierarchy_and_the_root_of_a_container_are_known() {
        let group = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n");
        let limit = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "8388608\n");
        assert_eq!(total(root(&[MEMINFO, group, limit]).path()), Some(8 << 20));
    }

    #[test]
    fn this_process_is_in_memory() {
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
    }
}
