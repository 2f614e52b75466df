// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What `CREATE FUNCTION` uploads: two files of this machine, the first of which may be a folder with source.

use std::fs::File;
use std::io::Read;

use fnstream_api::grpc::MAX_MESSAGE_BYTES;
use fnstream_core::ErrorCode;

use crate::artifact;
use crate::failure::{Failure, Result};

/// What a message has besides both files, with room to spare.
const ENVELOPE: u64 = 1024;

/// The most bytes of both files.
const MOST: u64 = MAX_MESSAGE_BYTES as u64 - ENVELOPE;

/// The files of a statement.
pub(super) struct Files {
    pub artifact: Vec<u8>,
    pub config: Vec<u8>,
}

/// Reads both files; paths are relative to the working directory. What is too large to be sent is not read.
pub(super) fn upload(function_path: &str, config_path: &str) -> Result<Files> {
    let (mut config, config_size) = open(config_path, ErrorCode::InvalidSpec, "a config.yaml")?;
    if artifact::is_source(function_path.as_ref()) {
        let artifact = artifact::read(function_path.as_ref())
            .map_err(|e| refused(function_path, ErrorCode::ArtifactNotFound, "a function's source", &e.to_string()))?;
        check(function_path, config_path, config_size.saturating_add(artifact.len() as u64))?;
        return Ok(Files { artifact, config: read(&mut config, config_path, MOST)? });
    }
    let (mut artifact, artifact_size) = open(function_path, ErrorCode::ArtifactNotFound, "a WebAssembly file")?;
    check(function_path, config_path, artifact_size.saturating_add(config_size))?;
    Ok(Files { artifact: read(&mut artifact, function_path, MOST)?, config: read(&mut config, config_path, MOST)? })
}

fn check(function_path: &str, config_path: &str, total: u64) -> Result<()> {
    if total <= MOST {
        return Ok(());
    }
    Err(Failure::Coded {
        code: ErrorCode::BodyTooLarge.as_str().to_owned(),
        message: format!(
            "'{function_path}' and '{config_path}' have {total} bytes, more than the {MOST} that can be sent"
        ),
        advice: "build the artifact without debug information, or upload it with 'function-stream client create'"
            .to_owned(),
    })
}

fn refused(path: &str, code: ErrorCode, what: &str, why: &str) -> Failure {
    Failure::Coded {
        code: code.as_str().to_owned(),
        message: format!("cannot read '{}': {why}", path.escape_debug()),
        advice: format!("give the path of {what} on this machine"),
    }
}

fn open(path: &str, code: ErrorCode, what: &str) -> Result<(File, u64)> {
    let refused = |why: String| refused(path, code, what, &why);
    // Before it is opened: a folder opens and cannot be read, and a pipe waits for who writes into it.
    let metadata = std::fs::metadata(path).map_err(|e| refused(e.to_string()))?;
    if !metadata.is_file() {
        return Err(refused("it is not a file".to_owned()));
    }
    let file = File::open(path).map_err(|e| refused(e.to_string()))?;
    Ok((file, metadata.len()))
}

/// Reads a file that may have grown since it was measured.
fn read(file: &mut File, path: &str, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|e| Failure::Plain(format!("cannot read '{path}': {e}")))?;
    Ok(bytes)
}
