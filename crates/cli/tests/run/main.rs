// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream run` as a process: what goes in, what comes out, what is kept, and how it ends.

#![allow(clippy::unwrap_used)]

mod ends;
mod events;
mod kept;
mod support;
