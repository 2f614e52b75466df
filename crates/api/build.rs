// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Generates the gRPC interface from `proto/`, without protoc.

use std::error::Error;
use std::path::PathBuf;

const FOLDER: &str = "../../proto";
const FILES: [&str; 2] = ["function_stream.proto", "consumer_groups.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FOLDER}");
    let mut compiler = protox::Compiler::new([FOLDER])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    // For reflection, and for tests that look at the interface itself.
    std::fs::write(out.join("function_stream.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().bytes(".").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
