// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Reads a log file of RocksDB, a write-ahead log or a manifest, and says how far it is whole.
//!
//! RocksDB reads these files itself. It does so leniently: what cannot be read near the end counts as a write that was
//! interrupted, and zeros count as space that was not used yet. Here nothing is passed over, so that the store can decide
//! what to make of it.
//!
//! ```text
//! file      blocks of 32 KiB
//! block     records; fewer than 7 bytes that are left over are not used
//! record    masked crc32c u32 LE of type and data, length u16 LE, type u8, data
//! type      1 = a whole write; 2, 3, 4 = first, middle and last part of one; others tell of the file itself
//! ```

mod crc32c;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub(crate) use crc32c::crc32c;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;
/// Types of records that say something of the file: sizes of timestamps, and what the file before it ended with.
const OF_THE_FILE: [u8; 3] = [10, 11, 130];

/// How far a file is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The end of the last whole write.
    pub whole: u64,
    /// What comes after it, if not the end of the file.
    pub flaw: Option<Flaw>,
}

/// The reason why a file is not whole up to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It ends within a write, or with nothing but zeros: an interrupted write looks like this, and so does a file that was
    /// cut.
    Unfinished,
    /// There are bytes that nobody has written so.
    Damaged,
}

/// Reads a file and shows each whole write, with the place at which the one before it ends.
pub(crate) fn read(path: &Path, visit: impl FnMut(u64, &[u8])) -> io::Result<Extent> {
    Reader { file: File::open(path)?, block: Vec::new(), start: 0, write: None, whole: 0, visit }.run()
}

struct Reader<V> {
    file: File,
    block: Vec<u8>,
    /// Where the block begins.
    start: u64,
    /// The parts of a write so far, if one has begun.
    write: Option<Vec<u8>>,
    whole: u64,
    visit: V,
}

impl<V: FnMut(u64, &[u8])> Reader<V> {
    fn run(mut self) -> io::Result<Extent> {
        loop {
            self.start += self.block.len() as u64;
            self.block.clear();
            (&self.file).take(BLOCK as u64).read_to_end(&mut self.block)?;
            if let Some(flaw) = self.records()? {
                return Ok(Extent { whole: self.whole, flaw: Some(flaw) });
            }
            if self.block.len() < BLOCK {
                let flaw = self.write.map(|_| Flaw::Unfinished);
                return Ok(Extent { whole: self.whole, flaw });
            }
        }
    }

    /// Reads the records of the block.
    fn records(&mut self) -> io::Result<Option<Flaw>> {
        let is_last = self.block.len() < BLOCK;
        let mut rest = &self.block[..];
        while let Some((header, behind)) = rest.split_first_chunk::<HEADER>() {
            let [c0, c1, c2, c3, l0, l1, kind] = *header;
            if *header == [0; HEADER] {
                let zeros = rest.iter().all(|byte| *byte == 0) && only_zeros(&self.file)?;
                return Ok(Some(if zeros { Flaw::Unfinished } else { Flaw::Damaged }));
            }
            let length = usize::from(u16::from_le_bytes([l0, l1]));
            if length > behind.len() {
                return Ok(Some(if is_last { Flaw::Unfinished } else { Flaw::Damaged }));
            }
            let (data, behind) = behind.split_at(length);
            if unmasked(u32::from_le_bytes([c0, c1, c2, c3])) != crc32c(&rest[HEADER - 1..HEADER + length]) {
                return Ok(Some(Flaw::Damaged));
            }
            match (kind, &mut self.write) {
                (1, None) => (self.visit)(self.whole, data),
                (2, None) => self.write = Some(data.to_vec()),
                (3, Some(write)) => write.extend_from_slice(data),
                (4, Some(write)) => {
                    write.extend_from_slice(data);
                    (self.visit)(self.whole, write);
                    self.write = None;
                }
                (kind, None) if OF_THE_FILE.contains(&kind) => {}
                _ => return Ok(Some(Flaw::Damaged)),
            }
            rest = behind;
            if self.write.is_none() {
                self.whole = self.start + (self.block.len() - rest.len()) as u64;
            }
        }
        Ok((is_last && !rest.is_empty()).then_some(Flaw::Unfinished))
    }
}

/// RocksDB stores checksums so that those of bytes that hold checksums are good ones too.
fn unmasked(masked: u32) -> u32 {
    masked.wrapping_sub(0xa282_ead8).rotate_left(15)
}

fn only_zeros(mut file: &File) -> io::Result<bool> {
    let mut bytes = vec![0; BLOCK];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(true),
            n if bytes[..n].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let crc = crc32c(&[&[kind], data].concat()).rotate_right(15).wrapping_add(0xa282_ead8);
        [&crc.to_le_bytes()[..], &(data.len() as u16).to_le_bytes(), &[kind], data].concat()
    }

    fn read_bytes(bytes: &[u8]) -> (Vec<usize>, Extent) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let (mut lengths, mut end) = (Vec::new(), 0);
        let visit = |place, write: &[u8]| {
            assert!(place >= end, "{place} is within the write before");
            end = place + write.len() as u64;
            lengths.push(write.len());
        };
        let extent = read(file.path(), visit).unwrap();
        (lengths, extent)
    }

    /// A write of one record, and one that goes over the border of a block.
    fn two() -> Vec<u8> {
        let first = record(1, &[1; 100]);
        let begin = record(2, &vec![2; BLOCK - first.len() - HEADER]);
        [first, begin, record(4, &[3; 50])].concat()
    }

    #[test]
    fn a_whole_file_is_whole() {
        let (lengths, extent) = read_bytes(&two());
        assert_eq!(lengths, [100, BLOCK - 107 - HEADER + 50]);
        assert_eq!(extent, Extent { whole: two().len() as u64, flaw: None });
        assert_eq!(read_bytes(b"").1, Extent { whole: 0, flaw: None });
    }

    #[test]
    fn a_cut_anywhere_is_unfinished_unless_between_writes() {
        let all = two();
        for cut in [1, 6, 7, 50, 106, 108, BLOCK - 1, BLOCK, BLOCK + 3, all.len() - 1] {
            let extent = read_bytes(&all[..cut]).1;
            assert_eq!(extent.flaw, Some(Flaw::Unfinished), "{cut}");
            assert_eq!(extent.whole, if cut < 107 { 0 } else { 107 });
        }
        assert_eq!(read_bytes(&all[..107]).1, Extent { whole: 107, flaw: None });
    }

    #[test]
    fn zeros_up_to_the_end_are_unfinished_and_others_are_damage() {
        let mut zeros = two();
        zeros.resize(3 * BLOCK, 0);
        assert_eq!(read_bytes(&zeros).1, Extent { whole: two().len() as u64, flaw: Some(Flaw::Unfinished) });
        *zeros.last_mut().unwrap() = 1;
        assert_eq!(read_bytes(&zeros).1.flaw, Some(Flaw::Damaged));
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let all = [record(1, b"some"), record(1, b"words")].concat();
        for bit in 0..all.len() * 8 {
            let mut flipped = all.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(read_bytes(&flipped).1.flaw, None, "bit {bit}");
        }
    }
}
