// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that read the topics of a pattern.
//!
//! A function is given to the engine with the topics that match at that moment. When others do, or a topic has more partitions, it is begun
//! anew, as when a topic that it names gets more partitions: each task goes on where it has committed, with the state that it has, and
//! topics that are new begin at their beginning. A function that no topic matches runs without tasks.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use fnstream_core::Result;
use fnstream_core::epoch::FunctionId;
use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::topic::Topic;
use fnstream_core::topics::Watch;
use fnstream_core::units::counted;
use fnstream_core::waker::Waker;
use fnstream_pulsar::INITIAL_POSITION;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Reconciler;
use crate::app::ops::blocking;
use crate::clusters::{Clusters, Found};

/// What was found for each function, and who looks for more.
#[derive(Default)]
pub(in crate::app) struct Patterns(Mutex<HashMap<FunctionId, Followed>>);

struct Followed {
    /// With what the function was started last.
    found: Found,
    follower: Option<Follower>,
}

/// Looks for other topics while it lives.
struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Patterns {
    /// The function with the topics that match now. Blocks.
    pub(super) fn expand(&self, clusters: &Arc<Clusters>, entry: &FunctionEntry) -> Result<FunctionEntry> {
        if entry.spec.patterns().next().is_none() {
            return Ok(entry.clone());
        }
        let (mut spec, found) = clusters.expand(&entry.spec)?;
        let before = self.0.lock().get(&entry.id).map(|followed| followed.found.clone());
        begin_at_beginning(&mut spec, clusters, entry.id, &found, before.as_ref())?;
        self.0.lock().insert(entry.id, Followed { found, follower: None });
        Ok(FunctionEntry { spec, ..entry.clone() })
    }

    /// Nobody looks for more topics of a function that ends.
    pub(super) fn rest(&self, id: FunctionId) {
        let follower = self.0.lock().get_mut(&id).and_then(|followed| followed.follower.take());
        drop(follower);
    }

    /// Nothing is known any more of a function that was deleted.
    pub(super) fn forget(&self, id: FunctionId) {
        let forgotten = self.0.lock().remove(&id);
        drop(forgotten);
    }
}

/// Topics that appear while a function is there begin at their beginning, wherever those begin that were there before it: what was written
/// until they were found is not missed.
fn begin_at_beginning(
    spec: &mut FunctionSpec,
    clusters: &Arc<Clusters>,
    id: FunctionId,
    found: &Found,
    before: Option<&Found>,
) -> Result<()> {
    let at_end = |named: &&mut fnstream_core::topic::TopicRef| {
        found.contains_key(&named.topic) && named.options.get(INITIAL_POSITION).is_some_and(|at| at == "latest")
    };
    let mut at_end: Vec<_> = spec.inputs.iter_mut().flatten().filter(at_end).collect();
    if at_end.is_empty() {
        return Ok(());
    }
    let standing = clusters.tasks().progress(id)?;
    if before.is_none() && standing.is_empty() {
        return Ok(());
    }
    let is_read = |topic: &Topic| standing.values().any(|of| of.positions.keys().any(|at| at.topic == *topic));
    let is_known = |topic: &Topic| before.is_some_and(|before| before.contains_key(topic)) || is_read(topic);
    for named in at_end.iter_mut().filter(|named| !is_known(&named.topic)) {
        named.options.insert(INITIAL_POSITION.to_owned(), "earliest".to_owned());
    }
    Ok(())
}

impl Reconciler {
    /// Looks for other topics of a function that was started, if it reads those of patterns.
    pub(super) fn follow_patterns(self: &Arc<Self>, entry: &FunctionEntry) {
        let mut all = self.runner.patterns.0.lock();
        let Some(followed) = all.get_mut(&entry.id).filter(|_| entry.spec.patterns().next().is_some()) else { return };
        let news = Arc::new(Notify::new());
        let topics = self.runner.clusters.topics_of(&entry.spec);
        let watch = |pattern: &Topic| {
            let news = news.clone();
            topics.watch_matching(pattern, Waker::new(move || news.notify_one()))
        };
        let watches: Result<Vec<_>> = entry.spec.patterns().map(|named| watch(&named.topic)).collect();
        match watches {
            Ok(watches) => {
                let follows = follow(Arc::downgrade(self), entry.clone(), followed.found.clone(), news, watches);
                followed.follower = Some(Follower(tokio::spawn(follows)));
            }
            Err(error) => {
                let function = &entry.spec.name;
                tracing::error!(function, code = %error.code, error = error.message, "topics that appear are not found");
            }
        }
    }
}

async fn follow(
    reconciler: Weak<Reconciler>,
    entry: FunctionEntry,
    started: Found,
    news: Arc<Notify>,
    _watches: Vec<Box<dyn Watch>>,
) {
    let function = &entry.spec.name;
    loop {
        news.notified().await;
        let Some(reconciler) = reconciler.upgrade() else { return };
        let (clusters, spec) = (reconciler.runner.clusters.clone(), entry.spec.clone());
        match blocking(move || clusters.expand(&spec)).await {
            Ok((_, found)) if found != started => {
                let change = change(&started, &found);
                tracing::info!(function, change, "a function is begun anew, since topics of its patterns have changed");
                reconciler.runner.logs.note(entry.id, function, &format!("goes on with other topics: {change}"));
                reconciler.again(function);
                return;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(function, code = %error.code, error = error.message, "topics could not be looked for");
            }
        }
    }
}

/// What has changed, in words.
fn change(before: &Found, now: &Found) -> String {
    let come =
        now.iter().filter(|(topic, _)| !before.contains_key(topic)).map(|(topic, _)| format!("'{topic}' is new"));
    let gone = before.keys().filter(|topic| !now.contains_key(topic)).map(|topic| format!("'{topic}' is gone"));
    let other = now.iter().filter(|(topic, count)| before.get(topic).is_some_and(|was| was != *count));
    let other = other.map(|(topic, count)| format!("'{topic}' has {}", counted(*count, "partition")));
    come.chain(gone).chain(other).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_told_topic_by_topic() {
        let found = |of: &[(&str, u32)]| of.iter().map(|(name, count)| (Topic::own(*name), *count)).collect::<Found>();
        let (before, now) = (found(&[("a", 1), ("b", 2), ("c", 2)]), found(&[("b", 2), ("c", 4), ("d", 1)]));
        assert_eq!(change(&before, &now), "'d' is new, 'a' is gone, 'c' has 4 partitions");
    }
}
