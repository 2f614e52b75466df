// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The packed frame: many records in one buffer that every guest language can read cheaply.
//!
//! Owns the byte format and nothing else; it has no dependencies, so that a WebAssembly guest can link it too.
//! It must not know topics, positions, epochs or errors of the system.
//!
//! # Layout, version 1
//!
//! All integers are little-endian. `n` is the number of records. The arrays are aligned to their element when the
//! buffer is aligned to 8 bytes, so that JavaScript typed arrays and Go's `unsafe.Slice` can be laid over them.
//!
//! ```text
//! offset        size  field
//! 0             4     magic: 'F' 'S' 'F' 0x01 (the last byte is the version)
//! 4             4     n, the number of records
//! 8             4     flags, 0 in this version
//! 12            4     length of the payload in bytes
//! 16            8 n   timestamp of each record, i64, milliseconds since the Unix epoch
//! 16 +  8 n     4 n   channel of each record, u32: input group on the way in, output index on the way out
//! 16 + 12 n     4 n   attributes of each record, u32: bit 0 = the record has a key (an empty key is a key),
//!                     bit 1 = the value is null (it has no bytes; an empty value is not null)
//! 16 + 16 n     4 n   end of each record's key in the payload
//! 16 + 20 n     4 n   end of each record's headers
//! 16 + 24 n     4 n   end of each record's value
//! 16 + 28 n     …     payload: for each record its key, its headers, its value, without gaps
//! ```
//!
//! Record `i` begins where record `i - 1` ends. Headers are a sequence of
//! `{u16 name length, name in UTF-8, u32 value length, value}`.
//!
//! # Reading order
//!
//! [`Frame`] (a checked view), [`FrameBuilder`] (writes one), [`RecordRef`] and [`Headers`].
//!
//! ```
//! use fnstream_frame::{Frame, FrameBuilder, RecordRef};
//!
//! let mut builder = FrameBuilder::new();
//! builder.push(RecordRef::new(b"hello").with_key(Some(b"k")).at(1_700_000_000_000));
//! let bytes = builder.to_bytes();
//! let frame = Frame::parse(&bytes).unwrap();
//! assert_eq!(frame.record(0).value, Some(&b"hello"[..]));
//! ```

mod builder;
mod headers;
mod state_ops;
mod view;

pub use builder::FrameBuilder;
pub use headers::{Headers, HeadersBuilder};
pub use state_ops::{KeyList, OpList, PairList, StateOp, ValueList};
pub use view::{Frame, RecordRef, RecordView};

/// `FSF` and the version of the layout.
pub const MAGIC: u32 = u32::from_le_bytes(*b"FSF\x01");

/// Bytes before the arrays.
pub const HEADER_LEN: usize = 16;

/// Bytes that each record adds beside its payload.
pub const RECORD_LEN: usize = 28;

/// Attribute bit: the record has a key.
pub const HAS_KEY: u32 = 1;

/// Attribute bit: the record's value is null.
pub const NULL_VALUE: u32 = 2;

/// Why a buffer is not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The buffer is shorter than its own header says, or than a header.
    Truncated,
    /// The first four bytes are not those of a frame of a version known here.
    Magic,
    /// Flags or attributes of a later version.
    Unknown,
    /// The end offsets go backwards or past the payload, a null value has bytes, or bytes follow the payload.
    Offsets,
    /// A record's headers are not a sequence of names and values, or a name is not UTF-8.
    Headers,
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            FrameError::Truncated => "the frame is truncated",
            FrameError::Magic => "the bytes do not begin like a frame of a known version",
            FrameError::Unknown => "the frame uses flags of a later version",
            FrameError::Offsets => "the frame's offsets do not fit its payload",
            FrameError::Headers => "a record's headers are malformed",
        })
    }
}

impl std::error::Error for FrameError {}
