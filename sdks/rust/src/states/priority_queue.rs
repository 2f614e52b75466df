// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::borrow::Borrow;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::keyed::Sealed;
use super::{State, encoded, single};
use crate::{Context, Encode, Error, Ordered, Scan, Store, Value};

/// A queue that gives its least element first. An element that is added twice is there once.
pub struct PriorityQueueState<T> {
    part: Store,
    of: PhantomData<fn() -> T>,
}

impl<T: Value + Ordered> PriorityQueueState<T> {
    /// Opens the priority queue of a store.
    pub fn open(ctx: &mut Context, store: &str) -> Result<Self, Error> {
        single::<Self>(ctx, store).map(Self::within)
    }

    /// Adds an element.
    pub fn push<Q: Encode + ?Sized>(&self, value: &Q) -> Result<(), Error>
    where
        T: Borrow<Q>,
    {
        self.part.put(&encoded(value)?, b"")
    }

    /// Returns the least element, if there is one.
    pub fn peek(&self) -> Result<Option<T>, Error> {
        self.iter().next().transpose()
    }

    /// Removes and returns the least element, if there is one.
    pub fn pop(&self) -> Result<Option<T>, Error> {
        let Some((key, _)) = self.part.scan(b"", None).next().transpose()? else { return Ok(None) };
        let value = T::decode(&key)?;
        self.part.delete(&key)?;
        Ok(Some(value))
    }

    /// Returns an iterator over the elements in order. It removes nothing, and shows changes as [`Store::scan`] does.
    pub fn iter(&self) -> Elements<T> {
        Elements { scan: self.part.scan(b"", None), of: PhantomData }
    }

    /// Removes all elements.
    pub fn clear(&self) -> Result<(), Error> {
        self.part.delete_prefix(b"")
    }

    fn within(part: Store) -> Self {
        PriorityQueueState { part, of: PhantomData }
    }
}

/// The elements of a queue in order: the iterator of [`PriorityQueueState::iter`].
pub struct Elements<T> {
    scan: Scan,
    of: PhantomData<fn() -> T>,
}

impl<T: Value> Iterator for Elements<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.scan.next()?.and_then(|(key, _)| T::decode(&key)))
    }
}

impl<T: Value> FusedIterator for Elements<T> {}

impl<T: Value + Ordered> State for PriorityQueueState<T> {}

impl<T: Value + Ordered> Sealed for PriorityQueueState<T> {
    const KIND: u8 = b'q';
    type Shared = ();

    fn at(part: Store, (): &()) -> Self {
        Self::within(part)
    }
}
