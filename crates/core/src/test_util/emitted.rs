// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A record that a function emitted, as a test's host keeps it.

use fnstream_frame::RecordRef;

/// An emitted record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// The index of the output that it went to.
    pub target: u32,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The key, which may be empty.
    pub key: Option<Vec<u8>>,
    /// Names with values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The payload; `None` is a null value.
    pub value: Option<Vec<u8>>,
}

impl Emitted {
    /// The value as text; the empty one for a null value.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

impl From<RecordRef<'_>> for Emitted {
    fn from(record: RecordRef<'_>) -> Self {
        Emitted {
            target: record.channel,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            value: record.value.map(<[u8]>::to_vec),
        }
    }
}
