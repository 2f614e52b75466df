// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::borrow::Borrow;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::keyed::Sealed;
use super::{State, encoded, single};
use crate::{Context, Encode, Error, Scan, Store, Value};

/// A map whose entries are stored one by one, so that it may be larger than memory.
pub struct MapState<K, V> {
    part: Store,
    of: PhantomData<fn() -> (K, V)>,
}

impl<K: Value, V: Value> MapState<K, V> {
    /// Opens the map state of a store.
    pub fn open(ctx: &mut Context, store: &str) -> Result<Self, Error> {
        single::<Self>(ctx, store).map(Self::within)
    }

    /// Returns the value of a key, if there is one.
    pub fn get<Q: Encode + ?Sized>(&self, key: &Q) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
    {
        self.part.get_as(&encoded(key)?)
    }

    /// Sets the value of a key.
    pub fn insert<Q: Encode + ?Sized, W: Encode + ?Sized>(&self, key: &Q, value: &W) -> Result<(), Error>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
    {
        self.part.put_as(&encoded(key)?, value)
    }

    /// Removes a key. Does nothing if the key is absent.
    pub fn remove<Q: Encode + ?Sized>(&self, key: &Q) -> Result<(), Error>
    where
        K: Borrow<Q>,
    {
        self.part.delete(&encoded(key)?)
    }

    /// Returns an iterator over the entries, in the order of their encoded keys. If the keys are [`Ordered`](crate::Ordered), that
    /// is the order of the keys.
    ///
    /// The map may be changed meanwhile: each entry that is ahead is given as it is when its turn comes. The iterator reads a page
    /// at a time, so a map of millions of entries needs little memory.
    pub fn iter(&self) -> Entries<K, V> {
        Entries { scan: self.part.scan(b"", None), of: PhantomData }
    }

    /// Removes all entries.
    pub fn clear(&self) -> Result<(), Error> {
        self.part.delete_prefix(b"")
    }

    fn within(part: Store) -> Self {
        MapState { part, of: PhantomData }
    }
}

/// The entries of a map: the iterator of [`MapState::iter`].
pub struct Entries<K, V> {
    scan: Scan,
    of: PhantomData<fn() -> (K, V)>,
}

impl<K: Value, V: Value> Iterator for Entries<K, V> {
    type Item = Result<(K, V), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.scan.next()?;
        Some(pair.and_then(|(key, value)| Ok((K::decode(&key)?, V::decode(&value)?))))
    }
}

impl<K: Value, V: Value> FusedIterator for Entries<K, V> {}

impl<K: Value, V: Value> State for MapState<K, V> {}

impl<K: Value, V: Value> Sealed for MapState<K, V> {
    const KIND: u8 = b'm';
    type Shared = ();

    fn at(part: Store, (): &()) -> Self {
        Self::within(part)
    }
}
