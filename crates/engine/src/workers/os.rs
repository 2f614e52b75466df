// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the operating system knows of our threads. Only Linux has priorities of single threads; elsewhere nothing is
//! lowered, and hogs are still run on threads of their own.

use std::time::Duration;

use crate::scheduler::{Os, ThreadId};

/// The niceness of a thread that computes for long. Beside a normal thread that wants the same processor it gets about a
/// tenth: little enough not to be noticed, and enough that a function that only computes much still gets on.
#[cfg(target_os = "linux")]
const HOG_NICENESS: i32 = 10;

/// The real one.
pub(crate) struct Native;

#[cfg(target_os = "linux")]
impl Os for Native {
    fn cpu_time(&self, thread: ThreadId) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
    }

    fn lower(&self, thread: ThreadId) {
        let lowered = rustix::process::setpriority_process(rustix::process::Pid::from_raw(thread), HOG_NICENESS);
        if let Err(error) = lowered {
            tracing::debug!(%error, "the priority of a thread could not be lowered");
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Os for Native {
    fn cpu_time(&self, _: ThreadId) -> Option<Duration> {
        None
    }

    fn lower(&self, _: ThreadId) {}
}

/// The calling thread.
#[cfg(target_os = "linux")]
pub(super) fn own_id() -> ThreadId {
    rustix::thread::gettid().as_raw_nonzero().get()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn own_id() -> ThreadId {
    0
}

/// The processor time that the calling thread has used.
pub(super) fn own_cpu_time() -> Option<Duration> {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime)).ok()
}

/// The niceness of the calling thread.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn niceness() -> i32 {
    rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap_or_default()
}
