// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Whatever is written is read back; whatever bytes come, nothing panics, and what is accepted means exactly its bytes.

#![allow(clippy::unwrap_used)]

use fnstream_frame::{
    Frame, FrameBuilder, FrameError, HeadersBuilder, KeyList, OpList, PairList, RecordRef, StateOp, ValueList,
};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Record {
    channel: u32,
    timestamp: i64,
    key: Option<Vec<u8>>,
    headers: HeadersBuilder,
    value: Option<Vec<u8>>,
}

impl Record {
    fn as_ref(&self) -> RecordRef<'_> {
        RecordRef {
            channel: self.channel,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            headers: self.headers.as_headers(),
            value: self.value.as_deref(),
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

fn headers() -> impl Strategy<Value = HeadersBuilder> {
    vec((".{0,4}", bytes()), 0..3).prop_map(|headers| {
        let mut builder = HeadersBuilder::new();
        for (name, value) in headers {
            builder.push(&name, &value).unwrap();
        }
        builder
    })
}

fn record() -> impl Strategy<Value = Record> {
    (any::<u32>(), any::<i64>(), proptest::option::of(bytes()), headers(), proptest::option::of(bytes()))
        .prop_map(|(channel, timestamp, key, headers, value)| Record { channel, timestamp, key, headers, value })
}

fn frame_of(records: &[Record]) -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    for record in records {
        builder.push(record.as_ref());
    }
    assert_eq!(builder.byte_len(), builder.to_bytes().len());
    builder.to_bytes()
}

#[derive(Debug, Clone)]
enum Op {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Merge(Vec<u8>, Vec<u8>),
    DeleteRange(Vec<u8>, Option<Vec<u8>>),
}

impl Op {
    fn as_ref(&self) -> StateOp<'_> {
        match self {
            Op::Put(key, value) => StateOp::Put(key, value),
            Op::Delete(key) => StateOp::Delete(key),
            Op::Merge(key, value) => StateOp::Merge(key, value),
            Op::DeleteRange(start, end) => StateOp::DeleteRange(start, end.as_deref()),
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (bytes(), bytes()).prop_map(|(key, value)| Op::Put(key, value)),
        bytes().prop_map(Op::Delete),
        (bytes(), bytes()).prop_map(|(key, value)| Op::Merge(key, value)),
        (bytes(), proptest::option::of(vec(any::<u8>(), 1..9))).prop_map(|(start, end)| Op::DeleteRange(start, end)),
    ]
}

fn ops_of(ops: &[Op]) -> Vec<u8> {
    let mut list = OpList::new();
    ops.iter().for_each(|op| list.push(op.as_ref()));
    list.into_bytes()
}

/// A change of some bytes: where (in parts of 65,536), and to what.
fn damage() -> impl Strategy<Value = Vec<(u16, u8)>> {
    vec((any::<u16>(), prop_oneof![any::<u8>(), Just(0), Just(1), Just(255)]), 1..4)
}

fn damaged(mut bytes: Vec<u8>, damage: &[(u16, u8)], length: i8) -> Vec<u8> {
    for (at, byte) in damage {
        let at = (usize::from(*at) * bytes.len()) >> 16;
        if let Some(slot) = bytes.get_mut(at) {
            *slot = *byte;
        }
    }
    let keep = bytes.len().saturating_add_signed(length.min(0).into());
    bytes.truncate(keep);
    bytes.resize(bytes.len() + length.max(0) as usize, 0);
    bytes
}

/// Reads everything that the bytes may mean; what is accepted must be written as the same bytes.
fn frame_means_its_bytes(bytes: &[u8]) -> bool {
    let Ok(frame) = Frame::parse(bytes) else { return false };
    let mut builder = FrameBuilder::new();
    for (i, record) in frame.iter().enumerate() {
        for (name, _) in record.headers.iter() {
            assert!(record.headers.get(name).is_some());
        }
        assert_eq!(frame.timestamp(i), record.timestamp);
        builder.push(record);
    }
    assert_eq!(builder.to_bytes(), bytes);
    true
}

fn lists_mean_their_bytes(bytes: &[u8]) {
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
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn records_are_read_as_they_were_pushed(records in vec(record(), 0..12)) {
        let bytes = frame_of(&records);
        let frame = Frame::parse(&bytes).unwrap();
        prop_assert_eq!(frame.iter().collect::<Vec<_>>(), records.iter().map(Record::as_ref).collect::<Vec<_>>());
        prop_assert!(frame_means_its_bytes(&bytes));
    }

    #[test]
    fn runs_are_extended_as_if_their_records_were_pushed(
        frames in vec((vec(record(), 0..8), any::<(prop::sample::Index, prop::sample::Index)>(), any::<Option<u32>>()), 0..5),
    ) {
        let (mut extended, mut pushed) = (FrameBuilder::new(), FrameBuilder::new());
        for (records, (a, b), channel) in &frames {
            let bytes = frame_of(records);
            let frame = Frame::parse(&bytes).unwrap();
            let (a, b) = (a.index(records.len() + 1), b.index(records.len() + 1));
            let range = a.min(b)..a.max(b);
            let run = &records[range.clone()];
            prop_assert_eq!(frame.packed_len(range.clone()), run.iter().map(|r| r.as_ref().packed_len()).sum::<usize>());
            extended.extend(&frame, range, *channel);
            for record in run {
                pushed.push(record.as_ref().on(channel.unwrap_or(record.channel)));
            }
        }
        prop_assert_eq!(extended.to_bytes(), pushed.to_bytes());
        prop_assert!(frame_means_its_bytes(&extended.to_bytes()));
        extended.clear();
        prop_assert_eq!(extended.to_bytes(), FrameBuilder::new().to_bytes());
    }

    #[test]
    fn state_ops_are_read_as_they_were_pushed(ops in vec(op(), 0..12)) {
        let bytes = ops_of(&ops);
        let mut read = Vec::new();
        OpList::read::<FrameError>(&bytes, |op| {
            read.push(op);
            Ok(())
        }).unwrap();
        prop_assert_eq!(read, ops.iter().map(Op::as_ref).collect::<Vec<_>>());
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..200), records in 0_u32..4) {
        frame_means_its_bytes(&bytes);
        lists_mean_their_bytes(&bytes);
        let headed = [&b"FSF\x01"[..], &records.to_le_bytes(), &[0; 4], &bytes].concat();
        frame_means_its_bytes(&headed);
        lists_mean_their_bytes(&[&records.to_le_bytes()[..], &bytes].concat());
    }

    #[test]
    fn damaged_bytes_do_no_harm(
        records in vec(record(), 0..5),
        ops in vec(op(), 0..5),
        damage in damage(),
        length in prop_oneof![3 => Just(0_i8), 1 => any::<i8>()],
    ) {
        frame_means_its_bytes(&damaged(frame_of(&records), &damage, length));
        lists_mean_their_bytes(&damaged(ops_of(&ops), &damage, length));
    }
}
