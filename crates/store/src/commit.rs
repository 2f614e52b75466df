// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Committing: one thread, one write for all that waits.
//!
//! ```text
//!  tasks: commit ──┐                    ┌ one WriteBatch:                     answers, then wake-ups
//!                  ├─ queue ─► thread ──┤  outbox and appends ► topics ─ write ─► ends of partitions move
//!  producers: append┘                   │  delta              ► deltas   (sync)   epochs count as committed
//!                                       └  progress           ► meta
//! ```
//!
//! The thread holds the [`ledger`] while it prepares and writes a group. Taking a task over takes the same lock, so when
//! `acquire` has answered, nothing of an earlier generation is on its way any more.
//!
//! What is prepared is only staged: positions and epochs move when the write has succeeded, so a failed write leaves
//! nothing to undo and the next group gets the same positions.
//!
//! Reading order: [`ledger`] (who may commit what: pure decisions), [`group`] (what becomes of a queue's head),
//! [`numbered`] (what becomes of records that a producer numbers), [`thread`], [`embedded`] (the seam).

pub(crate) mod embedded;
pub(crate) mod group;
pub(crate) mod ledger;
pub(crate) mod numbered;
pub(crate) mod thread;
