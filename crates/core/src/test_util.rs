// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What tests of this crate and of the implementations share: virtual time, in-memory implementations of the seams, and
//! the conformance suite of each seam.
//!
//! # Reading order
//!
//! [`clock`]; [`model`]: what state writes mean; [`mem_state`], [`mem_metadata`], [`mem_broker`], [`mem_artifacts`],
//! [`mem_peers`]: implementations that a test drives by hand; [`emitted`]: what a host of a test was given; [`waits`]: a program that takes its
//! time. [`suites`]: the
//! contract of each seam as code; every implementation runs them.

pub mod clock;
pub mod emitted;
pub mod mem_artifacts;
pub mod mem_broker;
pub mod mem_metadata;
pub mod mem_notes;
pub mod mem_peers;
pub mod mem_state;
pub mod model;
pub mod rng;
pub mod suites;
pub mod support;
pub mod waits;
