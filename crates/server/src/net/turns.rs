// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is done for clients that get nothing, at a pace that does not grow with their number.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Turns, of which one comes at a time, so long after the one before at the least. Who waits longest is next.
#[derive(Debug)]
pub(crate) struct Turns {
    /// What one turn is for.
    bytes: usize,
    apart: Duration,
    next: Mutex<Instant>,
}

/// How one of many keeps the pace.
pub(crate) struct Pace<'a> {
    turns: &'a Turns,
    /// What it took since its last turn.
    taken: usize,
}

impl Turns {
    pub(super) fn new(bytes: usize, apart: Duration) -> Self {
        Turns { bytes, apart, next: Mutex::new(Instant::now()) }
    }

    pub(crate) fn pace(&self) -> Pace<'_> {
        Pace { turns: self, taken: 0 }
    }

    async fn next(&self) {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        *next = Instant::now() + self.apart;
    }
}

impl Pace<'_> {
    /// Notes that so many bytes were taken. Comes back when more may be.
    pub(crate) async fn took(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= self.turns.bytes {
            self.taken = 0;
            self.turns.next().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn many_share_the_pace_of_one() {
        const APART: Duration = Duration::from_millis(2);
        let (turns, begun) = (Arc::new(Turns::new(10, APART)), Instant::now());
        let mut many = JoinSet::new();
        for _ in 0..50 {
            let turns = turns.clone();
            many.spawn(async move {
                let mut pace = turns.pace();
                pace.took(9).await;
                pace.took(1).await;
            });
        }
        many.join_all().await;
        assert!(begun.elapsed() >= APART * 49, "{:?}", begun.elapsed());
    }
}
