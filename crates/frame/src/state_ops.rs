// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The buffers of the batched state calls: many keys, values or writes in one call.
//!
//! All integers are little-endian.
//!
//! ```text
//! key list    u32 n, then n times {u32 length, key}
//! value list  u32 n, then n times {u32 length, value}; the length 0xFFFFFFFF means absent, nothing follows it
//! pair list   u32 n, then n times {u32 length, key, u32 length, value}
//! op list     u32 n, then n times {u8 kind, u32 length, key, u32 length, value}
//!             kind 0 = put, 1 = delete (empty value), 2 = merge (value appended to the stored one),
//!             3 = delete the range from key to value exclusive (empty value = to the end of the store)
//! ```

use crate::FrameError;

const ABSENT: u32 = u32::MAX;

/// A write of the op list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateOp<'a> {
    /// Stores a value, which may be empty.
    Put(&'a [u8], &'a [u8]),
    /// Removes a key; not an error when it is absent.
    Delete(&'a [u8]),
    /// Appends bytes to the stored value; an absent one counts as empty.
    Merge(&'a [u8], &'a [u8]),
    /// Removes all keys from the first, inclusive, to the second, exclusive; `None` = to the end of the store.
    DeleteRange(&'a [u8], Option<&'a [u8]>),
}

macro_rules! list {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Vec<u8>);

        impl Default for $name {
            fn default() -> Self {
                $name(0u32.to_le_bytes().to_vec())
            }
        }

        impl $name {
            /// An empty list.
            pub fn new() -> Self {
                Self::default()
            }

            /// The encoded list.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The encoded list.
            pub fn into_bytes(self) -> Vec<u8> {
                self.0
            }

            /// The number of entries.
            pub fn len(&self) -> usize {
                u32::from_le_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]) as usize
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Forgets the entries, keeps the memory.
            pub fn clear(&mut self) {
                self.0.truncate(4);
                self.0.fill(0);
            }

            fn count_one(&mut self) {
                let n = self.len() as u32 + 1;
                self.0[..4].copy_from_slice(&n.to_le_bytes());
            }
        }
    };
}

list! {
    /// Writes a key list; reads one.
    KeyList
}
list! {
    /// Writes a value list; reads one.
    ValueList
}
list! {
    /// Writes a pair list; reads one.
    PairList
}
list! {
    /// Writes an op list; reads one.
    OpList
}

impl KeyList {
    /// Adds a key.
    pub fn push(&mut self, key: &[u8]) {
        put(&mut self.0, key);
        self.count_one();
    }

    /// Calls `visit` with each key of an encoded list.
    pub fn read<'a>(bytes: &'a [u8], mut visit: impl FnMut(&'a [u8])) -> Result<(), FrameError> {
        let mut reader = Reader::new(bytes)?;
        for _ in 0..reader.count {
            visit(reader.bytes()?.ok_or(FrameError::Offsets)?);
        }
        reader.end()
    }
}

impl ValueList {
    /// Adds a value, or that it is absent.
    pub fn push(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => put(&mut self.0, value),
            None => self.0.extend_from_slice(&ABSENT.to_le_bytes()),
        }
        self.count_one();
    }

    /// Calls `visit` with each value of an encoded list.
    pub fn read<'a>(bytes: &'a [u8], mut visit: impl FnMut(Option<&'a [u8]>)) -> Result<(), FrameError> {
        let mut reader = Reader::new(bytes)?;
        for _ in 0..reader.count {
            visit(reader.bytes()?);
        }
        reader.end()
    }
}

impl PairList {
    /// Adds a key with its value.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        put(&mut self.0, key);
        put(&mut self.0, value);
        self.count_one();
    }

    /// Calls `visit` with each pair of an encoded list.
    pub fn read<'a>(bytes: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), FrameError> {
        let mut reader = Reader::new(bytes)?;
        for _ in 0..reader.count {
            let key = reader.bytes()?.ok_or(FrameError::Offsets)?;
            visit(key, reader.bytes()?.ok_or(FrameError::Offsets)?);
        }
        reader.end()
    }
}

impl OpList {
    /// Adds a write. A range that ends at the empty key holds nothing and is left out: encoded it would reach to the end
    /// of the store.
    pub fn push(&mut self, op: StateOp<'_>) {
        if let StateOp::DeleteRange(_, Some([])) = op {
            return;
        }
        let (kind, key, value) = match op {
            StateOp::Put(key, value) => (0, key, value),
            StateOp::Delete(key) => (1, key, &[][..]),
            StateOp::Merge(key, value) => (2, key, value),
            StateOp::DeleteRange(start, end) => (3, start, end.unwrap_or_default()),
        };
        self.0.push(kind);
        put(&mut self.0, key);
        put(&mut self.0, value);
        self.count_one();
    }

    /// Adds a put; answers where its value is, for [`OpList::overwrite`].
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> usize {
        self.push(StateOp::Put(key, value));
        self.0.len() - value.len()
    }

    /// Writes another value over that of a put, which is as long.
    ///
    /// # Panics
    /// When the list ends before the end of the value.
    #[inline]
    pub fn overwrite(&mut self, at: usize, value: &[u8]) {
        self.0[at..at + value.len()].copy_from_slice(value);
    }

    /// Forgets the writes that were added since the list had so many, in so many bytes.
    pub fn truncate(&mut self, len: usize, bytes: usize) {
        self.0.truncate(bytes);
        self.0[..4].copy_from_slice(&(len as u32).to_le_bytes());
    }

    /// Calls `visit` with each write of an encoded list, until one fails.
    pub fn read<'a, E: From<FrameError>>(
        bytes: &'a [u8],
        mut visit: impl FnMut(StateOp<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = Reader::new(bytes)?;
        for _ in 0..reader.count {
            let kind = reader.byte()?;
            let key = reader.bytes()?.ok_or(FrameError::Offsets)?;
            let value = reader.bytes()?.ok_or(FrameError::Offsets)?;
            visit(match kind {
                0 => StateOp::Put(key, value),
                1 if value.is_empty() => StateOp::Delete(key),
                2 => StateOp::Merge(key, value),
                3 => StateOp::DeleteRange(key, (!value.is_empty()).then_some(value)),
                _ => return Err(FrameError::Unknown.into()),
            })?;
        }
        Ok(reader.end()?)
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    assert!(bytes.len() < ABSENT as usize, "a state key or value ends at 4 GiB");
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a> {
    count: u32,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (count, rest) = bytes.split_first_chunk::<4>().ok_or(FrameError::Truncated)?;
        Ok(Reader { count: u32::from_le_bytes(*count), rest })
    }

    fn byte(&mut self) -> Result<u8, FrameError> {
        let (first, rest) = self.rest.split_first().ok_or(FrameError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn bytes(&mut self) -> Result<Option<&'a [u8]>, FrameError> {
        let (len, rest) = self.rest.split_first_chunk::<4>().ok_or(FrameError::Truncated)?;
        let len = u32::from_le_bytes(*len);
        if len == ABSENT {
            self.rest = rest;
            return Ok(None);
        }
        let (bytes, rest) = rest.split_at_checked(len as usize).ok_or(FrameError::Truncated)?;
        self.rest = rest;
        Ok(Some(bytes))
    }

    fn end(&self) -> Result<(), FrameError> {
        if self.rest.is_empty() { Ok(()) } else { Err(FrameError::Offsets) }
    }
}
