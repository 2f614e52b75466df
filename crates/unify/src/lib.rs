// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Nothing but dependencies: one set of their features, whichever crates of the workspace are built together.
//!
//! Cargo builds a dependency with the features that the selected crates ask for. Without this crate `cargo test -p` of one
//! crate builds wasmtime once more, because something below it lacks a feature that another crate would have added.
