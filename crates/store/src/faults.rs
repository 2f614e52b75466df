// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Faults that crash tests make: the steps at which they end the process, and a committer that is deliberately wrong.

use fnstream_core::Result;
use rocksdb::WriteBatch;

use crate::db::{Db, Sync};

/// The steps at which a test can end the process, with the feature `failpoints`. Work comes to each again and again.
pub const FAILPOINTS: &[&str] = &[
    "commit.before-write",
    "commit.after-write",
    "apply.before",
    "apply.during",
    "apply.between",
    "apply.after",
    "trim.before",
    "recover.acquired",
    "recover.replayed",
    "artifact.before-rename",
    "artifact.after-rename",
    "metadata.before-write",
    "metadata.after-write",
    "fork.begun",
    "fork.copying",
    "fork.copied",
    "topic.before-write",
    "topic.after-write",
];

/// The steps of making a data folder, which come once in its life.
pub const NEW_FOLDER_FAILPOINTS: &[&str] = &["format.before-rename", "format.after-rename"];

/// The step within the deliberately wrong committer: between its two writes.
#[cfg(feature = "failpoints")]
pub const WRONG_COMMITTER_FAILPOINT: &str = "wrong.between";

/// When this variable is 1, the outbox of a group is written once by itself before the whole group is, so that a test can
/// prove that it would notice.
#[cfg(feature = "failpoints")]
pub const WRONG_COMMITTER: &str = "FNSTREAM_WRONG_COMMITTER";

/// Writes what a group of commits and appends has become, in one write.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn write_group(db: &Db, batch: WriteBatch, sync: Sync) -> Result<()> {
    db.write(batch, sync)
}

#[cfg(feature = "failpoints")]
pub(crate) fn write_group(db: &Db, batch: WriteBatch, sync: Sync) -> Result<()> {
    static IS_WRONG: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    if *IS_WRONG.get_or_init(|| std::env::var_os(WRONG_COMMITTER).is_some_and(|value| value == "1")) {
        let mut outbox = wrong::Outbox { db, batch: WriteBatch::default(), commits: false };
        batch.iterate_cf(&mut outbox);
        if outbox.commits && !outbox.batch.is_empty() {
            db.write(outbox.batch, sync)?;
            fnstream_core::failpoint!("wrong.between");
        }
    }
    db.write(batch, sync)
}

#[cfg(feature = "failpoints")]
mod wrong {
    use rocksdb::{WriteBatch, WriteBatchIteratorCf};

    use crate::db::Db;
    use crate::keys;

    /// The numbers of column families, which RocksDB gives in the order in which [`crate::db::descriptors`] names them.
    const TOPICS_ID: u32 = 1;
    const META_ID: u32 = 4;

    /// The log entries of a group. The walk ends at the first trim, which matters not: all of it is written afterwards.
    pub(super) struct Outbox<'a> {
        pub(super) db: &'a Db,
        pub(super) batch: WriteBatch,
        /// The group moves a task's progress, and is not only appends.
        pub(super) commits: bool,
    }

    impl WriteBatchIteratorCf for Outbox<'_> {
        fn put_cf(&mut self, family: u32, key: &[u8], value: &[u8]) {
            match family {
                TOPICS_ID => self.batch.put_cf(self.db.family(keys::TOPICS), key, value),
                META_ID => self.commits |= key.starts_with(b"p"),
                _ => {}
            }
        }

        fn delete_cf(&mut self, _: u32, _: &[u8]) {}

        fn merge_cf(&mut self, _: u32, _: &[u8], _: &[u8]) {}
    }
}
