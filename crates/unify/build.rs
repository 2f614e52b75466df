// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! There is something to build, so that the build dependencies count.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
