// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The embedded log, state and metadata on one RocksDB, and the committer that makes an epoch of all three one write.
//!
//! Owns: the data folder, the persisted formats, topics and their retention, consumers' cursors, the applied state of
//! tasks, the register of functions, artifacts, and the committer thread. It must not know what a function is made of,
//! how it is run, or who asks: no wasm, no RPC, no engine.
//!
//! # Guarantees
//!
//! - What an epoch or an append changes is one atomic write. When it is answered it is readable, and durable as
//!   [`Durability`] says.
//! - After `kill -9` everything that was answered is there, and what was not answered is there as a whole or not at all.
//!   Opening repairs nothing, because there is nothing to repair.
//! - A folder with less in it than was written is refused: damage, cut logs and missing files are not passed over. Only a last
//!   write that was interrupted is forgiven, and after a loss of power what was not synced.
//! - A full disk makes writes fail with [`fnstream_core::ErrorCode::StorageFull`] and changes nothing; when there is space
//!   again, writes go on by themselves.
//! - After any other error of the disk the database is opened anew as soon as the disk works. A write that failed is not there.
//!
//! # Reading order
//!
//! [`options`](StoreOptions), [`store`](Store) (everything that can be asked for), `keys` and `formats` (what is on the
//! disk), `log`, `commit`, then `state`, `peek`, `standing`, `metadata`, `fork`,
//! `artifacts`, `dir`, `check`, `opening` (what of a damaged database is forgiven), `reach`, `log_file`, `base` (errors of the disk), `health`,
//! `tail`, `backup`, `scrub`, `damage`, `db`, `walk`.
//!
//! ```
//! use fnstream_core::broker::PollLimit;
//! use fnstream_core::record::{Position, TopicPartition};
//! use fnstream_core::topic::Topic;
//! use fnstream_core::topics::Retention;
//! use fnstream_frame::{FrameBuilder, RecordRef};
//! use fnstream_store::{Store, StoreOptions};
//!
//! let folder = tempfile::tempdir()?;
//! let store = Store::open(folder.path(), StoreOptions::default())?;
//! let (topics, orders) = (store.topics(), Topic::own("orders"));
//! topics.create(&orders, 1, Retention::default())?;
//!
//! let mut frame = FrameBuilder::new();
//! frame.push(RecordRef::new(b"hello"));
//! let (tell, told) = std::sync::mpsc::channel();
//! topics.append(&orders, None, frame.to_bytes().into(), Box::new(move |done| tell.send(done).unwrap_or_default()));
//! assert_eq!(told.recv()??, [(0, Position(0), 1)]);
//!
//! let all = PollLimit { records: 100, bytes: 1 << 20 };
//! let batch = topics.read(&TopicPartition::new(orders, 0), Position::START, all)?.ok_or("a batch")?;
//! assert_eq!(batch.frame().record(0).value, Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod artifacts;
mod backup;
mod base;
mod broker;
mod check;
mod commit;
mod damage;
mod db;
mod dir;
mod error;
mod faults;
mod fork;
mod formats;
mod health;
mod inner;
mod keys;
mod log;
mod log_file;
mod metadata;
mod notes;
mod opening;
mod options;
mod peek;
mod reach;
mod scrub;
mod standing;
mod state;
mod store;
mod tail;
mod walk;

pub use artifacts::Spool;
pub use backup::{Manifest, Restored, restore, verify};
pub use check::{Area, PartitionExtent, Problem, Repair, Repaired, Report, TaskExtent, check, repair};
pub use faults::{FAILPOINTS, NEW_FOLDER_FAILPOINTS};
#[cfg(feature = "failpoints")]
pub use faults::{WRONG_COMMITTER, WRONG_COMMITTER_FAILPOINT};
pub use log::retention::Dropped;
pub use options::{Durability, StoreOptions};
#[doc(hidden)]
pub use reach::pretend_power_loss;
pub use store::Store;
