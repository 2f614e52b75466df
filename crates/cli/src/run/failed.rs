// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Events that the function failed at, told on standard error.

use fnstream_core::broker::PollLimit;
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::record::{Position, TopicPartition};

use super::feed::Feed;
use super::host::Host;
use crate::failure::Result;
use crate::output::{self, escape};

const LIMIT: PollLimit = PollLimit { records: 1_024, bytes: 1 << 20 };

/// The dead letters of a run. A folder that is kept keeps them, unless they are only for telling.
pub(super) struct Failed {
    at: Option<TopicPartition>,
    position: Position,
    count: u64,
}

impl Failed {
    pub(super) fn new(host: &Host, hidden: bool) -> Result<Self> {
        let (at, position) = host.letters.clone().unzip();
        let position = position.unwrap_or_default();
        if let Some(at) = at.as_ref().filter(|_| hidden) {
            host.store.trim(at, position)?;
        }
        Ok(Failed { at, position, count: 0 })
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Tells the failures that have come.
    pub(super) fn tell(&mut self, host: &Host, feeds: &[Feed]) -> Result {
        let Some(at) = &self.at else { return Ok(()) };
        while let Some(batch) = host.store.topics().read(at, self.position, LIMIT)? {
            for (_, record) in batch.iter() {
                let Some(letter) = DeadLetter::read(record.headers) else { continue };
                self.count += 1;
                output::complain(&told(&letter, feeds));
            }
            self.position = batch.end().unwrap_or(self.position);
        }
        Ok(())
    }
}

fn told(letter: &DeadLetter, feeds: &[Feed]) -> String {
    let line = feeds.iter().find(|feed| feed.at == letter.source);
    let line = line.and_then(|feed| Some(feed.place(feed.line(letter.position.0)?)));
    let place =
        line.unwrap_or_else(|| format!("position {} of {}, from an earlier run,", letter.position, letter.source));
    let message = escape::field(&letter.message, 2);
    let backtrace = letter.backtrace.as_ref().map(|backtrace| format!("\n  {}", escape::field(backtrace, 2)));
    format!("{place} failed: {} {message}{}", letter.code, backtrace.unwrap_or_default())
}
