// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Connections: how many there may be, how long each may take for what, and how they are served.
//!
//! Both interfaces are served by the same loop ([`serve`]). What a client can hold back is bounded in time and in number, since
//! whatever it holds is the server's:
//!
//! ```text
//! accepted ── first head ──► body ──► handler ──► answer ──► idle ──► next head
//!     │      head_timeout        │    as long as      │    idle_timeout   head_timeout
//!     │                    body_timeout  it takes  answer_timeout
//!     └── too many: one that is idle goes ([`slots`]); if none is, the new one is refused with FS-1721
//! ```
//!
//! Times of body and answer are those without progress: a client that goes on, however slowly above [`LEAST_RATE`], is not cut.
//! Until its first head is there a connection stays at the door, a thread of its own ([`door`]): those who ask nothing are in
//! nobody's way.
//!
//! A handler may take as long as it likes, so that who waits for events is left alone. Of HTTP/2 each stream is looked at by
//! itself, since a client that reads one answer may leave another ([`streams`]). A client of HTTP/1 that has sent all that it has to
//! say may end its side and gets its answer; whether it is still there is asked before it gets what would be lost ([`presence`]).

mod accept;
mod answer;
mod body;
mod connection;
mod door;
mod exchange;
mod head;
mod io;
mod presence;
mod refuse;
mod slots;
mod streams;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::Error;
use fnstream_core::budget::{Budget, Held, Part};
use prometheus_client::metrics::counter::Counter;

pub(crate) use accept::serve;
pub(crate) use answer::Counted;
pub(crate) use body::TooSlow;
pub(crate) use exchange::Interface;
pub(crate) use presence::Presence;
pub(crate) use slots::Slots;

use crate::app::pages;
use crate::config::Network;
use crate::descriptors::Descriptors;
use turns::Turns;

/// The slowest that a client may send or read, in bytes a second, over the time without progress that it has.
const LEAST_RATE: u64 = 1 << 10;

/// How long a request waits for memory that others hold.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What is at most so large is small: it never waits behind something that is not.
pub(crate) const SMALL: usize = 64 << 10;

/// Bodies that were refused are read and thrown away at this pace, all of them together: 128 MiB a second.
const HEARD: usize = 256 << 10;
const HEARING: Duration = Duration::from_millis(2);

/// What all connections have in common.
pub(crate) struct Net {
    pub(crate) network: Network,
    pub(crate) slots: Arc<Slots>,
    pub(crate) budget: Budget,
    pub(crate) files: Descriptors,
    pub(crate) meter: NetMeter,
    /// For bodies that were refused.
    pub(crate) hearing: Turns,
}

/// What is counted of connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetMeter {
    /// Those that took too long, by what they took too long for.
    pub(crate) slow_heads: Counter,
    pub(crate) slow_bodies: Counter,
    pub(crate) slow_readers: Counter,
    /// Those that were idle for too long, or whose place another one needed.
    pub(crate) idle: Counter,
}

impl Net {
    pub(crate) fn new(network: Network, files: &Descriptors, budget: Budget) -> Arc<Self> {
        let slots = Slots::new(files.connections, files.refused);
        let hearing = Turns::new(HEARD, HEARING);
        Arc::new(Net { network, slots, budget, files: *files, meter: NetMeter::default(), hearing })
    }

    /// Memory for what is being asked or answered, within bounded time.
    pub(crate) async fn memory(&self, part: &Part, bytes: usize) -> Result<Held, Error> {
        memory(&self.budget, part, bytes).await
    }

    /// Memory for a page of a list while it is gathered, within bounded time.
    pub(crate) async fn for_list(&self) -> Result<Held, Error> {
        self.memory(&self.budget.lists, pages::MEMORY).await
    }
}

/// The bytes of a part, or of the part for small things; what is larger than the whole part takes all of it.
pub(crate) async fn memory(budget: &Budget, part: &Part, bytes: usize) -> Result<Held, Error> {
    let part = if bytes <= SMALL { &budget.small } else { part };
    let bytes = bytes.min(part.limit());
    match tokio::time::timeout(PATIENCE, part.take(bytes)).await {
        Ok(held) => held,
        // As it is refused to those who don't wait; or it has just become free.
        Err(_) => part.try_take(bytes),
    }
}
