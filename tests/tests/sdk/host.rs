// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task's side of the boundary, in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use fnstream_core::delta::{Write, appended};
use fnstream_core::runtime::Host;
use fnstream_core::state::Visit;
use fnstream_core::test_util::emitted::Emitted;
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{Frame, RecordRef};

/// Everything outside of a function. A copy of it is a checkpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outside {
    outputs: u32,
    /// What was emitted.
    pub emitted: Vec<Emitted>,
    /// Output and time of the watermarks that were emitted.
    pub watermarks: Vec<(u32, u64)>,
    /// When the timers that are set are due.
    pub timers: BTreeMap<(TimeDomain, Bytes), i64>,
    state: BTreeMap<Vec<u8>, Bytes>,
}

impl Outside {
    /// Nothing yet, with so many outputs.
    pub(crate) fn new(outputs: u32) -> Self {
        Outside { outputs, ..Self::default() }
    }

    /// The values that were emitted to output 0, as texts; `None` is a null value.
    pub(crate) fn values(&self) -> Vec<Option<String>> {
        self.of_first().into_iter().map(|emitted| emitted.value.as_ref().map(|_| emitted.text())).collect()
    }

    /// What was emitted to output 0.
    pub(crate) fn of_first(&self) -> Vec<&Emitted> {
        self.emitted.iter().filter(|emitted| emitted.target == 0).collect()
    }

    fn check(&self, target: u32) -> Result<()> {
        if target < self.outputs {
            return Ok(());
        }
        let message = format!("emitted to output {target}, but the function has {}", self.outputs);
        Err(Error::new(ErrorCode::UnknownTarget, message))
    }
}

impl Host for Outside {
    fn emit_frame(&mut self, frame: &[u8]) -> Result<()> {
        let frame = Frame::parse(frame).map_err(|e| Error::new(ErrorCode::GuestProtocol, e.to_string()))?;
        frame.iter().try_for_each(|record| self.check(record.channel))?;
        frame.iter().try_for_each(|record| self.emit(record))
    }

    fn emit(&mut self, record: RecordRef<'_>) -> Result<()> {
        self.check(record.channel)?;
        self.emitted.push(record.into());
        Ok(())
    }

    fn emit_watermark(&mut self, target: u32, watermark: u64) -> Result<()> {
        self.check(target)?;
        self.watermarks.push((target, watermark));
        Ok(())
    }

    fn set_timer(&mut self, timer: Timer) -> Result<()> {
        self.timers.insert((timer.domain, timer.key), timer.at_ms);
        Ok(())
    }

    fn delete_timer(&mut self, domain: TimeDomain, key: &[u8]) -> Result<()> {
        self.timers.remove(&(domain, Bytes::copy_from_slice(key)));
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.state.get(key).cloned())
    }

    fn write(&mut self, key: &[u8], write: Write) -> Result<()> {
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
        self.state.retain(|key, _| &key[..] < start || end.is_some_and(|end| &key[..] >= end));
        Ok(())
    }

    fn scan(&mut self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        let bounds = (Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
        for (key, value) in self.state.range::<[u8], _>(bounds) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}
