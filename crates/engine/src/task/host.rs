// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What user code reaches while one of its calls runs: the open epoch.

use bytes::Bytes;
use fnstream_core::delta::Write;
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::runtime::Host;
use fnstream_core::state::Visit;
use fnstream_frame::{Frame, RecordRef};

use super::outbox::Outbox;
use crate::state::Layers;

/// The open epoch's outbox and state.
pub(crate) struct TaskHost {
    pub(crate) layers: Layers,
    pub(crate) outbox: Outbox,
}

impl Host for TaskHost {
    fn emit_frame(&mut self, frame: &[u8]) -> Result<()> {
        let frame =
            Frame::parse(frame).map_err(|e| Error::new(ErrorCode::GuestProtocol, format!("emitted records: {e}")))?;
        self.outbox.push_frame(&frame)
    }

    fn emit(&mut self, record: RecordRef<'_>) -> Result<()> {
        self.outbox.push(record)
    }

    /// Checked only: event time does not flow between functions yet.
    fn emit_watermark(&mut self, target: u32, _watermark: u64) -> Result<()> {
        self.outbox.check_target(target)
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        self.layers.get(key)
    }

    fn write(&mut self, key: &[u8], write: Write) -> Result<()> {
        self.layers.write(key, write);
        Ok(())
    }

    fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) -> Result<()> {
        self.layers.delete_range(start, end);
        Ok(())
    }

    fn scan(&mut self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.layers.scan(start, end, visit)
    }
}
