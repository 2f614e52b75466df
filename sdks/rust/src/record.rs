// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use fnstream_frame::{Headers, RecordRef};

/// A record that the function received. Copy what must outlive the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<'a> {
    /// The index of the input group that the record came from.
    pub source: u32,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The key, if the record has one. An empty key is a key.
    pub key: Option<&'a [u8]>,
    /// Names with values.
    pub headers: Headers<'a>,
    /// The payload. `None` is a null value, as compacted topics have it for a deleted key (a tombstone); an empty value is not
    /// null. [`Record::bytes`] is for functions that need not tell them apart.
    pub value: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    /// Creates a record for tests: of the first input group, at time 0, without key and headers.
    pub fn new(value: &'a [u8]) -> Self {
        Record { value: Some(value), ..Record::null() }
    }

    /// Creates a record with a null value for tests; otherwise it is like that of [`Record::new`].
    pub fn null() -> Self {
        Record { source: 0, timestamp: 0, key: None, headers: Headers::EMPTY, value: None }
    }

    /// Returns the bytes of the value. A null value has none, like an empty one.
    pub fn bytes(&self) -> &'a [u8] {
        self.value.unwrap_or_default()
    }

    /// The same record with a key.
    #[must_use]
    pub fn with_key(self, key: &'a [u8]) -> Self {
        Record { key: Some(key), ..self }
    }

    /// The same record with other headers.
    #[must_use]
    pub fn with_headers(self, headers: Headers<'a>) -> Self {
        Record { headers, ..self }
    }

    /// The same record at another time.
    #[must_use]
    pub fn at(self, timestamp: i64) -> Self {
        Record { timestamp, ..self }
    }

    /// The same record from another input group.
    #[must_use]
    pub fn from_source(self, source: u32) -> Self {
        Record { source, ..self }
    }

    pub(crate) fn packed(self) -> RecordRef<'a> {
        RecordRef {
            channel: self.source,
            timestamp: self.timestamp,
            key: self.key,
            headers: self.headers,
            value: self.value,
        }
    }
}

impl<'a> From<RecordRef<'a>> for Record<'a> {
    fn from(record: RecordRef<'a>) -> Self {
        Record {
            source: record.channel,
            timestamp: record.timestamp,
            key: record.key,
            headers: record.headers,
            value: record.value,
        }
    }
}

/// A record that the function emits.
///
/// ```
/// use fnstream_sdk::Output;
///
/// let output = Output::new(b"value").to(1).with_key(b"key").at(1_700_000_000_000);
/// let tombstone = Output::null().with_key(b"key");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output<'a> {
    pub(crate) target: u32,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> Output<'a> {
    /// Creates a record for the first output, with the time of the record in process, without key and headers.
    pub fn new(value: &'a [u8]) -> Self {
        Output { value: Some(value), ..Output::null() }
    }

    /// Creates a record with a null value; otherwise it is like that of [`Output::new`]. With a key it is a tombstone: a compacted
    /// topic deletes what the key stood for.
    pub fn null() -> Self {
        Output { target: 0, timestamp: None, key: None, headers: Headers::EMPTY, value: None }
    }

    /// The same record for the output with that index.
    #[must_use]
    pub fn to(self, target: u32) -> Self {
        Output { target, ..self }
    }

    /// The same record with a key. Records of one key stay in order.
    #[must_use]
    pub fn with_key(self, key: &'a [u8]) -> Self {
        Output { key: Some(key), ..self }
    }

    /// The same record with headers.
    #[must_use]
    pub fn with_headers(self, headers: Headers<'a>) -> Self {
        Output { headers, ..self }
    }

    /// The same record at another time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn at(self, timestamp: i64) -> Self {
        Output { timestamp: Some(timestamp), ..self }
    }
}

/// Passes a record on with its key, headers, time and value.
impl<'a> From<Record<'a>> for Output<'a> {
    fn from(record: Record<'a>) -> Self {
        Output {
            target: 0,
            timestamp: Some(record.timestamp),
            key: record.key,
            headers: record.headers,
            value: record.value,
        }
    }
}
