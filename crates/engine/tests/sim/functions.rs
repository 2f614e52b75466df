// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The chain under test: `in -> relay -> mid -> tally -> out -> window -> windows`. Event time flows along it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::delta::Write;
use fnstream_core::epoch::FunctionId;
use fnstream_core::runtime::{Host, Program};
use fnstream_core::spec::{
    DesiredState, ErrorAction, ErrorPolicy, FunctionEntry, FunctionSpec, InputSelector, Watermark, WatermarkStrategy,
};
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::native::{NativeFunction, NativeProgram, Told};
use fnstream_frame::RecordRef;

use crate::lifecycle::{Lives, Watched};
use crate::world::MAX_VALUE;

pub(crate) const RELAY: FunctionId = FunctionId(1);
pub(crate) const TALLY: FunctionId = FunctionId(2);
pub(crate) const WINDOW: FunctionId = FunctionId(3);
pub(crate) const ALL: [FunctionId; 3] = [RELAY, TALLY, WINDOW];

/// How long a window is.
pub(crate) const WINDOW_MS: i64 = 100;

/// The functions of a run.
#[derive(Clone)]
pub(crate) struct Chain {
    /// User code fails once in so many calls; 0: never.
    pub fail_every: u64,
    /// The relay emits some records that are too large, until it is mended.
    pub oversize: bool,
    /// The relay has a second input group, and tasks for each.
    pub parallel: bool,
    /// The relay takes poison, and emits nothing that is too large.
    pub mended: Arc<AtomicBool>,
    /// What was seen of the lives of all instances.
    pub lives: Arc<Lives>,
}

impl Chain {
    pub(crate) fn entry(&self, id: FunctionId) -> FunctionEntry {
        match id {
            RELAY if self.parallel => {
                let mut entry = entry(id, "relay", &["in", "side"], "mid");
                entry.spec.selector = InputSelector::GroupParallel;
                entry
            }
            RELAY => entry(id, "relay", &["in"], "mid"),
            TALLY => entry(id, "tally", &["mid"], "out"),
            _ => entry(id, "window", &["out"], "windows"),
        }
    }

    pub(crate) fn program(&self, id: FunctionId) -> Arc<dyn Program> {
        let program = match id {
            RELAY => relay(self.fail_every, self.oversize, self.mended.clone()),
            TALLY => tally(),
            _ => window(self.fail_every),
        };
        Arc::new(Watched { program, lives: self.lives.clone() })
    }
}

fn entry(id: FunctionId, name: &str, inputs: &[&str], output: &str) -> FunctionEntry {
    // The tally never fails by itself; should it, the world does not come to rest.
    // The window fails only when it is told of time: that is tried for ever, and no record is to blame for it.
    let action = match id {
        RELAY => ErrorAction::DeadLetter { topic: None },
        WINDOW => ErrorAction::Skip,
        _ => ErrorAction::Stop,
    };
    FunctionEntry {
        id,
        revision: 1,
        desired: DesiredState::Running,
        created_ms: 0,
        spec: FunctionSpec {
            name: name.to_owned(),
            artifact: "native".to_owned(),
            inputs: inputs.iter().map(|input| vec![(*input).into()]).collect(),
            outputs: vec![output.into()],
            replicas: 2,
            watermarks: match id {
                RELAY => inputs.iter().map(|input| ((*input).into(), watermark())).collect(),
                _ => [].into(),
            },
            on_error: ErrorPolicy { action, retries: 2, ..ErrorPolicy::default() },
            ..FunctionSpec::default()
        },
    }
}

fn watermark() -> Watermark {
    Watermark {
        strategy: WatermarkStrategy::Bounded { delay: Duration::from_millis(100) },
        idle_timeout: Some(Duration::from_secs(5)),
        idle_advance: None,
        max_ahead: None,
    }
}

/// Passes a watermark on.
fn pass_on(told: Told<'_>, host: &mut dyn Host) -> Result<()> {
    match told {
        Told::Watermark { watermark, .. } => host.emit_watermark(0, watermark),
        Told::Timers(_) => Err(Error::new(ErrorCode::GuestError, "nobody has set a timer")),
    }
}

/// Whether a record is one that the relay cannot take until it is mended.
pub(crate) fn is_poison(id: u64) -> bool {
    id % 9 == 4
}

/// Whether nothing is left of a record at which the relay returns an error: such a one is dealt with where it is.
pub(crate) fn is_early(id: u64) -> bool {
    !id.is_multiple_of(3)
}

/// Whether a record is one that the relay makes something too large of until it is mended.
pub(crate) fn is_oversize(id: u64) -> bool {
    id % 13 == 6
}

/// Passes records on. Fails once in a while without having been asked to, as user code does, and always at poison until it
/// is mended.
pub(crate) fn relay(fail_every: u64, oversize: bool, mended: Arc<AtomicBool>) -> Arc<NativeProgram> {
    let calls = Arc::new(std::sync::atomic::AtomicU64::new(1));
    NativeProgram::with_time(move || {
        let (calls, mended) = (calls.clone(), mended.clone());
        let process: NativeFunction = Box::new(move |record, host| {
            let id = number(record.bytes());
            // From whichever input group it comes, there is one output.
            let record = record.on(0);
            if oversize && is_oversize(id) && !mended.load(Relaxed) {
                return host.emit(RecordRef { value: Some(&[b'x'; MAX_VALUE + 1]), ..record });
            }
            let fails = || {
                if is_poison(id) && !mended.load(Relaxed) {
                    let code = if id.is_multiple_of(4) { ErrorCode::GuestTrap } else { ErrorCode::GuestError };
                    return Err(Error::new(code, "poison"));
                }
                if fail_every > 0 && calls.fetch_add(1, Relaxed).is_multiple_of(fail_every) {
                    return Err(Error::new(ErrorCode::GuestError, "the function fails now and then"));
                }
                Ok(())
            };
            if is_early(id) {
                fails()?;
                return host.emit(record);
            }
            host.emit(record)?;
            fails()
        });
        (process, Box::new(pass_on))
    })
}

/// Counts the records of each key and emits `key count length keys`: the count from a put, the length of a log that is
/// merged, and the number of keys that a scan sees. What it emits depends on every kind of state access.
pub(crate) fn tally() -> Arc<NativeProgram> {
    NativeProgram::with_time(|| (Box::new(count_one), Box::new(pass_on)))
}

/// Gathers the ids of each key and window, and emits `window END ids` when the window is over, `late id` for those that come
/// after that, and `tick` once for each key, some time after its first record, with an `echo` in each domain. Fails once in a while when it is told of time.
pub(crate) fn window(fail_every: u64) -> Arc<NativeProgram> {
    let calls = Arc::new(std::sync::atomic::AtomicU64::new(1));
    NativeProgram::with_time(move || {
        let calls = calls.clone();
        let tell = move |told: Told<'_>, host: &mut dyn Host| {
            tell_window(told, host)?;
            match fail_every > 0 && calls.fetch_add(1, Relaxed).is_multiple_of(fail_every) {
                true => Err(Error::new(ErrorCode::GuestError, "the function fails now and then")),
                false => Ok(()),
            }
        };
        (Box::new(window_one), Box::new(tell))
    })
}

fn window_one(record: RecordRef<'_>, host: &mut dyn Host) -> Result<()> {
    let key = record.key.unwrap_or_default();
    let id = record.bytes().split(|b| *b == b' ').next().unwrap_or_default();
    let seen = [b"seen/", key].concat();
    if host.get(&seen)?.is_none() {
        host.write(&seen, Write::Put(Bytes::new()))?;
        let key = Bytes::copy_from_slice(key);
        host.set_timer(Timer { domain: TimeDomain::Processing, key, at_ms: 1_000 + number(id) as i64 })?;
    }
    let end = record.timestamp.div_euclid(WINDOW_MS) * WINDOW_MS + WINDOW_MS;
    let watermark = host.get(b"watermark")?.map_or(0, |v| number(&v));
    if end as u64 <= watermark {
        let late = [b"late ", id].concat();
        return host.emit(RecordRef::new(&late).with_key(Some(key)));
    }
    let name = [key, b"/", end.to_string().as_bytes()].concat();
    host.write(&[b"window/", &name[..]].concat(), Write::Merge([b" ", id].concat().into()))?;
    // Set anew by each record: it is one timer all the same.
    host.set_timer(Timer { domain: TimeDomain::Event, key: name.into(), at_ms: end })
}

fn tell_window(told: Told<'_>, host: &mut dyn Host) -> Result<()> {
    let timers = match told {
        Told::Watermark { watermark, .. } => {
            return host.write(b"watermark", Write::Put(watermark.to_string().into()));
        }
        Told::Timers(timers) => timers,
    };
    for timer in timers {
        if let Some(key) = timer.key.strip_prefix(b"echo/") {
            host.emit(RecordRef::new(b"echo").with_key(Some(key)))?;
            continue;
        }
        if timer.domain == TimeDomain::Processing {
            host.emit(RecordRef::new(b"tick").with_key(Some(&timer.key)))?;
            // Their times have come already.
            let key = Bytes::from([b"echo/", &timer.key[..]].concat());
            for domain in TimeDomain::ALL {
                host.set_timer(Timer { domain, key: key.clone(), at_ms: 0 })?;
            }
            continue;
        }
        let state = [b"window/", &timer.key[..]].concat();
        let ids = host.get(&state)?.ok_or_else(|| Error::new(ErrorCode::GuestTrap, "a timer fired twice"))?;
        host.write(&state, Write::Delete)?;
        let line = [b"window ", timer.at_ms.to_string().as_bytes(), &ids].concat();
        let key = timer.key.split(|b| *b == b'/').next();
        host.emit(RecordRef::new(&line).with_key(key))?;
    }
    Ok(())
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
    let id = String::from_utf8_lossy(record.bytes()).into_owned();
    host.emit(
        RecordRef::new(format!("{id} {count} {length} {keys}").as_bytes()).with_key(record.key).at(record.timestamp),
    )
}

pub(crate) fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|s| s.parse().ok()).unwrap_or(0)
}
