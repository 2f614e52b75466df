// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The topics that a pattern stands for, and when there are others.
//!
//! The broker tells when topics of a namespace come or go, partitions included. It may do so before the number of partitions has changed
//! that it tells, so whoever waits is woken once more a little later. A broker that does not tell is asked each minute, and so is one that
//! does: nothing is missed for long whatever happens between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::topic::Topic;
use fnstream_core::topics::{TopicMatcher, Watch};
use fnstream_core::waker::Waker;
use fnstream_core::{ErrorCode, Result};
use fnstream_pulsar_client::{Client, Error as Failure, TopicWatch, TopicsMode};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::options::Options;
use crate::pattern::Pattern;
use crate::place::Shared;
use crate::{error, names, runtime};

/// After so long topics are looked for although nobody has told of any.
const PERIOD: Duration = Duration::from_secs(60);
/// How long after news the number of partitions is the new one.
const SETTLES: Duration = Duration::from_secs(2);

pub(super) fn matcher(options: &Options, pattern: &Topic) -> Result<TopicMatcher> {
    let (read, options) = (Pattern::new(&pattern.name, options)?, options.clone());
    Ok(Box::new(move |topic| options.name(topic).is_ok_and(|full| read.matches(&full))))
}

/// Those that there are now, with their partitions. Blocks.
pub(crate) fn matching(shared: &Shared, pattern: &Topic) -> Result<BTreeMap<Topic, u32>> {
    let read = Pattern::new(&pattern.name, &shared.options)?;
    runtime::wait(async {
        let listed = shared.client.topics(&read.namespace, TopicsMode::Persistent, None).await;
        let listed = listed.map_err(|e| error::of(format!("looking for topics that match '{pattern}'"), &e))?;
        let mut found = BTreeMap::new();
        for name in &listed {
            let name = names::of_partition(name).map_or(&**name, |(topic, _)| topic);
            if !read.matches(name) {
                continue;
            }
            let named = names::short(name, &shared.options.namespace);
            let topic = Topic { cluster: shared.options.cluster.clone(), name: named.into() };
            if found.contains_key(&topic) {
                continue;
            }
            shared.forget_count(name);
            match shared.count(name).await {
                Ok(count) => _ = found.insert(topic, count.max(1)),
                // It went away meanwhile.
                Err(error) if error.code == ErrorCode::TopicNotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    })
}

/// See [`fnstream_core::topics::Topics::watch_matching`].
pub(super) fn watch(shared: &Arc<Shared>, pattern: &Topic, waker: Waker) -> Result<Box<dyn Watch>> {
    let namespace = Pattern::new(&pattern.name, &shared.options)?.namespace;
    let waker = Arc::new(Mutex::new(Some(waker)));
    let thread = runtime::spawn(follow(shared.client.clone(), namespace, waker.clone()));
    Ok(Box::new(Guard { waker, thread }))
}

/// Keeps somebody awake. The waker is held while it is called, so that it is not called after the guard was dropped.
struct Guard {
    waker: Arc<Mutex<Option<Waker>>>,
    thread: JoinHandle<()>,
}

impl Watch for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        self.thread.abort();
        self.waker.lock().take();
    }
}

fn wake(waker: &Mutex<Option<Waker>>) {
    if let Some(waker) = &*waker.lock() {
        waker.wake();
    }
}

async fn follow(client: Client, namespace: String, waker: Arc<Mutex<Option<Waker>>>) {
    let mut told: Option<TopicWatch> = None;
    loop {
        if told.is_none() {
            match client.watch_topics(&namespace).await {
                Ok(watch) => told = Some(watch),
                Err(failure) => tracing::debug!(namespace, %failure, "the broker does not tell of topics"),
            }
        }
        // What came before the watch began was not told.
        wake(&waker);
        if next(&mut told).await {
            wake(&waker);
            settle(&mut told).await;
        }
    }
}

/// Waits for news, or until it is time to look without any; whether there are news.
async fn next(told: &mut Option<TopicWatch>) -> bool {
    match told {
        None => {
            runtime::pause(PERIOD).await;
            false
        }
        Some(watch) => match timeout(PERIOD, watch.changed()).await {
            Err(_) => false,
            Ok(changed) => is_watched(told, changed),
        },
    }
}

/// Waits until there were no news for a little while.
async fn settle(told: &mut Option<TopicWatch>) {
    let mut until = Instant::now() + SETTLES;
    // Somebody who makes topics without end holds nobody up for ever.
    let last = until + SETTLES * 2;
    loop {
        let Some(watch) = told else { return runtime::pause(SETTLES).await };
        match timeout_at(until, watch.changed()).await {
            Err(_) => return,
            Ok(changed) => _ = is_watched(told, changed),
        }
        until = (Instant::now() + SETTLES).min(last);
    }
}

/// A broker that does not tell any more is asked to, later.
fn is_watched(told: &mut Option<TopicWatch>, changed: std::result::Result<(), Failure>) -> bool {
    if let Err(failure) = changed {
        tracing::debug!(%failure, "the broker tells no more of topics");
        *told = None;
        return false;
    }
    true
}
