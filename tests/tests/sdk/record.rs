// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records as scenarios write them: a text, `null`, or a whole record.

use std::collections::BTreeMap;
use std::fmt;

use fnstream_core::test_util::emitted::Emitted;
use fnstream_frame::{HeadersBuilder, RecordRef};
use serde::Deserialize;

/// A record that is sent, or is to be emitted.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Sample {
    /// The value alone; `None` is a null value.
    Value(Option<String>),
    /// All of it.
    Whole(Whole),
}

/// A whole record.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Whole {
    value: Option<String>,
    key: Option<String>,
    headers: BTreeMap<String, String>,
    time: i64,
}

impl From<String> for Sample {
    fn from(value: String) -> Self {
        Sample::Value(Some(value))
    }
}

impl Sample {
    /// Gives `push` the record of an input group.
    pub(crate) fn packed(&self, source: u32, push: impl FnOnce(RecordRef<'_>)) {
        let alone;
        let whole = match self {
            Sample::Whole(whole) => whole,
            Sample::Value(value) => {
                alone = Whole { value: value.clone(), ..Whole::default() };
                &alone
            }
        };
        let mut headers = HeadersBuilder::new();
        for (name, value) in &whole.headers {
            headers.push(name, value.as_bytes()).expect("a short name");
        }
        let record = RecordRef {
            value: whole.value.as_deref().map(str::as_bytes),
            key: whole.key.as_deref().map(str::as_bytes),
            headers: headers.as_headers(),
            timestamp: whole.time,
            ..RecordRef::null()
        };
        push(record.on(source));
    }

    /// What was emitted, in the form of what it is to be compared with.
    pub(crate) fn like(wanted: Option<&Sample>, emitted: &Emitted) -> Self {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let value = emitted.value.as_ref().map(text);
        let Some(Sample::Whole(_)) = wanted else { return Sample::Value(value) };
        let headers = emitted.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        Sample::Whole(Whole { value, key: emitted.key.as_ref().map(text), headers, time: emitted.timestamp })
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sample::Value(value) => value.fmt(f),
            Sample::Whole(whole) => whole.fmt(f),
        }
    }
}
