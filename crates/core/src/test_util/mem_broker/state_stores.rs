// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State stores whose applies also go to the state topics: at once to the local disk, and to the broker as it lands.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::tasks::TaskLog;
use super::{MemBroker, MemClient, Shared};
use crate::delta::{Delta, Write, appended};
use crate::epoch::TaskId;
use crate::error::Result;
use crate::state::{Marker, StateStore, StateStores, Unfinished, Visit};
use crate::test_util::mem_state::MemStateStores;

/// What is on its way to a state topic.
pub(super) enum Landing {
    Write(Bytes, Write, Marker),
    Ranges(Delta, Marker),
    Close(Marker),
}

/// What a process has sent to state topics and the broker has not got yet.
#[derive(Default)]
pub(super) struct Landings(VecDeque<(u32, TaskId, Landing)>);

impl Landings {
    fn send(&mut self, process: u32, task: TaskId, delta: &Delta, marker: &Marker) {
        for (key, write) in delta.sorted_entries() {
            self.0.push_back((process, task, Landing::Write(key.clone(), write.clone(), marker.clone())));
        }
        // After the writes, which they spare: a restore deletes everything and puts it again, and an apply that is torn in
        // between must not lose what no changelog has any more.
        self.0.push_back((process, task, Landing::Ranges(delta.clone(), marker.clone())));
        self.0.push_back((process, task, Landing::Close(marker.clone())));
    }

    /// What a process sends is lost with it.
    pub(super) fn forget(&mut self, process: u32) {
        self.0.retain(|(of, ..)| *of != process);
    }

    /// What an owner before has sent of a task is refused, what the new owner itself has sent arrives first.
    pub(super) fn settle(&mut self, process: u32, task: TaskId) -> Vec<Landing> {
        let (of_task, others) = std::mem::take(&mut self.0).into_iter().partition(|(_, of, _)| *of == task);
        self.0 = others;
        let of_task: VecDeque<(u32, TaskId, Landing)> = of_task;
        of_task.into_iter().filter(|(of, ..)| *of == process).map(|(.., landing)| landing).collect()
    }
}

impl MemBroker {
    /// Lands up to so many writes of state topics, in the order in which they were sent; answers how many.
    pub fn land_state(&self, most: usize) -> usize {
        let mut state = self.shared.state.lock();
        let super::State { ledger, landings, weather, .. } = &mut *state;
        if weather.away {
            return 0;
        }
        let count = landings.0.len().min(most);
        for (_, task, landing) in landings.0.drain(..count) {
            ledger.tasks.entry(task).or_default().land(landing);
        }
        count
    }
}

impl MemClient {
    /// The process' state stores: on its disk, and in the broker's state topics if it has them.
    pub fn state_stores(&self, disk: Arc<MemStateStores>) -> Arc<dyn StateStores> {
        if !self.shared.state.lock().weather.manners.state_topic {
            return disk;
        }
        Arc::new(TopicStores { shared: self.shared.clone(), process: self.process, session: self.session, disk })
    }
}

struct TopicStores {
    shared: Arc<Shared>,
    process: u32,
    session: u64,
    disk: Arc<MemStateStores>,
}

struct TopicStore {
    shared: Arc<Shared>,
    process: u32,
    session: u64,
    task: TaskId,
    disk: Arc<dyn StateStore>,
}

impl StateStores for TopicStores {
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>> {
        let (process, session) = (self.process, self.session);
        Ok(Arc::new(TopicStore { shared: self.shared.clone(), process, session, task, disk: self.disk.open(task)? }))
    }
}

impl StateStore for TopicStore {
    fn marker(&self) -> Result<Option<Marker>> {
        self.disk.marker()
    }

    fn unfinished(&self) -> Result<Option<Unfinished>> {
        self.disk.unfinished()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.disk.get(key)
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.disk.scan(start, end, visit)
    }

    fn apply(&self, delta: &Delta, marker: &Marker) -> Result<()> {
        // The topic has no merges: an entry is the whole value.
        let mut plain = delta.clone();
        for (key, write) in delta.entries() {
            if let Write::Merge(operand) = write {
                let is_deleted = delta.ranges().iter().any(|range| range.contains(key));
                let below = if is_deleted { None } else { self.disk.get(key)? };
                plain.write(key, Write::Put(appended(&below.unwrap_or_default(), operand)));
            }
        }
        self.disk.apply(delta, marker)?;
        let mut state = self.shared.state.lock();
        // What is restored comes from the topic; and whoever was fenced writes nothing more, or what comes later would close
        // over what was refused.
        let takes = |log: &TaskLog| log.writer == Some(self.process) && log.lacks(marker);
        let is_news = state.ledger.tasks.get(&self.task).is_some_and(takes);
        if state.check_alive(self.process, self.session).is_ok() && is_news {
            state.landings.send(self.process, self.task, &plain, marker);
        }
        Ok(())
    }
}
