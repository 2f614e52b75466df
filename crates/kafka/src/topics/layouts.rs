// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How many partitions topics have, as the cluster said a while ago.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use crate::admin::Admin;

/// So long after somebody else has added partitions to a topic, records may still go to the partition that their key had.
const FRESH: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Layouts {
    admin: Arc<Admin>,
    known: Mutex<HashMap<String, (u32, Instant)>>,
}

impl Layouts {
    pub(super) fn new(admin: Arc<Admin>) -> Layouts {
        Layouts { admin, known: Mutex::default() }
    }

    /// The number of partitions, from a moment ago.
    pub(super) fn partitions(&self, name: &str) -> Result<u32> {
        let known = self.known.lock().get(name).copied();
        match known {
            Some((count, at)) if at.elapsed() < FRESH => Ok(count),
            _ => self.fresh(name),
        }
    }

    /// The number of partitions, from now.
    pub(super) fn fresh(&self, name: &str) -> Result<u32> {
        let count = self.admin.describe(name)?.map(|layout| layout.partitions);
        let mut known = self.known.lock();
        match count {
            Some(count) => known.insert(name.to_owned(), (count, Instant::now())),
            None => known.remove(name),
        };
        count.ok_or_else(|| not_found(name))
    }

    /// Refuses a partition that a topic does not have; answers how many it has.
    pub(super) fn check(&self, name: &str, partition: u32) -> Result<u32> {
        let count = self.partitions(name)?;
        // It may have grown.
        let count = if partition < count { count } else { self.fresh(name)? };
        if partition < count {
            return Ok(count);
        }
        let message = format!("topic '{name}' has {count} partitions, and none of the number {partition}");
        Err(Error::new(ErrorCode::PartitionNotFound, message))
    }

    /// Somebody has changed the topic, or the cluster says so.
    pub(super) fn forget(&self, name: &str) {
        self.known.lock().remove(name);
    }
}

pub(super) fn not_found(name: &str) -> Error {
    Error::new(ErrorCode::TopicNotFound, format!("Kafka has no topic '{name}'"))
}
