// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records that wait to be emitted, packed as they come.

use std::cell::RefCell;

use fnstream_frame::{FrameBuilder, Headers, RecordRef};

use super::args::{Answer, Args, Called, Native};
use super::texts::well_formed;
use crate::boundary::Error;

/// Bytes of emitted records after which they are passed on in the middle of a batch.
const MOST_BYTES: usize = 1 << 20;

thread_local! {
    static ROWS: RefCell<FrameBuilder> = RefCell::new(FrameBuilder::new());
}

/// Adds a record: timestamp, channel, key, headers and value. Key and headers are bytes or null, the value bytes, text or null. Answers
/// false, and adds nothing, if it would be too many bytes with those that are there.
pub(super) struct Push;

impl Native for Push {
    const PARAMETERS: usize = 5;

    fn call(args: &Args<'_>) -> Called {
        let text = args.text(4)?;
        let text = text.as_deref().map(well_formed);
        let value = text.as_deref().map_or_else(|| args.bytes(4), |text| Ok(Some(text)))?;
        let headers =
            Headers::parse(args.bytes(3)?.unwrap_or_default()).map_err(|error| Error::new(error.to_string()))?;
        let (timestamp, channel, key) = (args.integer(0), args.integer(1) as u32, args.bytes(2)?);
        let record = RecordRef { timestamp, channel, key, headers, value };
        ROWS.with_borrow_mut(|rows| {
            let is_full = !rows.is_empty() && rows.byte_len() + record.packed_len() > MOST_BYTES;
            if !is_full {
                rows.push(record);
            }
            Ok(Answer::Bool(!is_full))
        })
    }
}

/// Forgets all records but the first `len`.
pub(super) fn truncate(len: usize) {
    ROWS.with_borrow_mut(|rows| rows.truncate(len));
}

/// Passes on the frame of all of them, and forgets them.
pub(super) fn take<R>(pass: impl FnOnce(&[u8]) -> R) -> R {
    let frame = ROWS.with_borrow_mut(|rows| {
        let frame = rows.to_bytes();
        rows.clear();
        frame
    });
    pass(&frame)
}
