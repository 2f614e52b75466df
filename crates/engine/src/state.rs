// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task's state as its function sees it: layers over the state store.
//!
//! ```text
//!  overlay    the open epoch's writes                    dropped when the epoch is aborted
//!  kept       the earlier writes of a trial              dropped when the trial is over or set aside
//!  frozen     the epoch in flight                        joins the dirty map when its commit is answered
//!  dirty      committed, not handed to the store yet     bounded; in memory only, the delta log has it too
//!  applying   being written to the store in bulk         dropped when that is done
//!  cache      recently read from or written to the store
//!  store      everything up to the applied epoch
//! ```
//!
//! A read asks from the top; the first layer that decides wins, and merges met on the way are appended to what it says.
//! While `applying` is written the store may hold any part of it. That is harmless because every key in it is decided by
//! `applying` itself, and its merges were turned into plain values before the first byte is written.

mod apply;
mod base;
mod cache;
mod layers;
#[cfg(test)]
mod model_tests;

pub(crate) use apply::ApplyJob;
pub(crate) use base::{Bases, Claim, TaskBase};
pub(crate) use cache::ReadCache;
pub(crate) use layers::Layers;
