// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Some small cases, and a model: random consumers against a list of what they hold and have acknowledged.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(position: u128) -> Position {
    Position(position)
}

fn new() -> Deliveries {
    Deliveries::new(&Acknowledged { era: 1, ..Acknowledged::default() }, Duration::ZERO, 0)
}

fn terms(until: u64) -> Terms {
    Terms { until: SECOND * until as u32, most: None }
}

fn lease_all(deliveries: &mut Deliveries, count: u128) {
    for position in 0..count {
        assert_eq!(deliveries.lease_new(at(position + 1), 99, terms(10)), None, "not the next");
        assert_eq!(deliveries.lease_new(at(position), position as u64 + 1, terms(10)), Some(1));
    }
}

#[test]
fn the_committed_place_is_that_of_the_oldest_record_without_an_acknowledgement() {
    let mut deliveries = new();
    lease_all(&mut deliveries, 5);
    for (acked, committed, runs) in
        [(3, 0, vec![(3, 4)]), (1, 0, vec![(1, 2), (3, 4)]), (2, 0, vec![(1, 4)]), (0, 4, vec![])]
    {
        deliveries.acknowledge(at(acked));
        let durable = deliveries.acknowledged(Duration::ZERO, 0);
        let runs: Vec<_> = runs.into_iter().map(|(first, end)| (at(first), at(end))).collect();
        assert_eq!((durable.committed, durable.acked), (at(committed), runs), "after {acked}");
    }
    assert_eq!((deliveries.leased(), deliveries.acked_beyond()), (1, 0));
}

#[test]
fn a_lease_that_is_over_is_given_again_and_its_receipt_counts_until_then() {
    let mut deliveries = new();
    lease_all(&mut deliveries, 2);
    deliveries.expire(SECOND * 9);
    assert_eq!(deliveries.claim(1, at(0), 1), Claim::Held);
    assert_eq!(deliveries.changes_at(SECOND * 9), Some(SECOND * 10));
    deliveries.expire(SECOND * 10);
    assert_eq!(deliveries.claim(1, at(0), 1), Claim::Nobodys);
    let plan = deliveries.plan(SECOND * 10, None, 10);
    assert_eq!(plan, Plan { again: vec![at(0), at(1)], from: at(2), new: 8 });
    assert_eq!(deliveries.lease_again(at(0), 7, terms(20), SECOND * 10), Some(2));
    assert_eq!((deliveries.claim(1, at(0), 1), deliveries.claim(1, at(0), 7)), (Claim::Lost, Claim::Held));
    assert_eq!(deliveries.claim(2, at(0), 7), Claim::Lost, "of another era");
    deliveries.acknowledge(at(0));
    assert_eq!(deliveries.claim(1, at(0), 1), Claim::Done);
}

#[test]
fn a_record_that_is_given_back_waits_for_its_delay_also_over_a_restart() {
    let mut deliveries = new();
    lease_all(&mut deliveries, 3);
    deliveries.give_back(at(1), SECOND * 30);
    assert_eq!(deliveries.plan(SECOND * 29, None, 10).again, []);
    // A second later the process begins anew, with a clock of its own.
    let durable = deliveries.acknowledged(SECOND, 5_000);
    assert_eq!(durable.failed, [Failed { position: at(1), deliveries: 1, not_before_ms: 34_000 }]);
    let mut anew = Deliveries::new(&durable, SECOND * 100, 6_000);
    assert_eq!(anew.plan(SECOND * 127, None, 10), Plan { again: vec![], from: at(0), new: 10 });
    assert_eq!(anew.changes_at(SECOND * 127), Some(SECOND * 128));
    for position in 0..4 {
        let given = anew.lease_new(at(position), 9, terms(200));
        assert_eq!(given.is_some(), position != 1, "what waits is passed over: {position}");
    }
    assert_eq!(anew.plan(SECOND * 128, None, 10).again, [at(1)]);
    assert_eq!(anew.lease_again(at(1), 10, terms(200), SECOND * 128), Some(2), "deliveries go on being counted");
}

#[test]
fn a_returned_record_after_a_restart_skips_none_of_those_before_it() {
    let durable = Acknowledged {
        failed: vec![Failed { position: at(5), deliveries: 1, not_before_ms: 0 }],
        ..Acknowledged::default()
    };
    let mut deliveries = Deliveries::new(&durable, SECOND, 1);
    let plan = deliveries.plan(SECOND, None, 1);
    assert_eq!(plan, Plan { again: vec![at(5)], from: at(0), new: 0 });
    deliveries.lease_again(at(5), 1, terms(9), SECOND).unwrap();
    deliveries.acknowledge(at(5));
    assert_eq!(deliveries.committed(), at(0));
    assert_eq!(
        deliveries.plan(SECOND, None, 9),
        Plan { again: vec![], from: at(0), new: 5 },
        "up to what is acknowledged"
    );
}

#[test]
fn what_is_acknowledged_between_a_plan_and_its_lease_is_not_given() {
    let mut deliveries = new();
    assert_eq!(deliveries.plan(SECOND, None, 3), Plan { again: vec![], from: at(0), new: 3 });
    assert_eq!(deliveries.claim(1, at(1), 77), Claim::Nobodys, "a receipt of an earlier process");
    deliveries.acknowledge(at(1));
    let given = [0, 1, 2].map(|position| deliveries.lease_new(at(position), 5, terms(9)));
    assert_eq!(given, [Some(1), None, Some(1)]);
}

#[test]
fn after_as_many_deliveries_as_may_be_a_record_is_spent() {
    let mut deliveries = new();
    assert_eq!(deliveries.lease_new(at(0), 1, Terms { most: Some(2), ..terms(10) }), Some(1));
    deliveries.give_back(at(0), Duration::ZERO);
    assert_eq!(deliveries.spent(None, 9), []);
    assert_eq!(deliveries.spent(Some(1), 9), [(at(0), 1)], "who takes next may want fewer");
    assert_eq!(deliveries.plan(SECOND, Some(1), 9).again, []);
    deliveries.lease_again(at(0), 2, Terms { most: Some(2), ..terms(10) }, SECOND).unwrap();
    deliveries.expire(SECOND * 10);
    assert_eq!(deliveries.spent(None, 9), [(at(0), 2)]);
    assert_eq!(deliveries.plan(SECOND * 10, None, 9).again, [], "it is not given any more");
}

#[test]
fn what_nobody_was_sent_counts_as_no_delivery() {
    let mut deliveries = new();
    lease_all(&mut deliveries, 1);
    deliveries.release(at(0), 2, SECOND);
    assert_eq!(deliveries.leased(), 1, "of another lease");
    deliveries.release(at(0), 1, SECOND);
    assert_eq!((deliveries.leased(), deliveries.acknowledged(SECOND, 0).failed), (0, vec![]));
    assert_eq!(deliveries.lease_again(at(0), 3, terms(9), SECOND), Some(1));
}

#[test]
fn beyond_the_bound_no_new_record_is_given() {
    let mut deliveries = new();
    lease_all(&mut deliveries, MOST_OUT as u128);
    assert!(deliveries.is_full());
    assert_eq!(deliveries.plan(SECOND, None, 5).new, 0);
    deliveries.acknowledge(at(77));
    assert_eq!(deliveries.plan(SECOND, None, 5).new, 1);
}

#[test]
fn what_retention_dropped_is_forgotten_and_told() {
    let mut deliveries = new();
    lease_all(&mut deliveries, 4);
    deliveries.acknowledge(at(0));
    deliveries.acknowledge(at(2));
    deliveries.give_back(at(1), SECOND);
    assert_eq!(deliveries.drop_below(at(1)), None, "all of that is acknowledged");
    assert_eq!(deliveries.drop_below(at(2)), Some((at(1), 1)));
    assert_eq!((deliveries.committed(), deliveries.leased(), deliveries.returned()), (at(3), 1, 0));
    assert_eq!(deliveries.drop_below(at(9)), Some((at(3), 6)));
    assert_eq!((deliveries.committed(), deliveries.leased()), (at(9), 0));
    deliveries.expire(SECOND * 99);
    assert_eq!(deliveries.returned(), 0);
}

#[test]
fn what_was_acknowledged_before_it_was_dropped_is_not_counted() {
    let mut deliveries = new();
    lease_all(&mut deliveries, 10);
    for acknowledged in [2, 3, 5, 8] {
        deliveries.acknowledge(at(acknowledged));
    }
    let mut other = deliveries.clone();
    assert_eq!(deliveries.drop_below(at(9)), Some((at(0), 5)));
    assert_eq!(other.drop_below(at(3)), Some((at(0), 2)), "a run that is dropped in part");
    assert_eq!((other.committed(), other.drop_below(at(7))), (at(4), Some((at(4), 2))));
}

/// What a consumer of the model holds.
#[derive(Clone, Copy)]
struct Receipt {
    position: Position,
    id: u64,
    until: Duration,
}

struct Model {
    random: u64,
    now: Duration,
    deliveries: Deliveries,
    durable: Acknowledged,
    receipts: Vec<Receipt>,
    /// The last lease of each record in this life of the process.
    last: BTreeMap<Position, u64>,
    count: BTreeMap<Position, u32>,
    acked: BTreeSet<Position>,
    end: u128,
    next_id: u64,
}

impl Model {
    fn chance(&mut self, below: u64) -> u64 {
        // Xorshift: the same for ever, whatever a library does.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn take(&mut self) {
        self.deliveries.expire(self.now);
        let count = self.chance(6) as usize + 1;
        let plan = self.deliveries.plan(self.now, None, count);
        let until = self.now + Duration::from_millis(self.chance(3_000) + 1);
        let terms = Terms { until, most: None };
        for position in plan.again {
            let id = self.next_id();
            let given = self.deliveries.lease_again(position, id, terms, self.now);
            self.given(position, id, until, given);
        }
        for position in (plan.from.0..self.end).take(plan.new).map(Position) {
            let id = self.next_id();
            if let Some(given) = self.deliveries.lease_new(position, id, terms) {
                self.given(position, id, until, Some(given));
            }
        }
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn given(&mut self, position: Position, id: u64, until: Duration, deliveries: Option<u32>) {
        assert!(!self.acked.contains(&position), "{position} was acknowledged and is given again");
        let holder =
            self.receipts.iter().find(|held| held.position == position && self.last.get(&position) == Some(&held.id));
        assert!(holder.is_none_or(|held| held.until <= self.now), "{position} is given to a second one");
        let count = self.count.entry(position).or_default();
        *count += 1;
        assert_eq!(deliveries, Some(*count), "deliveries of {position}");
        self.last.insert(position, id);
        self.receipts.push(Receipt { position, id, until });
    }

    fn settle(&mut self) {
        if self.receipts.is_empty() {
            return;
        }
        let chosen = self.chance(self.receipts.len() as u64) as usize;
        let Receipt { position, id, .. } = self.receipts[chosen];
        let kind = self.chance(10);
        let claim = self.deliveries.claim(1, position, id);
        let expected = match (self.acked.contains(&position), self.last.get(&position)) {
            (true, _) => &[Claim::Done][..],
            (false, Some(last)) if *last != id => &[Claim::Lost],
            (false, Some(_)) => &[Claim::Held, Claim::Nobodys],
            // Of an earlier process, and not given since.
            (false, None) => &[Claim::Nobodys],
        };
        assert!(expected.contains(&claim), "{position}: {claim:?}, expected {expected:?}");
        let is_own = matches!(claim, Claim::Held | Claim::Nobodys);
        match kind {
            0..=6 => {
                if is_own {
                    self.deliveries.acknowledge(position);
                    self.acked.insert(position);
                    self.durable = self.deliveries.acknowledged(self.now, 0);
                    assert!(self.durable.acked.is_sorted_by(|a, b| a.1 < b.0), "runs touch: {:?}", self.durable);
                }
                self.receipts.swap_remove(chosen);
            }
            7..=8 if is_own => {
                let after = self.now + Duration::from_millis(self.chance(2_000));
                self.deliveries.give_back(position, after);
                self.durable = self.deliveries.acknowledged(self.now, 0);
                self.receipts.swap_remove(chosen);
            }
            _ if claim == Claim::Held => {
                let until = self.now + Duration::from_millis(self.chance(3_000) + 1);
                assert!(self.deliveries.extend(position, id, until));
                self.receipts[chosen].until = until;
            }
            _ => {}
        }
    }

    /// Only what was acknowledged, or given back, survives; clocks begin anew.
    fn restart(&mut self) {
        self.now = Duration::from_secs(1);
        // The model's time of day stands still at 0, so delays begin anew.
        self.deliveries = Deliveries::new(&self.durable, self.now, 0);
        self.last.clear();
        let failed = self.durable.failed.iter().map(|failed| (failed.position, failed.deliveries));
        self.count = failed.collect();
        self.receipts.iter_mut().for_each(|receipt| receipt.until = Duration::ZERO);
    }
}

#[test]
fn nothing_is_lost_and_nothing_acknowledged_is_given_again() {
    for seed in 1..=300_u64 {
        let mut model = Model {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            now: Duration::from_secs(1),
            deliveries: new(),
            durable: Acknowledged { era: 1, ..Acknowledged::default() },
            receipts: Vec::new(),
            last: BTreeMap::new(),
            count: BTreeMap::new(),
            acked: BTreeSet::new(),
            end: 0,
            next_id: 0,
        };
        for _ in 0..400 {
            match model.chance(20) {
                0..=2 => model.end += u128::from(model.chance(4)),
                3..=8 => model.take(),
                9..=15 => model.settle(),
                16..=18 => {
                    let step = model.chance(1_500);
                    model.now += Duration::from_millis(step);
                }
                _ => {
                    if model.chance(4) == 0 {
                        model.restart();
                    }
                }
            }
        }
        // In the end somebody patient takes all that is left.
        let mut rounds = 0;
        while model.acked.len() < model.end as usize {
            model.now += Duration::from_secs(10);
            model.take();
            for receipt in std::mem::take(&mut model.receipts) {
                if model.deliveries.claim(1, receipt.position, receipt.id) == Claim::Held {
                    model.deliveries.acknowledge(receipt.position);
                    model.acked.insert(receipt.position);
                }
            }
            rounds += 1;
            assert!(rounds < 10_000, "seed {seed}: records are lost, {} of {} came", model.acked.len(), model.end);
        }
        assert_eq!(model.deliveries.committed(), Position(model.end), "seed {seed}");
        assert_eq!(model.deliveries.acknowledged(model.now, 0).acked, [], "seed {seed}");
    }
}
