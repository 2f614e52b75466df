// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Message ids as positions.
//!
//! ```text
//!  bits 127 … 64   63 … 32   31 … 0
//!       ledger     entry     index in the batch; 0 of a message that is alone in its entry
//! ```
//!
//! So positions ascend as messages are read. The position after a message is in the same entry: a batch goes on there, and if it has
//! ended, nothing is between it and the next entry.

use fnstream_core::record::Position;
use fnstream_pulsar_client::MessageId;

/// The entry of a position: its ledger, and its number in the ledger.
pub(crate) type EntryId = (u64, u64);

/// The position of a message.
pub(crate) fn position_of(id: &MessageId) -> Position {
    position(id.ledger, id.entry, id.batch_index.unwrap_or(0))
}

/// The position of a place in an entry.
pub(crate) fn position(ledger: u64, entry: u64, index: u32) -> Position {
    Position(u128::from(ledger) << 64 | u128::from(entry & 0xffff_ffff) << 32 | u128::from(index))
}

/// The position after all messages of an entry.
pub(crate) fn behind((ledger, entry): EntryId) -> Position {
    position(ledger, entry + 1, 0)
}

/// The entry in which a position is.
pub(crate) fn entry_of(position: Position) -> EntryId {
    ((position.0 >> 64) as u64, (position.0 >> 32) as u64 & 0xffff_ffff)
}

/// The index of a position within its entry.
pub(crate) fn index_of(position: Position) -> u32 {
    position.0 as u32
}

/// The id of a whole entry.
pub(crate) fn entry_id((ledger, entry): EntryId) -> MessageId {
    MessageId::of_entry(ledger, entry)
}

/// The id of the message at a position.
pub(crate) fn id_of(position: Position) -> MessageId {
    let id = entry_id(entry_of(position));
    // Whether an entry is a batch is not in a position; a message that is alone in its entry is never sought by its index.
    match index_of(position) {
        0 => id,
        index => MessageId { batch_index: Some(index), ..id },
    }
}

/// A position as it is stored beside others of the embedded log's kind.
pub(crate) fn to_bytes(position: Position) -> [u8; 16] {
    position.0.to_be_bytes()
}

/// The same, read.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Position> {
    Some(Position(u128::from_be_bytes(bytes.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_ascend_as_messages_do() {
        let ids = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 7, 3), (1, 0, 0), (1, 0, 9), (u64::MAX >> 1, 5, 0)];
        let positions = ids.map(|(ledger, entry, index)| position(ledger, entry, index));
        assert!(positions.is_sorted_by(|a, b| a < b));
        for ((ledger, entry, index), position) in ids.into_iter().zip(positions) {
            assert_eq!((entry_of(position), index_of(position)), ((ledger, entry), index));
            assert_eq!(from_bytes(&to_bytes(position)), Some(position));
            assert!(position.next() < behind((ledger, entry)));
        }
    }
}
