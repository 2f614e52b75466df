// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where a hostile function is let loose beside a good one, and what both did is looked at.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fnstream_core::runtime::{CallFailure, InstanceSpec, Limits, Runtime};
use fnstream_core::{Error, ErrorCode};
use parking_lot::{Mutex, MutexGuard};

use crate::support::{TestHost, batch, runtime, spec, start};

/// What a case may make the process grow by while it runs: its own memory, and some for compiling it.
const GROWTH: usize = 192 << 20;

/// What a hostile function may use.
pub(crate) fn limits() -> Limits {
    Limits {
        memory: 16 << 20,
        call_time: Duration::from_millis(50),
        start_time: Duration::from_millis(400),
        ..Limits::default()
    }
}

/// Runs an artifact through a whole life; the answer is `fine`, or the step that failed with its code.
pub(crate) fn live(artifact: &[u8]) -> String {
    live_within(artifact, limits())
}

/// The same with other limits.
pub(crate) fn live_within(artifact: &[u8], limits: Limits) -> String {
    match steps(artifact, limits) {
        Ok(()) => "fine".to_owned(),
        Err((step, code)) => format!("{step} {code}"),
    }
}

fn steps(artifact: &[u8], limits: Limits) -> Result<(), (&'static str, ErrorCode)> {
    let failed = |step| move |failure: CallFailure| (step, worded(failure.error).code);
    let program = runtime().load(artifact).map_err(|error| ("load", worded(error).code))?;
    let host = Arc::new(Mutex::new(TestHost::default()));
    let spec = InstanceSpec { limits, ..spec() };
    let mut instance = program.instantiate(&spec, host).map_err(failed("start"))?;
    instance.init().map_err(failed("start"))?;
    instance.process(&batch(&["one", "two"])).map_err(failed("process"))?;
    instance.process_watermark(0, 1).map_err(failed("watermark"))?;
    instance.take_checkpoint(Default::default()).map_err(failed("checkpoint"))?;
    instance.close().map_err(failed("close"))?;
    // Nobody calls a function that was closed, but should somebody, nothing happens.
    instance.process(&batch(&["late"])).map_err(failed("late"))
}

/// An error that can be shown: no bug of ours, and not longer than it need be.
fn worded(error: Error) -> Error {
    assert_ne!(error.code, ErrorCode::Internal, "{error}");
    assert!(!error.message.is_empty() && error.message.len() < 10_000, "{} bytes", error.message.len());
    error
}

/// Keeps others from what makes the process grow meanwhile.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock()
}

/// Lets an artifact live beside a good function, and compares how it ended. A second way to end may be given after `|`.
#[track_caller]
pub(crate) fn harmless(name: &str, artifact: &[u8], expected: &str) {
    let _alone = alone();
    let good = wat::parse_str(GOOD).unwrap();
    let mut good = start(&runtime().load(&good).unwrap(), &spec());
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    let before = reset_peak();
    let (ended, served) = thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut served = 0;
            while !over.load(Ordering::Relaxed) || served == 0 {
                assert_eq!(good.run(&["x"]).unwrap(), ["ok"]);
                served += 1;
            }
            served
        });
        let ended = live(artifact);
        over.store(true, Ordering::Relaxed);
        (ended, beside.join().unwrap())
    });
    let (grown, took) = (peak().saturating_sub(before), begun.elapsed());
    println!("{name}: {ended} after {took:?}, {} MiB, {served} calls beside it", grown >> 20);
    assert!(expected.split(" | ").any(|expected| expected == ended), "{name}: {ended}, not {expected}");
    assert!(grown < GROWTH, "{name}: the process grew by {} MiB", grown >> 20);
    assert!(took < Duration::from_secs(60), "{name} took {took:?}");
}

const GOOD: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\02\00\00\00")
    (data (i32.const 16) "ok")
    (func (export "process") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

/// Bytes that this process has in memory; from now on its peak is counted anew.
fn reset_peak() -> usize {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    status("VmRSS:")
}

fn peak() -> usize {
    status("VmHWM:")
}

fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
