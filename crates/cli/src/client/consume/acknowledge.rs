// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client consume --ack`: events are leased, printed, and acknowledged when the output has them.
//!
//! Whatever ends the client before that, the events are given to the group again: none is lost, and some may be printed twice.

use std::time::Duration;

use fnstream_api::{Client, LeasedEvent, LeasedEvents, SkippedEvents, TakeOptions};
use tokio::time::Instant;

use super::super::follow::{Follow, WAIT};
use super::dropped;
use super::print::Printer;
use crate::failure::{Failure, Result};
use crate::output;
use fnstream_core::units::counted;

/// The most events of one request: few enough to be printed within a lease.
const MOST: u64 = 1_000;

/// What is consumed, and until when.
pub(super) struct Leasing<'a> {
    pub(super) client: &'a Client,
    pub(super) topic: &'a str,
    pub(super) group: &'a str,
    pub(super) options: TakeOptions,
    /// How long to wait for the next event.
    pub(super) timeout: Option<Duration>,
    /// Ends after so many; without it when nothing comes in time.
    pub(super) count: Option<u64>,
}

impl Leasing<'_> {
    pub(super) async fn run(mut self, mut printer: Printer) -> Result {
        let (mut follow, mut left, mut last) = (Follow::begin()?, self.count, Instant::now());
        // The answer to the first request says that the server is there.
        self.options.wait = Some(Duration::ZERO);
        while left != Some(0) {
            self.options.max = Some(left.unwrap_or(MOST).min(MOST) as u32);
            let LeasedEvents { events, skipped } =
                follow.ask(async || self.client.take(self.topic, self.group, &self.options).await).await?;
            for SkippedEvents { partition, from, events } in &skipped {
                dropped::warn(*partition, from, Some((*events).into()));
            }
            if !events.is_empty() {
                printer.print_leased(&events)?;
                self.acknowledge(&mut follow, &events).await?;
                left = left.map(|left| left.saturating_sub(events.len() as u64));
                last = Instant::now();
            }
            self.options.wait = match self.timeout.map(|patience| patience.saturating_sub(last.elapsed())) {
                Some(Duration::ZERO) if events.is_empty() => return self.nothing_came(),
                left => Some(left.unwrap_or(WAIT).min(WAIT)),
            };
        }
        Ok(())
    }

    async fn acknowledge(&self, follow: &mut Follow, events: &[LeasedEvent]) -> Result {
        let receipts: Vec<_> = events.iter().map(|event| event.receipt.clone()).collect();
        let ask = async || self.client.acknowledge(self.topic, self.group, receipts.clone()).await;
        let settled = follow.ask(ask).await?;
        let lost = settled.refused.len();
        if lost > 0 {
            output::complain(&format!(
                "warning: {} will be printed again, since the lease had ended: give a longer --lease",
                counted(lost, "printed event")
            ));
        }
        Ok(())
    }

    /// The end of following; a failure for who waits for a number of events.
    fn nothing_came(&self) -> Result {
        match self.count {
            None => Ok(()),
            Some(_) => {
                let waited = self.timeout.unwrap_or_default();
                Err(Failure::Plain(format!("no event within {waited:?}")))
            }
        }
    }
}
