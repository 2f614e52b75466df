// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Frames: what one command looks like on the wire, in both directions.
//!
//! ```text
//! plain:    total u32 | size u32 | command
//! message:  total u32 | size u32 | command | [0x0e02 u16 | size u32 | broker's entry metadata]
//!                                          | [0x0e01 u16 | crc32c u32] | size u32 | metadata | payload
//! ```
//!
//! Numbers are big-endian; `total` counts what follows it; the checksum covers everything behind itself. Whatever
//! arrives is bounded before it is waited for, and what does not fit this picture is an error that ends the connection.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;

use crate::error::{Error, Result};
use crate::proto::{BaseCommand, Body, BrokerEntryMetadata, MessageMetadata};

/// What the broker takes when it does not say.
pub(crate) const DEFAULT_MAX_MESSAGE_SIZE: usize = 5 << 20;

/// What a frame may have beside the message: its command and the sizes.
const ROOM_FOR_COMMAND: usize = 10 << 10;

const WITH_CHECKSUM: u16 = 0x0e01;
const WITH_BROKER_ENTRY: u16 = 0x0e02;

/// A frame to be written. Cloning it is cheap, so that it can be sent again as it was.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Everything up to the payload.
    pub(crate) head: Bytes,
    /// The payload; empty for plain commands.
    pub(crate) payload: Bytes,
}

impl Frame {
    /// A command without a message.
    pub(crate) fn plain(body: Body) -> Frame {
        let command = BaseCommand { r#type: body.kind(), body: Some(body) };
        let size = command.encoded_len();
        let mut head = BytesMut::with_capacity(size + 8);
        head.put_u32(size as u32 + 4);
        head.put_u32(size as u32);
        encode(&command, &mut head);
        Frame { head: head.freeze(), payload: Bytes::new() }
    }

    /// A command with a message, or with a batch of them.
    pub(crate) fn message(body: Body, metadata: &MessageMetadata, payload: Bytes) -> Frame {
        let command = BaseCommand { r#type: body.kind(), body: Some(body) };
        let (command_size, metadata_size) = (command.encoded_len(), metadata.encoded_len());
        let mut head = BytesMut::with_capacity(command_size + metadata_size + 18);
        head.put_u32((command_size + metadata_size + payload.len() + 14) as u32);
        head.put_u32(command_size as u32);
        encode(&command, &mut head);
        head.put_u16(WITH_CHECKSUM);
        let checksum_at = head.len();
        head.put_u32(0);
        head.put_u32(metadata_size as u32);
        encode(metadata, &mut head);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&head[checksum_at + 4..]), &payload);
        head[checksum_at..checksum_at + 4].copy_from_slice(&checksum.to_be_bytes());
        Frame { head: head.freeze(), payload }
    }

    #[cfg(test)]
    pub(crate) fn to_bytes(&self) -> Bytes {
        [&self.head[..], &self.payload[..]].concat().into()
    }
}

fn encode(message: &impl prost::Message, into: &mut BytesMut) {
    // Fails for want of room only, and a BytesMut grows.
    let _grows = message.encode(into);
}

/// What the broker sent.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) body: Body,
    /// What follows the command of a message, checked against its checksum.
    pub(crate) stored: Option<Stored>,
}

/// A stored entry as it came, not yet decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    /// The broker's own metadata, if it was asked to send it.
    pub(crate) broker: Option<BrokerEntryMetadata>,
    /// The encoded metadata.
    pub(crate) metadata: Bytes,
    /// What the metadata describes.
    pub(crate) payload: Bytes,
}

impl Stored {
    /// Decodes the metadata.
    pub(crate) fn metadata(&self) -> Result<MessageMetadata> {
        MessageMetadata::decode(self.metadata.clone()).map_err(|error| Error::Damaged(format!("metadata: {error}")))
    }
}

/// Takes the first frame out of what was read, or none if it is not whole yet; then the buffer has room for it.
///
/// A frame larger than messages of `max_message_size` need is refused by its first four bytes.
pub(crate) fn take(buffer: &mut BytesMut, max_message_size: usize) -> Result<Option<Received>> {
    let Some(start) = buffer.first_chunk::<4>() else { return Ok(None) };
    let total = u32::from_be_bytes(*start) as usize;
    if total > max_message_size.saturating_add(ROOM_FOR_COMMAND) {
        return Err(Error::Protocol(format!("a frame of {total} bytes")));
    }
    if buffer.len() < total + 4 {
        buffer.reserve(total + 4 - buffer.len());
        return Ok(None);
    }
    let mut frame = buffer.split_to(total + 4).freeze();
    frame.advance(4);
    parse(frame).map(Some)
}

/// Reads one frame, without its total size.
pub(crate) fn parse(mut frame: Bytes) -> Result<Received> {
    let command = sized(&mut frame, "command")?;
    let command = BaseCommand::decode(command).map_err(|error| Error::Protocol(format!("command: {error}")))?;
    let Some(body) = command.body else {
        // A newer broker's command: the caller passes over it.
        return Ok(Received { body: Body::Pong(Default::default()), stored: None });
    };
    let stored = match &body {
        Body::Message(_) | Body::Send(_) => Some(stored(frame)?),
        _ => None,
    };
    Ok(Received { body, stored })
}

fn stored(mut frame: Bytes) -> Result<Stored> {
    let mut broker = None;
    if magic(&frame) == Some(WITH_BROKER_ENTRY) {
        frame.advance(2);
        let entry = sized(&mut frame, "broker entry metadata")?;
        let entry = BrokerEntryMetadata::decode(entry)
            .map_err(|error| Error::Protocol(format!("broker entry metadata: {error}")))?;
        broker = Some(entry);
    }
    if magic(&frame) == Some(WITH_CHECKSUM) {
        frame.advance(2);
        let told = frame.try_get_u32().map_err(|_| Error::Protocol("a frame ends in its checksum".into()))?;
        let found = crc32c::crc32c(&frame);
        if told != found {
            return Err(Error::Checksum(format!("told {told:08x}, found {found:08x}")));
        }
    }
    let metadata = sized(&mut frame, "metadata")?;
    Ok(Stored { broker, metadata, payload: frame })
}

fn magic(frame: &Bytes) -> Option<u16> {
    frame.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// Takes a part that is preceded by its size.
fn sized(frame: &mut Bytes, what: &str) -> Result<Bytes> {
    let size = frame.try_get_u32().map_err(|_| Error::Protocol(format!("a frame ends before its {what}")))? as usize;
    if size > frame.len() {
        return Err(Error::Protocol(format!("{what} of {size} bytes in the {} bytes left", frame.len())));
    }
    Ok(frame.split_to(size))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::{CommandMessage, CommandPing, CommandSend, MessageIdData};

    fn metadata() -> MessageMetadata {
        MessageMetadata { producer_name: "p".into(), sequence_id: 3, publish_time: 4, ..Default::default() }
    }

    fn of_message(payload: &'static [u8]) -> Frame {
        let id = MessageIdData { ledger_id: 1, entry_id: 2, ..Default::default() };
        let body = Body::Message(CommandMessage { consumer_id: 1, message_id: id, ..Default::default() });
        Frame::message(body, &metadata(), Bytes::from_static(payload))
    }

    #[test]
    fn the_bytes_of_a_ping_are_those_of_the_protocol() {
        let frame = Frame::plain(Body::Ping(CommandPing {})).to_bytes();
        assert_eq!(&frame[..], [0, 0, 0, 9, 0, 0, 0, 5, 8, 18, 0x92, 1, 0]);
    }

    #[test]
    fn the_bytes_of_a_send_are_those_of_the_protocol() {
        let body = Body::Send(CommandSend { producer_id: 1, sequence_id: 2, ..Default::default() });
        let frame = Frame::message(body, &metadata(), Bytes::from_static(b"hi")).to_bytes();
        let checked = [&[0, 0, 0, 7][..], &[10, 1, b'p', 16, 3, 24, 4], b"hi"].concat();
        let checksum = crc32c::crc32c(&checked).to_be_bytes();
        let command = [8, 6, 50, 4, 8, 1, 16, 2];
        let told = [&[0, 0, 0, 31, 0, 0, 0, 8][..], &command, &[0x0e, 1], &checksum, &checked].concat();
        assert_eq!(&frame[..], told);
    }

    #[test]
    fn a_frame_in_pieces_is_whole_only_with_its_last_byte() {
        let bytes = of_message(b"payload").to_bytes();
        let mut buffer = BytesMut::new();
        for byte in &bytes[..bytes.len() - 1] {
            buffer.put_u8(*byte);
            assert!(take(&mut buffer, 100).unwrap().is_none());
        }
        buffer.put_u8(bytes[bytes.len() - 1]);
        buffer.put_u8(9);
        let stored = take(&mut buffer, 100).unwrap().unwrap().stored.unwrap();
        assert_eq!(stored.payload, "payload");
        assert_eq!(stored.metadata().unwrap(), metadata());
        assert_eq!(&buffer[..], [9]);
    }

    #[test]
    fn a_changed_byte_of_a_message_is_found() {
        let bytes = of_message(b"payload").to_bytes();
        for at in bytes.len() - 7..bytes.len() {
            let mut changed = BytesMut::from(&bytes[..]);
            changed[at] ^= 1;
            assert!(matches!(take(&mut changed, 100), Err(Error::Checksum(_))));
        }
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_before_it_is_there() {
        let mut buffer = BytesMut::from(&(1_000_000u32 + 10_241).to_be_bytes()[..]);
        assert!(matches!(take(&mut buffer, 1_000_000), Err(Error::Protocol(_))));
    }

    #[test]
    fn the_brokers_entry_metadata_is_read() {
        let plain = of_message(b"payload").to_bytes();
        let mut frame = plain.slice(4..);
        let command = sized(&mut frame, "command").unwrap();
        let entry = BrokerEntryMetadata { broker_timestamp: Some(5), index: Some(6) };
        let mut with = BytesMut::new();
        with.put_u32(command.len() as u32);
        with.extend_from_slice(&command);
        with.put_u16(WITH_BROKER_ENTRY);
        with.put_u32(entry.encoded_len() as u32);
        entry.encode(&mut with).unwrap();
        with.extend_from_slice(&frame);
        let stored = parse(with.freeze()).unwrap().stored.unwrap();
        assert_eq!((stored.broker, stored.payload), (Some(entry), Bytes::from_static(b"payload")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut buffer, 1 << 20) {}
            let _ = parse(bytes.into());
        }

        #[test]
        fn a_damaged_frame_is_read_or_refused(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = BytesMut::from(&of_message(b"payload").to_bytes()[..]);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            while let Ok(Some(_)) = take(&mut bytes, 1 << 20) {}
        }
    }
}
