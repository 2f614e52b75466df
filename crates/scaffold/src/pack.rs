// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Many files as one deflated block: written by the build script, read by the program.
//!
//! Inflated it is, for each file in the order of the paths: the length of the path (u16, little-endian), the path, the length of
//! the content (u32, little-endian), the content.

use std::io::{Error, ErrorKind, Read, Result, Write};

/// A file by its path, with its content.
pub(crate) type File = (String, Vec<u8>);

/// The block of some files; the same for the same files.
#[allow(dead_code, reason = "the program itself only reads")]
pub(crate) fn write(files: &[File]) -> Result<Vec<u8>> {
    let mut block = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    for (path, content) in files {
        let (short, long) = (u16::try_from(path.len()), u32::try_from(content.len()));
        let (Ok(short), Ok(long)) = (short, long) else { return Err(Error::other(format!("'{path}' is too long"))) };
        block.write_all(&short.to_le_bytes())?;
        block.write_all(path.as_bytes())?;
        block.write_all(&long.to_le_bytes())?;
        block.write_all(content)?;
    }
    block.finish()
}

/// The files of a block, in its order.
#[allow(dead_code, reason = "the build script only writes")]
pub(crate) fn read(block: &[u8]) -> Result<Vec<File>> {
    let mut all = Vec::new();
    flate2::read::DeflateDecoder::new(block).read_to_end(&mut all)?;
    let (mut rest, mut files) = (&all[..], Vec::new());
    while !rest.is_empty() {
        let path = take::<2>(&mut rest, |length| u16::from_le_bytes(length).into())?;
        let path = String::from_utf8(path).map_err(|_| damaged())?;
        files.push((path, take::<4>(&mut rest, |length| u32::from_le_bytes(length) as usize)?));
    }
    Ok(files)
}

/// Bytes behind their length.
fn take<const N: usize>(rest: &mut &[u8], length: impl Fn([u8; N]) -> usize) -> Result<Vec<u8>> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(damaged)?;
    let (taken, tail) = tail.split_at_checked(length(*head)).ok_or_else(damaged)?;
    *rest = tail;
    Ok(taken.to_vec())
}

fn damaged() -> Error {
    Error::new(ErrorKind::InvalidData, "the block is damaged")
}
