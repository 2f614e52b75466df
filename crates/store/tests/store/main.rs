// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The store as its users see it: through its public interface, over real files.
#![allow(clippy::unwrap_used)]

mod acks;
mod applies;
mod artifacts;
mod backups;
mod commits;
mod concurrent;
#[cfg(feature = "failpoints")]
mod crash;
mod damage;
mod disk;
mod folder;
mod forks;
mod log;
mod model;
mod peek;
mod producers;
mod register;
mod retention;
mod scale;
mod suites;
mod support;
mod watermarks;
