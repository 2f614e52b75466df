// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The places for connections.

mod idle;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

pub(super) use self::idle::Origin;
use self::idle::{Entry, Idle};
use super::connection::Watch;

/// Places for connections, and who has them.
pub(crate) struct Slots {
    most: usize,
    open: Mutex<Open>,
    /// A connection ended.
    freed: Notify,
    /// Whether it was told that all places are taken, and that the process has no descriptor left.
    told: AtomicBool,
    short: AtomicBool,
    refused: Counter,
    /// Connections without a place: those who wait for one that is being left, and those who are told why they get none.
    waiting: Arc<Semaphore>,
    told_why: Arc<Semaphore>,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// Where the connection of each place comes from; and what it is as an idle one, if it is.
    places: HashMap<u64, (Origin, Option<Entry>)>,
    idle: Idle,
    /// Those who wait for the place of one that was asked to leave.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    watch: Arc<Watch>,
    origin: Origin,
    place: oneshot::Sender<Slot>,
}

/// A place, for as long as this lives.
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
}

/// Where a connection tells what it is at.
pub(super) struct Place {
    slots: Arc<Slots>,
    number: u64,
}

impl Place {
    /// A request begins.
    pub(super) fn busy(&self) {
        self.slots.open.lock().busy(self.number);
    }

    /// The last request has been answered.
    pub(super) fn idle(&self, watch: &Arc<Watch>, since: Instant) {
        self.slots.open.lock().idle(Entry { since: (since, self.number), silent: None }, watch);
    }
}

impl Open {
    fn add(&mut self, watch: &Arc<Watch>, origin: Origin) -> u64 {
        let number = self.next;
        self.next += 1;
        self.places.insert(number, (origin, None));
        self.idle(Entry { since: (watch.idle_since(), number), silent: Some(origin) }, watch);
        number
    }

    fn busy(&mut self, number: u64) {
        if let Some(entry) = self.places.get_mut(&number).and_then(|(_, entry)| entry.take()) {
            self.idle.remove(entry);
        }
    }

    fn idle(&mut self, entry: Entry, watch: &Arc<Watch>) {
        let number = entry.since.1;
        self.busy(number);
        // It may have lost its place already: an answer can outlive its connection.
        if let Some((_, place)) = self.places.get_mut(&number) {
            *place = Some(entry);
            self.idle.insert(entry, watch.clone());
        }
    }
}

impl Slots {
    /// So many places, and so many connections without one.
    pub(super) fn new(most: usize, without: usize) -> Arc<Self> {
        let told_why = without / 4;
        Arc::new(Slots {
            most,
            open: Mutex::default(),
            freed: Notify::new(),
            told: AtomicBool::new(false),
            short: AtomicBool::new(false),
            refused: Counter::default(),
            waiting: Arc::new(Semaphore::new(without - told_why)),
            told_why: Arc::new(Semaphore::new(told_why)),
        })
    }

    /// A place for a connection, if one is free.
    pub(super) fn enter(self: &Arc<Self>, watch: &Arc<Watch>, origin: Origin) -> Option<Slot> {
        let number = {
            let mut open = self.open.lock();
            if open.places.len() >= self.most {
                return None;
            }
            open.add(watch, origin)
        };
        Some(self.slot(watch, number))
    }

    /// The place of an idle connection, which is asked to leave it. `None` if nobody is idle for long enough.
    pub(super) fn replace(&self, watch: &Arc<Watch>, origin: Origin, now: Instant) -> Option<oneshot::Receiver<Slot>> {
        let (leaves, place) = {
            let mut open = self.open.lock();
            let (entry, leaves) = open.idle.first(now).map(|(entry, watch)| (entry, watch.clone()))?;
            // It is asked once.
            open.busy(entry.since.1);
            let (sender, place) = oneshot::channel();
            open.waiting.push_back(Waiting { watch: watch.clone(), origin, place: sender });
            (leaves, place)
        };
        leaves.ask_to_leave();
        Some(place)
    }

    fn slot(self: &Arc<Self>, watch: &Watch, number: u64) -> Slot {
        watch.has_place(Place { slots: self.clone(), number });
        Slot { slots: self.clone(), number }
    }

    /// All places are taken: told once until there is room again.
    pub(super) fn tell_full(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                connections = self.most,
                "all connections are taken, new ones take the place of idle ones or are refused"
            );
        }
    }

    /// The system has none to give: told once until there is room again.
    pub(super) fn tell_short(&self, error: &std::io::Error) {
        if !self.short.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "a connection cannot be accepted, new ones are closed until others end");
        }
    }

    pub(super) fn count_refused(&self) {
        self.refused.inc();
    }

    /// A permit to wait for a place, as soon as there is one. Each is held until an idle connection has left.
    pub(super) async fn door(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.clone().acquire_owned().await.ok()
    }

    /// Counts a connection that gets no place. `Some` if it may be told why, for as long as that is held.
    pub(super) fn refuse(&self) -> Option<OwnedSemaphorePermit> {
        self.refused.inc();
        self.told_why.clone().try_acquire_owned().ok()
    }

    /// Waits until a connection ends, at most until `until`.
    pub(super) async fn freed(&self, until: Instant) {
        let _ = tokio::time::timeout_at(until, self.freed.notified()).await;
    }

    /// Connections that have a place.
    pub(crate) fn open(&self) -> usize {
        self.open.lock().places.len()
    }

    /// The most of them.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Connections that were refused.
    pub(crate) fn refused(&self) -> &Counter {
        &self.refused
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let slots = &self.slots;
        let mut open = slots.open.lock();
        open.busy(self.number);
        open.places.remove(&self.number);
        if open.places.len() < slots.most / 4 * 3 {
            slots.told.store(false, Ordering::Relaxed);
            slots.short.store(false, Ordering::Relaxed);
        }
        let next = open.waiting.pop_front().map(|next| (open.add(&next.watch, next.origin), next));
        drop(open);
        match next {
            // If it waits no more, the next one has it.
            Some((number, next)) => drop(next.place.send(slots.slot(&next.watch, number))),
            None => slots.freed.notify_one(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use fnstream_core::budget::Budget;

    use super::idle::AT_WORK;
    use super::*;
    use crate::config::Network;

    fn origin(last: u8) -> Origin {
        IpAddr::from([10, 0, 0, last]).into()
    }

    fn watch(began: Instant) -> Arc<Watch> {
        Watch::new(Network::default(), Budget::new(0).small, began)
    }

    /// Watches of connections of these origins, one a second, each in a place, and the places: there is no other.
    fn taken(origins: &[u8]) -> (Arc<Slots>, Vec<Arc<Watch>>, Vec<Slot>) {
        let (slots, begun) = (Slots::new(origins.len(), 1), Instant::now());
        let watches: Vec<_> = (0..origins.len()).map(|at| watch(begun + Duration::from_secs(at as u64))).collect();
        let places = watches.iter().zip(origins).map(|(watch, at)| slots.enter(watch, origin(*at)).unwrap()).collect();
        (slots, watches, places)
    }

    /// Which of them is asked to leave for a new one that comes so much later.
    async fn leaver(slots: &Slots, watches: &[Arc<Watch>], later: Duration) -> Option<usize> {
        let now = Instant::now() + later;
        let place = slots.replace(&watch(now), origin(99), now);
        let mut leaver = None;
        for (at, watch) in watches.iter().enumerate() {
            if tokio::time::timeout(Duration::ZERO, watch.asked_to_leave()).await.is_ok() {
                assert_eq!(leaver.replace(at), None, "one is enough");
            }
        }
        assert_eq!(place.is_some(), leaver.is_some());
        leaver
    }

    #[tokio::test]
    async fn who_never_asked_leaves_first_then_who_is_idle_for_longest_and_each_is_asked_once() {
        let (slots, watches, places) = taken(&[1; 4]);
        assert!(slots.enter(&watches[0], origin(1)).is_none(), "all are taken");
        // The first is at work, the second has been.
        let busy = watches[0].begin();
        drop(watches[1].begin());
        let later = 2 * AT_WORK;
        assert_eq!(leaver(&slots, &watches, later).await, Some(2));
        assert_eq!(leaver(&slots, &watches, later).await, Some(3));
        assert_eq!(leaver(&slots, &watches, later).await, Some(1));
        assert_eq!(leaver(&slots, &watches, later).await, None);
        drop(busy);
        assert_eq!(leaver(&slots, &watches, Duration::ZERO).await, None, "its client is at work");
        assert_eq!(leaver(&slots, &watches, later).await, Some(0));
        drop(places);
        assert_eq!(slots.open(), 0);
        assert!(slots.open.lock().idle.is_empty());
    }

    #[tokio::test]
    async fn a_silent_crowd_gives_its_own_places_and_those_who_are_elsewhere_keep_theirs() {
        let (slots, watches, _places) = taken(&[1, 2, 2, 2, 3, 3]);
        // While there are more of them, then whoever has been there for longest.
        for expected in [1, 2, 4, 0] {
            assert_eq!(leaver(&slots, &watches, Duration::ZERO).await, Some(expected));
        }
    }

    #[tokio::test]
    async fn a_place_that_is_left_is_for_who_waits_and_then_for_anybody() {
        let (slots, watches, mut places) = taken(&[1, 1, 1]);
        let (first, second, third) = (watch(Instant::now()), watch(Instant::now()), watch(Instant::now()));
        let ask = |watch| slots.replace(watch, origin(2), Instant::now()).unwrap();
        let (gone, waits) = (ask(&first), ask(&second));
        drop(gone);
        drop(places.remove(0));
        assert!(slots.enter(&third, origin(3)).is_none(), "it was meant for another");
        let _second = waits.await.unwrap();
        drop(places.remove(0));
        let _third = slots.enter(&third, origin(3)).unwrap();
        assert_eq!((slots.open(), watches.len()), (3, 3));
    }

    #[tokio::test]
    async fn an_answer_that_outlives_its_connection_takes_no_place() {
        let (slots, watches, places) = taken(&[1]);
        let busy = watches[0].begin();
        drop(places);
        drop(busy);
        assert!(slots.open.lock().idle.is_empty());
    }
}
