// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One connection: what it is at, and until when it may be.

use std::sync::{Arc, OnceLock};

use fnstream_core::budget::{Held, Part};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::SMALL;
use super::slots::Place;
use crate::config::Network;

/// The first bytes of a client of HTTP/2 that knows that the server speaks it. So many of them tell it from all other methods.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const TELLING: usize = 5;

/// Those, and the head of the frame that has to follow.
const HANDSHAKE: u64 = PREFACE.len() as u64 + 9;

/// A head up to this size takes no memory of the budget: every connection may have one.
pub(super) const FREE_HEAD: u64 = 8 << 10;

/// What a connection is at.
pub(super) struct Watch {
    network: Network,
    small: Part,
    /// Before that of `Slots`, where both locks are taken.
    stage: Mutex<Stage>,
    place: OnceLock<Place>,
    leave: Notify,
}

struct Stage {
    /// Requests that are being handled or answered.
    busy: u32,
    /// Since when it is not busy.
    since: Instant,
    /// Since when a head is on its way.
    head: Option<Instant>,
    head_bytes: u64,
    /// Memory that the head takes.
    held: Option<Held>,
    protocol: Protocol,
    /// Nothing was asked on it yet.
    new: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// So many bytes look like HTTP/2.
    Unknown(usize),
    One,
    /// With the bytes of its handshake that are still to come.
    Two(u64),
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    Head,
    Idle,
}

impl Watch {
    pub(super) fn new(network: Network, small: Part, now: Instant) -> Arc<Self> {
        let stage = Stage {
            busy: 0,
            since: now,
            head: None,
            head_bytes: 0,
            held: None,
            protocol: Protocol::Unknown(0),
            new: true,
        };
        Arc::new(Watch { network, small, stage: Mutex::new(stage), place: OnceLock::new(), leave: Notify::new() })
    }

    /// Has it tell there what it is at. Nothing was asked on it yet.
    pub(super) fn has_place(&self, place: Place) {
        // A connection enters once.
        let _ = self.place.set(place);
    }

    /// Whether anything was ever asked on it.
    pub(super) fn was_used(&self) -> bool {
        !self.stage.lock().new
    }

    /// Since when it is idle, should it be.
    pub(super) fn idle_since(&self) -> Instant {
        self.stage.lock().since
    }

    /// Bytes came. `Err` if they are of a head that there is no memory for.
    pub(super) fn received(&self, bytes: &[u8], now: Instant) -> std::io::Result<()> {
        let mut stage = self.stage.lock();
        if bytes.is_empty() || stage.busy > 0 {
            return Ok(());
        }
        stage.protocol = stage.protocol.seen(bytes);
        match stage.protocol {
            // What comes on an idle connection of HTTP/2 is mostly no head. Heads are small there.
            Protocol::Two(0) => {
                stage.head = None;
                stage.new = false;
            }
            _ => {
                stage.head.get_or_insert(now);
                stage.head_bytes += bytes.len() as u64;
                if stage.head_bytes > FREE_HEAD {
                    let held = match &mut stage.held {
                        Some(held) => held.try_grow(bytes.len()),
                        none => self.small.try_take(bytes.len()).map(|held| *none = Some(held)),
                    };
                    held.map_err(std::io::Error::other)?;
                }
            }
        }
        Ok(())
    }

    /// A request begins; it lasts as long as the answer lives.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        let mut stage = self.stage.lock();
        stage.busy += 1;
        if stage.busy == 1
            && let Some(place) = self.place.get()
        {
            place.busy();
        }
        stage.new = false;
        stage.head = None;
        stage.head_bytes = 0;
        stage.held = None;
        Busy(self.clone())
    }

    /// When it has to be looked at again at the latest.
    pub(super) fn next_look(&self) -> Instant {
        // A head may begin at any moment, and nobody tells: looking so often finds its end in time.
        let soon = Instant::now() + self.network.head_timeout;
        self.stage.lock().deadline(&self.network).map_or(soon, |(deadline, _)| deadline.min(soon))
    }

    /// Whether its time is over, and what it was at.
    pub(super) fn overdue(&self, now: Instant) -> Option<Overdue> {
        let (deadline, overdue) = self.stage.lock().deadline(&self.network)?;
        (deadline <= now).then_some(overdue)
    }

    pub(super) fn ask_to_leave(&self) {
        self.leave.notify_one();
    }

    /// Comes back when it is asked to leave and is still idle. A head in part is idle: who sends half of one is no more welcome
    /// than who sends nothing.
    pub(super) async fn asked_to_leave(&self) {
        loop {
            self.leave.notified().await;
            if self.stage.lock().busy == 0 {
                return;
            }
        }
    }
}

impl Stage {
    fn deadline(&self, network: &Network) -> Option<(Instant, Overdue)> {
        match self.head {
            _ if self.busy > 0 => None,
            Some(begun) => Some((begun + network.head_timeout, Overdue::Head)),
            // Who connects means to say something.
            None if self.new => Some((self.since + network.head_timeout, Overdue::Head)),
            None => Some((self.since + network.idle_timeout, Overdue::Idle)),
        }
    }
}

impl Protocol {
    fn seen(self, bytes: &[u8]) -> Self {
        match self {
            Protocol::Unknown(seen) => {
                let wanted = &PREFACE[seen..TELLING];
                let common = wanted.len().min(bytes.len());
                if wanted[..common] != bytes[..common] {
                    Protocol::One
                } else if common < wanted.len() {
                    Protocol::Unknown(seen + common)
                } else {
                    Protocol::Two((HANDSHAKE - seen as u64).saturating_sub(bytes.len() as u64))
                }
            }
            Protocol::Two(left) => Protocol::Two(left.saturating_sub(bytes.len() as u64)),
            Protocol::One => Protocol::One,
        }
    }
}

/// A request of a connection, with its answer.
pub(super) struct Busy(Arc<Watch>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut stage = self.0.stage.lock();
        stage.busy -= 1;
        stage.since = Instant::now();
        if stage.busy == 0
            && let Some(place) = self.0.place.get()
        {
            place.idle(&self.0, stage.since);
        }
    }
}

/// The most of a head that is read before it is refused; also how much of a body is read at once.
pub(super) const MOST_HEAD: usize = 6 * SMALL;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use fnstream_core::budget::Budget;

    use super::*;

    /// With the moment at which it began.
    fn watch() -> (Arc<Watch>, Instant) {
        let (head_timeout, idle_timeout) = (Duration::from_secs(10), Duration::from_secs(100));
        let now = Instant::now();
        let network = Network { head_timeout, idle_timeout, ..Network::default() };
        (Watch::new(network, Budget::new(0).small, now), now)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_head_has_its_time_from_its_first_byte_and_no_more_for_further_ones() {
        let (watch, begun) = watch();
        for second in 1..10 {
            watch.received(b"G", begun + seconds(second)).unwrap();
            assert_eq!(watch.overdue(begun + seconds(second)), None);
        }
        assert_eq!(watch.overdue(begun + seconds(10)), None);
        assert_eq!(watch.overdue(begun + seconds(11)), Some(Overdue::Head));
    }

    #[test]
    fn one_that_says_nothing_has_the_time_of_a_head_and_an_idle_one_more() {
        let (watch, begun) = watch();
        assert_eq!(watch.overdue(begun + seconds(9)), None);
        assert_eq!(watch.overdue(begun + seconds(10)), Some(Overdue::Head));
        let busy = watch.begin();
        let late = begun + seconds(10_000);
        assert_eq!(watch.overdue(late), None, "a handler takes as long as it takes");
        drop(busy);
        let idle = watch.idle_since();
        assert_eq!(watch.overdue(idle + seconds(99)), None);
        assert_eq!(watch.overdue(idle + seconds(100)), Some(Overdue::Idle));
    }

    #[test]
    fn pings_of_http_2_are_no_head() {
        let (watch, begun) = watch();
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0" {
            watch.received(&[*byte], begun).unwrap();
            assert_eq!(watch.overdue(begun + seconds(10)), Some(Overdue::Head), "the handshake is one");
        }
        watch.received(b"\0", begun).unwrap();
        watch.received(b"a ping", begun + seconds(50)).unwrap();
        assert_eq!(watch.overdue(begun + seconds(99)), None);
        assert_eq!(watch.overdue(begun + seconds(100)), Some(Overdue::Idle));
    }

    #[test]
    fn a_method_that_begins_like_http_2_is_a_head() {
        let (watch, begun) = watch();
        for bytes in [&b"P"[..], b"R", b"O"] {
            watch.received(bytes, begun).unwrap();
        }
        watch.received(&[b'x'; 100], begun).unwrap();
        assert_eq!(watch.overdue(begun + seconds(10)), Some(Overdue::Head));
    }

    #[test]
    fn a_large_head_takes_memory_until_its_request_begins() {
        let (watch, begun) = watch();
        watch.received(&[b'x'; 8 << 10], begun).unwrap();
        assert_eq!(watch.small.used(), 0);
        watch.received(&[b'x'; 100 << 10], begun).unwrap();
        assert_eq!(watch.small.used(), 100 << 10);
        let others = watch.small.try_take(watch.small.limit() - watch.small.used()).unwrap();
        watch.received(b"x", begun).unwrap_err();
        drop(watch.begin());
        assert_eq!(watch.small.used(), others.bytes());
    }

    #[tokio::test]
    async fn who_is_asked_to_leave_and_began_meanwhile_stays() {
        let (watch, _) = watch();
        watch.ask_to_leave();
        let busy = watch.begin();
        let mut asked = std::pin::pin!(watch.asked_to_leave());
        assert!(tokio::time::timeout(Duration::ZERO, asked.as_mut()).await.is_err());
        drop(busy);
        watch.ask_to_leave();
        asked.await;
    }
}
