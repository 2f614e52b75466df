// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How the keys of a task's stores are laid out, so that no two keys of different parts ever collide and every prefix
//! is scanned in order.
//!
//! ```text
//! key of a task       = part(store name) key-in-store
//! key-in-store        = 0x00 user key                                     simple
//!                     | 0x01 part(key group) part(key) part(namespace) user key    complex
//! part(bytes)         = u32 big-endian length, bytes
//! ```
//!
//! The user key comes last and bare: within one prefix the byte order of the keys is that of the user keys.

use crate::error::{Error, ErrorCode, Result};

/// First byte of a simple key within a store.
pub const SIMPLE: u8 = 0;
/// First byte of a complex key within a store.
pub const COMPLEX: u8 = 1;

/// The longest store name in bytes.
pub const MAX_STORE_NAME: usize = 255;

/// The prefix of all keys of a store; `Err` when the name is empty or longer than [`MAX_STORE_NAME`].
pub fn store_prefix(name: &str) -> Result<Vec<u8>> {
    if name.is_empty() || name.len() > MAX_STORE_NAME {
        return Err(Error::new(
            ErrorCode::StateKeyInvalid,
            format!("a store name has {} bytes, not 1 to {MAX_STORE_NAME}", name.len()),
        ));
    }
    let mut out = Vec::with_capacity(4 + name.len());
    put_part(&mut out, name.as_bytes());
    Ok(out)
}

/// Appends a simple key.
pub fn put_simple(out: &mut Vec<u8>, user_key: &[u8]) {
    out.push(SIMPLE);
    out.extend_from_slice(user_key);
}

/// Appends the prefix of the complex keys of these parts; the user key is what follows.
pub fn put_complex_prefix(out: &mut Vec<u8>, key_group: &[u8], key: &[u8], namespace: &[u8]) {
    out.push(COMPLEX);
    put_part(out, key_group);
    put_part(out, key);
    put_part(out, namespace);
}

/// Checks that bytes from a guest are a key within a store.
pub fn check_key_in_store(key: &[u8]) -> Result<()> {
    let invalid =
        || Error::new(ErrorCode::StateKeyInvalid, "a state key does not have the form of a simple or a complex key");
    match key.split_first().ok_or_else(invalid)? {
        (&SIMPLE, _) => Ok(()),
        (&COMPLEX, rest) => {
            let mut rest = rest;
            for _ in 0..3 {
                let (len, after) = rest.split_first_chunk::<4>().ok_or_else(invalid)?;
                rest = after.get(u32::from_be_bytes(*len) as usize..).ok_or_else(invalid)?;
            }
            Ok(())
        }
        _ => Err(invalid()),
    }
}

/// The first key after all keys that begin with `prefix`; `None` when there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn put_part(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u32).to_be_bytes());
    out.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_different_lengths_do_not_collide() {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        put_complex_prefix(&mut one, b"ab", b"c", b"");
        put_complex_prefix(&mut two, b"a", b"bc", b"");
        assert_ne!(one, two);
    }

    #[test]
    fn prefix_end_is_the_least_upper_bound() {
        assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_end(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(prefix_end(b"\xff\xff"), None);
        assert_eq!(prefix_end(b""), None);
    }

    #[test]
    fn malformed_keys_are_refused() {
        let mut good = Vec::new();
        put_complex_prefix(&mut good, b"g", b"k", b"n");
        assert!(check_key_in_store(&good).is_ok());
        assert!(check_key_in_store(b"").is_err());
        assert!(check_key_in_store(b"\x02x").is_err());
        assert!(check_key_in_store(&good[..good.len() - 1]).is_err());
    }
}
