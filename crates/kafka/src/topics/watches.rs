// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Waking those who wait for records: each partition that somebody waits for is read from its end on, and what comes is thrown away.
//! A cluster tells in no other way that there is something new.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use fnstream_core::Result;
use fnstream_core::record::TopicPartition;
use fnstream_core::topics::Watch;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use crate::feed::Feed;
use crate::properties::Properties;
use crate::ring::Ring;

/// Topic and partition, as Kafka calls them.
type Name = (String, u32);

/// See the module.
pub(super) struct Watches {
    shared: Arc<Shared>,
    next: AtomicU64,
}

struct Shared {
    properties: Properties,
    /// Started for the first who waits.
    feed: OnceLock<Arc<Feed>>,
    watched: Mutex<HashMap<Name, Arc<Watched>>>,
}

/// A partition that somebody waits for.
struct Watched {
    feed: Arc<Feed>,
    ring: OnceLock<Arc<Ring>>,
    wakers: Mutex<BTreeMap<u64, Waker>>,
    /// It cannot be read on: whoever comes next begins anew.
    is_over: AtomicBool,
}

struct Guard {
    shared: Arc<Shared>,
    name: Name,
    watched: Arc<Watched>,
    number: u64,
}

impl Watch for Guard {}

impl Watches {
    pub(super) fn new(properties: &Properties) -> Result<Watches> {
        // One record is as good as many.
        let little = BTreeMap::from([("max.partition.fetch.bytes".to_owned(), "1024".to_owned())]);
        let shared = Shared { properties: properties.with(&little)?, feed: OnceLock::new(), watched: Mutex::default() };
        Ok(Watches { shared: Arc::new(shared), next: AtomicU64::new(0) })
    }

    /// Calls the waker when something comes. `end` asks for the offset that comes next.
    pub(super) fn watch(
        &self,
        name: Name,
        at: &TopicPartition,
        waker: Waker,
        end: impl FnOnce(&str) -> Result<i64>,
    ) -> Result<Box<dyn Watch>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let guard = |watched: &Arc<Watched>, waker| {
            watched.wakers.lock().insert(number, waker);
            Box::new(Guard { shared: self.shared.clone(), name: name.clone(), watched: watched.clone(), number })
        };
        if let Some(watched) = self.shared.watched.lock().get(&name).filter(|watched| watched.goes_on()) {
            return Ok(guard(watched, waker));
        }
        let feed = self.shared.feed()?;
        // What is appended after this is read, whoever of several has asked first.
        let end = end(&name.0)?;
        let mut all = self.shared.watched.lock();
        if let Some(watched) = all.get(&name) {
            if watched.goes_on() {
                return Ok(guard(watched, waker));
            }
            watched.release();
        }
        let watched = Watched::start(feed, &self.shared.properties, &name, at, end);
        let guard = guard(&watched, waker);
        all.insert(name.clone(), watched);
        Ok(guard)
    }

    /// Wakes all who wait for something of a topic, which is gone.
    pub(super) fn wake(&self, topic: &str) {
        let all = self.shared.watched.lock();
        for watched in all.iter().filter(|((name, _), _)| name == topic).map(|(_, watched)| watched) {
            watched.end();
        }
    }
}

impl Shared {
    fn feed(&self) -> Result<Arc<Feed>> {
        if let Some(feed) = self.feed.get() {
            return Ok(feed.clone());
        }
        let feed = Feed::start(&self.properties)?;
        Ok(self.feed.get_or_init(|| feed).clone())
    }
}

impl Watched {
    fn start(feed: Arc<Feed>, properties: &Properties, name: &Name, at: &TopicPartition, end: i64) -> Arc<Watched> {
        let watched = Arc::new(Watched {
            feed,
            ring: OnceLock::new(),
            wakers: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let came: Weak<Watched> = Arc::downgrade(&watched);
        let waker = Waker::new(move || {
            if let Some(watched) = came.upgrade() {
                watched.look();
            }
        });
        let ring = Arc::new(Ring::new((name.0.clone(), name.1 as i32), at.clone(), 0, end, waker));
        let ring = watched.ring.get_or_init(|| ring);
        watched.feed.take(properties, &[(ring.clone(), end)]);
        watched
    }

    /// Something happened in the ring. Runs on the feed's thread.
    fn look(&self) {
        let Some(ring) = self.ring.get() else { return };
        let (came, failed, has_room) = ring.with(|state| {
            let mut came = false;
            while state.pop_if(|_| true).is_some() {
                came = true;
            }
            (came, state.failed.is_some(), state.resume_if_empty())
        });
        if has_room {
            self.feed.resume(ring);
        }
        if failed {
            self.end();
        } else if came || self.feed.trouble().is_some() {
            self.wake();
        }
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    /// Whoever waits asks for the records, and is told what is the matter.
    fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Holds the wakers meanwhile, so that none is called after its guard was dropped.
    fn wake(&self) {
        self.wakers.lock().values().for_each(Waker::wake);
    }

    fn release(&self) {
        if let Some(ring) = self.ring.get() {
            self.feed.release(std::slice::from_ref(ring));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut all = self.shared.watched.lock();
        let is_last = {
            let mut wakers = self.watched.wakers.lock();
            wakers.remove(&self.number);
            wakers.is_empty()
        };
        // One that was over may have been replaced, and was released then.
        if is_last && all.get(&self.name).is_some_and(|of_name| Arc::ptr_eq(of_name, &self.watched)) {
            all.remove(&self.name);
            self.watched.release();
        }
    }
}
