// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Layers of deltas over a map are the map that plain writes make.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use fnstream_core::delta::{Delta, Lookup, Write, appended};
use fnstream_core::test_util::model;
use proptest::collection::vec;
use proptest::prelude::*;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
enum Op {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Merge(Vec<u8>, Vec<u8>),
    DeleteRange(Vec<u8>, Option<Vec<u8>>),
}

/// Few keys, so that writes meet.
fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0_u8), Just(b'a'), Just(b'b'), Just(255_u8)], 0..3)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..3)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| Op::Put(key, value)),
        2 => key().prop_map(Op::Delete),
        3 => (key(), value()).prop_map(|(key, value)| Op::Merge(key, value)),
        2 => (key(), proptest::option::of(key())).prop_map(|(start, end)| Op::DeleteRange(start, end)),
    ]
}

fn write_plainly(map: &mut Map, op: &Op) {
    match op {
        Op::Put(key, value) => {
            map.insert(key.clone(), value.clone());
        }
        Op::Delete(key) => {
            map.remove(key);
        }
        Op::Merge(key, value) => map.entry(key.clone()).or_default().extend(value),
        Op::DeleteRange(start, end) => map.retain(|key, _| key < start || end.as_ref().is_some_and(|end| key >= end)),
    }
}

fn write(delta: &mut Delta, op: &Op) {
    match op {
        Op::Put(key, value) => delta.write(key, Write::Put(Bytes::copy_from_slice(value))),
        Op::Delete(key) => delta.write(key, Write::Delete),
        Op::Merge(key, value) => delta.write(key, Write::Merge(Bytes::copy_from_slice(value))),
        Op::DeleteRange(start, end) => delta.delete_range(start, end.as_deref()),
    }
}

/// Reads a key through the layers, newest first.
fn read(layers: &[Delta], below: &Map, key: &[u8]) -> Option<Bytes> {
    let Some((newest, older)) = layers.split_last() else { return below.get(key).map(|v| Bytes::copy_from_slice(v)) };
    match newest.lookup(key) {
        Lookup::Value(value) => Some(value),
        Lookup::Absent => None,
        Lookup::Below => read(older, below, key),
        Lookup::Append(operand) => Some(appended(&read(older, below, key).unwrap_or_default(), &operand)),
    }
}

/// Every key that the strategy can make.
fn all_keys() -> Vec<Vec<u8>> {
    let one: Vec<Vec<u8>> = [0, b'a', b'b', 255].iter().map(|byte| vec![*byte]).collect();
    let two = one.iter().flat_map(|a| one.iter().map(move |b| [&a[..], b].concat()));
    [vec![]].into_iter().chain(one.clone()).chain(two).collect()
}

fn same(layers: &[Delta], below: &Map, wanted: &Map) -> Result<(), TestCaseError> {
    for key in all_keys() {
        let found = read(layers, below, &key).map(|value| value.to_vec());
        prop_assert_eq!(found.as_ref(), wanted.get(&key), "key {:?}", key);
    }
    Ok(())
}

/// The bytes that a delta says it has, counted anew.
fn counted(delta: &Delta) -> usize {
    let entry = |(key, write): (&Bytes, &Write)| {
        key.len()
            + match write {
                Write::Put(value) | Write::Merge(value) => value.len(),
                Write::Delete => 0,
            }
    };
    let ranges = delta.ranges().iter().map(|range| range.start.len() + range.end.as_ref().map_or(0, Bytes::len));
    delta.entries().map(entry).chain(ranges).sum()
}

/// All keys with an entry by stepping, as a scan does.
fn stepped(delta: &Delta, start: &[u8], end: Option<&[u8]>) -> Vec<Bytes> {
    let mut keys: Vec<Bytes> = Vec::new();
    loop {
        let from = keys.last().map_or(Bound::Included(start), |last| Bound::Excluded(&last[..]));
        let Some(key) = delta.next_key(from, end) else { return keys };
        keys.push(key);
    }
}

fn base() -> impl Strategy<Value = Map> {
    proptest::collection::btree_map(key(), value(), 0..8)
}

fn layers_of(ops: &[Vec<Op>], indexed: &[bool]) -> Vec<Delta> {
    let layer = |(ops, indexed): (&Vec<Op>, &bool)| {
        let mut delta = Delta::new();
        for (i, op) in ops.iter().enumerate() {
            if *indexed && i == ops.len() / 2 {
                delta.next_key(Bound::Unbounded, None);
            }
            write(&mut delta, op);
        }
        delta
    };
    ops.iter().zip(indexed).map(layer).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn layers_over_a_map_are_the_map_of_plain_writes(
        below in base(),
        ops in vec(vec(op(), 0..12), 1..4),
        indexed in any::<[bool; 4]>(),
    ) {
        let mut wanted = below.clone();
        ops.iter().flatten().for_each(|op| write_plainly(&mut wanted, op));
        let layers = layers_of(&ops, &indexed);
        same(&layers, &below, &wanted)?;

        let mut applied: model::Model = below.iter().map(|(k, v)| (k.clone().into(), v.clone().into())).collect();
        layers.iter().for_each(|layer| model::apply(&mut applied, layer));
        let applied: Map = applied.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(applied, wanted);
    }

    #[test]
    fn absorbing_newer_layers_changes_nothing_that_is_read(
        below in base(),
        ops in vec(vec(op(), 0..12), 1..5),
        indexed in any::<[bool; 5]>(),
        index_first in any::<bool>(),
    ) {
        let mut wanted = below.clone();
        ops.iter().flatten().for_each(|op| write_plainly(&mut wanted, op));
        let mut one = Delta::new();
        if index_first {
            one.next_key(Bound::Unbounded, None);
        }
        for layer in layers_of(&ops, &indexed) {
            one.absorb(layer);
            prop_assert_eq!(one.bytes(), counted(&one));
        }
        let keys: Vec<_> = one.sorted_entries().into_iter().map(|(key, _)| key.clone()).collect();
        prop_assert_eq!(stepped(&one, b"", None), keys, "the index has exactly the entries");
        same(&[one], &below, &wanted)?;
    }

    #[test]
    fn an_encoded_delta_is_read_as_the_same_delta(ops in vec(op(), 0..20)) {
        let mut delta = Delta::new();
        ops.iter().for_each(|op| write(&mut delta, op));
        let read = Delta::decode(&delta.encode()).unwrap();
        prop_assert_eq!(read.bytes(), delta.bytes());
        prop_assert_eq!(read, delta);
    }

    #[test]
    fn damaged_bytes_of_a_delta_do_no_harm(
        ops in vec(op(), 0..6),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut delta = Delta::new();
        ops.iter().for_each(|op| write(&mut delta, op));
        let mut bytes = delta.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        if let Ok(read) = Delta::decode(&bytes) {
            prop_assert_eq!(Delta::decode(&read.encode()).unwrap(), read);
        }
    }

    #[test]
    fn stepping_gives_the_keys_of_a_range_in_order_whenever_the_index_is_built(
        ops in vec(op(), 0..20),
        build_at in 0_usize..20,
        start in key(),
        end in proptest::option::of(key()),
    ) {
        let mut delta = Delta::new();
        for (i, op) in ops.iter().enumerate() {
            if i == build_at {
                delta.next_key(Bound::Unbounded, None);
            }
            write(&mut delta, op);
        }
        prop_assert_eq!(delta.bytes(), counted(&delta));
        let inside = |key: &&Bytes| key[..] >= start[..] && end.as_ref().is_none_or(|end| key[..] < end[..]);
        let mut wanted: Vec<_> = delta.entries().map(|(key, _)| key).filter(inside).cloned().collect();
        wanted.sort();
        prop_assert_eq!(stepped(&delta, &start, end.as_deref()), wanted);
    }
}
