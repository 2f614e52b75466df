// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::rc::Rc;

use super::keyed::Sealed;
use super::{State, ValueState, single};
use crate::{Context, Error, Store, Value};

/// Adds values to an accumulator and computes a result from it.
///
/// ```
/// use fnstream_sdk::Json;
/// use fnstream_sdk::states::AggregateFunc;
///
/// struct Mean;
///
/// impl AggregateFunc for Mean {
///     type Input = f64;
///     /// The sum and the number of values.
///     type Accumulator = Json<(f64, u64)>;
///     type Output = f64;
///
///     fn create_accumulator(&self) -> Self::Accumulator {
///         Json((0.0, 0))
///     }
///
///     fn add(&self, value: f64, Json((sum, count)): Self::Accumulator) -> Self::Accumulator {
///         Json((sum + value, count + 1))
///     }
///
///     fn result(&self, Json((sum, count)): Self::Accumulator) -> f64 {
///         sum / count as f64
///     }
///
///     fn merge(&self, a: Self::Accumulator, b: Self::Accumulator) -> Self::Accumulator {
///         Json((a.0.0 + b.0.0, a.0.1 + b.0.1))
///     }
/// }
/// ```
pub trait AggregateFunc: 'static {
    /// What is added.
    type Input;
    /// What is stored.
    type Accumulator: Value;
    /// What is computed.
    type Output;

    /// Returns the accumulator of no values.
    fn create_accumulator(&self) -> Self::Accumulator;

    /// Returns the accumulator with a value added.
    fn add(&self, value: Self::Input, accumulator: Self::Accumulator) -> Self::Accumulator;

    /// Returns the result that the accumulator stands for.
    fn result(&self, accumulator: Self::Accumulator) -> Self::Output;

    /// Returns the accumulator of the values of both.
    fn merge(&self, a: Self::Accumulator, b: Self::Accumulator) -> Self::Accumulator;
}

/// An accumulator to which values are added and from which a result is computed.
pub struct AggregatingState<A: AggregateFunc> {
    accumulator: ValueState<A::Accumulator>,
    function: Rc<A>,
}

impl<A: AggregateFunc> AggregatingState<A> {
    /// Opens the aggregating state of a store.
    pub fn open(ctx: &mut Context, store: &str, function: A) -> Result<Self, Error> {
        let part = single::<Self>(ctx, store)?;
        Ok(AggregatingState { accumulator: ValueState::within(part), function: Rc::new(function) })
    }

    /// Adds a value.
    pub fn add(&self, value: A::Input) -> Result<(), Error> {
        let accumulator = self.accumulator.get()?.unwrap_or_else(|| self.function.create_accumulator());
        self.accumulator.set(&self.function.add(value, accumulator))
    }

    /// Adds all values of another state, which keeps them, as when two sessions turn out to be one.
    pub fn merge(&self, other: &Self) -> Result<(), Error> {
        match (self.accumulator.get()?, other.accumulator.get()?) {
            (_, None) => Ok(()),
            (None, Some(theirs)) => self.accumulator.set(&theirs),
            (Some(ours), Some(theirs)) => self.accumulator.set(&self.function.merge(ours, theirs)),
        }
    }

    /// Returns the result, or `None` if no value was added.
    pub fn get(&self) -> Result<Option<A::Output>, Error> {
        Ok(self.accumulator.get()?.map(|accumulator| self.function.result(accumulator)))
    }

    /// Removes all values.
    pub fn clear(&self) -> Result<(), Error> {
        self.accumulator.clear()
    }
}

impl<A: AggregateFunc> State for AggregatingState<A> {}

impl<A: AggregateFunc> Sealed for AggregatingState<A> {
    const KIND: u8 = b'a';
    type Shared = Rc<A>;

    fn at(part: Store, function: &Rc<A>) -> Self {
        AggregatingState { accumulator: ValueState::within(part), function: Rc::clone(function) }
    }
}
