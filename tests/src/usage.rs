// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a process uses, as the kernel counts it.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result};

/// The unit of /proc/PID/stat, which Linux fixes for programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Bytes of memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Now in memory (`VmRSS`).
    pub resident: u64,
    /// The most that ever was (`VmHWM`).
    pub peak: u64,
}

/// What a process has in memory.
pub fn memory(pid: u32) -> Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1 << 10)
    };
    let memory = || Some(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? });
    memory().context("the kernel does not say what the process has in memory")
}

/// Bytes that a process has in memory, with its share of the pages that it has mapped more than once or has in common with others (`Pss`).
pub fn share_of_memory(pid: u32) -> Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the process is gone")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.and_then(|kib| kib.checked_mul(1 << 10)).context("the kernel does not say what the process has in memory")
}

/// The processor time of a process, of all its threads, the ended ones too. It is counted in ticks of 10 ms.
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // The second field, the name, may hold blanks and brackets: count from the last closing one.
    let ticks = || {
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
        Some(user + system)
    };
    let ticks = ticks().context("the kernel does not say what the process used")?;
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

/// Lets a window of time pass in which something is measured. The waiting is the measurement: no event ends it.
pub fn window(length: Duration) {
    let (_open, never) = mpsc::channel::<()>();
    let ended = never.recv_timeout(length);
    debug_assert_eq!(ended, Err(mpsc::RecvTimeoutError::Timeout));
}

/// Bytes as MiB, for people.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_uses_grows() -> Result<()> {
        let pid = std::process::id();
        let before = memory(pid)?;
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = memory(pid)?;
        let share = share_of_memory(pid)?;
        assert!(share >= 60 << 20 && share <= after.peak, "{share}");
        assert!(after.resident >= before.resident + (60 << 20) && after.peak >= after.resident, "{before:?} {after:?}");
        drop(block);
        let begun = cpu(pid)?;
        while cpu(pid)? < begun + Duration::from_millis(50) {
            std::hint::black_box((0..100_000u64).sum::<u64>());
        }
        Ok(())
    }
}
