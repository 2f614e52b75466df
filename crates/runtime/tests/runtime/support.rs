// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts that are built once, and a host in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::delta::Write;
use fnstream_core::epoch::FunctionId;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::runtime::{CallFailure, Host, Instance, InstanceSpec, Limits, Program, Runtime, SharedHost};
use fnstream_core::state::Visit;
use fnstream_core::state_key::store_prefix;
use fnstream_core::test_util::emitted::Emitted;
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{Frame, FrameBuilder, HeadersBuilder, RecordRef};
use fnstream_runtime::{RuntimeOptions, WasmRuntime};
use parking_lot::Mutex;

/// A runtime that all tests share, without a cache: its engine is what they test together.
pub(crate) fn runtime() -> &'static WasmRuntime {
    static RUNTIME: OnceLock<WasmRuntime> = OnceLock::new();
    RUNTIME.get_or_init(|| WasmRuntime::new(None, RuntimeOptions::default()).unwrap())
}

/// An example that `examples/build.sh` makes; from `FNSTREAM_EXAMPLES` where that is set.
pub(crate) fn example(name: &str) -> Vec<u8> {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| match std::env::var_os("FNSTREAM_EXAMPLES") {
        Some(dir) => dir.into(),
        None => {
            let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples");
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/build.sh");
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
            run(Command::new(script).arg(&dir).env("CARGO_TARGET_DIR", target));
            dir
        }
    });
    read(&dir.join(format!("example_{name}.wasm")))
}

/// A guest of `tests/guests`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        build_guests(&["--target", "wasm32-wasip2", "--profile", "release"]).join("wasm32-wasip2/release")
    });
    read(&dir.join(format!("guest_{name}.wasm")))
}

/// The packed guest with line tables.
pub(crate) fn component_with_lines() -> Vec<u8> {
    static ARTIFACT: OnceLock<Vec<u8>> = OnceLock::new();
    let build = || {
        let target = build_guests(&["--target", "wasm32-wasip2", "--package", "guest-packed", "--profile", "lines"]);
        read(&target.join("wasm32-wasip2/lines/guest_packed.wasm"))
    };
    ARTIFACT.get_or_init(build).clone()
}

/// The guest that is a program of WASI preview 1.
pub(crate) fn filter() -> Vec<u8> {
    static ARTIFACT: OnceLock<Vec<u8>> = OnceLock::new();
    ARTIFACT.get_or_init(|| build_filter("release")).clone()
}

/// The same with line tables.
pub(crate) fn filter_with_lines() -> Vec<u8> {
    static ARTIFACT: OnceLock<Vec<u8>> = OnceLock::new();
    ARTIFACT.get_or_init(|| build_filter("lines")).clone()
}

fn build_filter(profile: &str) -> Vec<u8> {
    let target = build_guests(&["--target", "wasm32-wasip1", "--package", "guest-files", "--profile", profile]);
    read(&target.join("wasm32-wasip1").join(profile).join("guest-files.wasm"))
}

fn build_guests(args: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--quiet"]).args(args);
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests"));
    for host_setting in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(host_setting);
    }
    run(cargo.env("CARGO_TARGET_DIR", &target));
    target
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A task in memory with one output.
#[derive(Default)]
pub(crate) struct TestHost {
    pub(crate) outbox: Vec<Emitted>,
    pub(crate) watermarks: Vec<(u32, u64)>,
    pub(crate) timers: BTreeMap<(TimeDomain, Bytes), i64>,
    pub(crate) state: BTreeMap<Vec<u8>, Bytes>,
    /// What every state call answers.
    pub(crate) broken: Option<Error>,
    pub(crate) gets: usize,
    pub(crate) scans: usize,
    pub(crate) range_deletes: usize,
}

impl TestHost {
    fn check(target: u32) -> Result<()> {
        if target == 0 {
            Ok(())
        } else {
            Err(Error::new(ErrorCode::UnknownTarget, format!("there is no output {target}")))
        }
    }

    fn works(&self) -> Result<()> {
        self.broken.clone().map_or(Ok(()), Err)
    }
}

impl Host for TestHost {
    fn emit_frame(&mut self, frame: &[u8]) -> Result<()> {
        let frame = Frame::parse(frame).map_err(|e| Error::new(ErrorCode::GuestProtocol, e.to_string()))?;
        frame.iter().try_for_each(|record| Self::check(record.channel))?;
        self.outbox.extend(frame.iter().map(Emitted::from));
        Ok(())
    }

    fn emit(&mut self, record: RecordRef<'_>) -> Result<()> {
        Self::check(record.channel)?;
        self.outbox.push(record.into());
        Ok(())
    }

    fn emit_watermark(&mut self, target: u32, watermark: u64) -> Result<()> {
        Self::check(target)?;
        self.watermarks.push((target, watermark));
        Ok(())
    }

    fn set_timer(&mut self, timer: Timer) -> Result<()> {
        self.works()?;
        self.timers.insert((timer.domain, timer.key), timer.at_ms);
        Ok(())
    }

    fn delete_timer(&mut self, domain: TimeDomain, key: &[u8]) -> Result<()> {
        self.works()?;
        self.timers.remove(&(domain, Bytes::copy_from_slice(key)));
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        self.works()?;
        self.gets += 1;
        Ok(self.state.get(key).cloned())
    }

    fn write(&mut self, key: &[u8], write: Write) -> Result<()> {
        self.works()?;
        match write {
            Write::Put(value) => drop(self.state.insert(key.to_vec(), value)),
            Write::Delete => drop(self.state.remove(key)),
            Write::Merge(operand) => {
                let before = self.state.get(key).map_or(&[][..], |value| value);
                self.state.insert(key.to_vec(), fnstream_core::delta::appended(before, &operand));
            }
        }
        Ok(())
    }

    fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) -> Result<()> {
        self.works()?;
        self.range_deletes += 1;
        self.state.retain(|key, _| &key[..] < start || end.is_some_and(|end| &key[..] >= end));
        Ok(())
    }

    fn scan(&mut self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.works()?;
        self.scans += 1;
        let bounds = (Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
        for (key, value) in self.state.range::<[u8], _>(bounds) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// An instance with the host that it was given.
pub(crate) struct Task {
    pub(crate) instance: Box<dyn Instance>,
    pub(crate) host: Arc<Mutex<TestHost>>,
}

pub(crate) fn spec() -> InstanceSpec {
    InstanceSpec {
        id: FunctionId(7),
        function: "f".into(),
        revision: 3,
        task_index: 1,
        outputs: vec!["out".into()],
        config: BTreeMap::from([("colour".to_owned(), "red".to_owned())]),
        limits: Limits { memory: 64 << 20, call_time: Duration::from_secs(30), ..Limits::default() },
        ..InstanceSpec::default()
    }
}

/// Why a program has no instance of that description.
pub(crate) fn refusal(program: &Arc<dyn Program>, spec: &InstanceSpec) -> CallFailure {
    program.instantiate(spec, Arc::new(Mutex::new(TestHost::default()))).err().expect("an instance was made")
}

/// An initialized instance of a program.
pub(crate) fn start(program: &Arc<dyn Program>, spec: &InstanceSpec) -> Task {
    let host = Arc::new(Mutex::new(TestHost::default()));
    let shared: SharedHost = host.clone();
    let mut instance = program.instantiate(spec, shared).unwrap();
    instance.init().unwrap();
    Task { instance, host }
}

/// An initialized instance of an artifact.
pub(crate) fn task(artifact: &[u8]) -> Task {
    start(&runtime().load(artifact).unwrap(), &spec())
}

impl Task {
    /// Processes values in one batch; gives what was emitted.
    pub(crate) fn run(&mut self, values: &[&str]) -> std::result::Result<Vec<String>, CallFailure> {
        self.instance.process(&batch(values))?;
        Ok(self.take())
    }

    /// The failure that a batch ends with.
    pub(crate) fn fail(&mut self, values: &[&str]) -> CallFailure {
        self.instance.process(&batch(values)).unwrap_err()
    }

    /// The values emitted since the last time.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let outbox = std::mem::take(&mut self.host.lock().outbox);
        outbox.iter().map(Emitted::text).collect()
    }
}

/// Values with key `k`, a header, times from 100, of input group 0.
pub(crate) fn batch(values: &[&str]) -> Batch {
    let mut headers = HeadersBuilder::new();
    headers.push("h", b"1").unwrap();
    let mut labelled = Vec::with_capacity(values.len());
    for (i, value) in values.iter().enumerate() {
        let record = RecordRef::new(value.as_bytes()).with_key(Some(b"k")).with_headers(headers.as_headers());
        labelled.push(record.at(100 + i as i64));
    }
    records(&labelled)
}

/// A batch of these records.
pub(crate) fn records(records: &[RecordRef<'_>]) -> Batch {
    let mut frame = FrameBuilder::new();
    records.iter().for_each(|record| frame.push(*record));
    let positions = BatchPositions::Contiguous(Position::START);
    Batch::new(TopicPartition::new("in", 0), positions, frame.to_bytes().into()).unwrap()
}

/// A key of the store `s` in the host's form.
pub(crate) fn simple_key(user_key: &str) -> Vec<u8> {
    let mut key = store_prefix("s").unwrap();
    fnstream_core::state_key::put_simple(&mut key, user_key.as_bytes());
    key
}

/// Code and message, for golden comparisons.
pub(crate) fn said(failure: &CallFailure) -> (ErrorCode, &str, Option<u32>) {
    (failure.error.code, &failure.error.message, failure.record)
}
