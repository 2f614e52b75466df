// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Waiting for something to read: a reader at the end of each partition that somebody waits for.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use fnstream_core::Result;
use fnstream_core::topics::Watch;
use fnstream_core::waker::Waker;
use fnstream_pulsar_client::{Consumer, Event, InitialPosition, SubscriptionType};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::place::Shared;
use crate::{error, names, runtime};

/// How many messages the broker may send before they are asked for again.
const AHEAD: u32 = 100;

/// See the module.
pub(super) struct Watches {
    shared: Arc<Shared>,
    all: Arc<Mutex<HashMap<String, Weak<Watched>>>>,
}

/// A partition that somebody waits for.
struct Watched {
    wakers: Mutex<(u64, HashMap<u64, Waker>)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Guard {
    watched: Arc<Watched>,
    number: u64,
}

impl Watches {
    pub(super) fn new(shared: Arc<Shared>) -> Watches {
        Watches { shared, all: Arc::default() }
    }

    /// Has a waker called when something comes. Blocks until that is so.
    pub(super) fn watch(&self, name: String, waker: Waker) -> Result<Box<dyn Watch>> {
        let known = self.all.lock().get(&name).and_then(Weak::upgrade).filter(|watched| watched.goes_on());
        let watched = match known {
            Some(watched) => watched,
            None => {
                let consumer = runtime::wait(self.consumer(&name))?;
                let watched = Arc::new(Watched { wakers: Mutex::default(), thread: Mutex::default() });
                *watched.thread.lock() = Some(runtime::spawn(hear(Arc::downgrade(&watched), consumer)));
                let mut all = self.all.lock();
                all.retain(|_, watched| watched.strong_count() > 0);
                all.insert(name, Arc::downgrade(&watched));
                watched
            }
        };
        let number = {
            let mut wakers = watched.wakers.lock();
            wakers.0 += 1;
            let number = wakers.0;
            wakers.1.insert(number, waker);
            number
        };
        Ok(Box::new(Guard { watched, number }))
    }

    async fn consumer(&self, name: &str) -> Result<Consumer> {
        let made = self
            .shared
            .client
            .consumer(name)
            .subscription(format!("{}-waits", self.shared.unique()))
            .subscription_type(SubscriptionType::Exclusive)
            .durable(false)
            .initial_position(InitialPosition::Latest)
            .receiver_queue(0)
            .force_topic_creation(false)
            .subscribe()
            .await;
        let consumer = made.map_err(|e| error::of(format!("watching '{name}'"), &e))?;
        consumer.grant_up_to(AHEAD);
        Ok(consumer)
    }

    /// Wakes all who wait for something of a topic, which is gone.
    pub(super) fn wake(&self, topic: &str) {
        let is_of = |name: &str| name == topic || names::of_partition(name).is_some_and(|(of, _)| of == topic);
        let watched: Vec<_> = self
            .all
            .lock()
            .iter()
            .filter(|(name, _)| is_of(name))
            .filter_map(|(_, watched)| watched.upgrade())
            .collect();
        watched.iter().for_each(|watched| watched.wake());
    }
}

async fn hear(watched: Weak<Watched>, consumer: Consumer) {
    loop {
        let event = consumer.recv().await;
        let Some(watched) = watched.upgrade() else { return };
        watched.wake();
        match event {
            Ok(Event::Messages(_)) => consumer.grant_up_to(AHEAD),
            // Whoever waits asks for the records, and is told what is the matter.
            Ok(Event::Closed(_)) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

impl Watched {
    fn goes_on(&self) -> bool {
        self.thread.lock().as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Holds the wakers meanwhile, so that none is called after its guard was dropped.
    fn wake(&self) {
        self.wakers.lock().1.values().for_each(Waker::wake);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.lock().take() {
            thread.abort();
        }
    }
}

impl Watch for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watched.wakers.lock().1.remove(&self.number);
    }
}
