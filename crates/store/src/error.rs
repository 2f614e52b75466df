// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From RocksDB's and the operating system's errors to coded ones.

use std::io;
use std::path::Path;

use fnstream_core::dir::strange_file;
use fnstream_core::{Error, ErrorCode};

/// RocksDB's words for a full disk; it has no kind of its own for it.
const NO_SPACE: &str = "No space left";

/// A RocksDB error with what was being done.
pub(crate) fn rocks(doing: &str, error: &rocksdb::Error) -> Error {
    let text: &str = error.as_ref();
    let code = match error.kind() {
        rocksdb::ErrorKind::Corruption => ErrorCode::DataCorrupt,
        _ if text.contains(NO_SPACE) => ErrorCode::StorageFull,
        _ => ErrorCode::Storage,
    };
    Error::new(code, format!("{doing}: {text}"))
}

/// An error of the operating system with what was being done to which file.
pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Error {
    if let Some(strange) = strange_file(error) {
        return strange.clone();
    }
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::StorageFull,
        _ => ErrorCode::Storage,
    };
    Error::new(code, format!("{doing} '{}': {error}", path.display()))
}

/// Stored bytes that cannot be what was written.
pub(crate) fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataCorrupt, what.to_string())
}

/// No topic of that name.
pub(crate) fn no_topic(name: &str) -> Error {
    Error::new(ErrorCode::TopicNotFound, format!("topic '{name}' does not exist"))
}

/// The store was closed.
pub(crate) fn closed() -> Error {
    Error::new(ErrorCode::ShuttingDown, "the store is closed")
}
