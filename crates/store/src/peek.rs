// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Committed state as it is at one moment, for those who look on: whether or not the task runs, and without asking it.
//!
//! What a task has committed is its applied state and the deltas after the marker, less what an unfinished apply has written,
//! as at a recovery. All of them are read
//! from one snapshot, so that a commit or an apply meanwhile does not show, nor a trim take something away.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::delta::{Delta, Lookup, appended};
use fnstream_core::epoch::{Epoch, TaskId};
use fnstream_core::state::Visit;
use fnstream_core::state_key::prefix_end;

use crate::db::Moment;
use crate::error::corrupt;
use crate::formats;
use crate::inner::Inner;
use crate::keys;

impl Inner {
    /// Visits what a task has committed, in the order of the keys, from `start` inclusive on.
    pub(crate) fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        let db = self.db()?;
        let moment = db.moment();
        let delta = unapplied(&moment, task)?;
        let prefix = keys::task(task);
        let from = [&prefix[..], start].concat();
        // No function has the last of all ids.
        let end = prefix_end(&prefix).ok_or_else(|| corrupt("a task has the last of all ids"))?;
        let mut stored = moment.iterate(keys::STATE, from..end);
        let mut newer = delta.next_key(Bound::Included(start), None);
        loop {
            let below = stored.item().map(|(key, value)| (&key[prefix.len()..], value));
            let newer_first = newer.take_if(|key| below.is_none_or(|(stored_key, _)| key[..] <= *stored_key));
            let flow = match (newer_first, below) {
                (None, None) => return moment.ended(&stored),
                (None, Some((key, value))) => {
                    let flow = show(&delta, key, Some(value), visit);
                    stored.next();
                    flow
                }
                (Some(key), below) => {
                    let same = below.filter(|(stored_key, _)| key[..] == **stored_key).map(|(_, value)| value);
                    let flow = show(&delta, &key, same, visit);
                    if same.is_some() {
                        stored.next();
                    }
                    newer = delta.next_key(Bound::Excluded(&key), None);
                    flow
                }
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }
}

/// What was committed and is not in the applied state, as one delta.
fn unapplied(moment: &Moment<'_>, task: TaskId) -> Result<Delta> {
    let after = one(moment, &keys::marker(task))?.as_deref().map(formats::decode_marker).transpose()?;
    let after = after.map_or(Epoch(0), |marker| marker.epoch);
    // An apply that is under way, or that a crash has cut.
    let begun = one(moment, &keys::unfinished(task))?.as_deref().map(formats::decode_unfinished).transpose()?;
    let mut begun = begun.as_ref();
    let range = keys::delta(task, after.next()).to_vec()..[&keys::task(task)[..], &[u8::MAX; 9]].concat();
    let mut deltas = moment.iterate(keys::DELTAS, range);
    let mut all = Delta::new();
    while let Some((key, value)) = deltas.item() {
        let epoch = keys::delta_epoch(key).ok_or_else(|| corrupt("the key of a delta is truncated"))?;
        if let Some(begun) = begun.take_if(|begun| epoch > begun.marker.epoch) {
            all.drop_through(&begun.through);
        }
        let delta = Delta::decode(value).map_err(|e| e.context(format_args!("task {task}, epoch {}", epoch.0)))?;
        if delta.deletes_all() {
            begun = None;
        }
        all.absorb(delta);
        deltas.next();
    }
    moment.ended(&deltas)?;
    if let Some(begun) = begun {
        all.drop_through(&begun.through);
    }
    Ok(all)
}

/// The value of a key of [`keys::META`].
fn one(moment: &Moment<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let found = moment.iterate(keys::META, key.to_vec()..[key, &[0]].concat());
    let value = found.value().map(<[u8]>::to_vec);
    moment.ended(&found)?;
    Ok(value)
}

/// Shows a key as the delta leaves it, unless it is absent then.
fn show(delta: &Delta, key: &[u8], stored: Option<&[u8]>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let value = match delta.lookup(key) {
        Lookup::Below => stored.map(Bytes::copy_from_slice),
        Lookup::Append(operand) => Some(appended(stored.unwrap_or_default(), &operand)),
        Lookup::Value(value) => Some(value),
        Lookup::Absent => None,
    };
    value.map_or(ControlFlow::Continue(()), |value| visit(key, &value))
}
