// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The secret of a folder, which tells code that a server has put there from any other.
//!
//! ```text
//! KEY    32 random bytes, readable by nobody but their owner, which is the user that the servers run as
//! ```
//!
//! All servers that share the folder use the one key that lies in it, and read it whenever they need it. One that is missing,
//! or that others could have read, is replaced, and with it goes the trust in everything that was there before.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

use fnstream_core::dir::How;
use rustix::process::geteuid;
use sha2::{Digest, Sha256};

use super::entry::Guard;
use super::{Folder, hex};

const NAME: &str = "KEY";
const UNFINISHED: &str = "KEY.tmp";
const BYTES: usize = 32;
/// All rights of others.
const OF_OTHERS: u32 = 0o077;

/// A key that is to be trusted.
pub(super) struct Key([u8; BYTES]);

impl Key {
    /// The key of a folder, if it has one; `Err` says why it is not to be trusted.
    pub(super) fn read(folder: &Folder) -> Result<Option<Key>, &'static str> {
        let mut file = match folder.dir().file(NAME, How::Read) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|_| "its key cannot be opened")?,
        };
        let metadata = file.metadata().map_err(|_| "its key cannot be read")?;
        if metadata.uid() != geteuid().as_raw() {
            return Err("its key is somebody else's");
        }
        if metadata.mode() & OF_OTHERS != 0 {
            return Err("others may have read its key");
        }
        read_whole(&mut file).map(Some).ok_or("its key is not whole")
    }

    /// The key of a folder, or else a new one.
    pub(super) fn ensure(folder: &Folder, _locked: &Guard<'_>) -> io::Result<Key> {
        match Key::read(folder) {
            Ok(Some(key)) => return Ok(key),
            Ok(None) => {}
            Err(reason) => tracing::warn!(
                path = %folder.dir().path().display(), reason,
                "the folder of compiled code gets a new key, everything in it is compiled again"
            ),
        }
        let mut key = [0; BYTES];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let dir = folder.dir();
        match dir.remove_all(UNFINISHED) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = dir.file(UNFINISHED, How::New)?;
        file.write_all(&key)?;
        file.sync_all()?;
        dir.rename(UNFINISHED, NAME)?;
        Ok(Key(key))
    }

    /// The code of this key for a text, in hexadecimal digits.
    pub(super) fn sign(&self, text: &str) -> String {
        hex(&hmac(&self.0, text.as_bytes()))
    }

    /// Checks a code that is said to be this key's for a text.
    pub(super) fn signed(&self, text: &str, code: &str) -> bool {
        let (right, code) = (self.sign(text), code.as_bytes());
        // All of it is compared, so that the time tells nothing of where they differ.
        code.len() == right.len() && code.iter().zip(right.as_bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

/// HMAC with SHA-256 (RFC 2104) for keys of at most one block.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

fn read_whole(file: &mut File) -> Option<Key> {
    let mut key = Vec::new();
    file.take(BYTES as u64 + 1).read_to_end(&mut key).ok()?;
    key.try_into().ok().map(Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first two cases of RFC 4231.
    #[test]
    fn hmac_is_that_of_the_standard() {
        let of = |key: &[u8], text: &str| hex(&hmac(key, text.as_bytes()));
        assert_eq!(of(&[0x0b; 20], "Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let second = of(b"Jefe", "what do ya want for nothing?");
        assert_eq!(second, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_code_is_the_keys_for_that_text_alone() {
        let key = Key([0x0b; BYTES]);
        let code = key.sign("Hi There");
        assert!(key.signed("Hi There", &code));
        assert!(!key.signed("Hi there", &code) && !Key([0x0c; BYTES]).signed("Hi There", &code));
        for wrong in ["", "19", &code[1..], &code[2..], &format!("{code}00"), &code.replace('1', "x"), "é"] {
            assert!(!key.signed("Hi There", wrong), "{wrong}");
        }
    }
}
