// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Any bytes as each list of the batched state calls: reading never panics, and what is accepted is written as the same
//! bytes.

#![no_main]

use fnstream_frame::{FrameError, KeyList, OpList, PairList, ValueList};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut keys = KeyList::new();
    if KeyList::read(bytes, |key| keys.push(key)).is_ok() {
        assert_eq!(keys.as_bytes(), bytes);
    }
    let mut values = ValueList::new();
    if ValueList::read(bytes, |value| values.push(value)).is_ok() {
        assert_eq!(values.as_bytes(), bytes);
    }
    let mut pairs = PairList::new();
    if PairList::read(bytes, |key, value| pairs.push(key, value)).is_ok() {
        assert_eq!(pairs.as_bytes(), bytes);
    }
    let mut ops = OpList::new();
    let read = OpList::read::<FrameError>(bytes, |op| {
        ops.push(op);
        Ok(())
    });
    if read.is_ok() {
        assert_eq!(ops.as_bytes(), bytes);
    }
});
