// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From RocksDB's and the operating system's errors to coded ones.

use std::io;
use std::path::Path;

use fnstream_core::dir::strange_file;
use fnstream_core::{Error, ErrorCode};

/// RocksDB's words for a full disk; it has no kind of its own for it.
const NO_SPACE: &str = "No space left";
/// The system's words for a user who may not write more.
const NO_QUOTA: &str = "quota exceeded";

/// A RocksDB error with what was being done.
pub(crate) fn rocks(doing: &str, error: &rocksdb::Error) -> Error {
    let text: &str = error.as_ref();
    let code = match error.kind() {
        rocksdb::ErrorKind::Corruption => ErrorCode::DataCorrupt,
        _ if text.contains(NO_SPACE) || text.contains(NO_QUOTA) => ErrorCode::StorageFull,
        _ => ErrorCode::Storage,
    };
    Error::new(code, format!("{doing}: {text}"))
}

/// Whether the disk is full, after which RocksDB goes on by itself.
pub(crate) fn is_full(error: &rocksdb::Error) -> bool {
    AsRef::<str>::as_ref(error).contains(NO_SPACE)
}

/// Whether RocksDB writes nothing any more after a write that failed so. It does not after damage either, but opening it
/// anew would not help.
pub(crate) fn stops_writes(error: &rocksdb::Error) -> bool {
    use rocksdb::ErrorKind;
    !matches!(
        error.kind(),
        ErrorKind::Corruption
            | ErrorKind::InvalidArgument
            | ErrorKind::NotSupported
            | ErrorKind::NotFound
            | ErrorKind::Busy
            | ErrorKind::TryAgain
            | ErrorKind::Incomplete
            | ErrorKind::MergeInProgress
    )
}

/// The store has to be waited for, because of that. Damage stays what it is: it does not go by itself.
pub(crate) fn recovering(why: &Error) -> Error {
    match why.code {
        ErrorCode::DataCorrupt => why.clone(),
        _ => Error::new(ErrorCode::StoreRecovering, format!("the store is recovering: {}", why.message)),
    }
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
