// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A host that writes down what it is asked, and an instance that is watched while it is called.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};

use bytes::Bytes;
use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use parking_lot::Mutex;

use super::must;
use super::runtime::{Behaviour, Guest, RuntimeHarness};
use crate::batch::{Batch, BatchPositions};
use crate::delta::{Write, appended};
use crate::error::{Error, ErrorCode, Result};
use crate::record::{Position, TopicPartition};
use crate::runtime::{CallFailure, CallResult, Host, Instance, InstanceSpec, Limits, SharedHost};
use crate::state::Visit;
use crate::test_util::emitted::Emitted;
use crate::timer::{TimeDomain, Timer};

/// A task in memory with one output.
#[derive(Default)]
pub(super) struct Probe {
    /// One of the instance's methods runs.
    calling: bool,
    /// How often it was asked something.
    pub(super) asked: usize,
    /// What it was asked while no method ran.
    pub(super) strays: Vec<&'static str>,
    pub(super) emitted: Vec<Emitted>,
    pub(super) watermarks: Vec<(u32, u64)>,
    pub(super) timers: BTreeMap<(TimeDomain, Bytes), i64>,
    pub(super) state: BTreeMap<Vec<u8>, Bytes>,
    /// What it answers to everything.
    pub(super) fault: Option<Error>,
}

impl Probe {
    fn asked(&mut self, what: &'static str) -> Result<()> {
        self.asked += 1;
        if !self.calling {
            self.strays.push(what);
        }
        self.fault.clone().map_or(Ok(()), Err)
    }

    fn check(target: u32) -> Result<()> {
        if target == 0 {
            Ok(())
        } else {
            Err(Error::new(ErrorCode::UnknownTarget, format!("there is no output {target}")))
        }
    }
}

impl Host for Probe {
    fn emit_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.asked("emit_frame")?;
        let frame = Frame::parse(frame).map_err(|e| Error::new(ErrorCode::GuestProtocol, e.to_string()))?;
        frame.iter().try_for_each(|record| Self::check(record.channel))?;
        self.emitted.extend(frame.iter().map(Emitted::from));
        Ok(())
    }

    fn emit(&mut self, record: RecordRef<'_>) -> Result<()> {
        self.asked("emit")?;
        Self::check(record.channel)?;
        self.emitted.push(record.into());
        Ok(())
    }

    fn emit_watermark(&mut self, target: u32, watermark: u64) -> Result<()> {
        self.asked("emit_watermark")?;
        Self::check(target)?;
        self.watermarks.push((target, watermark));
        Ok(())
    }

    fn set_timer(&mut self, timer: Timer) -> Result<()> {
        self.asked("set_timer")?;
        self.timers.insert((timer.domain, timer.key), timer.at_ms);
        Ok(())
    }

    fn delete_timer(&mut self, domain: TimeDomain, key: &[u8]) -> Result<()> {
        self.asked("delete_timer")?;
        self.timers.remove(&(domain, Bytes::copy_from_slice(key)));
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        self.asked("get")?;
        Ok(self.state.get(key).cloned())
    }

    fn write(&mut self, key: &[u8], write: Write) -> Result<()> {
        self.asked("write")?;
        match write {
            Write::Put(value) => drop(self.state.insert(key.to_vec(), value)),
            Write::Delete => drop(self.state.remove(key)),
            Write::Merge(operand) => {
                let before = self.state.get(key).map_or(&[][..], |value| value);
                self.state.insert(key.to_vec(), appended(before, &operand));
            }
        }
        Ok(())
    }

    fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) -> Result<()> {
        self.asked("delete_range")?;
        self.state.retain(|key, _| &key[..] < start || end.is_some_and(|end| &key[..] >= end));
        Ok(())
    }

    fn scan(&mut self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.asked("scan")?;
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let bounds = (Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
        for (key, value) in self.state.range::<[u8], _>(bounds) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// An instance with its host.
pub(super) struct Task {
    instance: Box<dyn Instance>,
    pub(super) probe: Arc<Mutex<Probe>>,
}

impl Task {
    /// Makes an instance that is not initialized.
    pub(super) fn make(guest: &Guest, limits: Limits, probe: &Arc<Mutex<Probe>>) -> CallResult<Self> {
        let spec = InstanceSpec {
            function: "f".into(),
            revision: 3,
            task_index: 1,
            outputs: vec!["out".into()],
            config: guest.config.clone(),
            limits,
            ..InstanceSpec::default()
        };
        let host: SharedHost = probe.clone();
        let instance = guest.program.instantiate(&spec, host)?;
        Ok(Task { instance, probe: probe.clone() })
    }

    /// An initialized instance on a host of its own.
    pub(super) fn start(guest: &Guest) -> Self {
        Self::start_on(guest, &Arc::default())
    }

    /// An initialized instance on that host.
    pub(super) fn start_on(guest: &Guest, probe: &Arc<Mutex<Probe>>) -> Self {
        let mut task = must("instantiating", Self::make(guest, Limits::default(), probe));
        must("init", task.call(|instance| instance.init()));
        task
    }

    /// Calls a method of the instance.
    pub(super) fn call<T>(&mut self, method: impl FnOnce(&mut dyn Instance) -> T) -> T {
        self.probe.lock().calling = true;
        let answer = method(&mut *self.instance);
        self.probe.lock().calling = false;
        answer
    }

    /// Processes records of these values.
    pub(super) fn process(&mut self, values: &[Vec<u8>]) -> CallResult {
        let records: Vec<_> = values.iter().map(|value| RecordRef::new(value)).collect();
        self.call(|instance| instance.process(&batch(&records)))
    }

    /// Has the guest say something; what it emitted.
    pub(super) fn echo(&mut self, guest: &Guest, text: &str) -> CallResult<Vec<Vec<u8>>> {
        self.process(&[(guest.echo)(text)])?;
        Ok(self.take_values())
    }

    /// The values emitted since the last time.
    pub(super) fn take_values(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.probe.lock().emitted)
            .into_iter()
            .map(|emitted| emitted.value.unwrap_or_default())
            .collect()
    }

    /// Bytes of memory in use.
    pub(super) fn memory_bytes(&self) -> usize {
        self.instance.memory_bytes()
    }
}

/// A batch of input group 0.
pub(super) fn batch(records: &[RecordRef<'_>]) -> Batch {
    let mut frame = FrameBuilder::new();
    for record in records {
        frame.push(*record);
    }
    let positions = BatchPositions::Contiguous(Position(7));
    must("making a batch", Batch::new(TopicPartition::new("in", 0), positions, frame.to_bytes().into()))
}

/// The guest of a behaviour; `None` only where the kind cannot behave so.
pub(super) fn guest(harness: &dyn RuntimeHarness, behaviour: Behaviour) -> Option<Guest> {
    let guest = harness.guest(behaviour);
    assert!(
        guest.is_some() || !harness.able().contains(&behaviour),
        "the harness says that its kind can do {behaviour:?}, but has no guest for it"
    );
    guest
}

/// Processes a batch whose record `at` of `len` misbehaves; the failure it ends with. On a thread of its own: what never
/// ends is a violation, not a test that never ends.
pub(super) fn misbehave(
    harness: &dyn RuntimeHarness,
    mut task: Task,
    guest: &Guest,
    (at, len): (usize, usize),
) -> (Task, CallFailure) {
    let mut values = vec![(guest.echo)("fine"); len];
    values[at] = guest.wanted.clone();
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let result = task.process(&values);
        // The check may have given up.
        let _ = send.send((task, result));
    });
    match receive.recv_timeout(harness.patience()) {
        Ok((task, Err(failure))) => (task, failure),
        Ok((_, Ok(()))) => panic!("a call that had to fail succeeded"),
        Err(RecvTimeoutError::Timeout) => panic!("a call did not end"),
        Err(RecvTimeoutError::Disconnected) => panic!("a call panicked"),
    }
}
