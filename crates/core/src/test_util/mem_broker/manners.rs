// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Manners of foreign brokers, each of which a world may switch on.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::source::Fetch;
use super::{MemBroker, Shared};
use crate::epoch::TaskId;
use crate::error::{Error, ErrorCode, Result};

/// How a broker behaves beyond what every broker does.
///
/// | manner | a broker that has it |
/// |---|---|
/// | `gaps` | Kafka: markers of transactions and aborted records take positions |
/// | `prefetch` | both: records are fetched in the background, a fresh source has none, ends are learnt with the first answer |
/// | `max_value` | both: a record above a limit is refused for good |
/// | `state_topic` | both: deltas go behind what a keyed topic of the state has, and an empty disk is filled from that |
/// | `stale_lookups` | both: a process that connects does not know the topics yet |
/// | `strict_restores` | none: a task that was taken away must not be restored any further |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manners {
    /// Each transaction, committed or not, leaves a gap in the positions of what it touched.
    pub gaps: bool,
    /// Sources give only what [`MemBroker::deliver`] has brought to them.
    pub prefetch: bool,
    /// Records with a larger value are refused: [`crate::committer::CommitFailure::Rejected`].
    pub max_value: Option<usize>,
    /// State is written to a topic of its own when it is applied, and deltas are dropped behind that:
    /// [`MemBroker::land_state`].
    pub state_topic: bool,
    /// So many look-ups of a process that connects are answered [`ErrorCode::Unavailable`].
    pub stale_lookups: u32,
    /// Going on with the replay of a task that its process was told to give up is a violation.
    pub strict_restores: bool,
}

/// What a test does between two steps of a replay.
pub(super) type ReplayHook = Arc<dyn Fn(TaskId) + Send + Sync>;

/// What is switched on, and whether the broker can be reached.
#[derive(Default)]
pub(super) struct Weather {
    pub manners: Manners,
    pub away: bool,
    pub on_replay: Option<ReplayHook>,
}

impl fmt::Debug for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weather").field("manners", &self.manners).field("away", &self.away).finish_non_exhaustive()
    }
}

impl Weather {
    /// Refuses while the broker is away.
    pub(super) fn check_reachable(&self) -> Result<()> {
        if self.away { Err(Error::new(ErrorCode::Unavailable, "the broker cannot be reached")) } else { Ok(()) }
    }
}

impl MemBroker {
    /// An empty broker of these manners.
    pub fn with(manners: Manners) -> Self {
        let broker = Self::default();
        {
            let mut state = broker.shared.state.lock();
            state.ledger.topics.gaps = manners.gaps;
            state.ledger.max_value = manners.max_value;
            state.sources.prefetch = manners.prefetch;
            state.weather.manners = manners;
        }
        broker
    }

    /// What was switched on.
    pub fn manners(&self) -> Manners {
        self.shared.state.lock().weather.manners
    }

    /// Makes the broker unreachable for every process, or reachable again. While it is away sources say that nothing is
    /// there, commits wait, and everything else is answered [`ErrorCode::Unavailable`].
    pub fn set_away(&self, away: bool) {
        self.shared.state.lock().weather.away = away;
        self.shared.wake_all();
    }

    /// Whether the broker is away.
    pub fn is_away(&self) -> bool {
        self.shared.state.lock().weather.away
    }

    /// Calls `hook` before each delta of a replay, without a lock: it may do anything to the broker.
    pub fn on_replay(&self, hook: impl Fn(TaskId) + Send + Sync + 'static) {
        self.shared.state.lock().weather.on_replay = Some(Arc::new(hook));
    }

    /// The sources to which something can be delivered, oldest first.
    pub fn undelivered(&self) -> Vec<u64> {
        let state = self.shared.state.lock();
        if state.weather.away { Vec::new() } else { state.sources.undelivered(&state.ledger.topics) }
    }

    /// Delivers to a source up to so many records of each of its partitions, and where these end.
    pub fn deliver(&self, source: u64, records: usize) {
        let waker = {
            let mut state = self.shared.state.lock();
            let super::State { ledger, sources, weather, .. } = &mut *state;
            if weather.away { None } else { sources.deliver(source, &ledger.topics, Fetch { records }) }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Delivers everything there is; says whether there was anything.
    pub fn deliver_all(&self) -> bool {
        let sources: BTreeSet<_> = self.undelivered().into_iter().collect();
        sources.iter().for_each(|source| self.deliver(*source, usize::MAX));
        !sources.is_empty()
    }
}

impl Shared {
    /// Wakes every reader.
    fn wake_all(&self) {
        let wakers = self.state.lock().sources.wakers();
        wakers.into_iter().for_each(|waker| waker.wake());
    }
}
