// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Many of everything in one process: what idle partitions of a function keep, and how soon a server with many functions is ready
//! after it was killed.
#![allow(clippy::print_stdout, reason = "what was measured is part of the result")]

mod partitions;
mod starts;
