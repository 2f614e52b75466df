// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::borrow::Borrow;
use std::marker::PhantomData;

use super::keyed::Sealed;
use super::{State, single};
use crate::{Context, Encode, Error, Store, Value};

/// One value, or none.
pub struct ValueState<T> {
    part: Store,
    of: PhantomData<fn() -> T>,
}

impl<T: Value> ValueState<T> {
    /// Opens the value state of a store.
    pub fn open(ctx: &mut Context, store: &str) -> Result<Self, Error> {
        single::<Self>(ctx, store).map(Self::within)
    }

    /// Returns the value, if there is one.
    pub fn get(&self) -> Result<Option<T>, Error> {
        self.part.get_as(b"")
    }

    /// Sets the value.
    pub fn set<Q: Encode + ?Sized>(&self, value: &Q) -> Result<(), Error>
    where
        T: Borrow<Q>,
    {
        self.part.put_as(b"", value)
    }

    /// Removes the value.
    pub fn clear(&self) -> Result<(), Error> {
        self.part.delete(b"")
    }

    pub(super) fn within(part: Store) -> Self {
        ValueState { part, of: PhantomData }
    }
}

impl<T: Value> State for ValueState<T> {}

impl<T: Value> Sealed for ValueState<T> {
    const KIND: u8 = b'v';
    type Shared = ();

    fn at(part: Store, (): &()) -> Self {
        Self::within(part)
    }
}
