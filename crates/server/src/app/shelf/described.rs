// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Descriptions that come as files: a config.yaml, sent or on the server's own disk.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_config::parse_function_config;
use fnstream_core::spec::FunctionSpec;
use fnstream_core::{Error, ErrorCode, Result};

use super::{Shelf, allowed};
use crate::app::ops::blocking;
use crate::most::Most;

/// What a config.yaml describes.
pub(crate) struct Described {
    /// The function, but for its artifact.
    pub(crate) spec: FunctionSpec,
    /// The artifact that it names.
    pub(crate) archive: Option<String>,
    /// What in it has no effect.
    pub(crate) notes: Vec<String>,
}

impl Shelf {
    /// What a config.yaml describes. All of its problems are told at once.
    pub(crate) async fn described(&self, config: Bytes) -> Result<Described> {
        blocking(move || {
            let (config, notes) = parse_function_config(&config)?;
            let notes = notes.iter().map(|note| note.line("")).collect();
            Ok(Described { spec: config.to_spec("")?, archive: config.archive, notes })
        })
        .await
    }

    /// Reads a file of this machine that a statement names, of at most so many bytes: only from the folders that are open
    /// to clients.
    pub(crate) async fn read_allowed(self: &Arc<Self>, path: String, most: Most) -> Result<Bytes> {
        let shelf = self.clone();
        blocking(move || {
            let shown = path.escape_debug().to_string();
            let refused = |why: &str| Error::new(ErrorCode::ArtifactNotFound, format!("file '{shown}': {why}"));
            let real = allowed(&shelf.archive_dirs, &PathBuf::from(&path)).map_err(|_| {
                refused(
                    "the server reads what a statement names only from the folders of --allow-archive-dir; \
                     'function-stream sql' reads the files where it runs and uploads them",
                )
            })?;
            let meta = real.metadata().map_err(|e| refused(&e.to_string()))?;
            if !meta.is_file() {
                return Err(refused("not a file"));
            }
            if meta.len() > most.bytes as u64 {
                let message = format!("file '{shown}' has {} bytes, more than {most}", meta.len());
                return Err(Error::new(ErrorCode::BodyTooLarge, message));
            }
            std::fs::read(&real).map(Bytes::from).map_err(|e| refused(&e.to_string()))
        })
        .await
    }
}
