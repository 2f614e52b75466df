// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics that somebody names and that are not there yet, and who uses them.

use std::sync::Arc;

use fnstream_core::spec::FunctionSpec;
use fnstream_core::topic::Topic;
use fnstream_core::topics::{Retention, Topics};
use fnstream_core::{ErrorCode, Result};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Makes topics. Both methods that do so block.
pub(crate) struct TopicMaker {
    pub(crate) topics: Arc<dyn Topics>,
    /// What topics get that nobody described.
    retention: Retention,
    /// Shared by those who register or start a function on topics, exclusive for who deletes a topic.
    in_use: RwLock<()>,
}

impl TopicMaker {
    pub(crate) fn new(topics: Arc<dyn Topics>, retention: Retention) -> Arc<Self> {
        Arc::new(TopicMaker { topics, retention, in_use: RwLock::new(()) })
    }

    /// Keeps topics from being deleted.
    pub(crate) fn in_use(&self) -> RwLockReadGuard<'_, ()> {
        self.in_use.read()
    }

    /// Keeps functions from being registered or started.
    pub(crate) fn unused(&self) -> RwLockWriteGuard<'_, ()> {
        self.in_use.write()
    }

    /// Makes a topic unless there is one, with any number of partitions.
    pub(crate) fn ensure(&self, topic: &Topic, partitions: u32) -> Result<()> {
        match self.topics.describe(topic) {
            Err(error) if error.code == ErrorCode::TopicNotFound => {}
            there => return there.map(drop),
        }
        match self.topics.create(topic, partitions, self.retention) {
            Err(error) if error.code == ErrorCode::TopicExists => Ok(()),
            made => made,
        }
    }

    /// Makes the topics of a function that are not there yet.
    pub(crate) fn ensure_all(&self, spec: &FunctionSpec) -> Result<()> {
        let dead_letters = spec.dead_letter_topic();
        for topic in spec.topics() {
            // Dead letters are few, and one partition keeps them in the order in which they came.
            let partitions = if dead_letters.as_ref() == Some(&topic) { 1 } else { spec.replicas };
            self.ensure(&topic, partitions)?;
        }
        Ok(())
    }
}
