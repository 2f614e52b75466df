// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::rc::Rc;

use super::keyed::Sealed;
use super::{State, ValueState, single};
use crate::{Context, Error, Store, Value};

/// Makes one value of two.
pub(super) type ReduceFunc<V> = Rc<dyn Fn(V, V) -> Result<V, Error>>;

/// The reduction of all values that were added.
pub struct ReducingState<V> {
    reduced: ValueState<V>,
    function: ReduceFunc<V>,
}

impl<V: Value> ReducingState<V> {
    /// Opens the reducing state of a store. The function gets the result so far and the next value.
    pub fn open(
        ctx: &mut Context,
        store: &str,
        function: impl Fn(V, V) -> Result<V, Error> + 'static,
    ) -> Result<Self, Error> {
        let part = single::<Self>(ctx, store)?;
        Ok(ReducingState { reduced: ValueState::within(part), function: Rc::new(function) })
    }

    /// Adds a value. The result of the first value is the value itself. If the function returns an error, nothing changes.
    pub fn add(&self, value: V) -> Result<(), Error> {
        let value = match self.reduced.get()? {
            None => value,
            Some(reduced) => (self.function)(reduced, value)?,
        };
        self.reduced.set(&value)
    }

    /// Returns the result, or `None` if no value was added.
    pub fn get(&self) -> Result<Option<V>, Error> {
        self.reduced.get()
    }

    /// Removes all values.
    pub fn clear(&self) -> Result<(), Error> {
        self.reduced.clear()
    }
}

impl<V: Value> State for ReducingState<V> {}

impl<V: Value> Sealed for ReducingState<V> {
    const KIND: u8 = b'r';
    type Shared = ReduceFunc<V>;

    fn at(part: Store, function: &ReduceFunc<V>) -> Self {
        ReducingState { reduced: ValueState::within(part), function: Rc::clone(function) }
    }
}
