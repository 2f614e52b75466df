// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Any bytes as a frame: reading never panics, what is accepted is written as the same bytes, and any run of it, copied
//! into a frame that has records already, is what pushing its records one by one makes.

#![no_main]

use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, usize, &[u8])| {
    let (a, b, bytes) = input;
    let Ok(frame) = Frame::parse(bytes) else { return };
    let mut whole = FrameBuilder::new();
    for record in frame.iter() {
        for (name, _) in record.headers.iter() {
            assert!(record.headers.get(name).is_some());
        }
        whole.push(record);
    }
    assert_eq!(whole.to_bytes(), bytes);

    let (a, b) = (a % (frame.len() + 1), b % (frame.len() + 1));
    let range = a.min(b)..a.max(b);
    let (mut copied, mut pushed) = (FrameBuilder::new(), FrameBuilder::new());
    for builder in [&mut copied, &mut pushed] {
        builder.push(RecordRef::new(b"first").with_key(Some(b"key")));
    }
    copied.extend(&frame, range.clone(), Some(3));
    for i in range {
        pushed.push(frame.record(i).on(3));
    }
    assert_eq!(copied.to_bytes(), pushed.to_bytes());
});
