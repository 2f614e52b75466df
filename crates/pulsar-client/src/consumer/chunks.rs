// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Messages that are too large for one entry, and come in several.
//!
//! Chunks of one message follow each other, but those of other messages may lie between them. Memory is bounded by how
//! many messages are gathered at a time and by how large each may be. What goes beyond is given up, and so is a message
//! whose beginning is missing, as after a start in its middle: its chunks are passed over. They stay unacknowledged until
//! something behind them is acknowledged cumulatively.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::message_id::MessageId;
use crate::proto::MessageMetadata;

#[derive(Default)]
pub(super) struct Chunks {
    open: VecDeque<Open>,
}

struct Open {
    uuid: String,
    /// Where its chunks are.
    places: Vec<MessageId>,
    next: i32,
    payload: BytesMut,
}

/// What a chunk led to.
pub(super) enum Gathered {
    /// More is to come.
    More,
    /// The chunk continues nothing that is being gathered.
    Stray,
    /// The message is whole: its place, those of its chunks, and its payload, still compressed.
    Whole(MessageId, Vec<MessageId>, Bytes),
}

/// Whether an entry is a chunk.
pub(super) fn is_chunk(metadata: &MessageMetadata) -> bool {
    metadata.num_chunks_from_msg() > 1 && metadata.num_messages_in_batch.unwrap_or(1) == 1
}

impl Chunks {
    pub(super) fn add(
        &mut self,
        id: MessageId,
        metadata: &MessageMetadata,
        payload: Bytes,
        max_messages: usize,
        max_size: usize,
    ) -> Result<Gathered> {
        let (uuid, index, count) = (metadata.uuid(), metadata.chunk_id(), metadata.num_chunks_from_msg());
        if index == 0 {
            // Sent again from the start, it is begun again.
            self.open.retain(|open| open.uuid != uuid);
            if self.open.len() >= max_messages
                && let Some(given_up) = self.open.pop_front()
            {
                tracing::warn!(uuid = given_up.uuid, "a message of several chunks is given up: too many at a time");
            }
            let payload = BytesMut::from(&payload[..]);
            self.open.push_back(Open { uuid: uuid.to_owned(), places: vec![id], next: 1, payload });
            return Ok(Gathered::More);
        }
        let Some(at) = self.open.iter().position(|open| open.uuid == uuid) else { return Ok(Gathered::Stray) };
        let open = &mut self.open[at];
        if index < open.next {
            // It was received before.
            return Ok(Gathered::Stray);
        }
        if index > open.next {
            self.open.remove(at);
            return Err(Error::Damaged("a chunk before this one is missing".into()));
        }
        if open.payload.len() + payload.len() > max_size {
            self.open.remove(at);
            return Err(Error::Damaged(format!("a message of several chunks exceeds the limit of {max_size} bytes")));
        }
        open.payload.extend_from_slice(&payload);
        open.places.push(id);
        open.next += 1;
        if open.next < count {
            return Ok(Gathered::More);
        }
        let Some(open) = self.open.remove(at) else { return Ok(Gathered::Stray) };
        let first_chunk = open.places.first().map(|first| (first.ledger, first.entry));
        Ok(Gathered::Whole(MessageId { first_chunk, ..id }, open.places, open.payload.freeze()))
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(uuid: &str, index: i32, count: i32) -> MessageMetadata {
        MessageMetadata {
            uuid: Some(uuid.into()),
            chunk_id: Some(index),
            num_chunks_from_msg: Some(count),
            ..MessageMetadata::default()
        }
    }

    fn add(chunks: &mut Chunks, entry: u64, uuid: &str, index: i32, text: &'static str) -> Result<Gathered> {
        let metadata = metadata(uuid, index, 3);
        assert!(is_chunk(&metadata));
        chunks.add(MessageId::of_entry(1, entry), &metadata, Bytes::from_static(text.as_bytes()), 2, 10)
    }

    #[test]
    fn chunks_of_two_messages_may_alternate() {
        let mut chunks = Chunks::default();
        for (entry, uuid, index) in [(0, "a", 0), (1, "b", 0), (2, "a", 1), (3, "b", 1)] {
            assert!(matches!(add(&mut chunks, entry, uuid, index, "x"), Ok(Gathered::More)));
        }
        for (entry, uuid, first) in [(4, "b", 1), (5, "a", 0)] {
            let Ok(Gathered::Whole(id, places, payload)) = add(&mut chunks, entry, uuid, 2, "y") else {
                panic!("not whole")
            };
            assert_eq!(places.len(), 3);
            assert_eq!((id.entry, id.first_chunk, &payload[..]), (entry, Some((1, first)), &b"xxy"[..]));
        }
        assert!(chunks.open.is_empty());
    }

    #[test]
    fn a_message_without_its_beginning_is_stray() {
        assert!(matches!(add(&mut Chunks::default(), 0, "a", 1, "x"), Ok(Gathered::Stray)));
    }

    #[test]
    fn a_missing_chunk_gives_the_message_up() {
        let mut chunks = Chunks::default();
        assert!(matches!(add(&mut chunks, 0, "a", 0, "x"), Ok(Gathered::More)));
        assert!(matches!(add(&mut chunks, 1, "a", 2, "x"), Err(Error::Damaged(_))));
        assert!(chunks.open.is_empty());
    }

    #[test]
    fn a_repeated_chunk_changes_nothing() {
        let mut chunks = Chunks::default();
        assert!(matches!(add(&mut chunks, 0, "a", 0, "x"), Ok(Gathered::More)));
        assert!(matches!(add(&mut chunks, 1, "a", 1, "y"), Ok(Gathered::More)));
        assert!(matches!(add(&mut chunks, 1, "a", 1, "y"), Ok(Gathered::Stray)));
        let Ok(Gathered::Whole(_, _, payload)) = add(&mut chunks, 2, "a", 2, "z") else { panic!("not whole") };
        assert_eq!(payload, "xyz");
    }

    #[test]
    fn memory_is_bounded() {
        let mut chunks = Chunks::default();
        for (entry, uuid) in [(0, "a"), (1, "b"), (2, "c")] {
            assert!(matches!(add(&mut chunks, entry, uuid, 0, "x"), Ok(Gathered::More)));
        }
        assert!(matches!(add(&mut chunks, 3, "a", 1, "x"), Ok(Gathered::Stray)));
        assert!(matches!(add(&mut chunks, 4, "b", 1, "xxxxxxxxxxx"), Err(Error::Damaged(_))));
        assert_eq!(chunks.open.len(), 1);
    }
}
