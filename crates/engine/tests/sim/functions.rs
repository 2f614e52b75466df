// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The chain under test: `in -> relay -> mid -> tally -> out`.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use fnstream_core::delta::Write;
use fnstream_core::epoch::FunctionId;
use fnstream_core::runtime::Host;
use fnstream_core::spec::{DesiredState, ErrorAction, ErrorPolicy, FunctionEntry, FunctionSpec};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::native::NativeProgram;
use fnstream_frame::RecordRef;

pub const RELAY: FunctionId = FunctionId(1);
pub const TALLY: FunctionId = FunctionId(2);

pub fn entry(id: FunctionId, name: &str, input: &str, output: &str) -> FunctionEntry {
    // The tally never fails by itself; should it, the world does not come to rest.
    let action = if id == RELAY { ErrorAction::DeadLetter { topic: None } } else { ErrorAction::Stop };
    FunctionEntry {
        id,
        revision: 1,
        desired: DesiredState::Running,
        created_ms: 0,
        spec: FunctionSpec {
            name: name.to_owned(),
            artifact: "native".to_owned(),
            inputs: vec![vec![input.to_owned()]],
            outputs: vec![output.to_owned()],
            replicas: 2,
            on_error: ErrorPolicy { action, retries: 2, ..ErrorPolicy::default() },
            ..FunctionSpec::default()
        },
    }
}

/// Whether a record is one that the relay cannot take until it is mended.
pub fn is_poison(id: u64) -> bool {
    id % 9 == 4
}

/// Passes records on. Fails once in a while without having been asked to, as user code does, and always at poison until it
/// is mended.
pub fn relay(fail_every: u64, mended: &Arc<AtomicBool>) -> Arc<NativeProgram> {
    let calls = Arc::new(std::sync::atomic::AtomicU64::new(1));
    let mended = mended.clone();
    NativeProgram::new(move || {
        let (calls, mended) = (calls.clone(), mended.clone());
        Box::new(move |record, host| {
            host.emit(record)?;
            if is_poison(number(record.value)) && !mended.load(Relaxed) {
                return Err(Error::new(ErrorCode::GuestTrap, "poison"));
            }
            if fail_every > 0 && calls.fetch_add(1, Relaxed).is_multiple_of(fail_every) {
                return Err(Error::new(ErrorCode::GuestError, "the function fails now and then"));
            }
            Ok(())
        })
    })
}

/// Counts the records of each key and emits `key count length keys`: the count from a put, the length of a log that is
/// merged, and the number of keys that a scan sees. What it emits depends on every kind of state access.
pub fn tally() -> Arc<NativeProgram> {
    NativeProgram::new(|| Box::new(count_one))
}

fn count_one(record: RecordRef<'_>, host: &mut dyn Host) -> Result<()> {
    let key = record.key.unwrap_or_default();
    let counter = [b"count/", key].concat();
    let log = [b"log/", key].concat();
    let count = host.get(&counter)?.map_or(0, |v| number(&v)) + 1;
    host.write(&counter, Write::Put(Bytes::from(count.to_string())))?;
    host.write(&log, Write::Merge(Bytes::from_static(b"+")))?;
    // Every fifth record of a key forgets its log, by deleting the range that holds it.
    if count % 5 == 0 {
        let mut end = log.clone();
        end.push(0);
        host.delete_range(&log, Some(&end))?;
    }
    let length = host.get(&log)?.map_or(0, |v| v.len());
    let mut keys = 0;
    host.scan(b"count/", Some(b"count0"), &mut |_, _| {
        keys += 1;
        ControlFlow::Continue(())
    })?;
    let id = String::from_utf8_lossy(record.value).into_owned();
    host.emit(RecordRef::new(format!("{id} {count} {length} {keys}").as_bytes()).with_key(record.key))
}

pub fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|s| s.parse().ok()).unwrap_or(0)
}
