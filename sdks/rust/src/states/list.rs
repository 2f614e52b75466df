// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::borrow::Borrow;
use std::marker::PhantomData;

use super::keyed::Sealed;
use super::{State, encoded, single};
use crate::{Context, Encode, Error, Store, Value};

/// A sequence of elements. Adding elements does not read the others.
///
/// It is stored as one value: elements of a [fixed size](Value::FIXED_SIZE) one after the other, all others each after its length
/// in four bytes, big-endian.
pub struct ListState<T> {
    part: Store,
    of: PhantomData<fn() -> T>,
}

impl<T: Value> ListState<T> {
    /// Opens the list state of a store.
    pub fn open(ctx: &mut Context, store: &str) -> Result<Self, Error> {
        single::<Self>(ctx, store).map(Self::within)
    }

    /// Appends an element.
    pub fn push<Q: Encode + ?Sized>(&self, value: &Q) -> Result<(), Error>
    where
        T: Borrow<Q>,
    {
        let mut data = Vec::new();
        append::<T, Q>(&mut data, value)?;
        self.part.merge(b"", &data)
    }

    /// Appends elements, all or none.
    pub fn extend<'a, Q: Encode + ?Sized + 'a>(&self, values: impl IntoIterator<Item = &'a Q>) -> Result<(), Error>
    where
        T: Borrow<Q>,
    {
        let data = payload::<T, Q>(values)?;
        if data.is_empty() { Ok(()) } else { self.part.merge(b"", &data) }
    }

    /// Returns all elements in the order in which they were added.
    pub fn get(&self) -> Result<Vec<T>, Error> {
        let data = self.part.get(b"")?.unwrap_or_default();
        let (mut rest, mut values) = (&data[..], Vec::new());
        while !rest.is_empty() {
            let item;
            (item, rest) = split::<T>(rest).ok_or_else(no_list)?;
            values.push(T::decode(item)?);
        }
        Ok(values)
    }

    /// Replaces all elements.
    pub fn set<'a, Q: Encode + ?Sized + 'a>(&self, values: impl IntoIterator<Item = &'a Q>) -> Result<(), Error>
    where
        T: Borrow<Q>,
    {
        let data = payload::<T, Q>(values)?;
        if data.is_empty() { self.clear() } else { self.part.put(b"", &data) }
    }

    /// Removes all elements.
    pub fn clear(&self) -> Result<(), Error> {
        self.part.delete(b"")
    }

    fn within(part: Store) -> Self {
        ListState { part, of: PhantomData }
    }
}

fn no_list() -> Error {
    Error::new("the stored bytes are no list of these elements")
}

/// The size of each element. Those of no bytes could not be counted, so they have their length before them.
fn size<T: Value>() -> Option<usize> {
    T::FIXED_SIZE.filter(|size| *size > 0)
}

fn payload<'a, T: Value, Q: Encode + ?Sized + 'a>(values: impl IntoIterator<Item = &'a Q>) -> Result<Vec<u8>, Error> {
    let mut data = Vec::new();
    values.into_iter().try_for_each(|value| append::<T, Q>(&mut data, value))?;
    Ok(data)
}

fn append<T: Value, Q: Encode + ?Sized>(data: &mut Vec<u8>, value: &Q) -> Result<(), Error> {
    let item = encoded(value)?;
    match size::<T>() {
        Some(size) if item.len() != size => return Err(no_list()),
        Some(_) => {}
        None => data.extend_from_slice(&u32::try_from(item.len())?.to_be_bytes()),
    }
    data.extend_from_slice(&item);
    Ok(())
}

/// Cuts off the first element.
fn split<T: Value>(data: &[u8]) -> Option<(&[u8], &[u8])> {
    match size::<T>() {
        Some(size) => data.split_at_checked(size),
        None => {
            let (length, rest) = data.split_first_chunk::<4>()?;
            rest.split_at_checked(u32::from_be_bytes(*length) as usize)
        }
    }
}

impl<T: Value> State for ListState<T> {}

impl<T: Value> Sealed for ListState<T> {
    const KIND: u8 = b'l';
    type Shared = ();

    fn at(part: Store, (): &()) -> Self {
        Self::within(part)
    }
}
