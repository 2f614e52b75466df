// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! In which order input groups are read, and what a function is told of time, in virtual time.

#![allow(clippy::unwrap_used)]

mod circles;
mod selectors;
mod timers;
mod world;
