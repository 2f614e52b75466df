// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where the example that a workload runs is found.

use std::path::{Path, PathBuf};

use fnstream_core::ErrorCode;

use super::{Args, WorkloadArg};
use crate::failure::{Failure, Result};

/// The bytes of the artifact.
pub(super) fn read(args: &Args) -> Result<Vec<u8>> {
    let path = match &args.archive {
        Some(path) => path.clone(),
        None => find(default_name(args.workload))?,
    };
    crate::artifact::read(&path)
        .map_err(|e| Failure::new(ErrorCode::ArtifactNotFound, format!("cannot read '{}': {e}", path.display())))
}

fn default_name(workload: WorkloadArg) -> &'static str {
    match workload {
        WorkloadArg::PassThrough => "example_pass_through_rust.wasm",
        WorkloadArg::Money => "example_basic_rust.wasm",
        WorkloadArg::KeyedCount => "example_keyed_count_rust.wasm",
    }
}

fn find(name: &str) -> Result<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let folders = [beside, Some(PathBuf::from("bin"))];
    folders.into_iter().flatten().map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(
            ErrorCode::ArtifactNotFound,
            format!("'{name}' is neither beside this binary nor in ./bin: run 'make build_all', or give --archive"),
        )
    })
}
