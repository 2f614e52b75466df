// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What state writes mean, told the plainest way: a map, and a function that applies a delta to it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::delta::{Delta, Write, appended};

/// The state of a task.
pub type Model = BTreeMap<Bytes, Bytes>;

/// Applies a delta as [`crate::state::StateStore::apply`] has to: ranges first, then the entries.
pub fn apply(model: &mut Model, delta: &Delta) {
    for range in delta.ranges() {
        model.retain(|key, _| !range.contains(key));
    }
    for (key, write) in delta.entries() {
        match write {
            Write::Put(value) => {
                model.insert(key.clone(), value.clone());
            }
            Write::Delete => {
                model.remove(key);
            }
            Write::Merge(operand) => {
                let below = model.get(key).map_or(&[][..], |value| value);
                let value = appended(below, operand);
                model.insert(key.clone(), value);
            }
        }
    }
}

/// A delta that turns any state into `model`: everything is deleted, then all is put.
pub fn snapshot(model: &Model) -> Delta {
    let mut delta = Delta::new();
    delta.delete_range(b"", None);
    for (key, value) in model {
        delta.write(key, Write::Put(value.clone()));
    }
    delta
}
