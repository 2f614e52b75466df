// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which of the idle connections leaves when another one needs its place.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::net::connection::Watch;

/// How long a client counts as being at work after each answer.
pub(super) const AT_WORK: Duration = Duration::from_secs(10);

/// The bits of an IPv6 address that tell networks apart; whoever has one has all addresses in it.
const NETWORK: u128 = !(u64::MAX as u128);

/// Where a client is: its address, or its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::net) struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Origin(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
            IpAddr::V4(address) => address.into(),
        })
    }
}

/// A connection by when it became idle, with its number.
type Since = (Instant, u64);

/// An idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) since: Since,
    /// `None` if something was asked on it already.
    pub(super) silent: Option<Origin>,
}

/// All of them. One that has never asked anything leaves before one that has; and of those, one from where most of them are.
/// So a crowd that says nothing takes places from itself, and not from clients that are elsewhere.
#[derive(Default)]
pub(super) struct Idle {
    used: BTreeMap<Since, Arc<Watch>>,
    silent: HashMap<Origin, BTreeMap<Since, Arc<Watch>>>,
    /// The origins by how many there are, and by who has been there for longest.
    crowds: BTreeSet<(usize, Reverse<Since>, Origin)>,
}

impl Idle {
    pub(super) fn insert(&mut self, entry: Entry, watch: Arc<Watch>) {
        match entry.silent {
            None => drop(self.used.insert(entry.since, watch)),
            Some(origin) => self.change(origin, |crowd| crowd.insert(entry.since, watch)),
        }
    }

    pub(super) fn remove(&mut self, entry: Entry) {
        match entry.silent {
            None => drop(self.used.remove(&entry.since)),
            Some(origin) => self.change(origin, |crowd| crowd.remove(&entry.since)),
        }
    }

    /// Whose turn it is to leave. A client that is at work stays.
    pub(super) fn first(&self, now: Instant) -> Option<(Entry, &Arc<Watch>)> {
        let silent = self.crowds.last().and_then(|(_, Reverse(since), origin)| {
            let watch = self.silent.get(origin)?.get(since)?;
            Some((Entry { since: *since, silent: Some(*origin) }, watch))
        });
        silent.or_else(|| {
            let (since, watch) = self.used.first_key_value()?;
            (now.duration_since(since.0) > AT_WORK).then_some((Entry { since: *since, silent: None }, watch))
        })
    }

    fn change<T>(&mut self, origin: Origin, change: impl FnOnce(&mut BTreeMap<Since, Arc<Watch>>) -> T) {
        let place = |crowd: &BTreeMap<Since, _>| {
            let (since, _) = crowd.first_key_value()?;
            Some((crowd.len(), Reverse(*since), origin))
        };
        let crowd = self.silent.entry(origin).or_default();
        if let Some(place) = place(crowd) {
            self.crowds.remove(&place);
        }
        change(crowd);
        match place(crowd) {
            Some(place) => drop(self.crowds.insert(place)),
            None => drop(self.silent.remove(&origin)),
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.used.is_empty() && self.silent.is_empty() && self.crowds.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_network_is_one_origin() {
        let origin = |address: &str| Origin::from(address.parse::<IpAddr>().unwrap());
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:10.0.0.1"), origin("10.0.0.1"));
        assert_ne!(origin("10.0.0.1"), origin("10.0.0.2"));
    }
}
