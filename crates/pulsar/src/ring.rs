// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What was fetched of a partition and not polled yet, and the last of what was: whoever goes back a little, to where a record fails
//! among others, finds it here, and the broker is not asked again.
//!
//! The broker may send what it has sent before: after a connection ended, or when a consumer becomes the active one. So what is behind the
//! last fetched position is passed over.

use std::collections::VecDeque;

use fnstream_core::Error;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::waker::Waker;
use fnstream_pulsar_client::ReceivedMessage;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::messages::size;
use crate::position::{EntryId, entry_of, index_of, position_of};

/// A ring that holds as much is given no more.
const FULL_BYTES: usize = 4 << 20;
const FULL_RECORDS: usize = 4_096;
/// So much of what was polled is kept.
const KEPT_BYTES: usize = 1 << 20;

/// One partition of one source.
pub(crate) struct Ring {
    /// The name in full of the topic that the partition is.
    pub topic: String,
    pub at: TopicPartition,
    /// The input group.
    pub group: u32,
    /// The topic with the schemas of the messages, in full, if the function is told with which of them each was read.
    pub schemas_of: Option<String>,
    pub waker: Waker,
    /// Tells the reader that there is room, that the end is asked for, or that the ring was sought or is over.
    pub news: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    records: VecDeque<ReceivedMessage>,
    bytes: usize,
    /// What was polled last, from `kept_from` on up to `position`.
    kept: VecDeque<ReceivedMessage>,
    kept_bytes: usize,
    kept_from: Position,
    /// Where the next batch begins.
    pub position: Position,
    /// Where the next message from the broker begins.
    fetched: Position,
    /// The end that is known, if nothing came after it.
    end: Option<Position>,
    /// Whether the end is to be asked for.
    wants_end: bool,
    /// What is told of the partition until it is sought.
    pub failed: Option<Error>,
    /// Why nothing comes at present.
    pub trouble: Option<Error>,
    /// The last watermark that was told.
    pub told: Option<u64>,
    /// Where the reader is to go.
    sought: Option<Position>,
    /// Entries that were polled from, and how many messages each has, until they are acknowledged.
    polled: VecDeque<(EntryId, u32)>,
    /// What is to be acknowledged: all entries up to this one.
    acked: Option<EntryId>,
    /// Whether there was little room when the reader looked last.
    is_full: bool,
    is_over: bool,
}

/// What the reader is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub seek: Option<Position>,
    pub ack: Option<EntryId>,
    pub end: bool,
    /// How many messages there is room for.
    pub room: usize,
    pub is_over: bool,
}

impl Ring {
    pub(crate) fn new(topic: String, at: TopicPartition, group: u32, from: Position, waker: Waker) -> Ring {
        let state = State { position: from, fetched: from, kept_from: from, wants_end: true, ..State::default() };
        Ring { topic, at, group, schemas_of: None, waker, news: Notify::new(), state: Mutex::new(state) }
    }

    /// Has the function told with which schema of that topic each message was read.
    pub(crate) fn telling_schemas_of(self, topic: Option<String>) -> Ring {
        Ring { schemas_of: topic, ..self }
    }

    /// Looks at it, or takes from it.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock())
    }

    /// Takes in what came.
    pub(crate) fn push(&self, messages: Vec<ReceivedMessage>) {
        let mut state = self.state.lock();
        let before = state.records.len();
        if state.sought.is_none() {
            for message in messages {
                let position = position_of(&message.id);
                if position >= state.fetched {
                    state.fetched = position.next();
                    state.bytes += size(&message);
                    state.records.push_back(message);
                }
            }
            state.trouble = None;
        }
        let came = state.records.len() > before;
        drop(state);
        if came {
            self.waker.wake();
        }
    }

    /// The end of the partition is known.
    pub(crate) fn ends_at(&self, end: Position) {
        let mut state = self.state.lock();
        if state.sought.is_none() {
            (state.end, state.wants_end) = (Some(end), false);
        }
        drop(state);
        self.waker.wake();
    }

    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.state.lock();
        if state.sought.is_none() {
            state.failed = Some(error);
        }
        drop(state);
        self.waker.wake();
    }

    /// Says why nothing comes, or that all is well.
    pub(crate) fn is_troubled(&self, why: Option<Error>) {
        let mut state = self.state.lock();
        let is_news = state.trouble.is_some() != why.is_some();
        state.trouble = why;
        drop(state);
        if is_news {
            self.waker.wake();
        }
    }

    /// What the reader is to do now. A seek is given once.
    pub(crate) fn wanted(&self) -> Wanted {
        let mut state = self.state.lock();
        let is_full = state.bytes >= FULL_BYTES;
        state.is_full = is_full || state.records.len() >= FULL_RECORDS / 2;
        Wanted {
            seek: state.sought,
            ack: state.acked,
            end: state.wants_end,
            room: if is_full { 0 } else { FULL_RECORDS.saturating_sub(state.records.len()) },
            is_over: state.is_over,
        }
    }

    /// The reader has gone there: what comes from now on is of after it.
    pub(crate) fn has_gone(&self, to: Position) {
        let mut state = self.state.lock();
        state.sought.take_if(|sought| *sought == to);
    }

    /// Goes to a position. What is not kept has to be fetched: everything is dropped then.
    pub(crate) fn seek(&self, to: Position) {
        let mut state = self.state.lock();
        if state.go_back(to) {
            return;
        }
        let is_over = state.is_over;
        let fresh = State {
            position: to,
            fetched: to,
            kept_from: to,
            sought: Some(to),
            wants_end: true,
            is_over,
            ..State::default()
        };
        let dropped = std::mem::replace(&mut *state, fresh);
        drop(state);
        drop(dropped);
        self.news.notify_one();
    }

    /// All below a position is committed: entries that are wholly below it need not be sent any more.
    pub(crate) fn commit(&self, position: Position) {
        let mut state = self.state.lock();
        let is_below = |(entry, messages): &mut (EntryId, u32)| {
            *entry < entry_of(position) || (*entry == entry_of(position) && index_of(position) >= *messages)
        };
        let mut last = None;
        while let Some((entry, _)) = state.polled.pop_front_if(is_below) {
            last = Some(entry);
        }
        if last.is_none() {
            return;
        }
        state.acked = last;
        drop(state);
        self.news.notify_one();
    }

    /// All up to there was acknowledged.
    pub(crate) fn has_acked(&self, entry: EntryId) {
        self.state.lock().acked.take_if(|acked| *acked <= entry);
    }

    /// Where the next message from the broker begins.
    pub(crate) fn fetched(&self) -> Position {
        self.state.lock().fetched
    }

    /// Ends it: its reader ends too.
    pub(crate) fn end(&self) {
        self.state.lock().is_over = true;
        self.news.notify_one();
    }
}

impl State {
    /// The next record, if there is one and it is wanted.
    pub(crate) fn pop_if(&mut self, wanted: impl FnOnce(&ReceivedMessage) -> bool) -> Option<&ReceivedMessage> {
        let message = self.records.pop_front_if(|message| wanted(message))?;
        let bytes = size(&message);
        self.bytes -= bytes;
        self.position = position_of(&message.id).next();
        let entry = (message.id.ledger, message.id.entry);
        if self.polled.back().is_none_or(|(last, _)| *last < entry) {
            self.polled.push_back((entry, message.id.batch_size.max(1)));
        }
        self.kept_bytes += bytes;
        self.kept.push_back(message);
        while self.kept_bytes > KEPT_BYTES
            && self.kept.len() > 1
            && let Some(oldest) = self.kept.pop_front()
        {
            self.kept_bytes -= size(&oldest);
            self.kept_from = position_of(&oldest.id).next();
        }
        self.kept.back()
    }

    /// Has what was polled from a position on come next, if all of it is here.
    fn go_back(&mut self, to: Position) -> bool {
        if self.sought.is_some() || self.failed.is_some() || !(self.kept_from..=self.position).contains(&to) {
            return false;
        }
        while let Some(message) = self.kept.pop_back_if(|message| position_of(&message.id) >= to) {
            self.kept_bytes -= size(&message);
            self.bytes += size(&message);
            self.records.push_front(message);
        }
        self.position = to;
        self.told = None;
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether the reader has something to do now: there is room again, or nothing is here, and where the end is has to be found out.
    pub(crate) fn has_news(&mut self) -> bool {
        let was_full =
            std::mem::replace(&mut self.is_full, self.bytes >= FULL_BYTES || self.records.len() >= FULL_RECORDS / 2);
        let wants_end = self.records.is_empty() && self.end.is_none_or(|end| end < self.fetched) && !self.wants_end;
        self.wants_end |= wants_end;
        wants_end || (was_full && !self.is_full)
    }

    /// The end as far as it is known.
    pub(crate) fn known_end(&self) -> Option<Position> {
        self.end.map(|end| end.max(self.fetched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fnstream_core::topic::Topic;
    use fnstream_pulsar_client::MessageId;

    fn ring(from: Position) -> Ring {
        Ring::new("t".into(), TopicPartition::new(Topic::own("t"), 0), 0, from, Waker::noop())
    }

    fn message(id: MessageId) -> ReceivedMessage {
        ReceivedMessage {
            id,
            payload: None,
            key: None,
            ordering_key: None,
            properties: Vec::new(),
            event_time: None,
            publish_time: 0,
            producer_name: String::new(),
            sequence_id: 0,
            schema_version: None,
            replicated_from: None,
        }
    }

    fn messages(entries: std::ops::Range<u64>) -> Vec<ReceivedMessage> {
        entries.map(|entry| message(MessageId::of_entry(1, entry))).collect()
    }

    fn popped(ring: &Ring) -> Vec<u64> {
        std::iter::from_fn(|| ring.with(|state| state.pop_if(|_| true).map(|message| message.id.entry))).collect()
    }

    fn at(entry: u64) -> Position {
        crate::position::position(1, entry, 0)
    }

    #[test]
    fn what_is_sent_again_is_passed_over() {
        let ring = ring(at(2));
        ring.push(messages(0..5));
        ring.push(messages(1..7));
        assert_eq!(popped(&ring), [2, 3, 4, 5, 6]);
    }

    #[test]
    fn who_goes_back_a_little_finds_the_records_here() {
        let ring = ring(at(0));
        ring.push(messages(0..4));
        assert_eq!(popped(&ring), [0, 1, 2, 3]);
        ring.seek(at(1));
        assert_eq!(ring.wanted().seek, None);
        assert_eq!(popped(&ring), [1, 2, 3]);
    }

    #[test]
    fn entries_are_acknowledged_that_are_wholly_committed() {
        let ring = ring(at(0));
        let batch = (0..3).map(|index| message(MessageId::of_entry(1, 1).at_index(index, 3)));
        ring.push(messages(0..1).into_iter().chain(batch).collect());
        assert_eq!(popped(&ring), [0, 1, 1, 1]);
        for (committed, acked) in
            [((0, 0), None), ((0, 1), Some((1, 0))), ((1, 2), Some((1, 0))), ((1, 3), Some((1, 1)))]
        {
            ring.commit(crate::position::position(1, committed.0, committed.1));
            assert_eq!(ring.wanted().ack, acked, "{committed:?}");
        }
        ring.has_acked((1, 1));
        assert_eq!(ring.wanted().ack, None);
    }

    #[test]
    fn until_the_reader_has_gone_what_comes_is_of_before() {
        let ring = ring(at(3));
        ring.push(messages(3..6));
        ring.seek(at(1));
        assert_eq!(ring.wanted().seek, Some(at(1)));
        ring.push(messages(6..9));
        assert_eq!(popped(&ring), [0; 0]);
        ring.has_gone(at(1));
        ring.push(messages(0..3));
        assert_eq!(popped(&ring), [1, 2]);
    }
}
