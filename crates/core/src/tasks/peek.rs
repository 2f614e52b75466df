// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A look at a task's state from outside: what a store has, with the deltas over it that are not applied yet.
//!
//! The store may be applied to meanwhile: what is shown is of one moment all the same, as long as the store does not pass it.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use crate::delta::{Delta, Lookup, appended};
use crate::epoch::Epoch;
use crate::error::Result;
use crate::state::{Marker, StateStore, Unfinished, Visit};

/// So many keys, and about so many bytes, are looked at in one go.
const CHUNK_KEYS: usize = 1_000;
const CHUNK_BYTES: usize = 1 << 20;

/// So often a look is taken again that an apply has disturbed.
const TRIES: usize = 20;

/// Shows a store with these deltas over it as it is at the epoch `moment`, which the deltas reach. Answers false if it could not be seen
/// whole, since the store has passed that moment.
pub fn peek(
    store: &dyn StateStore,
    moment: Epoch,
    deltas: &Deltas,
    start: &[u8],
    visit: &mut Visit<'_>,
) -> Result<bool> {
    let stands = || -> Result<(Option<Marker>, Option<Unfinished>)> { Ok((store.marker()?, store.unfinished()?)) };
    let mut at = stands()?;
    let mut from = start.to_vec();
    let mut overlay = over(deltas, &at)?;
    for _ in 0..TRIES {
        loop {
            let (chunk, is_all) = chunk(store, &overlay, &from)?;
            let now = stands()?;
            if now != at {
                at = now;
                overlay = over(deltas, &at)?;
                break;
            }
            for (key, value) in &chunk {
                if visit(key, value).is_break() {
                    return Ok(true);
                }
            }
            match chunk.last() {
                Some((last, _)) if !is_all => from = [&last[..], &[0]].concat(),
                _ => return Ok(true),
            }
        }
        if at.0.as_ref().is_some_and(|marker| marker.epoch > moment) {
            break;
        }
    }
    Ok(false)
}

/// Encoded deltas with their epochs.
pub type Deltas = Vec<(Epoch, Vec<u8>)>;

/// What a store lacks of these deltas, as one.
fn over(deltas: &Deltas, (applied, begun): &(Option<Marker>, Option<Unfinished>)) -> Result<Delta> {
    let has = applied.as_ref().map_or(Epoch(0), |marker| marker.epoch);
    let mut begun = begun.as_ref();
    let mut all = Delta::new();
    for (epoch, delta) in deltas.iter().filter(|(epoch, _)| *epoch > has) {
        let delta = Delta::decode(delta)?;
        if let Some(begun) = begun.take_if(|begun| *epoch > begun.marker.epoch) {
            all.drop_through(&begun.through);
        }
        if delta.deletes_all() {
            begun = None;
        }
        all.absorb(delta);
    }
    if let Some(begun) = begun {
        all.drop_through(&begun.through);
    }
    Ok(all)
}

/// Keys with their values.
type Pairs = Vec<(Bytes, Bytes)>;

/// The next keys of a store as a delta leaves them, and whether these are all.
fn chunk(store: &dyn StateStore, delta: &Delta, start: &[u8]) -> Result<(Pairs, bool)> {
    let (mut pairs, mut bytes) = (Pairs::new(), 0);
    let mut newer = delta.next_key(Bound::Included(start), None);
    let mut show = |key: &[u8], stored: Option<&[u8]>| {
        let value = match delta.lookup(key) {
            Lookup::Below => stored.map(Bytes::copy_from_slice),
            Lookup::Append(operand) => Some(appended(stored.unwrap_or_default(), &operand)),
            Lookup::Value(value) => Some(value),
            Lookup::Absent => None,
        };
        if let Some(value) = value {
            bytes += key.len() + value.len();
            pairs.push((Bytes::copy_from_slice(key), value));
        }
        match pairs.len() < CHUNK_KEYS && bytes < CHUNK_BYTES {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    let mut is_all = true;
    store.scan(start, None, &mut |key, value| {
        while let Some(only_newer) = newer.take_if(|newer| newer[..] < *key) {
            newer = delta.next_key(Bound::Excluded(&only_newer), None);
            if show(&only_newer, None).is_break() {
                is_all = false;
                return ControlFlow::Break(());
            }
        }
        if newer.as_ref().is_some_and(|newer| newer[..] == *key) {
            newer = delta.next_key(Bound::Excluded(key), None);
        }
        let flow = show(key, Some(value));
        is_all = flow.is_continue();
        flow
    })?;
    while is_all && let Some(only_newer) = newer.take() {
        newer = delta.next_key(Bound::Excluded(&only_newer), None);
        is_all = show(&only_newer, None).is_continue();
    }
    Ok((pairs, is_all))
}
