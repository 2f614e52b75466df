// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Generates the protocol's messages from `proto/`, without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let set = protox::compile(["pulsar.proto"], ["proto"])?;
    prost_build::Config::new().bytes(["."]).compile_fds(set)?;
    Ok(())
}
