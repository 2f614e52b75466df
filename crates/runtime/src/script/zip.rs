// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Zip archives, as far as source needs them: read within bounds, and written without compression.
//!
//! Read are files that are stored or deflated, by the directory at the archive's end. What it says is believed of nothing: names,
//! places and sizes are checked, and so is each file's checksum.

use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;

/// What an archive begins with: a file, or the end of one that has none.
const FILE: [u8; 4] = *b"PK\x03\x04";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";

/// Bytes of the record at the end, without its comment, and of the longest comment.
const END_LEN: usize = 22;
const MOST_COMMENT: usize = 0xFFFF;

const FILE_LEN: usize = 30;
const ENTRY_LEN: usize = 46;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Reports whether bytes begin as an archive does.
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(&FILE) || bytes.starts_with(&END)
}

/// Bounds of what is read.
pub(super) struct Bounds {
    pub(super) files: usize,
    pub(super) bytes: usize,
}

/// The files of an archive, in its order; `Err` says in words what is wrong.
pub(super) fn read(archive: &[u8], bounds: &Bounds) -> Result<Vec<(String, Vec<u8>)>, String> {
    let end = end_of(archive).ok_or("it has no directory at its end: it is cut off, or no zip archive")?;
    let (count, directory) = (u16_at(end, 10)?, u32_at(end, 16)?);
    if usize::from(count) > bounds.files {
        return Err(format!("it has {count} files, more than {}", bounds.files));
    }
    let mut rest = archive.get(directory as usize..).ok_or("its directory is outside of it")?;
    let (mut files, mut total) = (Vec::with_capacity(count.into()), 0);
    for _ in 0..count {
        let entry = Entry::read(rest)?;
        rest = &rest[entry.len..];
        if entry.name.ends_with('/') {
            continue;
        }
        total += entry.size;
        if total > bounds.bytes {
            return Err(format!("its files have more than {} bytes", bounds.bytes));
        }
        let content = entry.content(archive).map_err(|why| format!("'{}' {why}", entry.name.escape_debug()))?;
        files.push((entry.name, content));
    }
    Ok(files)
}

/// What the directory says of a file.
struct Entry {
    name: String,
    flags: u16,
    method: u16,
    crc: u32,
    packed: usize,
    size: usize,
    mode: u32,
    at: usize,
    /// Bytes of this entry.
    len: usize,
}

impl Entry {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        if !bytes.starts_with(&ENTRY) {
            return Err("its directory is damaged".into());
        }
        let [name_len, extra, comment] = [28, 30, 32].map(|at| u16_at(bytes, at).map(usize::from));
        let name_len = name_len?;
        let name = bytes.get(ENTRY_LEN..ENTRY_LEN + name_len).ok_or("its directory is cut off")?;
        let name = std::str::from_utf8(name).map_err(|_| "a file's name is not UTF-8")?;
        let len = ENTRY_LEN + name_len + extra? + comment?;
        if len > bytes.len() {
            return Err("its directory is cut off".into());
        }
        Ok(Entry {
            name: name.to_owned(),
            flags: u16_at(bytes, 8)?,
            method: u16_at(bytes, 10)?,
            crc: u32_at(bytes, 16)?,
            packed: u32_at(bytes, 20)? as usize,
            size: u32_at(bytes, 24)? as usize,
            mode: u32_at(bytes, 38)? >> 16,
            at: u32_at(bytes, 42)? as usize,
            len,
        })
    }

    fn content(&self, archive: &[u8]) -> Result<Vec<u8>, String> {
        const KIND: u32 = 0o170_000;
        const FILE_KIND: u32 = 0o100_000;
        if self.flags & 1 != 0 {
            return Err("is encrypted".into());
        }
        if !matches!(self.mode & KIND, 0 | FILE_KIND) {
            return Err("is not a file".into());
        }
        let header =
            archive.get(self.at..).filter(|bytes| bytes.starts_with(&FILE)).ok_or("is not where it should be")?;
        let start = FILE_LEN + usize::from(u16_at(header, 26)?) + usize::from(u16_at(header, 28)?);
        let packed = header.get(start..start.saturating_add(self.packed)).ok_or("is cut off")?;
        let content = match self.method {
            STORED => packed.to_vec(),
            DEFLATED => {
                let mut content = Vec::with_capacity(self.size.min(1 << 20));
                // One byte more than it says shows that it says too little.
                let most = self.size as u64 + 1;
                DeflateDecoder::new(packed).take(most).read_to_end(&mut content).map_err(|_| "is damaged")?;
                content
            }
            method => return Err(format!("is compressed by method {method}; store or deflate it")),
        };
        let mut crc = Crc::new();
        crc.update(&content);
        if content.len() != self.size || crc.sum() != self.crc {
            return Err("is damaged".into());
        }
        Ok(content)
    }
}

/// The record at the end.
fn end_of(archive: &[u8]) -> Option<&[u8]> {
    let last = archive.len().checked_sub(END_LEN)?;
    let first = last.saturating_sub(MOST_COMMENT);
    (first..=last).rev().map(|at| &archive[at..]).find(|bytes| bytes.starts_with(&END))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    let found = bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    found.map(u16::from_le_bytes).ok_or_else(|| "it is cut off".into())
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    let found = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    found.map(u32::from_le_bytes).ok_or_else(|| "it is cut off".into())
}

/// An archive of files, the same for the same files: as they are, and of one time.
pub(super) fn write(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    const VERSION: u16 = 20;
    const UTF8: u16 = 1 << 11;
    const FIRST_DAY: u16 = (1 << 5) | 1;
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let mut crc = Crc::new();
        crc.update(content);
        let mut facts = Vec::new();
        for short in [VERSION, UTF8, STORED, 0, FIRST_DAY] {
            facts.extend_from_slice(&short.to_le_bytes());
        }
        for long in [crc.sum(), content.len() as u32, content.len() as u32] {
            facts.extend_from_slice(&long.to_le_bytes());
        }
        facts.extend_from_slice(&(name.len() as u16).to_le_bytes());
        facts.extend_from_slice(&0u16.to_le_bytes());
        directory.extend_from_slice(&ENTRY);
        directory.extend_from_slice(&VERSION.to_le_bytes());
        directory.extend_from_slice(&facts);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&(archive.len() as u32).to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
        archive.extend_from_slice(&FILE);
        archive.extend_from_slice(&facts);
        archive.extend_from_slice(name.as_bytes());
        archive.extend_from_slice(content);
    }
    let at = archive.len() as u32;
    archive.extend_from_slice(&directory);
    archive.extend_from_slice(&END);
    archive.extend_from_slice(&[0; 4]);
    for _ in 0..2 {
        archive.extend_from_slice(&(files.len() as u16).to_le_bytes());
    }
    archive.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    archive.extend_from_slice(&at.to_le_bytes());
    archive.extend_from_slice(&[0; 2]);
    archive
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { files: 10, bytes: 1000 };

    fn files() -> Vec<(String, Vec<u8>)> {
        vec![("app.py".into(), b"x = 1\n".to_vec()), ("a/b.py".into(), Vec::new())]
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&write(&files()), &BOUNDS).unwrap(), files());
        assert_eq!(write(&files()), write(&files()));
        assert_eq!(read(&write(&[]), &BOUNDS).unwrap(), []);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_error_or_the_same_names() {
        let whole = write(&files());
        for len in 0..whole.len() {
            assert!(read(&whole[..len], &BOUNDS).is_err(), "{len}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x41;
            // Must not panic, and content that was changed is never taken for the file's.
            if let Ok(read) = read(&changed, &BOUNDS) {
                assert!(read.iter().all(|(_, content)| files().iter().any(|(_, of)| of == content)), "{at}");
            }
        }
    }

    #[test]
    fn bounds_hold() {
        let archive = write(&files());
        let error = read(&archive, &Bounds { files: 1, bytes: 1000 }).unwrap_err();
        assert_eq!(error, "it has 2 files, more than 1");
        assert_eq!(read(&archive, &Bounds { files: 10, bytes: 5 }).unwrap_err(), "its files have more than 5 bytes");
    }
}
