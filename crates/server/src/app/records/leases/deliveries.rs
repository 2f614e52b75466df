// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The deliveries of one partition to one group. Pure: time comes with each call, and nothing is read or written here.
//!
//! ```text
//!             lease                       acknowledge
//!   new ─────────────────► leased ───────────────────────────► acknowledged
//!                         ▲      │ lease over, nack, release        ▲
//!                   lease │      ▼                                  │
//!                         returned ─────────────────────────────────┘
//!                                    acknowledge with the last receipt; as a dead letter
//! ```
//!
//! The log counts its records without gaps. A record is new, leased, returned or acknowledged, and nothing else. New ones are given in their order. Returned ones come before
//! new ones, also in their order, so that a redelivery is behind records that came after it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fnstream_core::acks::{Acknowledged, Failed};
use fnstream_core::record::Position;

/// The most records of a partition that are leased or returned. No new ones are given beyond.
pub(crate) const MOST_OUT: usize = 10_000;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Deliveries {
    era: u64,
    /// All below are acknowledged; this one is not.
    committed: Position,
    /// Acknowledged beyond it: first, and the position after the last.
    acked: BTreeMap<Position, Position>,
    /// From here on no record was looked at.
    scan: Position,
    leased: BTreeMap<Position, Lease>,
    /// When the leases end.
    ends: BTreeSet<(Duration, Position)>,
    returned: BTreeMap<Position, Returned>,
}

#[derive(Debug, Clone)]
struct Lease {
    id: u64,
    until: Duration,
    deliveries: u32,
    most: Option<u32>,
}

#[derive(Debug, Clone)]
struct Returned {
    /// When it may be given again.
    after: Duration,
    deliveries: u32,
    /// The last lease; 0 after a restart, when nobody knows.
    last: u64,
    most: Option<u32>,
}

/// Whose a record is, from the view of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// The receipt's.
    Held,
    /// The lease has ended, and nobody was given the record since.
    Nobodys,
    /// It is acknowledged.
    Done,
    /// Somebody else's, or was since, or the group was reset.
    Lost,
}

/// What to read for a consumer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Returned records, ascending.
    pub(super) again: Vec<Position>,
    /// So many new ones, from there on.
    pub(super) from: Position,
    pub(super) new: usize,
}

/// How a record is leased.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) until: Duration,
    /// After so many deliveries it is a dead letter.
    pub(super) most: Option<u32>,
}

impl Deliveries {
    /// Goes on from what is durable.
    pub(super) fn new(from: &Acknowledged, now: Duration, unix_ms: i64) -> Self {
        let returned = |failed: &Failed| {
            let wait = u64::try_from(failed.not_before_ms.saturating_sub(unix_ms)).unwrap_or_default();
            let after = now + Duration::from_millis(wait);
            (failed.position, Returned { after, deliveries: failed.deliveries, last: 0, most: None })
        };
        Deliveries {
            era: from.era,
            committed: from.committed,
            acked: from.acked.iter().copied().collect(),
            scan: from.committed,
            leased: BTreeMap::new(),
            ends: BTreeSet::new(),
            returned: from.failed.iter().map(returned).collect(),
        }
    }

    /// What is to be durable. Records that are leased for the first time are new again after a restart.
    pub(super) fn acknowledged(&self, now: Duration, unix_ms: i64) -> Acknowledged {
        let leased = self.leased.iter().map(|(at, lease)| (*at, lease.deliveries - 1, now));
        let returned = self.returned.iter().map(|(at, returned)| (*at, returned.deliveries, returned.after));
        let mut failed: Vec<_> = leased
            .chain(returned)
            .filter(|(_, deliveries, _)| *deliveries > 0)
            .map(|(position, deliveries, after)| {
                let wait = i64::try_from(after.saturating_sub(now).as_millis()).unwrap_or(i64::MAX);
                Failed { position, deliveries, not_before_ms: unix_ms.saturating_add(wait) }
            })
            .collect();
        failed.sort_unstable_by_key(|failed| failed.position);
        let acked = self.acked.iter().map(|(first, end)| (*first, *end)).collect();
        Acknowledged { era: self.era, committed: self.committed, acked, failed }
    }

    pub(super) fn era(&self) -> u64 {
        self.era
    }

    /// The oldest record that is not acknowledged, if there is one; or else the next.
    pub(super) fn committed(&self) -> Position {
        self.committed
    }

    /// How many records beyond that are acknowledged.
    pub(super) fn acked_beyond(&self) -> u64 {
        let count = self.acked.iter().map(|(first, end)| end.0 - first.0).sum::<u128>();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    pub(super) fn leased(&self) -> usize {
        self.leased.len()
    }

    pub(super) fn returned(&self) -> usize {
        self.returned.len()
    }

    /// Whether no new record may be given.
    pub(super) fn is_full(&self) -> bool {
        self.leased.len() + self.returned.len() >= MOST_OUT
    }

    /// Takes back what was leased until now.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some((_, position)) = self.ends.first().filter(|(until, _)| *until <= now).copied() {
            self.give_back(position, now);
        }
    }

    /// When something changes by itself.
    pub(super) fn changes_at(&self, now: Duration) -> Option<Duration> {
        let ended = self.ends.first().map(|(until, _)| *until);
        let delayed = self.returned.values().map(|returned| returned.after).filter(|after| *after > now).min();
        ended.into_iter().chain(delayed).min()
    }

    /// Records that were delivered as often as they may be, at most so many.
    pub(super) fn spent(&self, most: Option<u32>, count: usize) -> Vec<(Position, u32)> {
        let spent = self.returned.iter().filter(|(_, returned)| returned.is_spent(most));
        spent.take(count).map(|(position, returned)| (*position, returned.deliveries)).collect()
    }

    /// What may be given now, at most so many.
    pub(super) fn plan(&mut self, now: Duration, most: Option<u32>, count: usize) -> Plan {
        let due = self.returned.iter().filter(|(_, returned)| returned.may_be_given(now, most));
        let again: Vec<_> = due.take(count).map(|(position, _)| *position).collect();
        if let Some((_, end)) = self.acked.range(..=self.scan).next_back() {
            self.scan = self.scan.max(*end);
        }
        let to_acked = self.acked.range(self.scan..).next().map(|(first, _)| first.0 - self.scan.0);
        let room = MOST_OUT.saturating_sub(self.leased.len() + self.returned.len()).min(count - again.len());
        let new = to_acked.and_then(|left| usize::try_from(left).ok()).map_or(room, |left| left.min(room));
        Plan { again, from: self.scan, new }
    }

    /// Leases a returned record that a plan named; how often it was delivered then. `None` if it is not returned any more.
    pub(super) fn lease_again(&mut self, position: Position, id: u64, terms: Terms, now: Duration) -> Option<u32> {
        let deliveries =
            self.returned.get(&position).filter(|returned| returned.may_be_given(now, terms.most))?.deliveries;
        self.returned.remove(&position);
        Some(self.lease(position, id, terms, deliveries + 1))
    }

    /// The same for the next of the new ones, and no other: what was passed over would be taken for acknowledged. After a restart
    /// there are some among them that are not new.
    pub(super) fn lease_new(&mut self, position: Position, id: u64, terms: Terms) -> Option<u32> {
        if position != self.scan {
            return None;
        }
        self.scan = position.next();
        let is_known = self.returned.contains_key(&position) || self.leased.contains_key(&position);
        (!is_known && !self.is_acked(position)).then(|| self.lease(position, id, terms, 1))
    }

    fn lease(&mut self, position: Position, id: u64, terms: Terms, deliveries: u32) -> u32 {
        self.ends.insert((terms.until, position));
        self.leased.insert(position, Lease { id, until: terms.until, deliveries, most: terms.most });
        deliveries
    }

    /// Whose a record is.
    pub(super) fn claim(&self, era: u64, position: Position, id: u64) -> Claim {
        if era != self.era {
            return Claim::Lost;
        }
        if position < self.committed || self.is_acked(position) {
            return Claim::Done;
        }
        match (self.leased.get(&position), self.returned.get(&position)) {
            (Some(lease), _) if lease.id == id => Claim::Held,
            (Some(_), _) => Claim::Lost,
            (None, Some(returned)) if returned.last == id || returned.last == 0 => Claim::Nobodys,
            (None, Some(_)) => Claim::Lost,
            // A receipt of an earlier process.
            (None, None) if position >= self.scan => Claim::Nobodys,
            (None, None) => Claim::Lost,
        }
    }

    /// Acknowledges a record. Whoever asks has looked whose it is.
    pub(super) fn acknowledge(&mut self, position: Position) {
        if position < self.committed || self.is_acked(position) {
            return;
        }
        if let Some(lease) = self.leased.remove(&position) {
            self.ends.remove(&(lease.until, position));
        }
        self.returned.remove(&position);
        let (mut first, mut end) = (position, position.next());
        if let Some((before, _)) = self.acked.range(..position).next_back().filter(|(_, end)| **end == position) {
            first = *before;
        }
        if let Some(after) = self.acked.remove(&end) {
            end = after;
        }
        self.acked.insert(first, end);
        self.advance();
    }

    /// Gives a record back that is to be given again after a time. Whoever asks has looked whose it is.
    pub(super) fn give_back(&mut self, position: Position, after: Duration) {
        if let Some(lease) = self.leased.remove(&position) {
            self.ends.remove(&(lease.until, position));
            let Lease { id, deliveries, most, .. } = lease;
            self.returned.insert(position, Returned { after, deliveries, last: id, most });
        } else if let Some(returned) = self.returned.get_mut(&position) {
            returned.after = after;
        }
    }

    /// Takes a lease back whose record nobody was sent.
    pub(super) fn release(&mut self, position: Position, id: u64, now: Duration) {
        if self.leased.get(&position).is_some_and(|lease| lease.id == id) {
            self.give_back(position, now);
            if let Some(returned) = self.returned.get_mut(&position) {
                returned.deliveries -= 1;
            }
        }
    }

    /// Moves the end of a lease, which may have been over. Whoever asks has looked whose it is; `false` if nothing is known of it.
    pub(super) fn extend(&mut self, position: Position, id: u64, until: Duration) -> bool {
        if let Some(lease) = self.leased.get_mut(&position) {
            self.ends.remove(&(lease.until, position));
            lease.until = until;
        } else if let Some(returned) = self.returned.remove(&position) {
            let Returned { deliveries, most, .. } = returned;
            self.leased.insert(position, Lease { id, until, deliveries, most });
        } else {
            return false;
        }
        self.ends.insert((until, position));
        true
    }

    /// Forgets what retention dropped; answers where the group stood, and how many of those it had not acknowledged, if it had not
    /// acknowledged all.
    pub(super) fn drop_below(&mut self, floor: Position) -> Option<(Position, u64)> {
        let stood = self.committed;
        if floor <= stood {
            return None;
        }
        let acked = self.acked.range(..floor).map(|(first, end)| (*end).min(floor).0 - first.0).sum::<u128>();
        let records = u64::try_from(floor.0 - stood.0 - acked).unwrap_or(u64::MAX);
        while let Some((position, lease)) = self.leased.pop_first() {
            if position >= floor {
                self.leased.insert(position, lease);
                break;
            }
            self.ends.remove(&(lease.until, position));
        }
        self.returned = self.returned.split_off(&floor);
        self.scan = self.scan.max(floor);
        self.committed = floor;
        self.advance();
        Some((stood, records))
    }

    fn is_acked(&self, position: Position) -> bool {
        self.acked.range(..=position).next_back().is_some_and(|(_, end)| position < *end)
    }

    fn advance(&mut self) {
        let leased = self.leased.first_key_value().map(|(position, _)| *position);
        let returned = self.returned.first_key_value().map(|(position, _)| *position);
        let first_open = leased.into_iter().chain(returned).chain([self.scan]).min().unwrap_or(self.scan);
        self.committed = self.committed.max(first_open);
        while let Some(run) = self.acked.first_entry().filter(|run| *run.key() <= self.committed) {
            self.committed = self.committed.max(run.remove());
        }
        self.scan = self.scan.max(self.committed);
    }
}

impl Returned {
    fn may_be_given(&self, now: Duration, most: Option<u32>) -> bool {
        self.after <= now && !self.is_spent(most)
    }

    fn is_spent(&self, most: Option<u32>) -> bool {
        self.most.into_iter().chain(most).any(|most| self.deliveries >= most)
    }
}

#[cfg(test)]
mod tests;
