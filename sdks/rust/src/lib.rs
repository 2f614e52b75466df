// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Write functions for Function Stream in Rust.
//!
//! A function takes records, keeps state and emits records. What it does for a record becomes durable and visible together with
//! the record's position, or not at all: there is nothing to undo and nothing to make idempotent.
//!
//! ```
//! use fnstream_sdk::{Config, Context, Error, Function, Record, Store};
//!
//! /// Counts the records of each key.
//! struct Counter {
//!     counts: Store,
//! }
//!
//! impl Function for Counter {
//!     fn init(ctx: &mut Context, _config: &Config) -> Result<Self, Error> {
//!         Ok(Counter { counts: ctx.state("counts")? })
//!     }
//!
//!     fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
//!         let key = record.key.unwrap_or_default();
//!         let count = self.counts.get_as::<u64>(key)?.unwrap_or(0) + 1;
//!         self.counts.put_as(key, &count)?;
//!         ctx.emit(0, count.to_string().as_bytes())
//!     }
//! }
//!
//! fnstream_sdk::export!(Counter);
//!
//! // Functions are tested without a server:
//! let mut test = fnstream_sdk::testing::Harness::<Counter>::new(&[]).unwrap();
//! test.process(&[Record::new(b"x").with_key(b"k"), Record::new(b"y").with_key(b"k")]).unwrap();
//! let output = test.take_output();
//! assert_eq!(output.iter().map(|r| r.bytes()).collect::<Vec<_>>(), [b"1", b"2"]);
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2` as a `cdylib`.
//!
//! # What it costs
//!
//! Records reach the function in batches, and what it emits leaves it in one call at the end of each batch. The SDK caches state
//! and gathers the writes of a batch, so a key that occurs often is read and written once. None of this changes what a function
//! sees: it reads its own writes, and scans show them.
//!
//! # Errors
//!
//! An error that [`Function::process`] returns fails that record: the function's policy retries it or makes it a dead letter with
//! the error's text, and the others go on. What the record emitted and wrote is undone; the function's own fields stay as they are.
//! A panic fails its record, too, but ends the instance: a new one goes on from the last commit. That takes a thousand times as long.
//!
//! # Timers
//!
//! [`Context::set_timer`] has [`Function::on_timer`] called at a certain time, by the function's watermark
//! ([`TimeDomain::Event`]) or by the machine's clock ([`TimeDomain::Processing`]). Timers are kept with the state: they outlast
//! the instance, and each is due exactly once.
//!
//! # Null values
//!
//! [`Record::value`] is `None` for a null value, which is not the same as an empty one. With a key it is a tombstone, by which a
//! compacted topic deletes what the key stood for; [`Output::null`] emits one.
//!
//! # Reading order
//!
//! [`Function`] and [`export!`], [`Context`], [`Record`], [`Store`] with [`Value`], [`states`], [`Timer`], then [`testing`].

mod boundary;
mod cache;
mod context;
mod driver;
mod error;
mod function;
mod guest;
#[cfg(feature = "json")]
mod json;
mod known;
mod progress;
mod record;
pub mod states;
mod store;
pub mod testing;
mod timer;
mod value;

pub use context::{Config, Context, Metadata};
pub use error::Error;
pub use fnstream_frame::{Headers, HeadersBuilder};
pub use function::{Function, Module};
#[cfg(feature = "json")]
pub use json::Json;
pub use record::{Output, Record};
pub use store::{Scan, Store};
pub use timer::{TimeDomain, Timer};
pub use value::{Encode, Ordered, Value};

#[doc(hidden)]
pub mod __private {
    //! For [`crate::export!`] only.
    pub use crate::driver::Driver;
    pub use crate::guest::{Exported, Slot, bindings};
    pub use fnstream_frame as frame;
}

// The package's page is compiled, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
