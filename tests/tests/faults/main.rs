// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Errors of the disk in a server that runs: each is refused with its code while it lasts and told, the server goes on by itself
//! when it is gone, and nothing that was acknowledged is lost or repeated.
//!
//! The errors are made by a library in the server's process ([`fnstream_tests::faults`]), which Linux knows how to preload.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "a test says its seed and what it did")]

mod damage;
mod end;
mod kinds;
mod site;
mod storm;
