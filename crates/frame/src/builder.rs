// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use core::ops::Range;

use crate::view::{Parts, read_u32};
use crate::{Frame, HEADER_LEN, MAGIC, RECORD_LEN, RecordRef};

/// Collects records and writes them as one frame. Keeps its memory when cleared.
#[derive(Debug, Clone, Default)]
pub struct FrameBuilder {
    timestamps: Vec<u8>,
    channels: Vec<u8>,
    attributes: Vec<u8>,
    key_ends: Vec<u8>,
    header_ends: Vec<u8>,
    value_ends: Vec<u8>,
    payload: Vec<u8>,
}

impl FrameBuilder {
    /// An empty frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of records so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.channels.len() / 4
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// The size of the frame that [`FrameBuilder::to_bytes`] would give.
    pub fn byte_len(&self) -> usize {
        HEADER_LEN + self.len() * RECORD_LEN + self.payload.len()
    }

    /// Whether `more` payload bytes still fit: a frame's payload ends at 4 GiB.
    #[inline]
    pub fn has_room_for(&self, more: usize) -> bool {
        self.payload.len().checked_add(more).is_some_and(|n| u32::try_from(n).is_ok())
    }

    /// Adds one record.
    ///
    /// # Panics
    /// When the payload would pass 4 GiB; see [`FrameBuilder::has_room_for`].
    #[inline]
    pub fn push(&mut self, record: RecordRef<'_>) {
        assert!(self.has_room_for(record.packed_len()), "a frame's payload ends at 4 GiB");
        self.timestamps.extend_from_slice(&record.timestamp.to_le_bytes());
        put(&mut self.channels, record.channel);
        put(&mut self.attributes, record.attributes());
        self.payload.extend_from_slice(record.key.unwrap_or_default());
        put(&mut self.key_ends, self.payload.len() as u32);
        self.payload.extend_from_slice(record.headers.as_bytes());
        put(&mut self.header_ends, self.payload.len() as u32);
        self.payload.extend_from_slice(record.bytes());
        put(&mut self.value_ends, self.payload.len() as u32);
    }

    /// Adds a run of another frame's records with a few copies instead of one per record. `channel` replaces theirs.
    ///
    /// # Panics
    /// When the range is not within the frame, or the payload would pass 4 GiB.
    pub fn extend(&mut self, frame: &Frame<'_>, range: Range<usize>, channel: Option<u32>) {
        let parts: Parts<'_> = frame.parts(range);
        assert!(self.has_room_for(parts.payload.len()), "a frame's payload ends at 4 GiB");
        // Ends count from the start of the payload: those of the run move by where the run lands.
        let shift = (self.payload.len() as u32).wrapping_sub(parts.base as u32);
        self.timestamps.extend_from_slice(parts.timestamps);
        match channel {
            Some(channel) => fill(&mut self.channels, channel, parts.channels.len() / 4),
            None => self.channels.extend_from_slice(parts.channels),
        }
        self.attributes.extend_from_slice(parts.attributes);
        shifted(&mut self.key_ends, parts.key_ends, shift);
        shifted(&mut self.header_ends, parts.header_ends, shift);
        shifted(&mut self.value_ends, parts.value_ends, shift);
        self.payload.extend_from_slice(parts.payload);
    }

    /// Forgets the records, keeps the memory.
    pub fn clear(&mut self) {
        for array in [
            &mut self.timestamps,
            &mut self.channels,
            &mut self.attributes,
            &mut self.key_ends,
            &mut self.header_ends,
            &mut self.value_ends,
            &mut self.payload,
        ] {
            array.clear();
        }
    }

    /// Forgets all records but the first `len`. Does nothing if there are no more.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        let payload = len.checked_sub(1).map_or(0, |last| read_u32(&self.value_ends, last) as usize);
        self.payload.truncate(payload);
        self.timestamps.truncate(8 * len);
        for array in
            [&mut self.channels, &mut self.attributes, &mut self.key_ends, &mut self.header_ends, &mut self.value_ends]
        {
            array.truncate(4 * len);
        }
    }

    /// The frame.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.byte_len());
        self.write_to(&mut out);
        out
    }

    /// Appends the frame to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.byte_len());
        put(out, MAGIC);
        put(out, self.len() as u32);
        put(out, 0);
        put(out, self.payload.len() as u32);
        for array in [
            &self.timestamps,
            &self.channels,
            &self.attributes,
            &self.key_ends,
            &self.header_ends,
            &self.value_ends,
            &self.payload,
        ] {
            out.extend_from_slice(array);
        }
    }
}

#[inline]
fn put(array: &mut Vec<u8>, value: u32) {
    array.extend_from_slice(&value.to_le_bytes());
}

fn fill(array: &mut Vec<u8>, value: u32, count: usize) {
    array.reserve(4 * count);
    for _ in 0..count {
        put(array, value);
    }
}

fn shifted(array: &mut Vec<u8>, ends: &[u8], shift: u32) {
    if shift == 0 {
        array.extend_from_slice(ends);
        return;
    }
    array.reserve(ends.len());
    for i in 0..ends.len() / 4 {
        put(array, read_u32(ends, i).wrapping_add(shift));
    }
}
