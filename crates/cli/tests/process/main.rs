// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The binary as a process among others: what signals ask of it, who may read and write its files, who reaches it; and a
//! client of servers that mean it no good.

#![allow(clippy::unwrap_used)]

mod advice;
mod dropped;
mod events;
mod files;
mod manners;
mod producers;
mod reach;
mod reading;
mod shown;
mod signals;
mod support;
#[path = "../sql/terminal.rs"]
#[expect(dead_code, reason = "nobody types here")]
mod terminal;
mod waiting;
