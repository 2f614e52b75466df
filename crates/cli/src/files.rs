// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Reads files as a whole. A path may lead to a device or a pipe without an end, so each is read up to a bound.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The most bytes of an artifact or of an event; servers take less unless they are told otherwise.
pub(crate) const MOST_BINARY: u64 = 512 << 20;

/// The most bytes of a text with descriptions or settings.
pub(crate) const MOST_TEXT: u64 = 4 << 20;

/// The content of a file that has at most so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    read_all(File::open(path)?, most)
}

/// The rest of a reader, if it has at most so many bytes.
pub(crate) fn read_all(reader: impl Read, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {most} bytes"))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_read_up_to_the_bound() {
        assert_eq!(read_all(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(read_all(&b"abcd"[..], 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read(Path::new("/dev/zero"), 1000).unwrap_err().to_string(), "it has more than 1000 bytes");
    }
}
