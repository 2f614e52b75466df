// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The bytes of version 1, as every later version must write or at least read them.

#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use fnstream_frame::{
    Frame, FrameBuilder, FrameError, HeadersBuilder, KeyList, OpList, PairList, RecordRef, StateOp, ValueList,
};

const FRAME: &[u8] = b"FSF\x01\
    \x04\0\0\0\
    \0\0\0\0\
    \x0e\0\0\0\
    \xfe\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01\x05\0\0\0\0\0\0\0\
    \x01\0\0\0\0\0\0\0\x07\0\0\0\x02\0\0\0\
    \0\0\0\0\x01\0\0\0\x01\0\0\0\x03\0\0\0\
    \0\0\0\0\x02\0\0\0\x0b\0\0\0\x0e\0\0\0\
    \0\0\0\0\x0a\0\0\0\x0b\0\0\0\x0e\0\0\0\
    \x02\0\0\0\x0a\0\0\0\x0d\0\0\0\x0e\0\0\0\
    hi\x01\0n\x01\0\0\0vk\0\xffd";

fn build() -> FrameBuilder {
    let mut headers = HeadersBuilder::new();
    headers.push("n", b"v").unwrap();
    let mut builder = FrameBuilder::new();
    builder.push(RecordRef::new(b"hi").on(1).at(-2));
    builder.push(RecordRef::new(b"").at(1).with_key(Some(b"")).with_headers(headers.as_headers()));
    builder.push(RecordRef::new(b"\0\xff").on(7).at(0x0102_0304_0506_0708).with_key(Some(b"k")));
    builder.push(RecordRef::null().on(2).at(5).with_key(Some(b"d")));
    builder
}

#[test]
fn frames_of_version_1_are_written_and_read() {
    assert_eq!(build().to_bytes(), FRAME);
    let frame = Frame::parse(FRAME).unwrap();
    let records: Vec<_> = frame.iter().collect();
    assert_eq!(
        records.iter().map(|r| (r.channel, r.timestamp)).collect::<Vec<_>>(),
        [(1, -2), (0, 1), (7, 0x0102_0304_0506_0708), (2, 5)]
    );
    assert_eq!(records.iter().map(|r| r.key).collect::<Vec<_>>(), [None, Some(&b""[..]), Some(b"k"), Some(b"d")]);
    assert_eq!(
        records.iter().map(|r| r.value).collect::<Vec<_>>(),
        [Some(&b"hi"[..]), Some(b""), Some(b"\0\xff"), None]
    );
    assert_eq!(records.iter().map(|r| r.bytes()).collect::<Vec<_>>(), [&b"hi"[..], b"", b"\0\xff", b""]);
    assert_eq!(records[1].headers.iter().collect::<Vec<_>>(), [("n", &b"v"[..])]);
    assert_eq!(records[1].headers.get("n"), Some(&b"v"[..]));
    assert!(records[0].headers.is_empty() && records[2].headers.is_empty());
}

#[test]
fn an_empty_frame_is_its_header() {
    let empty = b"FSF\x01\0\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(FrameBuilder::new().to_bytes(), empty);
    assert!(Frame::parse(empty).unwrap().is_empty());
}

/// The golden frame with one 32-bit word replaced.
fn with_word(offset: usize, word: u32) -> Vec<u8> {
    let mut bytes = FRAME.to_vec();
    bytes[offset..offset + 4].copy_from_slice(&word.to_le_bytes());
    bytes
}

#[test]
fn what_is_not_a_frame_is_refused_with_its_reason() {
    let refused = |bytes: &[u8]| Frame::parse(bytes).err();
    let arrays = 16 + 8 * 4;
    let (attributes, key_ends, header_ends, value_ends) = (arrays + 16, arrays + 32, arrays + 48, arrays + 64);
    assert_eq!(refused(b""), Some(FrameError::Truncated));
    assert_eq!(refused(&FRAME[..FRAME.len() - 1]), Some(FrameError::Truncated));
    assert_eq!(refused(&[FRAME, b"x"].concat()), Some(FrameError::Offsets), "bytes follow the payload");
    assert_eq!(refused(&with_word(0, u32::from_le_bytes(*b"FSF\x02"))), Some(FrameError::Magic));
    assert_eq!(refused(&with_word(8, 1)), Some(FrameError::Unknown), "a flag of a later version");
    assert_eq!(refused(&with_word(attributes, 4)), Some(FrameError::Unknown), "an attribute of a later version");
    assert_eq!(refused(&with_word(attributes, 2)), Some(FrameError::Offsets), "a null value has bytes");
    assert_eq!(refused(&with_word(4, u32::MAX)), Some(FrameError::Truncated), "more records than bytes");
    assert_eq!(refused(&with_word(12, u32::MAX)), Some(FrameError::Truncated), "more payload than bytes");
    assert_eq!(refused(&with_word(key_ends, 1)), Some(FrameError::Offsets), "a record without key has key bytes");
    assert_eq!(refused(&with_word(key_ends + 8, 9)), Some(FrameError::Offsets), "a key ends before it begins");
    assert_eq!(refused(&with_word(header_ends + 8, 10)), Some(FrameError::Offsets), "headers end before the key");
    assert_eq!(refused(&with_word(value_ends + 12, 13)), Some(FrameError::Offsets), "payload that belongs to nobody");
    assert_eq!(refused(&with_word(value_ends + 12, 15)), Some(FrameError::Offsets), "a value past the payload");
    assert_eq!(refused(&with_word(header_ends + 4, 9)), Some(FrameError::Headers), "headers that are cut off");
}

#[test]
fn a_wild_range_is_a_panic_and_never_other_records() {
    let frame = Frame::parse(FRAME).unwrap();
    // Some of these times 4 or 8 are valid offsets again where `usize` overflows.
    for (start, end) in [(0, 5), (4, 3), (1 << 29, 1 << 29), (1 << 61, 1 << 61), (usize::MAX, usize::MAX)] {
        let panics = |what: &dyn Fn()| catch_unwind(AssertUnwindSafe(what)).is_err();
        assert!(
            panics(&|| {
                frame.packed_len(start..end);
            }),
            "length of {start}..{end}"
        );
        assert!(panics(&|| FrameBuilder::new().extend(&frame, start..end, None)), "copy of {start}..{end}");
        assert!(
            start < 4
                || panics(&|| {
                    frame.timestamp(start);
                }),
            "time of {start}"
        );
        assert!(
            start < 4
                || panics(&|| {
                    frame.record(start);
                }),
            "record {start}"
        );
    }
}

#[test]
fn lists_of_version_1_are_written_and_read() {
    let mut keys = KeyList::new();
    keys.push(b"a");
    keys.push(b"");
    assert_eq!(keys.as_bytes(), b"\x02\0\0\0\x01\0\0\0a\0\0\0\0");

    let mut values = ValueList::new();
    values.push(None);
    values.push(Some(b""));
    values.push(Some(b"v"));
    assert_eq!(values.as_bytes(), b"\x03\0\0\0\xff\xff\xff\xff\0\0\0\0\x01\0\0\0v");

    let mut pairs = PairList::new();
    pairs.push(b"k", b"");
    assert_eq!(pairs.as_bytes(), b"\x01\0\0\0\x01\0\0\0k\0\0\0\0");

    let mut ops = OpList::new();
    let wanted = [
        StateOp::Put(b"k", b"v"),
        StateOp::Delete(b"k"),
        StateOp::Merge(b"k", b"m"),
        StateOp::DeleteRange(b"a", Some(b"b")),
        StateOp::DeleteRange(b"", None),
    ];
    for op in wanted {
        ops.push(op);
    }
    assert_eq!(
        ops.as_bytes(),
        b"\x05\0\0\0\
        \0\x01\0\0\0k\x01\0\0\0v\
        \x01\x01\0\0\0k\0\0\0\0\
        \x02\x01\0\0\0k\x01\0\0\0m\
        \x03\x01\0\0\0a\x01\0\0\0b\
        \x03\0\0\0\0\0\0\0\0"
    );
    let mut read = Vec::new();
    OpList::read::<FrameError>(ops.as_bytes(), |op| {
        read.push(op);
        Ok(())
    })
    .unwrap();
    assert_eq!(read, wanted);
}

#[test]
fn a_range_to_the_empty_key_deletes_nothing_rather_than_all() {
    let mut ops = OpList::new();
    ops.push(StateOp::DeleteRange(b"", Some(b"")));
    ops.push(StateOp::DeleteRange(b"a", Some(b"")));
    assert!(ops.is_empty());
}

#[test]
fn malformed_lists_are_refused_with_their_reason() {
    let read = |bytes: &[u8]| OpList::read::<FrameError>(bytes, |_| Ok(())).err();
    assert_eq!(read(b"\x01\0\0"), Some(FrameError::Truncated));
    assert_eq!(read(b"\x01\0\0\0"), Some(FrameError::Truncated));
    assert_eq!(read(b"\0\0\0\0x"), Some(FrameError::Offsets), "bytes after the last entry");
    assert_eq!(read(b"\x01\0\0\0\x04\0\0\0\0\0\0\0\0"), Some(FrameError::Unknown), "an unknown kind");
    assert_eq!(read(b"\x01\0\0\0\x01\0\0\0\0\x01\0\0\0v"), Some(FrameError::Unknown), "a delete with a value");
    assert_eq!(read(b"\x01\0\0\0\0\xff\xff\xff\xff\0\0\0\0"), Some(FrameError::Offsets), "an absent key");
    assert_eq!(KeyList::read(b"\x01\0\0\0\xff\xff\xff\xff", |_| ()), Err(FrameError::Offsets), "an absent key");
    assert_eq!(PairList::read(b"\x01\0\0\0\0\0\0\0", |_, _| ()), Err(FrameError::Truncated));
}

#[test]
fn what_is_cut_off_leaves_what_was_there_before() {
    for len in 0..=4 {
        let mut cut = build();
        cut.truncate(len);
        let mut whole = FrameBuilder::new();
        whole.extend(&Frame::parse(FRAME).unwrap(), 0..len, None);
        assert_eq!(cut.to_bytes(), whole.to_bytes(), "{len} records");
        cut.push(RecordRef::new(b"more"));
        whole.push(RecordRef::new(b"more"));
        assert_eq!(cut.to_bytes(), whole.to_bytes(), "{len} records and another one");
    }
    let mut ops = OpList::new();
    let mut lists = vec![ops.clone()];
    for op in [StateOp::Put(b"a", b"1"), StateOp::Delete(b"b"), StateOp::Merge(b"c", b"22")] {
        ops.push(op);
        lists.push(ops.clone());
    }
    for list in lists {
        let mut cut = ops.clone();
        cut.truncate(list.len(), list.as_bytes().len());
        assert_eq!(cut.as_bytes(), list.as_bytes());
    }
}
