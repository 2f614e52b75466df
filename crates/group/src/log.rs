// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam of a broker: a log of one partition whose records have keys.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::record::Position;
use fnstream_core::{Error, Result};

/// A record of the log, as it is read.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Where it is.
    pub position: Position,
    /// In milliseconds since the Unix epoch: the time of its [`Entry`], or when it was written, by the clock of whoever wrote it.
    pub timestamp: i64,
    /// Its key.
    pub key: &'a [u8],
    /// None if the key was removed.
    pub value: Option<&'a [u8]>,
}

/// A record to be written.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its key.
    pub key: Vec<u8>,
    /// None to remove the key.
    pub value: Option<Vec<u8>>,
    /// The time that it carries; that of the writing if none is given, and in a log that is [compacted](Log::is_compacted), where nothing is
    /// written again.
    pub timestamp: Option<i64>,
}

/// How writing failed.
#[derive(Debug)]
pub enum Failed {
    /// Another process was faster. Nothing was written that counts.
    Fenced,
    /// Nothing was written.
    Nothing(Error),
    /// It is not known whether it was written. Whoever [fences](Log::fence) again and reads to the end finds out.
    Unknown(Error),
}

/// Is told what a log has.
pub trait Follower: Send + Sync {
    /// The records that come next, in their order, and where to go on behind them. There may be none, where others were passed over that
    /// are nobody's.
    fn take(&self, rows: &[Row<'_>], next: Position);

    /// The log cannot be read at the moment, and why. It is tried again.
    fn fail(&self, error: Error);
}

/// A log of one partition. All processes of a group see the same records in the same order.
pub trait Log: Send + Sync + 'static {
    /// Its name in the cluster.
    fn name(&self) -> &str;

    /// Has a follower told everything that the log has and gets, until what is answered is dropped. Does not wait.
    fn follow(&self, follower: Arc<dyn Follower>) -> Result<Box<dyn Send + Sync>>;

    /// The position behind all that was written by now, or [`Position::START`]. Blocks.
    fn end(&self) -> Result<Position>;

    /// Begins a change, by a process that follows the log. What others [wrote](Log::write) before is before the [end](Log::end) from then
    /// on, or never comes. Blocks.
    fn fence(&self) -> Result<()>;

    /// Writes records in this order, all of them or none, once after a [fence](Log::fence); answers the position behind them. Fails as
    /// [`Failed::Fenced`] if another process has written since, or has begun to, and as [`Failed::Nothing`] without a fence. Blocks.
    fn write(&self, entries: Vec<Entry>) -> Result<Position, Failed>;

    /// Writes records for which it does not matter what others write, one after the other; however many they are. Blocks until they are
    /// there.
    fn lay(&self, entries: Vec<Entry>) -> Result<()>;

    /// Reads the records of a range. Blocks.
    fn read(&self, from: Position, to: Position, visit: &mut dyn FnMut(Row<'_>) -> Result<()>) -> Result<()>;

    /// Hands over a record that nobody waits for and that needs no fence.
    fn append(&self, key: &[u8], value: Option<&[u8]>);

    /// Waits until what was handed over is there, for at most so long.
    fn flush(&self, patience: Duration);

    /// Whether the broker by itself drops records whose key was written again. Where it does not, what is needed is written again, and what
    /// comes before it is [dropped](Log::drop_before).
    fn is_compacted(&self) -> bool;

    /// Lets the broker drop what is before a position. Nothing depends on when it does.
    fn drop_before(&self, _position: Position) -> Result<()> {
        Ok(())
    }
}
