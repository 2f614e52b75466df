// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where a message is stored.

use std::cmp::Ordering;
use std::fmt;

use crate::proto::MessageIdData;

/// The place of a message in its topic: the entry of a ledger and, in a batch, the index within it.
///
/// Places of one topic without partitions, or of one partition, are ordered as its messages are. An entry as a whole
/// (without a batch index) comes before the messages in it. Partition, batch size and first chunk take no part in the
/// order.
#[derive(Clone, Copy, Debug)]
pub struct MessageId {
    /// The ledger that has the entry.
    pub ledger: u64,
    /// The entry within the ledger.
    pub entry: u64,
    /// The index within the batch; none for an entry that is one message, or for the entry as a whole.
    pub batch_index: Option<u32>,
    /// The messages of the batch; 0 when the entry is no batch or its size is not known.
    pub batch_size: u32,
    /// The partition; -1 for a topic without partitions.
    pub partition: i32,
    /// The ledger and the entry of the first chunk, when the message is made of several.
    pub first_chunk: Option<(u64, u64)>,
}

impl MessageId {
    /// Before the first message of any topic.
    pub const EARLIEST: MessageId = MessageId::of_entry(u64::MAX, u64::MAX);
    /// After the last message of any topic.
    pub const LATEST: MessageId = MessageId::of_entry(i64::MAX as u64, i64::MAX as u64);

    /// An entry as a whole.
    pub const fn of_entry(ledger: u64, entry: u64) -> MessageId {
        MessageId { ledger, entry, batch_index: None, batch_size: 0, partition: -1, first_chunk: None }
    }

    /// The entry that has this message, as a whole.
    pub const fn whole_entry(self) -> MessageId {
        MessageId { batch_index: None, ..self }
    }

    /// The same place with an index in its batch.
    pub const fn at_index(self, index: u32, size: u32) -> MessageId {
        MessageId { batch_index: Some(index), batch_size: size, ..self }
    }

    pub(crate) fn same_entry(&self, other: &MessageId) -> bool {
        (self.ledger, self.entry) == (other.ledger, other.entry)
    }

    /// What the order is made of: the broker counts in signed numbers, of which -1 is before all others.
    fn rank(&self) -> (i64, i64, i64) {
        (self.ledger as i64, self.entry as i64, self.batch_index.map_or(-1, i64::from))
    }

    /// None for the place of a broker that has none to tell: -1.
    pub(crate) fn of_data(data: &MessageIdData) -> Option<MessageId> {
        let stored = data.ledger_id != u64::MAX && data.entry_id != u64::MAX;
        stored.then(|| MessageId {
            ledger: data.ledger_id,
            entry: data.entry_id,
            batch_index: u32::try_from(data.batch_index()).ok(),
            batch_size: u32::try_from(data.batch_size()).unwrap_or(0),
            partition: data.partition(),
            first_chunk: data.first_chunk_message_id.as_ref().map(|first| (first.ledger_id, first.entry_id)),
        })
    }

    /// The entry alone, as most commands want it.
    pub(crate) fn entry_data(&self) -> MessageIdData {
        MessageIdData { ledger_id: self.ledger, entry_id: self.entry, ..MessageIdData::default() }
    }

    pub(crate) fn data(&self) -> MessageIdData {
        MessageIdData { batch_index: self.batch_index.map(|index| index as i32), ..self.entry_data() }
    }
}

impl PartialEq for MessageId {
    fn eq(&self, other: &MessageId) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for MessageId {}

impl PartialOrd for MessageId {
    fn partial_cmp(&self, other: &MessageId) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MessageId {
    fn cmp(&self, other: &MessageId) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl std::hash::Hash for MessageId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
    }
}

/// `ledger:entry`, then the batch index if there is one, then `@` and the partition if there is one.
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ledger as i64, self.entry as i64)?;
        if let Some(index) = self.batch_index {
            write!(f, ":{index}")?;
        }
        if self.partition >= 0 {
            write!(f, "@{}", self.partition)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_follows_the_topic() {
        let entry = MessageId::of_entry(3, 4);
        let order = [
            MessageId::EARLIEST,
            MessageId::of_entry(2, 9),
            entry,
            entry.at_index(0, 2),
            entry.at_index(1, 2),
            MessageId::of_entry(3, 5),
            MessageId::LATEST,
        ];
        assert!(order.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn the_wire_form_keeps_the_place() {
        let id = MessageId { partition: 2, ..MessageId::of_entry(3, 4).at_index(5, 6) };
        let data = MessageIdData { batch_size: Some(6), partition: Some(2), ..id.data() };
        assert_eq!(format!("{:?}", MessageId::of_data(&data).unwrap()), format!("{id:?}"));
        assert_eq!(MessageId::of_data(&MessageId::EARLIEST.data()), None);
    }

    #[test]
    fn it_is_shown_as_its_parts() {
        assert_eq!(MessageId::of_entry(1, 2).to_string(), "1:2");
        assert_eq!(MessageId { partition: 7, ..MessageId::of_entry(1, 2).at_index(3, 4) }.to_string(), "1:2:3@7");
    }
}
