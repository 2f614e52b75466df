// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A topic in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use fnstream_core::record::Position;
use fnstream_core::topics::{Retention, RetentionTime, Watch};
use fnstream_core::units::counted;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use super::watermarks::Writers;
use crate::error::no_topic;
use crate::formats::{Floor, TopicDescriptor};

/// A topic that exists, or did when it was looked up, as it was then: one that is altered is another `Topic` with the same
/// partitions and more.
#[derive(Debug)]
pub(crate) struct Topic {
    pub id: u32,
    pub name: Arc<str>,
    pub retention: Retention,
    pub created_ms: i64,
    pub partitions: Vec<Arc<Partition>>,
    shared: Arc<Shared>,
}

/// What all have of a topic that looked it up, before and after it was altered.
#[derive(Debug)]
struct Shared {
    /// The partition of the next keyless append.
    next_keyless: AtomicU32,
    writers: Mutex<Writers>,
    deleted: AtomicBool,
}

/// One partition of it.
#[derive(Debug)]
pub(crate) struct Partition {
    marks: Mutex<Marks>,
    /// The latest watermark.
    mark: Mutex<Mark>,
    watchers: Mutex<Watchers>,
}

/// The beginning and the end of a partition, in records and in frame bytes since it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    pub floor: Floor,
    pub end: Floor,
}

/// From which position on a partition has which watermark; 0 = none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    pub position: u64,
    pub watermark: u64,
}

#[derive(Debug, Default)]
struct Watchers {
    next: u64,
    all: Vec<(u64, Waker)>,
}

impl Topic {
    pub(crate) fn new(descriptor: &TopicDescriptor, partitions: Vec<(Marks, Mark)>, writers: Writers) -> Self {
        let shared =
            Shared { next_keyless: AtomicU32::new(0), writers: Mutex::new(writers), deleted: AtomicBool::new(false) };
        let partitions = partitions.into_iter().map(|(marks, mark)| Partition::new(marks, mark)).collect();
        Topic::described(descriptor, partitions, Arc::new(shared))
    }

    /// The same topic by another descriptor, which has these partitions or more.
    pub(crate) fn altered(&self, descriptor: &TopicDescriptor) -> Self {
        let added = (self.count()..descriptor.partitions).map(|_| Partition::new(Marks::default(), Mark::default()));
        let partitions = self.partitions.iter().cloned().chain(added).collect();
        Topic::described(descriptor, partitions, self.shared.clone())
    }

    fn described(descriptor: &TopicDescriptor, partitions: Vec<Arc<Partition>>, shared: Arc<Shared>) -> Self {
        Topic {
            id: descriptor.id,
            name: descriptor.name.as_str().into(),
            retention: Retention {
                max_age: descriptor.max_age_ms.map(Duration::from_millis),
                max_bytes: descriptor.max_bytes,
                time: if descriptor.by_event_time { RetentionTime::Event } else { RetentionTime::Arrival },
            },
            created_ms: descriptor.created_ms,
            partitions,
            shared,
        }
    }

    /// The partition of that number, of a topic that was not deleted meanwhile.
    pub(crate) fn partition(&self, number: u32) -> Result<&Partition> {
        if self.is_deleted() {
            return Err(no_topic(&self.name));
        }
        self.partitions.get(number as usize).map(Arc::as_ref).ok_or_else(|| {
            Error::new(
                ErrorCode::PartitionNotFound,
                format!(
                    "topic '{}' has {}, none of number {number}",
                    self.name,
                    counted(self.partitions.len(), "partition")
                ),
            )
        })
    }

    /// The number of partitions.
    pub(crate) fn count(&self) -> u32 {
        self.partitions.len() as u32
    }

    /// The partition for the keyless records of one append: each append takes the next one.
    pub(crate) fn next_keyless(&self) -> u32 {
        self.shared.next_keyless.fetch_add(1, Ordering::Relaxed) % self.count()
    }

    /// Returns the watermarks that the functions which write to it have emitted. Only the holder of the ledger's lock changes them.
    pub(crate) fn writers(&self) -> Writers {
        self.shared.writers.lock().clone()
    }

    pub(crate) fn set_writers(&self, writers: Writers) {
        *self.shared.writers.lock() = writers;
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.shared.deleted.load(Ordering::Acquire)
    }

    /// From now on nothing is read or appended; whoever waits is woken to find out.
    pub(crate) fn mark_deleted(&self) {
        self.shared.deleted.store(true, Ordering::Release);
        for partition in &self.partitions {
            partition.wake();
        }
    }
}

impl Partition {
    fn new(marks: Marks, mark: Mark) -> Arc<Self> {
        Arc::new(Partition { marks: Mutex::new(marks), mark: Mutex::new(mark), watchers: Mutex::default() })
    }

    pub(crate) fn marks(&self) -> Marks {
        *self.marks.lock()
    }

    /// The latest watermark with the position from which on it holds.
    pub(crate) fn mark(&self) -> Mark {
        *self.mark.lock()
    }

    pub(crate) fn set_mark(&self, mark: Mark) {
        *self.mark.lock() = mark;
    }

    pub(crate) fn set_end(&self, end: Floor) {
        self.marks.lock().end = end;
    }

    pub(crate) fn set_floor(&self, floor: Floor) {
        self.marks.lock().floor = floor;
    }

    pub(crate) fn wake(&self) {
        // Cloned out, so that a waker may add or drop a watch.
        let wakers: Vec<Waker> = self.watchers.lock().all.iter().map(|(_, waker)| waker.clone()).collect();
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Marks {
    pub(crate) fn earliest(&self) -> Position {
        Position(self.floor.position.into())
    }

    pub(crate) fn end(&self) -> Position {
        Position(self.end.position.into())
    }
}

/// Keeps a waker registered for a partition; dropping it ends that.
#[derive(Debug)]
pub(crate) struct WatchGuard {
    topic: Arc<Topic>,
    partition: u32,
    id: u64,
}

impl WatchGuard {
    pub(crate) fn new(topic: Arc<Topic>, partition: u32, waker: Waker) -> Result<Self> {
        let mut watchers = topic.partition(partition)?.watchers.lock();
        let id = watchers.next;
        watchers.next += 1;
        watchers.all.push((id, waker));
        drop(watchers);
        let guard = WatchGuard { topic, partition, id };
        // Deleted just before the waker was in: it has not been woken and never will be.
        guard.topic.partition(partition)?;
        Ok(guard)
    }
}

impl Watch for WatchGuard {}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        let mut watchers = self.topic.partitions[self.partition as usize].watchers.lock();
        if let Some(at) = watchers.all.iter().position(|(id, _)| *id == self.id) {
            watchers.all.swap_remove(at);
        }
    }
}
