// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records and values of a scenario.

use crate::problem::Place;

/// Bytes as a scenario writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Nothing: a null value, an absent entry.
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// JSON, which is compared as JSON.
    Json(serde_json::Value),
}

impl Data {
    /// The bytes that stand for it; JSON in its shortest form.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Data::Null => None,
            Data::Bytes(bytes) => Some(bytes.clone()),
            Data::Json(json) => Some(json.to_string().into_bytes()),
        }
    }

    /// Reports whether bytes are what was meant.
    pub fn is(&self, bytes: Option<&[u8]>) -> bool {
        match (self, bytes) {
            (Data::Null, None) => true,
            (Data::Bytes(wanted), Some(bytes)) => wanted == bytes,
            (Data::Json(wanted), Some(bytes)) => {
                serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|got| got == *wanted)
            }
            _ => false,
        }
    }
}

/// A record that is sent, or is to be emitted. What it leaves out is not sent, and not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its place in the file.
    pub place: Place,
    /// The value; a null one if it is left out.
    pub value: Data,
    /// The key, or that there is none.
    pub key: Option<Data>,
    /// Names and values.
    pub headers: Option<Vec<(String, Data)>>,
    /// Milliseconds since the Unix epoch.
    pub time: Option<i64>,
}

/// An entry of a store that is to be there, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the file.
    pub place: Place,
    /// The store.
    pub store: String,
    /// The key, as the product shows keys.
    pub key: String,
    /// What it holds.
    pub value: Data,
}
