// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::rc::Rc;

use super::{AggregateFunc, AggregatingState, ReducingState};
use crate::{Context, Error, Store, Value};

/// A state of this module.
pub trait State: Sealed {}

pub trait Sealed: Sized {
    /// Part of stored keys, so it stays.
    const KIND: u8;
    /// What all states of a factory have in common.
    type Shared;

    fn at(part: Store, shared: &Self::Shared) -> Self;
}

/// The states of many keys, all of one kind: `Keyed<ListState<String>>` gives the list of each key.
///
/// States that differ in key group, key, namespace or kind never meet, whatever bytes these consist of.
///
/// ```
/// # use fnstream_sdk::{Context, Error};
/// use fnstream_sdk::states::{Keyed, ReducingState, ValueState};
///
/// # fn example(ctx: &mut Context) -> Result<(), Error> {
/// let last_seen = Keyed::<ValueState<i64>>::open(ctx, "sessions", b"by-user")?;
/// last_seen.of(b"alice", b"web").set(&1_700_000_000_000)?;
///
/// let highest = Keyed::<ReducingState<i64>>::open_with(ctx, "scores", b"by-user", |a, b| Ok(a.max(b)))?;
/// highest.of(b"alice", b"").add(3)?;
/// # Ok(())
/// # }
/// ```
pub struct Keyed<S: State> {
    store: Store,
    key_group: Box<[u8]>,
    shared: S::Shared,
}

impl<S: State> Keyed<S> {
    /// Returns the state of a primary key and a namespace. Each call gives the same state, at next to no cost.
    #[must_use]
    pub fn of(&self, primary_key: &[u8], namespace: &[u8]) -> S {
        let namespace = [&[S::KIND], namespace].concat();
        S::at(self.store.part(&self.key_group, primary_key, &namespace), &self.shared)
    }

    fn with(ctx: &mut Context, store: &str, key_group: &[u8], shared: S::Shared) -> Result<Self, Error> {
        Ok(Keyed { store: ctx.state(store)?, key_group: key_group.into(), shared })
    }
}

impl<S: State + Sealed<Shared = ()>> Keyed<S> {
    /// Opens a store for the states of a key group.
    pub fn open(ctx: &mut Context, store: &str, key_group: &[u8]) -> Result<Self, Error> {
        Self::with(ctx, store, key_group, ())
    }
}

impl<A: AggregateFunc> Keyed<AggregatingState<A>> {
    /// Opens a store for the aggregating states of a key group.
    pub fn open_with(ctx: &mut Context, store: &str, key_group: &[u8], function: A) -> Result<Self, Error> {
        Self::with(ctx, store, key_group, Rc::new(function))
    }
}

impl<V: Value> Keyed<ReducingState<V>> {
    /// Opens a store for the reducing states of a key group. The function gets the result so far and the next value.
    pub fn open_with(
        ctx: &mut Context,
        store: &str,
        key_group: &[u8],
        function: impl Fn(V, V) -> Result<V, Error> + 'static,
    ) -> Result<Self, Error> {
        Self::with(ctx, store, key_group, Rc::new(function))
    }
}
