// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The state topic of a task: keyed and compacted, written when state is applied, closed by a marker.
//!
//! ```text
//!  changelog     … epoch 7 │ 8 │ 9 │ 10 │ 11            dropped up to the marker, 8
//!  state topic   a@8  b@8  c@7  marker 8  a@10 …        the apply of epochs 9 and 10 has landed in part
//! ```
//!
//! Only the present owner writes: a former one is fenced with its first takeover, whatever it still has in its hands.
//!
//! Each entry carries the epoch that it reaches to. What an apply has landed without its marker is ahead of the changelog
//! that is replayed over it; so a write of epoch e to a key whose entry reaches to t >= e becomes the entry's value, and a
//! range that is deleted in epoch e spares such keys. Merges are not doubled that way, and no transaction is needed.
//!
//! An empty disk gets everything up to the marker in pieces, and after that the changelog. A store that has some of the
//! pieces says so in its marker, so that a restore that was cut off goes on there.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::delta::{Delta, Write, appended};
use crate::epoch::Epoch;
use crate::state::Marker;

/// How many keys a piece of a restore has.
const PIECE: usize = 3;

/// What begins a place within a restore, which is no position of a changelog.
const WITHIN: u8 = b's';

#[derive(Debug, Clone)]
struct Entry {
    reaches_to: Epoch,
    /// `None`: it was deleted.
    value: Option<Bytes>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct StateTopic {
    entries: BTreeMap<Bytes, Entry>,
    /// How far all of it is; the default before the first apply.
    marker: Marker,
}

impl StateTopic {
    /// Up to which epoch the changelog is not needed any more.
    pub(super) fn complete_to(&self) -> Epoch {
        self.marker.epoch
    }

    /// Lands the deletion of ranges of an apply.
    pub(super) fn land_ranges(&mut self, delta: &Delta, epoch: Epoch) {
        for range in delta.ranges() {
            self.entries.retain(|key, entry| entry.reaches_to >= epoch || !range.contains(key));
        }
    }

    /// Lands one write of an apply that reaches to an epoch.
    pub(super) fn land(&mut self, key: &Bytes, write: &Write, epoch: Epoch) {
        let before = self.entries.get(key);
        if before.is_some_and(|entry| entry.reaches_to >= epoch) {
            return;
        }
        let value = match write {
            Write::Put(value) => Some(value.clone()),
            Write::Delete => None,
            Write::Merge(operand) => {
                let below = before.and_then(|entry| entry.value.as_deref()).unwrap_or_default();
                Some(appended(below, operand))
            }
        };
        self.entries.insert(key.clone(), Entry { reaches_to: epoch, value });
    }

    /// Everything up to the marker has landed.
    pub(super) fn close(&mut self, marker: &Marker) {
        if marker.epoch > self.marker.epoch {
            self.marker = marker.clone();
        }
    }

    /// The pieces that a store still needs before the changelog after the topic's marker: all of them, or those behind the
    /// place up to which it has them already.
    pub(super) fn pieces(&self, applied: Option<&Marker>) -> Vec<(Marker, Delta)> {
        if self.marker == Marker::default() {
            return Vec::new();
        }
        let begun = applied.and_then(|applied| self.place_within(applied));
        let mut rest: Vec<_> =
            self.entries.iter().filter(|(key, _)| begun.as_ref().is_none_or(|at| *key > at)).collect();
        let mut pieces = Vec::new();
        let mut delta = Delta::new();
        if begun.is_none() {
            delta.delete_range(b"", None);
        }
        loop {
            let after = rest.split_off(rest.len().min(PIECE));
            for (key, entry) in &rest {
                if let Some(value) = &entry.value {
                    delta.write(key, Write::Put(value.clone()));
                }
            }
            let marker = match rest.last().filter(|_| !after.is_empty()) {
                Some((last, _)) => Marker { epoch: Epoch(0), log_end: self.within(last) },
                None => self.marker.clone(),
            };
            pieces.push((marker, std::mem::take(&mut delta)));
            if after.is_empty() {
                return pieces;
            }
            rest = after;
        }
    }

    /// What a delta of the changelog is to a store that was filled from here.
    pub(super) fn over(&self, delta: &Delta, epoch: Epoch) -> Delta {
        let mut over = Delta::new();
        let ahead = |key: &Bytes| self.entries.get(key).filter(|entry| entry.reaches_to >= epoch);
        for range in delta.ranges() {
            over.delete_range(&range.start, range.end.as_deref());
        }
        let spared = self.entries.iter().filter(|(_, entry)| entry.reaches_to >= epoch);
        let spared = spared.filter(|(key, _)| delta.ranges().iter().any(|range| range.contains(key)));
        for (key, entry) in spared {
            over.write(key, plain(entry));
        }
        for (key, write) in delta.entries() {
            over.write(key, ahead(key).map_or_else(|| write.clone(), plain));
        }
        over
    }

    /// The place of a restore that has everything up to a key.
    fn within(&self, last: &Bytes) -> Bytes {
        [&[WITHIN][..], &self.marker.epoch.0.to_be_bytes(), last].concat().into()
    }

    /// The key up to which a store was filled, if it was from what is still the topic's state.
    fn place_within(&self, applied: &Marker) -> Option<Bytes> {
        let place = applied.log_end.strip_prefix(&[WITHIN])?;
        let (epoch, key) = place.split_first_chunk::<8>()?;
        (applied.epoch == Epoch(0) && u64::from_be_bytes(*epoch) == self.marker.epoch.0)
            .then(|| Bytes::copy_from_slice(key))
    }
}

/// Whether a store was filled in part and not further.
pub(super) fn is_begun(applied: &Marker) -> bool {
    applied.epoch == Epoch(0) && applied.log_end.first() == Some(&WITHIN)
}

fn plain(entry: &Entry) -> Write {
    entry.value.clone().map_or(Write::Delete, Write::Put)
}
