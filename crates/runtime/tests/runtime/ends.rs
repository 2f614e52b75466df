// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Every call has an end: the task's own ends it wherever it computes or waits, and the host's own mistakes end it too.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fnstream_core::runtime::{InstanceSpec, Program, Runtime};
use fnstream_core::spec::FileGrant;
use fnstream_core::{ErrorCode, panics};
use fnstream_runtime::{RuntimeOptions, WallClock, WasmRuntime};
use wat::parse_str;

use crate::support::{filter, guest, runtime, said, spec, start};

/// Far below the limits of the calls that are made here.
const SOON: Duration = Duration::from_secs(20);

/// A spec with limits that play no part.
fn patient() -> InstanceSpec {
    let mut spec = spec();
    spec.limits.call_time = Duration::from_secs(600);
    spec
}

/// Has a call interrupted a moment after it began.
fn interrupted(program: &Arc<dyn Program>, record: &str) {
    let spec = patient();
    let mut task = start(program, &spec);
    let interrupt = spec.interrupt.clone();
    let begun = Instant::now();
    let failure = std::thread::scope(|scope| {
        scope.spawn(|| {
            // An interrupt is the one thing here that can be waited for.
            fnstream_core::interrupt::Interrupt::default().wait(Duration::from_millis(150));
            interrupt.set();
        });
        task.fail(&[record])
    });
    assert_eq!(failure.error.code, ErrorCode::Interrupted, "{record}: {failure}");
    assert!(begun.elapsed() < SOON, "{record}: after {:?}", begun.elapsed());
    assert_eq!(failure.record, None, "no record is to blame");
    assert_eq!(task.fail(&["echo a"]).error.code, ErrorCode::GuestPoisoned);
}

#[test]
fn a_call_ends_with_its_task_wherever_it_is() {
    let packed = runtime().load(&guest("packed")).unwrap();
    for command in ["loop", "sleep 3600000", "files spin", "files sleep 3600000"] {
        interrupted(&packed, command);
    }
    let stdio = runtime().load(&filter()).unwrap();
    for command in ["spin", "sleep 3600000"] {
        interrupted(&stdio, command);
    }
    let processor = runtime().load(&guest("processor")).unwrap();
    interrupted(&processor, "loop");
    let resident = parse_str(r#"(module (func (export "process") (loop (br 0))))"#).unwrap();
    interrupted(&runtime().load(&resident).unwrap(), "a");
}

#[test]
fn no_call_begins_once_the_task_ends() {
    let program = runtime().load(&guest("packed")).unwrap();
    let spec = patient();
    let mut task = start(&program, &spec);
    assert_eq!(task.run(&["echo a"]).unwrap(), ["a"]);
    spec.interrupt.set();
    let failure = task.fail(&["echo b"]);
    assert_eq!(said(&failure).0, ErrorCode::Interrupted);
    assert!(task.take().is_empty());
}

fn granted(host: &Path) -> InstanceSpec {
    let grant = FileGrant { host: host.to_str().unwrap().into(), guest: "/data".into() };
    InstanceSpec { files: vec![grant], ..patient() }
}

#[test]
fn what_a_read_could_wait_for_is_not_opened_also_when_it_came_after_the_grant() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.txt"), "hello").unwrap();
    let programs = [(guest("packed"), "files "), (filter(), "")];
    let mut tasks =
        programs.map(|(artifact, prefix)| (start(&runtime().load(&artifact).unwrap(), &granted(dir.path())), prefix));
    let folder = std::fs::File::open(dir.path()).unwrap();
    let pipe = rustix::fs::mknodat(&folder, "pipe", rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0);
    pipe.unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero")).unwrap();
    std::os::unix::fs::symlink("pipe", dir.path().join("to-pipe")).unwrap();
    // Only who may do anything may make a device.
    let device = rustix::fs::makedev(1, 5);
    let made =
        rustix::fs::mknodat(&folder, "device", rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::RWXU, device);
    let names = ["pipe", "socket", "zero", "to-pipe", if made.is_ok() { "device" } else { "pipe" }];
    for (task, prefix) in &mut tasks {
        let begun = Instant::now();
        for name in names {
            let answer = task.run(&[&format!("{prefix}read /data/{name}")]).unwrap().concat();
            // As the program's library calls "not permitted" and "not capable".
            assert!(["PermissionDenied", "Uncategorized"].contains(&&*answer), "{prefix}{name}: {answer}");
        }
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(task.run(&[&format!("{prefix}read /data/a.txt")]).unwrap(), ["hello"]);
        let list = task.run(&[&format!("{prefix}list /data")]).unwrap().concat();
        assert!(list.starts_with("a.txt ") && list.contains("pipe"), "{list}");
    }
}

#[test]
fn a_large_file_read_into_one_buffer_again_and_again_ends_with_the_call() {
    // 8 TiB that are not on the disk, read by 2^20 buffers that are all the same MiB, over and over.
    let dir = tempfile::tempdir().unwrap();
    std::fs::File::create(dir.path().join("f")).unwrap().set_len(1 << 43).unwrap();
    let module = parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 200)
            (data (i32.const 16) "f")
            (func (export "process") (local $i i32)
                (if (call $open (i32.const 5) (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 0)
                    (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)) (then unreachable))
                (loop $fill
                    (i32.store (i32.add (i32.const 4194304) (i32.mul (local.get $i) (i32.const 8))) (i32.const 65536))
                    (i32.store (i32.add (i32.const 4194308) (i32.mul (local.get $i) (i32.const 8))) (i32.const 1048576))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $fill (i32.lt_u (local.get $i) (i32.const 1048576))))
                (loop $again
                    (if (call $read (i32.load (i32.const 0)) (i32.const 4194304) (i32.const 1048576) (i32.const 8))
                        (then unreachable))
                    (br $again))))"#,
    )
    .unwrap();
    let mut spec = granted(dir.path());
    spec.limits.call_time = Duration::from_millis(200);
    let failure = start(&runtime().load(&module).unwrap(), &spec).fail(&["a"]);
    assert_eq!(failure.error.code, ErrorCode::GuestTimeout, "{failure}");
}

fn with_clock(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> WasmRuntime {
    WasmRuntime::new(None, RuntimeOptions { wall_clock: WallClock::new(now), ..RuntimeOptions::default() }).unwrap()
}

fn clock_of_both(runtime: &WasmRuntime) -> [String; 2] {
    [(guest("packed"), "files clock"), (filter(), "clock")].map(|(artifact, command)| {
        start(&runtime.load(&artifact).unwrap(), &patient()).run(&[command]).unwrap().concat()
    })
}

#[test]
fn a_clock_that_shows_any_time_is_told_as_something() {
    let day = Duration::from_secs(86_400);
    assert_eq!(clock_of_both(&with_clock(|| UNIX_EPOCH - 3 * Duration::from_secs(86_400))), ["0", "0"]);
    assert_eq!(clock_of_both(&with_clock(move || UNIX_EPOCH + 3 * day)), ["259200", "259200"]);
    // As far as nanoseconds of 64 bits reach for the one kind, and as far as seconds do for the other.
    let far = with_clock(|| UNIX_EPOCH + Duration::from_secs(1 << 40));
    assert_eq!(clock_of_both(&far), [(1_u64 << 40).to_string(), (u64::MAX / 1_000_000_000).to_string()]);
}

#[test]
fn a_panic_below_a_call_ends_that_instance_and_no_other() {
    let panics = Arc::new(AtomicBool::new(false));
    let planted = panics.clone();
    let runtime = with_clock(move || {
        assert!(!planted.load(Ordering::Relaxed), "planted in the clock");
        UNIX_EPOCH
    });
    for (artifact, command) in [(guest("packed"), "files clock"), (filter(), "clock")] {
        let program = runtime.load(&artifact).unwrap();
        let (mut one, mut other) = (start(&program, &patient()), start(&program, &patient()));
        panics.store(true, Ordering::Relaxed);
        let caught = panics::catch(|| one.run(&[command]).map_err(|failure| failure.error)).unwrap_err();
        panics.store(false, Ordering::Relaxed);
        assert_eq!(caught.message, "planted in the clock");
        assert_eq!(other.run(&[command]).unwrap(), ["0"]);
        assert_eq!(start(&program, &patient()).run(&[command]).unwrap(), ["0"]);
    }
}
