// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The verbs of somebody who writes a function: `new`, and what follows it.

#![allow(clippy::unwrap_used)]

mod build;
mod dev;
mod new;
mod scenarios;
mod support;
