// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use super::*;

const BOUNDS: EpochBounds = EpochBounds { records: 100, bytes: 1000, age: Duration::from_secs(1) };

/// A task that has just been opened.
const IDLE: Facts = Facts {
    size: 0,
    bytes: 0,
    age: Duration::ZERO,
    life: Life::Open,
    work: Work::Nothing,
    supply: Supply::More,
    in_flight: InFlight::Nothing,
    time: Time::Quiet,
    search: Search::Nothing,
};

fn in_flight(facts: Facts) -> Facts {
    Facts { in_flight: InFlight::Epoch, ..facts }
}

#[test]
fn an_epoch_ends_as_soon_as_the_input_is_drained() {
    let drained = Facts { size: 1, work: Work::Some, supply: Supply::Drained, ..IDLE };
    assert_eq!(next_action(&drained, &BOUNDS), Action::Freeze);
}

#[test]
fn an_epoch_ends_at_each_bound() {
    let busy = Facts { size: 1, work: Work::Some, ..IDLE };
    assert_eq!(next_action(&busy, &BOUNDS), Action::Poll);
    for full in [
        Facts { size: 100, ..busy },
        Facts { bytes: 1000, ..busy },
        Facts { age: BOUNDS.age, ..busy },
        Facts { search: Search::Record, ..busy },
    ] {
        assert_eq!(next_action(&full, &BOUNDS), Action::Freeze, "{full:?}");
        assert_eq!(next_action(&in_flight(full), &BOUNDS), Action::Wait, "{full:?}");
    }
}

/// Else records that retention drops before the first commit would be skipped in silence.
#[test]
fn the_place_where_a_task_begins_is_committed_before_it_reads() {
    let new = Facts { work: Work::Urgent, ..IDLE };
    assert_eq!(next_action(&new, &BOUNDS), Action::Freeze);
    assert_eq!(next_action(&in_flight(new), &BOUNDS), Action::Wait);
}

#[test]
fn the_next_epoch_runs_while_one_is_in_flight() {
    assert_eq!(next_action(&in_flight(IDLE), &BOUNDS), Action::Poll);
}

#[test]
fn an_ending_task_closes_then_commits_then_ends() {
    let mut now = Facts { life: Life::Ending, size: 3, work: Work::Some, in_flight: InFlight::Epoch, ..IDLE };
    assert_eq!(next_action(&now, &BOUNDS), Action::Close);
    now.life = Life::Closed;
    assert_eq!(next_action(&now, &BOUNDS), Action::Wait);
    now.in_flight = InFlight::Nothing;
    assert_eq!(next_action(&now, &BOUNDS), Action::Freeze);
    now.work = Work::Nothing;
    assert_eq!(next_action(&now, &BOUNDS), Action::End);
}

#[test]
fn congestion_stops_the_input_but_not_the_commit() {
    let congested = Facts { supply: Supply::Congested, ..IDLE };
    assert_eq!(next_action(&congested, &BOUNDS), Action::Wait);
    let with_work = Facts { work: Work::Some, size: 1, ..congested };
    assert_eq!(next_action(&with_work, &BOUNDS), Action::Freeze);
}

#[test]
fn calls_that_are_due_come_before_more_is_read_and_make_work() {
    let due = Facts { time: Time::Due, supply: Supply::Drained, ..IDLE };
    assert_eq!(next_action(&due, &BOUNDS), Action::CallTime);
    assert_eq!(next_action(&Facts { supply: Supply::More, ..due }, &BOUNDS), Action::CallTime);
    let full = Facts { size: 100, work: Work::Some, ..due };
    assert_eq!(next_action(&full, &BOUNDS), Action::Freeze, "timers that set timers do not keep an epoch open");
    assert_eq!(next_action(&Facts { life: Life::Closed, ..due }, &BOUNDS), Action::End);
    assert_eq!(next_action(&Facts { supply: Supply::Congested, ..due }, &BOUNDS), Action::Wait);
}

#[test]
fn calls_that_have_had_their_share_come_after_input_if_there_is_any() {
    let yields = Facts { time: Time::Yields, ..IDLE };
    assert_eq!(next_action(&yields, &BOUNDS), Action::Poll);
    assert_eq!(next_action(&Facts { supply: Supply::Drained, ..yields }, &BOUNDS), Action::CallTime);
    let apart = Facts { search: Search::Time, ..yields };
    assert_eq!(next_action(&apart, &BOUNDS), Action::Poll);
    assert_eq!(next_action(&Facts { size: 1, work: Work::Some, ..apart }, &BOUNDS), Action::Freeze);
}

#[test]
fn a_call_of_time_that_failed_gets_an_epoch_of_its_own() {
    let apart = Facts { time: Time::Due, search: Search::Time, ..IDLE };
    assert_eq!(next_action(&apart, &BOUNDS), Action::CallTime);
    let behind = Facts { size: 3, work: Work::Some, ..apart };
    assert_eq!(next_action(&behind, &BOUNDS), Action::Freeze);
    assert_eq!(next_action(&in_flight(behind), &BOUNDS), Action::Wait);
    let called = Facts { size: 1, work: Work::Some, time: Time::Quiet, ..apart };
    assert_eq!(next_action(&called, &BOUNDS), Action::Freeze);
}

/// All combinations of facts, with sizes below and at their bounds.
fn all_facts() -> Vec<Facts> {
    let mut all = vec![IDLE];
    let mut each = |variants: &dyn Fn(Facts) -> Vec<Facts>| {
        all = all.iter().copied().flat_map(variants).collect();
    };
    each(&|f| [0, 1, 99, 100].map(|size| Facts { size, ..f }).to_vec());
    each(&|f| [0, 999, 1000].map(|bytes| Facts { bytes, ..f }).to_vec());
    each(&|f| [Duration::ZERO, BOUNDS.age].map(|age| Facts { age, ..f }).to_vec());
    each(&|f| [Life::Open, Life::Ending, Life::Closed].map(|life| Facts { life, ..f }).to_vec());
    each(&|f| [Work::Nothing, Work::Some, Work::Urgent].map(|work| Facts { work, ..f }).to_vec());
    each(&|f| [Supply::More, Supply::Drained, Supply::Congested].map(|supply| Facts { supply, ..f }).to_vec());
    each(&|f| [InFlight::Nothing, InFlight::Epoch].map(|in_flight| Facts { in_flight, ..f }).to_vec());
    each(&|f| [Time::Quiet, Time::Due, Time::Yields].map(|time| Facts { time, ..f }).to_vec());
    each(&|f| [Search::Nothing, Search::Record, Search::Time, Search::Both].map(|s| Facts { search: s, ..f }).to_vec());
    // Records that were consumed are work.
    all.retain(|facts| facts.size == 0 || facts.work != Work::Nothing);
    all
}

#[test]
fn every_action_is_one_that_the_facts_allow() {
    let all = all_facts();
    assert_eq!(all.len(), 11_664);
    for facts in all {
        let action = next_action(&facts, &BOUNDS);
        let has_work = facts.work != Work::Nothing;
        let free = facts.in_flight == InFlight::Nothing;
        let open = facts.life == Life::Open;
        let room = facts.size < 100 && facts.bytes < 1000 && facts.work != Work::Urgent;
        // An epoch without work has nothing to close for, however many bytes it is said to have.
        let may_grow = room || !has_work;
        let allowed = match action {
            Action::Poll => open && may_grow && facts.supply == Supply::More && facts.time != Time::Due,
            Action::CallTime => {
                let their_turn =
                    facts.time == Time::Due || (facts.time == Time::Yields && facts.supply == Supply::Drained);
                open && may_grow && facts.supply != Supply::Congested && their_turn
            }
            Action::Freeze => has_work && free && facts.life != Life::Ending,
            Action::Close => facts.life == Life::Ending,
            Action::End => facts.life == Life::Closed && !has_work && free,
            Action::Wait => !free || (open && !has_work && facts.supply != Supply::More),
        };
        assert!(allowed, "{action:?} after {facts:?}");
    }
}

/// A task that waits is woken by a commit, the store or the source; each of them must be what it waits for.
#[test]
fn a_task_never_waits_while_it_could_do_something() {
    for facts in all_facts() {
        let action = next_action(&facts, &BOUNDS);
        let open = facts.life == Life::Open;
        let idle = facts.work == Work::Nothing && facts.in_flight == InFlight::Nothing;
        if open && idle && facts.supply == Supply::More {
            assert!(matches!(action, Action::Poll | Action::CallTime), "{action:?} after {facts:?}");
        }
        if open && idle && facts.supply == Supply::Drained && facts.time != Time::Quiet {
            assert_eq!(action, Action::CallTime, "{facts:?}");
        }
        let to_commit = facts.work == Work::Urgent || (facts.work == Work::Some && facts.supply == Supply::Congested);
        if open && to_commit && facts.in_flight == InFlight::Nothing {
            assert_eq!(action, Action::Freeze, "{facts:?}");
        }
    }
}
