// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The host as the cache of the Rust SDK knows it, which is compiled into this engine (see lib.rs).

use fnstream_frame::PairList;

use crate::bindings::functionstream::packed::state;

/// Pairs in key order, and where the next page starts.
pub(crate) type Page = (Vec<(Vec<u8>, Vec<u8>)>, Option<Vec<u8>>);

/// The host's state. Keys are keys within a store, in the form that the world's documentation gives.
pub(crate) trait Boundary {
    fn get(&self, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>, String>;
    /// Applies an op list.
    fn write(&self, store: u32, ops: &[u8]) -> Result<(), String>;
    fn scan(&self, store: u32, start: &[u8], end: Option<&[u8]>, max_bytes: u32) -> Result<Page, String>;
}

/// Why the host refused something, as JavaScript is told.
pub(crate) struct Error {
    pub(crate) message: String,
    /// Not about the record in process: an earlier one of the batch may be the reason.
    pub(crate) of_batch: bool,
}

impl Error {
    pub(crate) fn new(message: String) -> Self {
        Error { message, of_batch: false }
    }

    pub(crate) fn of_batch(message: String) -> Self {
        Error { message, of_batch: true }
    }
}

/// The host.
pub(crate) struct Host;

impl Boundary for Host {
    fn get(&self, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        state::get(store, key).map_err(reason)
    }

    fn write(&self, store: u32, ops: &[u8]) -> Result<(), String> {
        state::write(store, ops).map_err(reason)
    }

    fn scan(&self, store: u32, start: &[u8], end: Option<&[u8]>, max_bytes: u32) -> Result<Page, String> {
        let page = state::scan(store, start, end, max_bytes).map_err(reason)?;
        let mut pairs = Vec::new();
        PairList::read(&page.pairs, |key, value| pairs.push((key.to_vec(), value.to_vec())))
            .map_err(|error| error.to_string())?;
        Ok((pairs, page.next))
    }
}

/// The host's own words.
pub(crate) fn reason(error: state::Error) -> String {
    match error {
        state::Error::InvalidName(reason) | state::Error::InvalidKey(reason) | state::Error::Malformed(reason) => {
            reason
        }
    }
}
