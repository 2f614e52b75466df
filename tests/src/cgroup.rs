// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A control group of Linux that bounds the memory of a process, as a container does.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::server::ServerOptions;

/// Where the two generations of control groups are, with the names of the limit.
const PLACES: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A group of one's own; it goes with this.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
}

impl MemoryGroup {
    /// A group whose processes may have so many bytes together; what is beyond is answered by the memory killer.
    ///
    /// `None` where the system has no such groups, or lets only others make them.
    pub fn new(bytes: u64) -> Option<Self> {
        PLACES.iter().find_map(|(parent, limit)| {
            let folder = PathBuf::from(format!("{parent}/fnstream-test-{}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            let group = MemoryGroup { folder };
            fs::write(group.folder.join(limit), bytes.to_string()).ok()?;
            Some(group)
        })
    }

    /// A server in the group.
    pub fn with(&self, options: ServerOptions) -> ServerOptions {
        options.after(format!("echo $$ > '{}/cgroup.procs'", self.folder.display()))
    }

    /// How often a process of the group was killed for its memory.
    pub fn kills(&self) -> Result<u64> {
        let read = |name: &str| fs::read_to_string(self.folder.join(name));
        let text = read("memory.events").or_else(|_| read("memory.oom_control")).context("the group is gone")?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.parse().ok()).context("the kernel does not count what it kills")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // One with a process in it stays.
        let _ = fs::remove_dir(&self.folder);
    }
}
