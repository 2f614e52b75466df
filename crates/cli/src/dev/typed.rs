// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Standard input, a line at a time. Its end is the end of nothing: the function goes on.

use std::io::BufRead;
use std::thread;

use fnstream_core::clock::{Clock, SystemClock};
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordRef};

use super::{Event, Events};
use crate::event::Read;
use crate::failure::Result;

/// Reads it in a thread, which ends with the process.
pub(super) fn read(events: Events) -> Result {
    thread::Builder::new().name("input".into()).spawn(move || {
        for line in std::io::stdin().lock().split(b'\n') {
            let Ok(mut line) = line else { return };
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !line.is_empty() && events.send(Event::Typed(line)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// The event of a line, alone in a frame; otherwise why it is none.
pub(super) fn framed(line: &[u8], is_json: bool) -> std::result::Result<Vec<u8>, String> {
    let now_ms = SystemClock::new().unix_ms();
    let read = is_json.then(|| Read::line(line)).transpose()?;
    let (mut headers, mut frame) = (HeadersBuilder::new(), FrameBuilder::new());
    frame.push(match &read {
        None => RecordRef::new(line).at(now_ms),
        Some(read) => read.record(now_ms, &mut headers)?,
    });
    Ok(frame.to_bytes())
}
