// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The sources of one task in several clusters as one.

use fnstream_core::broker::{PollLimit, Polled, Source};
use fnstream_core::record::Positions;
use fnstream_core::{Error, Result};

/// Polls its sources in turn, so that one that always has records does not keep another from being polled. Each of them reads
/// other partitions, so positions that are not its own do not concern it.
pub(super) struct SeveralSources {
    sources: Vec<Box<dyn Source>>,
    /// The one whose turn it is.
    turn: usize,
}

impl SeveralSources {
    pub(super) fn new(sources: Vec<Box<dyn Source>>) -> Self {
        SeveralSources { sources, turn: 0 }
    }
}

impl Source for SeveralSources {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        for _ in 0..self.sources.len() {
            let turn = self.turn;
            self.turn = (turn + 1) % self.sources.len();
            match self.sources[turn].poll(group, limit)? {
                Polled::Pending => {}
                something => return Ok(something),
            }
        }
        Ok(Polled::Pending)
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        self.sources.iter_mut().try_for_each(|source| source.seek(to))
    }

    fn ends(&self) -> Positions {
        self.sources.iter().flat_map(|source| source.ends()).collect()
    }

    fn trouble(&self) -> Option<Error> {
        self.sources.iter().find_map(|source| source.trouble())
    }
}
