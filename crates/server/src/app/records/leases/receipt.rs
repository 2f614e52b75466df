// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Receipts: what a consumer acknowledges a record by. Their text is nobody's business but the server's.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fnstream_core::record::Position;

/// The delivery of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) era: u64,
    pub(super) partition: u32,
    pub(super) position: Position,
    pub(super) lease: u64,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 36];
        bytes[..8].copy_from_slice(&self.era.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.partition.to_be_bytes());
        bytes[12..28].copy_from_slice(&self.position.0.to_be_bytes());
        bytes[28..].copy_from_slice(&self.lease.to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Receipt {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(drop)?;
        let (era, rest) = bytes.split_first_chunk().ok_or(())?;
        let (partition, rest) = rest.split_first_chunk().ok_or(())?;
        let (position, lease) = rest.split_first_chunk().ok_or(())?;
        Ok(Receipt {
            era: u64::from_be_bytes(*era),
            partition: u32::from_be_bytes(*partition),
            position: Position(u128::from_be_bytes(*position)),
            lease: u64::from_be_bytes(*lease.as_array().ok_or(())?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_as_it_was_written_and_nothing_else_is() {
        let receipt = Receipt { era: 1 << 60, partition: 7, position: Position(u128::MAX - 3), lease: 9 };
        let text = receipt.to_string();
        assert_eq!(text.parse(), Ok(receipt));
        for other in ["", "x", "AAAA", &text[1..], &format!("{text}A"), &text.replace('_', "/")] {
            assert!(other == text || other.parse::<Receipt>().is_err(), "{other}");
        }
    }
}
