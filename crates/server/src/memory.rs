// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The memory that this process may have, as the system tells.
//!
//! ```text
//! version 2    /proc/self/cgroup "0::/a/b"         memory.max in /sys/fs/cgroup/a/b, /sys/fs/cgroup/a, /sys/fs/cgroup
//! version 1    /proc/self/cgroup "4:memory:/a/b"   memory.limit_in_bytes in /sys/fs/cgroup/memory/a/b, and those above it
//! the machine  /proc/meminfo "MemTotal"
//! ```
//!
//! The least of them counts. In a container the path may be one of the machine's, which is not there: then the folders above it
//! are, which are the container's own.

use std::fs::read_to_string;
use std::path::Path;

use fnstream_core::budget;

/// What a server takes where the system says nothing.
const UNKNOWN: usize = 2 << 30;

/// What a server may use that is not told: three quarters of the limit of its control group, which is nearly its own, or half
/// of the machine's memory if that is less; at least [`budget::LEAST`].
pub fn usual() -> usize {
    usual_of(Path::new("/"))
}

/// The most that this process can have, if the system tells.
pub(crate) fn most() -> Option<usize> {
    let root = Path::new("/");
    machine(root).into_iter().chain(control_group(root)).min()
}

fn usual_of(root: &Path) -> usize {
    let half = machine(root).map(|bytes| bytes / 2);
    let most = control_group(root).map(|bytes| bytes / 4 * 3);
    half.into_iter().chain(most).min().map_or(UNKNOWN, |bytes| bytes.max(budget::LEAST))
}

/// The memory of the machine.
fn machine(root: &Path) -> Option<usize> {
    let text = read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// The limit of the control group of this process, if it has one.
fn control_group(root: &Path) -> Option<usize> {
    let groups = read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        let mount = root.join(mount);
        // Each is bound by those above it. A path that leads out of the mount is of another view of the groups.
        let group = mount.join(path.trim_start_matches('/'));
        let folders = group.ancestors().take_while(|folder| folder.starts_with(&mount));
        folders.filter_map(|folder| limit(&folder.join(file))).collect()
    });
    limits.min()
}

/// The limit in a file; nothing when it says that there is none.
fn limit(file: &Path) -> Option<usize> {
    read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// What is usual for a system with these files.
    fn usual(files: &[(&str, &str)]) -> usize {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        usual_of(root.path())
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n");

    #[test]
    fn without_a_limit_it_is_half_of_the_machine() {
        assert_eq!(usual(&[MACHINE]), 4096 * MIB);
        let none = [MACHINE, ("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")];
        assert_eq!(usual(&none), 4096 * MIB);
        // As version 1 writes that there is none.
        let none = [
            MACHINE,
            ("proc/self/cgroup", "4:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(usual(&none), 4096 * MIB);
        assert_eq!(usual(&[]), UNKNOWN);
    }

    #[test]
    fn the_tightest_of_all_groups_above_counts() {
        let two = [
            MACHINE,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/a/memory.max", "1073741824\n"),
        ];
        assert_eq!(usual(&two), 768 * MIB);
        let one = [
            MACHINE,
            ("proc/self/cgroup", "9:name=systemd:/x\n4:cpu,memory:/a\n0::/x\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1073741824\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(usual(&one), 768 * MIB);
    }

    #[test]
    fn a_container_that_sees_the_machines_path_has_the_limit_of_its_own_mount() {
        let container = [
            MACHINE,
            ("proc/self/cgroup", "0::/system.slice/docker-1.scope\n"),
            ("sys/fs/cgroup/memory.max", "1073741824\n"),
        ];
        assert_eq!(usual(&container), 768 * MIB);
        let outside =
            [MACHINE, ("proc/self/cgroup", "0::/../../other\n"), ("sys/fs/cgroup/memory.max", "1073741824\n")];
        assert_eq!(usual(&outside), 768 * MIB);
    }

    #[test]
    fn a_server_has_what_it_needs_at_least() {
        let small = [MACHINE, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "104857600\n")];
        assert_eq!(usual(&small), budget::LEAST);
        assert!(super::usual() >= budget::LEAST && most().is_none_or(|most| most > 0));
    }
}
