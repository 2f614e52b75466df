// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Copies files at a rate, and makes their checksums of what is copied.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use fnstream_core::artifacts::Digesting;
use fnstream_core::backups::Watch;
use fnstream_core::{Error, Result};

/// The most that is copied at once.
const PIECE: usize = 256 << 10;
/// A piece takes no longer than this part of a second, so that whoever watches hears something.
const PART: u64 = 4;
/// The least that is copied at once.
const LEAST: usize = 4 << 10;

/// The copying of many files.
pub(super) struct Copying<'a> {
    rate: Option<u64>,
    watch: &'a dyn Watch,
    begun: Instant,
    done: u64,
    /// The bytes of all files.
    pub(super) all: u64,
    piece: Vec<u8>,
}

impl<'a> Copying<'a> {
    /// At most so many bytes a second.
    pub(super) fn new(rate: Option<u64>, watch: &'a dyn Watch) -> Self {
        Copying { rate, watch, begun: Instant::now(), done: 0, all: 0, piece: vec![0; piece(rate)] }
    }

    /// Lets whoever watches hear that it begins.
    pub(super) fn begin(&self) {
        self.watch.hear(super::progress(0, self.all));
    }

    /// Reads a file to its end and writes it to another one, if there is one, durably; answers its length and digest.
    pub(super) fn copy(
        &mut self,
        mut from: File,
        mut to: Option<File>,
        unwritten: impl Fn(&io::Error) -> Error,
        unread: impl Fn(&io::Error) -> Error,
    ) -> Result<(u64, String)> {
        let (mut bytes, mut digesting) = (0, Digesting::default());
        loop {
            let read = match from.read(&mut self.piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(unread(&e)),
            };
            let piece = &self.piece[..read];
            digesting.add(piece);
            if let Some(to) = &mut to {
                to.write_all(piece).map_err(|e| unwritten(&e))?;
            }
            bytes += read as u64;
            self.done += read as u64;
            self.watch.hear(super::progress(self.done, self.all));
            self.watch.rest(self.ahead())?;
        }
        if let Some(to) = to {
            to.sync_all().map_err(|e| unwritten(&e))?;
        }
        Ok((bytes, digesting.finish()))
    }

    /// How long it has to wait to be no faster than its rate.
    fn ahead(&self) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        due(self.done, rate).saturating_sub(self.begun.elapsed())
    }
}

/// How many bytes are copied at once.
fn piece(rate: Option<u64>) -> usize {
    let part = rate.map(|rate| usize::try_from(rate / PART).unwrap_or(PIECE));
    part.unwrap_or(PIECE).clamp(LEAST, PIECE)
}

/// The time that so many bytes have to take.
fn due(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Seek;

    use fnstream_core::ErrorCode;
    use fnstream_core::artifacts::digest;
    use fnstream_core::backups::Progress;
    use parking_lot::Mutex;

    use super::*;

    /// Notes the waits, and is not patient for ever.
    struct Noting {
        waits: Mutex<Vec<Duration>>,
        heard: Mutex<Vec<u64>>,
        most: usize,
    }

    impl Watch for Noting {
        fn rest(&self, time: Duration) -> Result<()> {
            let mut waits = self.waits.lock();
            waits.push(time);
            if waits.len() > self.most {
                return Err(Error::new(ErrorCode::Cancelled, "enough"));
            }
            Ok(())
        }

        fn hear(&self, progress: Progress) {
            self.heard.lock().push(progress.bytes);
        }
    }

    fn never(e: &io::Error) -> Error {
        panic!("{e}")
    }

    #[test]
    fn a_rate_is_kept_and_the_end_is_heard_of() {
        let bytes: Vec<u8> = (0..3 * PIECE + 5).map(|n| (n % 251) as u8).collect();
        let (mut from, mut to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all(&bytes).unwrap();
        from.rewind().unwrap();
        let watch = Noting { waits: Mutex::default(), heard: Mutex::default(), most: 100 };
        let mut copying = Copying::new(Some(PIECE as u64), &watch);
        let copied = copying.copy(from.try_clone().unwrap(), Some(to.try_clone().unwrap()), never, never).unwrap();
        assert_eq!(copied, (bytes.len() as u64, digest(&bytes)));
        let mut there = Vec::new();
        to.rewind().unwrap();
        to.read_to_end(&mut there).unwrap();
        assert_eq!(there, bytes);
        assert_eq!(watch.heard.lock().last(), Some(&(bytes.len() as u64)));
        // Nobody has waited, so each wait is longer than the one before: nearly a second a piece.
        let waits = watch.waits.lock();
        assert!(waits.len() >= 4 && waits.is_sorted(), "{waits:?}");
        assert!((2_500..=3_001).contains(&waits[waits.len() - 1].as_millis()), "{waits:?}");
    }

    #[test]
    fn who_does_not_want_it_any_more_ends_it() {
        let mut from = tempfile::tempfile().unwrap();
        from.write_all(&vec![7; 4 * PIECE]).unwrap();
        from.rewind().unwrap();
        let watch = Noting { waits: Mutex::default(), heard: Mutex::default(), most: 1 };
        let refused = Copying::new(None, &watch).copy(from, None, never, never).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Cancelled);
        assert_eq!(*watch.waits.lock(), [Duration::ZERO; 2]);
    }
}
