// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Typed states: a value, a list, a map, a priority queue, an aggregate and a reduction.
//!
//! Open each in `init`, by the name of a store, and keep it in a field. A store has one state of each kind, and states of
//! different kinds do not touch each other. [`Keyed`] has the same states for many keys.
//!
//! ```
//! use fnstream_sdk::states::{Keyed, ListState, MapState};
//! use fnstream_sdk::{Config, Context, Error, Function, Record};
//!
//! struct Clicks {
//!     totals: MapState<String, u64>,
//!     /// The pages that each user saw.
//!     pages: Keyed<ListState<String>>,
//! }
//!
//! impl Function for Clicks {
//!     fn init(ctx: &mut Context, _: &Config) -> Result<Self, Error> {
//!         Ok(Clicks { totals: MapState::open(ctx, "totals")?, pages: Keyed::open(ctx, "pages", b"by-user")? })
//!     }
//!
//!     fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
//!         let page = std::str::from_utf8(record.bytes())?;
//!         self.totals.insert(page, &(self.totals.get(page)?.unwrap_or(0) + 1))?;
//!         self.pages.of(record.key.unwrap_or_default(), b"").push(page)?;
//!         ctx.emit(0, record.bytes())
//!     }
//! }
//! # let mut test = fnstream_sdk::testing::Harness::<Clicks>::new(&[]).unwrap();
//! # test.process(&[Record::new(b"/").with_key(b"alice"), Record::new(b"/").with_key(b"bob")]).unwrap();
//! # let seen = test.with(|clicks, _| Ok((clicks.totals.get("/")?, clicks.pages.of(b"bob", b"").get()?))).unwrap();
//! # assert_eq!(seen, (Some(2), vec!["/".to_owned()]));
//! ```
//!
//! The states are as durable as their store, see [`Store`], and cost as little: a key that occurs often is read and
//! written once for each batch.
//!
//! # How they are stored
//!
//! All SDKs store them in the same way, in a [part](crate::Store::part) of the store. The kind is one byte: `v`alue, `l`ist,
//! `m`ap, `q`ueue, `a`ggregate, `r`eduction.
//!
//! | | key group | key | namespace | keys of the part |
//! | --- | --- | --- | --- | --- |
//! | without a key | empty | the kind | empty | the empty one; of a map its keys, of a queue its elements |
//! | [`Keyed`] | the key group | the primary key | the kind, then the namespace | the same |

mod aggregating;
mod keyed;
mod list;
mod map;
mod priority_queue;
mod reducing;
mod value;

pub use aggregating::{AggregateFunc, AggregatingState};
pub use keyed::{Keyed, State};
pub use list::ListState;
pub use map::{Entries, MapState};
pub use priority_queue::{Elements, PriorityQueueState};
pub use reducing::ReducingState;
pub use value::ValueState;

use crate::{Context, Encode, Error, Store};

/// The part of a store that has the one state of a kind.
fn single<S: keyed::Sealed>(ctx: &mut Context, name: &str) -> Result<Store, Error> {
    Ok(ctx.state(name)?.part(b"", &[S::KIND], b""))
}

fn encoded<T: Encode + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    value.encode(&mut out)?;
    Ok(out)
}
