// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Watermarks that functions emit: records of one compacted internal topic of the server, in the transactions of their epochs.
//!
//! ```text
//!  out-0         │ r │ r │ t │ r │ t │          r = record of the writer, t = a transaction's marker
//!                        ▲       ▲
//!  watermarks    said 50, ends {0: 2}   said 60, ends {0: 4}
//! ```
//!
//! What is said holds behind the writer's own records so far, whose ends are known when they are delivered, before the commit
//! ([`fnstream_core::watermarks`]).

use std::sync::{Arc, Weak};

use fnstream_core::Result;
use fnstream_core::record::TopicPartition;
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_core::watermarks::{Heard, Said};
use parking_lot::Mutex;

use crate::admin::POLICY;
use crate::feed::Feed;
use crate::ring::Ring;

/// What the topic has to be set to.
pub(crate) const SETTINGS: [(&str, &str); 1] = [(POLICY, "compact")];

/// What was said so far of all topics.
pub(crate) struct Marks {
    /// Fills the ring.
    _feed: Arc<Feed>,
    ring: Arc<Ring>,
    wakers: Arc<Mutex<Vec<Weak<Waker>>>>,
    topics: Mutex<Topics>,
}

#[derive(Default)]
struct Topics {
    heard: Heard<i64>,
    /// Everything that was there when reading began was read.
    is_caught_up: bool,
}

impl Marks {
    pub(crate) fn follow(feed: Arc<Feed>, topic: &str, from: i64) -> Marks {
        let wakers: Arc<Mutex<Vec<Weak<Waker>>>> = Arc::default();
        let woken = wakers.clone();
        let wake = Waker::new(move || {
            woken.lock().retain(|waker| waker.upgrade().map(|waker| waker.wake()).is_some());
        });
        let at = TopicPartition::new(Topic::own(topic), 0);
        let ring = Arc::new(Ring::new((topic.to_owned(), 0), at, 0, from, wake));
        Marks { _feed: feed, ring, wakers, topics: Mutex::default() }
    }

    pub(crate) fn ring(&self) -> Arc<Ring> {
        self.ring.clone()
    }

    /// Has a waker called when something was said, for as long as it is held.
    pub(crate) fn register(&self, waker: &Arc<Waker>) {
        self.wakers.lock().push(Arc::downgrade(waker));
    }

    /// Takes in what came. Answers whether what was there at the beginning has been read.
    pub(crate) fn advance(&self) -> Result<bool> {
        let mut topics = self.topics.lock();
        let has_room = self.ring.with(|state| {
            while let Some(message) = state.pop_if(|_| true) {
                if let Some(value) = message.value() {
                    topics.heard.hear(Said::decode(value)?);
                }
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            topics.is_caught_up |= state.end.is_some();
            Ok(state.resume_if_empty())
        })?;
        if has_room {
            self._feed.resume(&self.ring);
        }
        Ok(topics.is_caught_up)
    }

    /// The watermark that holds at an offset.
    pub(crate) fn at(&self, of: &TopicPartition, offset: i64) -> Option<u64> {
        self.topics.lock().heard.at(of, offset)
    }
}
