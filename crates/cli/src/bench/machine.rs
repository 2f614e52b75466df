// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the bench ran on, and the CPU time that it took.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub cores: usize,
    pub cpu: String,
    pub os: String,
}

impl Machine {
    pub(super) fn here() -> Self {
        let first = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: first("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            os: format!("{} {} {}", std::env::consts::OS, kernel.trim(), std::env::consts::ARCH),
        }
    }
}

/// User and system time of this process so far, of all its threads.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
