// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The names of a task's stores as prefixes of its keys, and keys built from them.

use fnstream_core::state_key::{prefix_end, store_prefix};
use fnstream_core::{Error, ErrorCode, Result};

/// Stores are named by code, not by data: more than this is a mistake that would fill the host's memory.
const MOST: usize = 1_000;

/// The stores that one instance has opened, by handle.
#[derive(Debug, Default)]
pub(crate) struct Stores(Vec<Vec<u8>>);

impl Stores {
    /// The handle of a name.
    pub(crate) fn open(&mut self, name: &str) -> Result<u32> {
        let prefix = store_prefix(name)?;
        if let Some(handle) = self.0.iter().position(|known| *known == prefix) {
            return Ok(handle as u32);
        }
        if self.0.len() == MOST {
            return Err(Error::new(ErrorCode::StateKeyInvalid, format!("more than {MOST} stores are open")));
        }
        self.0.push(prefix);
        Ok(self.0.len() as u32 - 1)
    }

    /// The prefix of all keys of that store.
    pub(crate) fn prefix(&self, handle: u32) -> Result<&[u8]> {
        self.0
            .get(handle as usize)
            .map(Vec::as_slice)
            .ok_or_else(|| Error::new(ErrorCode::GuestProtocol, format!("store {handle} was not opened")))
    }
}

/// The first key after those that begin with `prefix`, which has a store's name in front: there is always one, since no
/// name's length begins with the highest byte.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
    prefix_end(prefix).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_handle() {
        let mut stores = Stores::default();
        let a = stores.open("a").unwrap();
        assert_ne!(a, stores.open("b").unwrap());
        assert_eq!(a, stores.open("a").unwrap());
        assert_eq!(stores.prefix(a).unwrap(), store_prefix("a").unwrap());
        assert_eq!(stores.prefix(2).unwrap_err().code, ErrorCode::GuestProtocol);
        assert_eq!(stores.open("").unwrap_err().code, ErrorCode::StateKeyInvalid);
    }

    #[test]
    fn every_store_has_an_end() {
        let longest = store_prefix(&"\u{10FFFF}".repeat(63)).unwrap();
        assert!(end_of(&longest) > longest);
    }
}
