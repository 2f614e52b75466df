// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A client of HTTP/2 that gives no answer any room.

use std::io::{Read, Write};
use std::net::TcpStream;

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM_AND_HEADERS: u8 = 5;

/// A connection whose streams have a window of 0.
pub(super) struct NoRoom(TcpStream);

/// A frame of the server.
pub(super) struct Received {
    kind: u8,
    pub(super) stream: u32,
}

impl NoRoom {
    pub(super) fn new(mut stream: TcpStream) -> Self {
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut client = NoRoom(stream);
        // SETTINGS_INITIAL_WINDOW_SIZE is 4.
        client.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        client
    }

    /// Asks on a stream, which has an odd number larger than those before.
    pub(super) fn get(&mut self, stream: u32, path: &str) {
        // From HPACK's table: GET, http; then path and authority in words.
        let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend_from_slice(path.as_bytes());
        block.extend_from_slice(b"\x01\x09localhost");
        self.send(HEADERS, END_STREAM_AND_HEADERS, stream, &block);
    }

    pub(super) fn ping(&mut self) {
        self.send(PING, 0, 0, &[7; 8]);
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).unwrap();
    }

    pub(super) fn receive(&mut self) -> Received {
        self.next().unwrap()
    }

    /// All frames until the server closes the connection.
    pub(super) fn until_the_end(mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.next()).collect()
    }

    fn next(&mut self) -> Option<Received> {
        let mut head = [0; 9];
        if let Err(error) = self.0.read_exact(&mut head) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it is not closed");
            return None;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        self.0.read_exact(&mut vec![0; length]).unwrap();
        Some(Received { kind: head[3], stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) })
    }
}

impl Received {
    pub(super) fn is_reset(&self) -> bool {
        self.kind == RESET
    }

    pub(super) fn is_farewell(&self) -> bool {
        self.kind == GOAWAY
    }

    pub(super) fn is_ping(&self) -> bool {
        self.kind == PING
    }
}
