// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A delta as a compacted topic has it: whole values, and deletions key by key.

use std::collections::HashSet;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::StateStore;
use crate::delta::{Delta, Write, appended};
use crate::error::Result;

/// A key with its value, or none if it is deleted.
pub type Keyed = (Vec<u8>, Option<Vec<u8>>);

/// What a delta makes of the keys of a store that it is about to be applied to. `ahead` are keys that whoever is told may have and the
/// store not: what deletes a range deletes them too.
pub fn resolved(delta: &Delta, store: &dyn StateStore, ahead: &HashSet<Bytes>) -> Result<Vec<Keyed>> {
    let mut written: HashSet<&[u8]> = HashSet::new();
    let mut records = Vec::new();
    for (key, write) in delta.entries() {
        let is_deleted = delta.ranges().iter().any(|range| range.contains(key));
        let value = match write {
            Write::Put(value) => Some(value.to_vec()),
            Write::Delete => None,
            Write::Merge(operand) => {
                let below = if is_deleted { None } else { store.get(key)? };
                Some(appended(&below.unwrap_or_default(), operand).to_vec())
            }
        };
        written.insert(key);
        records.push((key.to_vec(), value));
    }
    for range in delta.ranges() {
        let mut gone: Vec<Vec<u8>> = ahead.iter().filter(|key| range.contains(key)).map(|key| key.to_vec()).collect();
        store.scan(&range.start, range.end.as_deref(), &mut |key, _| {
            gone.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        gone.retain(|key| !written.contains(&key[..]));
        records.extend(gone.into_iter().map(|key| (key, None)));
    }
    Ok(records)
}
