// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use core::ops::Range;

use crate::{FrameError, HAS_KEY, HEADER_LEN, Headers, MAGIC, NULL_VALUE, RECORD_LEN};

/// A record that is to be written: borrowed, without a place yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Input group on the way in, output index on the way out.
    pub channel: u32,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// `None` is not the same as an empty key.
    pub key: Option<&'a [u8]>,
    /// Names with values.
    pub headers: Headers<'a>,
    /// The payload of the record. `None` is a null value, as a compacted topic has it for a deleted key; it is not the same
    /// as an empty one. [`RecordRef::bytes`] is for those who need not tell them apart.
    pub value: Option<&'a [u8]>,
}

/// What reading a frame gives for each record.
pub type RecordView<'a> = RecordRef<'a>;

impl<'a> RecordRef<'a> {
    /// A record of channel 0 at time 0 without key and headers.
    #[inline]
    pub fn new(value: &'a [u8]) -> Self {
        RecordRef { value: Some(value), ..RecordRef::null() }
    }

    /// A record with a null value, of channel 0 at time 0 without key and headers.
    #[inline]
    pub fn null() -> Self {
        RecordRef { channel: 0, timestamp: 0, key: None, headers: Headers::EMPTY, value: None }
    }

    /// The bytes of the value: none for a null value, as for an empty one.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.value.unwrap_or_default()
    }

    /// The same record with another key.
    #[inline]
    pub fn with_key(self, key: Option<&'a [u8]>) -> Self {
        RecordRef { key, ..self }
    }

    /// The same record with other headers.
    #[inline]
    pub fn with_headers(self, headers: Headers<'a>) -> Self {
        RecordRef { headers, ..self }
    }

    /// The same record at another time.
    #[inline]
    pub fn at(self, timestamp: i64) -> Self {
        RecordRef { timestamp, ..self }
    }

    /// The same record on another channel.
    #[inline]
    pub fn on(self, channel: u32) -> Self {
        RecordRef { channel, ..self }
    }

    /// Bytes that this record takes in a frame.
    #[inline]
    pub fn packed_len(&self) -> usize {
        RECORD_LEN + self.key.map_or(0, <[u8]>::len) + self.headers.as_bytes().len() + self.bytes().len()
    }

    #[inline]
    pub(crate) fn attributes(&self) -> u32 {
        let key = if self.key.is_some() { HAS_KEY } else { 0 };
        key | if self.value.is_none() { NULL_VALUE } else { 0 }
    }
}

/// A checked, borrowed frame. Once parsed, reading cannot fail.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    timestamps: &'a [u8],
    channels: &'a [u8],
    attributes: &'a [u8],
    key_ends: &'a [u8],
    header_ends: &'a [u8],
    value_ends: &'a [u8],
    payload: &'a [u8],
    len: usize,
}

impl<'a> Frame<'a> {
    /// Checks a whole buffer: its sizes, offsets, attributes and headers.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let frame = Self::layout(bytes)?;
        let mut at = 0;
        for i in 0..frame.len {
            let attributes = read_u32(frame.attributes, i);
            if attributes & !(HAS_KEY | NULL_VALUE) != 0 {
                return Err(FrameError::Unknown);
            }
            let (key, header, value) = frame.ends(i);
            if key < at || header < key || value < header || value > frame.payload.len() {
                return Err(FrameError::Offsets);
            }
            if (attributes & HAS_KEY == 0 && key != at) || (attributes & NULL_VALUE != 0 && value != header) {
                return Err(FrameError::Offsets);
            }
            if header > key {
                Headers::parse(&frame.payload[key..header])?;
            }
            at = value;
        }
        if at == frame.payload.len() { Ok(frame) } else { Err(FrameError::Offsets) }
    }

    /// A view of bytes that [`Frame::parse`] has accepted before: checks their sizes and nothing else, in constant time.
    ///
    /// # Panics
    /// When the sizes do not fit. Of other bytes that were never checked, reading a record may panic later; it is never
    /// undefined behaviour.
    pub fn of_checked(bytes: &'a [u8]) -> Self {
        match Self::layout(bytes) {
            Ok(frame) => frame,
            Err(e) => panic!("the bytes were never checked: {e}"),
        }
    }

    /// Cuts the buffer into its arrays; checks sizes only.
    fn layout(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let header = bytes.get(..HEADER_LEN).ok_or(FrameError::Truncated)?;
        if read_u32(header, 0) != MAGIC {
            return Err(FrameError::Magic);
        }
        if read_u32(header, 2) != 0 {
            return Err(FrameError::Unknown);
        }
        let len = read_u32(header, 1) as usize;
        let payload_len = read_u32(header, 3) as usize;
        let arrays = len.checked_mul(RECORD_LEN).ok_or(FrameError::Truncated)?;
        let total =
            arrays.checked_add(HEADER_LEN).and_then(|n| n.checked_add(payload_len)).ok_or(FrameError::Truncated)?;
        if bytes.len() < total {
            return Err(FrameError::Truncated);
        }
        if bytes.len() > total {
            return Err(FrameError::Offsets);
        }
        let mut rest = &bytes[HEADER_LEN..];
        let mut take = |n: usize| {
            let (head, tail) = rest.split_at(n);
            rest = tail;
            head
        };
        Ok(Frame {
            timestamps: take(8 * len),
            channels: take(4 * len),
            attributes: take(4 * len),
            key_ends: take(4 * len),
            header_ends: take(4 * len),
            value_ends: take(4 * len),
            payload: take(payload_len),
            len,
        })
    }

    /// The number of records.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Frame::len`].
    #[inline]
    pub fn record(&self, index: usize) -> RecordView<'a> {
        assert!(index < self.len, "record {index} of a frame of {}", self.len);
        let start = self.start(index);
        let (key, header, value) = self.ends(index);
        let attributes = read_u32(self.attributes, index);
        RecordRef {
            channel: read_u32(self.channels, index),
            timestamp: self.timestamp(index),
            key: (attributes & HAS_KEY != 0).then(|| &self.payload[start..key]),
            headers: Headers::trusted(&self.payload[key..header]),
            value: (attributes & NULL_VALUE == 0).then(|| &self.payload[header..value]),
        }
    }

    /// The records in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RecordView<'a>> + use<'a> {
        let frame = *self;
        (0..self.len).map(move |i| frame.record(i))
    }

    /// The channel of the record at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Frame::len`].
    #[inline]
    pub fn channel(&self, index: usize) -> u32 {
        read_u32(self.channels, index)
    }

    /// The time of the record at `index`, in milliseconds since the Unix epoch.
    ///
    /// # Panics
    /// When `index` is not below [`Frame::len`].
    #[inline]
    pub fn timestamp(&self, index: usize) -> i64 {
        assert!(index < self.len, "record {index} of a frame of {}", self.len);
        let mut le = [0; 8];
        le.copy_from_slice(&self.timestamps[8 * index..8 * index + 8]);
        i64::from_le_bytes(le)
    }

    /// Bytes that the records of `range` take, arrays included.
    ///
    /// # Panics
    /// When the range is not within the frame.
    pub fn packed_len(&self, range: Range<usize>) -> usize {
        self.check(&range);
        range.len() * RECORD_LEN + self.start(range.end) - self.start(range.start)
    }

    /// Where record `index` begins in the payload (for `len`: where the payload ends).
    #[inline]
    pub(crate) fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { read_u32(self.value_ends, index - 1) as usize }
    }

    /// Checked before it is multiplied: where `usize` has 32 bits, 4 times a wild index may be a valid offset.
    fn check(&self, range: &Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.len, "records {range:?} of a frame of {}", self.len);
    }

    #[inline]
    fn ends(&self, index: usize) -> (usize, usize, usize) {
        (
            read_u32(self.key_ends, index) as usize,
            read_u32(self.header_ends, index) as usize,
            read_u32(self.value_ends, index) as usize,
        )
    }

    pub(crate) fn parts(&self, range: Range<usize>) -> Parts<'a> {
        self.check(&range);
        let words = 4 * range.start..4 * range.end;
        Parts {
            timestamps: &self.timestamps[8 * range.start..8 * range.end],
            channels: &self.channels[words.clone()],
            attributes: &self.attributes[words.clone()],
            key_ends: &self.key_ends[words.clone()],
            header_ends: &self.header_ends[words.clone()],
            value_ends: &self.value_ends[words],
            base: self.start(range.start),
            payload: &self.payload[self.start(range.start)..self.start(range.end)],
        }
    }
}

/// The arrays of a run of records, for the builder to append in bulk.
pub(crate) struct Parts<'a> {
    pub timestamps: &'a [u8],
    pub channels: &'a [u8],
    pub attributes: &'a [u8],
    pub key_ends: &'a [u8],
    pub header_ends: &'a [u8],
    pub value_ends: &'a [u8],
    /// Where the run begins in the payload that its ends count from.
    pub base: usize,
    pub payload: &'a [u8],
}

#[inline]
pub(crate) fn read_u32(bytes: &[u8], index: usize) -> u32 {
    let mut le = [0; 4];
    le.copy_from_slice(&bytes[4 * index..4 * index + 4]);
    u32::from_le_bytes(le)
}
