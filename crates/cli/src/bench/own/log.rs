// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Waiting on the store: for appends that are under way, and for records that come.

use std::time::Duration;

use bytes::Bytes;
use fnstream_core::Error;
use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topics::{Topics, Watch};
use fnstream_core::waker::Waker;
use fnstream_store::Store;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

use super::taken;
use crate::bench::target::Outputs;
use crate::failure::Result;

/// The most appends that are under way at once.
const MAX_IN_FLIGHT: usize = 1024;

/// Appends that are not durable yet.
#[derive(Default)]
pub(super) struct InFlight {
    state: Mutex<(usize, Option<Error>)>,
    changed: Condvar,
}

impl InFlight {
    /// Waits until there is room for one more.
    pub(super) fn begin(&self) -> Result {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |(count, error)| *count >= MAX_IN_FLIGHT && error.is_none());
        if let Some(error) = &state.1 {
            return Err(error.clone().into());
        }
        state.0 += 1;
        Ok(())
    }

    /// One is durable or failed.
    pub(super) fn end(&self, error: Option<Error>) {
        let mut state = self.state.lock();
        state.0 -= 1;
        state.1 = state.1.take().or(error);
        self.changed.notify_all();
    }

    /// Waits until all are durable.
    pub(super) fn wait(&self) -> Result {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |(count, _)| *count > 0);
        state.1.clone().map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Tells that something was appended to one of some partitions.
pub(super) struct Progress {
    happened: Arc<(Mutex<bool>, Condvar)>,
    _watches: Vec<Box<dyn Watch>>,
}

impl Progress {
    pub(super) fn watch(store: &Store, partitions: &[TopicPartition]) -> Result<Self> {
        let happened = Arc::new((Mutex::new(false), Condvar::new()));
        let mut watches = Vec::new();
        for partition in partitions {
            let happened = happened.clone();
            let wake = move || {
                *happened.0.lock() = true;
                happened.1.notify_all();
            };
            watches.push(store.topics().watch(partition, Waker::new(wake))?);
        }
        Ok(Progress { happened, _watches: watches })
    }

    /// Waits until something was appended since the last call; false when nothing was within the time.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let mut happened = self.happened.0.lock();
        self.happened.1.wait_while_for(&mut happened, |happened| !*happened, time);
        std::mem::take(&mut happened)
    }
}

/// Reads all partitions of a topic from the beginning.
pub(super) struct Reader {
    topics: Arc<dyn Topics>,
    partitions: Vec<(TopicPartition, Position)>,
    next: usize,
    progress: Progress,
}

impl Reader {
    pub(super) fn open(store: &Store, partitions: &[TopicPartition]) -> Result<Self> {
        Ok(Reader {
            topics: store.topics(),
            partitions: partitions.iter().map(|p| (p.clone(), Position::START)).collect(),
            next: 0,
            progress: Progress::watch(store, partitions)?,
        })
    }

    fn read(&mut self) -> Result<Option<Bytes>> {
        let limit = PollLimit { records: 65_536, bytes: 8 << 20 };
        for _ in 0..self.partitions.len() {
            let count = self.partitions.len();
            let (partition, position) = &mut self.partitions[self.next % count];
            self.next += 1;
            if let Some(batch) = self.topics.read(partition, *position, limit)? {
                let (bytes, end) = taken(&batch);
                *position = end.unwrap_or(*position);
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

impl Outputs for Reader {
    fn next(&mut self, patience: Duration) -> Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.read()? {
                return Ok(Some(bytes));
            }
            if !self.progress.wait(patience) {
                return Ok(None);
            }
        }
    }
}
