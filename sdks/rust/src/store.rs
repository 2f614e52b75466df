// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::rc::Rc;

use crate::cache::CachedStore;
use crate::{Encode, Error, Value};

/// First byte of a simple key and of a complex one.
const SIMPLE: u8 = 0;
const COMPLEX: u8 = 1;

/// Bytes of one page of a scan.
const PAGE: u32 = 64 << 10;

/// The same of the first page after a write ahead of the scan: a function that writes while it scans will do so again.
const FIRST_PAGE: u32 = 1 << 10;

/// The keyed state of a task: an ordered map from bytes to bytes, or a part of one.
///
/// A store is cheap to clone, and the function's fields may hold it. Writes become durable together with the records that caused
/// them, and a function reads its own writes. An absent key is not the same as an empty value.
///
/// ```
/// # use fnstream_sdk::{Context, Error};
/// # fn example(ctx: &mut Context) -> Result<(), Error> {
/// let visits = ctx.state("visits")?;
/// visits.put(b"alice", b"1")?;
/// visits.put_as(b"bob", &2u64)?;
/// assert_eq!(visits.get_as::<u64>(b"bob")?, Some(2));
///
/// // A part of the store: the keys with one key group, key and namespace, which no other part sees.
/// let cart = visits.part(b"shop", b"alice", b"cart");
/// cart.put(b"apple", b"3")?;
/// for pair in cart.scan(b"", None) {
///     let (user_key, value) = pair?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    cached: Rc<CachedStore>,
    prefix: Rc<[u8]>,
}

impl Store {
    pub(crate) fn new(cached: Rc<CachedStore>) -> Self {
        Store { cached, prefix: [SIMPLE].into() }
    }

    /// Returns the part of this store for a key group, key and namespace. It shares no key with any other part, nor with the
    /// store's plain keys.
    #[must_use]
    pub fn part(&self, key_group: &[u8], key: &[u8], namespace: &[u8]) -> Store {
        let mut prefix = vec![COMPLEX];
        for part in [key_group, key, namespace] {
            prefix.extend_from_slice(&(part.len() as u32).to_be_bytes());
            prefix.extend_from_slice(part);
        }
        Store { cached: Rc::clone(&self.cached), prefix: prefix.into() }
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.full(key, |key| self.cached.with(key, |value| value.map(<[u8]>::to_vec)))
    }

    /// Returns the decoded value of a key.
    pub fn get_as<T: Value>(&self, key: &[u8]) -> Result<Option<T>, Error> {
        self.full(key, |key| self.cached.with(key, |value| value.map(T::decode).transpose()))?
    }

    /// Stores a value.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.full(key, |key| self.cached.set(key, Some(value)))
    }

    /// Encodes and stores a value.
    pub fn put_as<T: Encode + ?Sized>(&self, key: &[u8], value: &T) -> Result<(), Error> {
        let mut encoded = Vec::new();
        value.encode(&mut encoded)?;
        self.full(key, |key| self.cached.set(key, Some(&encoded)))
    }

    /// Removes a key. Does nothing if the key is absent.
    pub fn delete(&self, key: &[u8]) -> Result<(), Error> {
        self.full(key, |key| self.cached.set(key, None))
    }

    /// Appends bytes to a key's value without reading it. An absent value counts as empty.
    pub fn merge(&self, key: &[u8], operand: &[u8]) -> Result<(), Error> {
        self.full(key, |key| self.cached.merge(key, operand))
    }

    /// Removes all keys from `start`, inclusive, to `end`, exclusive, or to the last key if there is no `end`.
    pub fn delete_range(&self, start: &[u8], end: Option<&[u8]>) -> Result<(), Error> {
        let end = end.map_or_else(|| end_of(&self.prefix), |end| self.owned(end));
        let start = self.owned(start);
        if start < end { self.cached.delete_range(&start, &end) } else { Ok(()) }
    }

    /// Removes all keys that begin with these bytes.
    pub fn delete_prefix(&self, prefix: &[u8]) -> Result<(), Error> {
        let start = self.owned(prefix);
        self.cached.delete_range(&start, &end_of(&start))
    }

    /// Returns the pairs from `start`, inclusive, to `end`, exclusive, or to the last key if there is no `end`, in the byte order of
    /// their keys.
    ///
    /// Each pair is the first one after that before, in the state as it is when the iterator is asked for it. So a function that
    /// writes while it scans meets what it has put ahead, with its present value, and does not meet what it has deleted. What it
    /// writes behind the scan changes nothing. A scan that has come to its end stays there.
    ///
    /// The iterator reads a page at a time, so a scan of millions of pairs needs little memory.
    pub fn scan(&self, start: &[u8], end: Option<&[u8]>) -> Scan {
        Scan {
            from: self.owned(start),
            end: end.map_or_else(|| end_of(&self.prefix), |end| self.owned(end)),
            store: self.clone(),
            page: Vec::new().into_iter(),
            size: PAGE,
            read: 0,
            last: false,
            ended: false,
        }
    }

    /// Gives `run` the key as the host knows it; short ones without memory of their own.
    fn full<R>(&self, key: &[u8], run: impl FnOnce(&[u8]) -> R) -> R {
        let mut short = [0; 128];
        let (prefix, len) = (self.prefix.len(), self.prefix.len() + key.len());
        match short.get_mut(..len) {
            Some(full) => {
                full[..prefix].copy_from_slice(&self.prefix);
                full[prefix..].copy_from_slice(key);
                run(full)
            }
            None => run(&self.owned(key)),
        }
    }

    fn owned(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix[..], key].concat()
    }
}

/// The first key after all that begin with `prefix`. There is one: the first byte of every key is [`SIMPLE`] or [`COMPLEX`].
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX).unwrap_or(0);
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end
}

/// The pairs of a range, in order: the iterator of [`Store::scan`].
pub struct Scan {
    store: Store,
    /// The first key that may come next.
    from: Vec<u8>,
    end: Vec<u8>,
    page: std::vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    /// How large the next page is.
    size: u32,
    /// When the page was read.
    read: u64,
    /// Nothing comes behind the page.
    last: bool,
    ended: bool,
}

impl Scan {
    /// Reads the next page, when this one is read to its end, or what is left of it when it is not true any more.
    fn fill(&mut self) -> Result<(), Error> {
        let cached = &self.store.cached;
        if cached.is_stale(self.read, &self.from) {
            self.page = Vec::new().into_iter();
            self.last = false;
            self.size = FIRST_PAGE;
        }
        if self.page.len() == 0 && !self.last {
            let ((pairs, next), read) = cached.page(&self.from, &self.end, self.size)?;
            self.page = pairs.into_iter();
            self.last = next.is_none();
            self.read = read;
            self.size = (4 * self.size).min(PAGE);
        }
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = Result<(Vec<u8>, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if let Err(error) = self.fill() {
            self.ended = true;
            return Some(Err(error));
        }
        let Some((mut key, value)) = self.page.next() else {
            self.ended = true;
            return None;
        };
        self.from.clear();
        self.from.extend_from_slice(&key);
        self.from.push(0);
        key.drain(..self.store.prefix.len());
        Some(Ok((key, value)))
    }
}

impl std::iter::FusedIterator for Scan {}
