// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a fuzzer may call: reading of whatever a broker could send. Not part of the crate's interface.

use bytes::BytesMut;

use crate::entry::{messages, unpack};
use crate::error::Result;
use crate::frame::{Received, take};
use crate::message_id::MessageId;
use crate::proto::Body;

/// The largest message that is read.
const LIMIT: usize = 1 << 20;

/// Reads frames one after the other, and the entries in them, until one is refused. Returns how many messages they had.
pub fn read(bytes: &[u8]) -> usize {
    let mut buffer = BytesMut::from(bytes);
    let mut found = 0;
    while let Ok(Some(received)) = take(&mut buffer, LIMIT) {
        found += read_entry(received).unwrap_or(0);
    }
    found
}

fn read_entry(received: Received) -> Result<usize> {
    let (Body::Message(command), Some(stored)) = (received.body, received.stored) else { return Ok(0) };
    let metadata = stored.metadata()?;
    let payload = unpack(&metadata, stored.payload, LIMIT)?;
    let id = MessageId::of_data(&command.message_id).unwrap_or(MessageId::EARLIEST);
    Ok(messages(id, &metadata, payload, &command.ack_set, None)?.messages.len())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Frame;
    use crate::message::{Message, Sender, encode_batch};
    use crate::proto::{CommandMessage, MessageIdData};

    fn frame(compression: crate::Compression) -> Bytes {
        let batch = [Message::new("value").key("k"), Message::null().property("a", "b")];
        let encoded = encode_batch(3, &batch, Sender { name: "p", unix_ms: 1 }, compression).unwrap();
        let message_id = MessageIdData { ledger_id: 1, entry_id: 2, ..Default::default() };
        let command = CommandMessage { consumer_id: 1, message_id, ..Default::default() };
        Frame::message(Body::Message(command), &encoded.metadata, encoded.payload).to_bytes()
    }

    /// Puts the right checksum into a frame that was changed, so that the change is read.
    fn with_checksum(mut frame: Vec<u8>) -> Vec<u8> {
        let Some(at) = frame.windows(2).position(|magic| magic == [0x0e, 0x01]) else { return frame };
        if frame.len() >= at + 6 {
            let checksum = crc32c::crc32c(&frame[at + 6..]);
            frame[at + 2..at + 6].copy_from_slice(&checksum.to_be_bytes());
        }
        frame
    }

    #[test]
    fn good_frames_are_read() {
        let frames = [frame(crate::Compression::None), frame(crate::Compression::Zstd)].concat();
        assert_eq!(read(&frames), 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn changed_frames_are_read_or_refused(
            compression in 0usize..5,
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            use crate::Compression::{Lz4, None, Snappy, Zlib, Zstd};
            let mut bytes = frame([None, Lz4, Zlib, Zstd, Snappy][compression]).to_vec();
            let plain = bytes.clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let unchanged = bytes == plain;
            let found = read(&with_checksum(bytes));
            prop_assert!(!unchanged || found == 2);
        }
    }
}
