// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records that wait to be emitted, packed as they come.

use std::cell::RefCell;

use fnstream_frame::{FrameBuilder, Headers, RecordRef};
use rquickjs::{Ctx, Exception, Result, TypedArray, Value};

use super::slice;

thread_local! {
    static ROWS: RefCell<FrameBuilder> = RefCell::new(FrameBuilder::new());
}

/// Adds a record. Key and headers are bytes or null, the value bytes, text or null. Answers false, and adds nothing, if the text has
/// halves of pairs in it, which have no form in UTF-8.
pub(super) fn push<'js>(
    ctx: Ctx<'js>,
    timestamp: Value<'js>,
    channel: u32,
    key: Option<TypedArray<'js, u8>>,
    headers: Option<TypedArray<'js, u8>>,
    value: Value<'js>,
) -> Result<bool> {
    let timestamp = match timestamp.as_big_int() {
        Some(exact) => exact.clone().to_i64()?,
        None => timestamp.as_number().unwrap_or_default() as i64,
    };
    let (text, bytes);
    let value = if let Some(given) = value.as_string() {
        let Ok(utf8) = given.to_string() else { return Ok(false) };
        text = utf8;
        Some(text.as_bytes())
    } else if value.is_null() {
        None
    } else {
        bytes = TypedArray::<u8>::from_value(value)?;
        Some(slice(&bytes))
    };
    let headers = headers.as_ref().map(slice).unwrap_or_default();
    let headers = Headers::parse(headers).map_err(|error| Exception::throw_message(&ctx, &error.to_string()))?;
    let key = key.as_ref().map(slice);
    ROWS.with_borrow_mut(|rows| {
        rows.push(RecordRef { timestamp, channel, key, headers, value });
        Ok(true)
    })
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
