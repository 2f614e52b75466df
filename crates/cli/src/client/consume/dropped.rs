// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What retention dropped before it was consumed: whoever reads on is warned.

use fnstream_api::ConsumedBatch;

use crate::output;

/// Warns of events of a partition, from a position on; so many, if it is known.
pub(super) fn warn(partition: u32, from: &str, events: Option<u128>) {
    let events = match events {
        Some(1) => "1 event".to_owned(),
        Some(events) => format!("{events} events"),
        None => "events".to_owned(),
    };
    output::complain(&format!(
        "warning: retention dropped {events} of partition {partition}, from position {from} on, before they were consumed"
    ));
}

/// The same of what was dropped between a position and the events that came.
pub(super) fn warn_before(batch: &ConsumedBatch, from: &str) {
    let place = |text: &str| text.parse::<u128>().ok();
    let events = place(&batch.position).zip(place(from)).and_then(|(next, from)| next.checked_sub(from));
    warn(batch.partition, from, events);
}
