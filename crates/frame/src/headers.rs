// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use crate::FrameError;

/// The encoded headers of one record: names with values, in the order in which they were added; names may repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// No headers.
    pub const EMPTY: Headers<'static> = Headers(&[]);

    /// Checks the encoding once, so that iteration cannot fail.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (name, _, after) = split_first(rest).ok_or(FrameError::Headers)?;
            core::str::from_utf8(name).map_err(|_| FrameError::Headers)?;
            rest = after;
        }
        Ok(Headers(bytes))
    }

    #[inline]
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        Headers(bytes)
    }

    /// The encoded form.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the first header of that name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (name, value, after) = split_first(rest)?;
            rest = after;
            Some((core::str::from_utf8(name).unwrap_or_default(), value))
        })
    }
}

/// One header off the front: name, value, what follows.
fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some((name, value, rest))
}

/// Encodes headers one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadersBuilder(Vec<u8>);

impl HeadersBuilder {
    /// No headers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header; `Err` when the name is longer than 65,535 bytes or the value longer than 4 GiB.
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), FrameError> {
        let name_len = u16::try_from(name.len()).map_err(|_| FrameError::Headers)?;
        let value_len = u32::try_from(value.len()).map_err(|_| FrameError::Headers)?;
        self.0.extend_from_slice(&name_len.to_le_bytes());
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(&value_len.to_le_bytes());
        self.0.extend_from_slice(value);
        Ok(())
    }

    /// What was added so far.
    pub fn as_headers(&self) -> Headers<'_> {
        Headers(&self.0)
    }
}
