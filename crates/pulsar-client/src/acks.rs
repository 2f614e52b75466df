// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which messages of which batches are acknowledged.
//!
//! The broker stores a batch as one entry, and without `acknowledgmentAtBatchIndexLevelEnabled` it acknowledges entries
//! as a whole only. Therefore the client remembers what was acknowledged of a batch, and acknowledges the entry with the
//! last of its messages; until then it tells the broker the *ack set*, the messages that are still outstanding, which the
//! broker uses if it can and passes over otherwise.

use std::collections::BTreeMap;

use crate::message_id::MessageId;
use crate::proto::MessageIdData;

/// Whether a message is still to be delivered, by an entry's ack set: one bit per message, set while it is outstanding;
/// empty when nothing was acknowledged.
pub(crate) fn is_outstanding(ack_set: &[i64], index: u32) -> bool {
    ack_set.is_empty() || ack_set.get(index as usize / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
}

/// The ack set in which the messages from `from` to the end of the batch are outstanding.
pub(crate) fn outstanding_from(from: u32, size: u32) -> Vec<i64> {
    let mut set = AckSet::new(size);
    for index in 0..from.min(size) {
        set.acknowledge(index);
    }
    set.words()
}

#[derive(Debug)]
struct AckSet(Vec<u64>);

impl AckSet {
    fn new(size: u32) -> AckSet {
        let mut words = vec![u64::MAX; size as usize / 64];
        if !size.is_multiple_of(64) {
            words.push((1 << (size % 64)) - 1);
        }
        AckSet(words)
    }

    fn acknowledge(&mut self, index: u32) {
        if let Some(word) = self.0.get_mut(index as usize / 64) {
            *word &= !(1 << (index % 64));
        }
    }

    fn is_done(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn words(&self) -> Vec<i64> {
        let used = self.0.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        self.0[..used].iter().map(|word| *word as i64).collect()
    }
}

/// The batches of which a part is acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Partial(BTreeMap<(u64, u64), AckSet>);

impl Partial {
    /// Acknowledges one message, and returns what to tell the broker.
    pub(crate) fn individual(&mut self, id: &MessageId) -> MessageIdData {
        self.note(id, id.batch_index..id.batch_index.map(|index| index + 1))
    }

    /// Acknowledges everything up to and with a message, and returns what to tell the broker.
    pub(crate) fn cumulative(&mut self, id: &MessageId) -> MessageIdData {
        self.note(id, Some(0)..id.batch_index.map(|index| index + 1))
    }

    fn note(&mut self, id: &MessageId, acknowledged: std::ops::Range<Option<u32>>) -> MessageIdData {
        let (Some(from), Some(to)) = (acknowledged.start, acknowledged.end) else { return told(id, None) };
        if id.batch_size <= 1 {
            return told(id, None);
        }
        let set = self.0.entry((id.ledger, id.entry)).or_insert_with(|| AckSet::new(id.batch_size));
        for index in from..to {
            set.acknowledge(index);
        }
        told(id, Some(set.words()).filter(|_| !set.is_done()))
    }

    /// Forgets what need not be remembered, once the broker has taken note.
    pub(crate) fn settled(&mut self, id: &MessageId, cumulative: bool) {
        let place = (id.ledger, id.entry);
        if cumulative {
            self.0 = self.0.split_off(&place);
        }
        let whole = id.batch_index.is_none() || id.batch_size <= 1;
        if whole || self.0.get(&place).is_some_and(AckSet::is_done) {
            self.0.remove(&place);
        }
    }

    /// Forgets everything, after the subscription was moved elsewhere.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

fn told(id: &MessageId, ack_set: Option<Vec<i64>>) -> MessageIdData {
    MessageIdData {
        batch_size: ack_set.is_some().then_some(id.batch_size as i32),
        ack_set: ack_set.unwrap_or_default(),
        first_chunk_message_id: None,
        ..id.entry_data()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const ENTRY: MessageId = MessageId::of_entry(1, 2);

    #[test]
    fn the_entry_is_acknowledged_with_the_last_of_its_messages() {
        let mut partial = Partial::default();
        assert_eq!(partial.individual(&ENTRY.at_index(1, 3)).ack_set, [0b101]);
        assert_eq!(partial.individual(&ENTRY.at_index(0, 3)).ack_set, [0b100]);
        assert_eq!(partial.individual(&ENTRY.at_index(0, 3)).ack_set, [0b100]);
        // It stays so until the broker has taken note.
        for _ in 0..2 {
            assert_eq!(partial.individual(&ENTRY.at_index(2, 3)), ENTRY.entry_data());
        }
        partial.settled(&ENTRY.at_index(2, 3), false);
        assert!(partial.0.is_empty());
    }

    #[test]
    fn a_batch_of_one_is_acknowledged_at_once() {
        assert_eq!(Partial::default().individual(&ENTRY.at_index(0, 1)), ENTRY.entry_data());
        assert_eq!(Partial::default().individual(&ENTRY), ENTRY.entry_data());
    }

    #[test]
    fn a_cumulative_ack_within_a_batch_leaves_the_rest_outstanding() {
        let mut partial = Partial::default();
        partial.individual(&MessageId::of_entry(0, 9).at_index(0, 2));
        assert_eq!(partial.cumulative(&ENTRY.at_index(1, 4)).ack_set, [0b1100]);
        partial.settled(&ENTRY.at_index(1, 4), true);
        assert_eq!(partial.0.len(), 1);
        assert_eq!(partial.individual(&ENTRY.at_index(3, 4)).ack_set, [0b0100]);
        assert_eq!(partial.cumulative(&ENTRY.at_index(3, 4)), ENTRY.entry_data());
        partial.settled(&ENTRY.at_index(3, 4), true);
        assert!(partial.0.is_empty());
    }

    #[test]
    fn a_set_has_one_bit_per_message() {
        assert_eq!(AckSet::new(64).words(), [-1]);
        assert_eq!(AckSet::new(65).words(), [-1, 1]);
        assert_eq!(outstanding_from(64, 66), [0, 0b11]);
        assert_eq!(outstanding_from(9, 3), [0i64; 0]);
    }

    proptest! {
        #[test]
        fn the_ack_set_is_what_is_left(size in 2u32..200, acked in proptest::collection::vec(any::<prop::sample::Index>(), 1..80)) {
            let mut partial = Partial::default();
            let mut left: BTreeSet<u32> = (0..size).collect();
            for index in acked {
                let index = index.index(size as usize) as u32;
                let told = partial.individual(&ENTRY.at_index(index, size));
                left.remove(&index);
                if left.is_empty() {
                    prop_assert!(told.ack_set.is_empty());
                    break;
                }
                for index in 0..size + 70 {
                    prop_assert_eq!(is_outstanding(&told.ack_set, index), left.contains(&index));
                }
            }
        }
    }
}
