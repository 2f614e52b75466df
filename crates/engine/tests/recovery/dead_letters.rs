// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Dead letters on a source that fetches ahead and knows ends late.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fnstream_core::delta::Write;
use fnstream_core::epoch::TaskId;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::runtime::Host;
use fnstream_core::state_key::{put_simple, store_prefix};
use fnstream_core::{Error, ErrorCode};
use fnstream_engine::native::NativeProgram;
use fnstream_engine::{DeadLetterAction, DeadLetterReport, TaskState};
use fnstream_frame::RecordRef;

use crate::world::{ID, World, picky, spec};

/// Runs an order about all dead letters to its end.
fn order(world: &World, action: &DeadLetterAction) -> DeadLetterReport {
    let end = world.broker.read("f.dlq", 0).last().unwrap().position.next();
    let report = Arc::new(Mutex::new(None));
    let told = report.clone();
    let done = Box::new(move |done| *told.lock().unwrap() = Some(done));
    world.engine.dead_letters(ID, action, &BTreeMap::from([(0, end)]), done).unwrap();
    world.settle_now();
    report.lock().unwrap().take().expect("the order is done")
}

/// A world with three dead letters, whose function takes everything from now on.
fn mended() -> World {
    mended_after(&["a", "x1", "x2", "b", "x3"])
}

/// The same after other input.
fn mended_after(input: &[&str]) -> World {
    let world = World::new(spec());
    let mended = Arc::new(AtomicBool::new(false));
    let takes_all = mended.clone();
    world.produce(input);
    world.start(move |record: RecordRef<'_>, host: &mut dyn Host| match takes_all.load(Relaxed) {
        true => host.emit(record.on(0)),
        false => picky(record, host),
    });
    world.settle();
    assert_eq!(world.dead_letters().len(), input.iter().filter(|value| value.starts_with('x')).count());
    mended.store(true, Relaxed);
    world
}

#[test]
fn a_source_that_is_not_ready_does_not_end_a_replay() {
    let world = mended();
    world.fake.hesitates.store(true, Relaxed);
    let report = order(&world, &DeadLetterAction::Replay);
    assert_eq!((report.replayed, report.unfinished_tasks), (3, 0));
    assert_eq!(world.outputs(), "a b x1 x2 x3");
}

#[test]
fn a_replay_goes_on_past_what_retention_drops_under_its_reader() {
    let world = mended();
    world.fake.hesitates.store(true, Relaxed);
    let letters: Vec<_> = world.broker.read("f.dlq", 0).iter().map(|letter| letter.position).collect();
    let (until, report) = (BTreeMap::from([(0, letters[2].next())]), Arc::new(Mutex::new(None)));
    let told = report.clone();
    let done = Box::new(move |done| *told.lock().unwrap() = Some(done));
    let meter = world.engine.meters().of("f");
    let restarts = meter.restarts.get();
    world.engine.dead_letters(ID, &DeadLetterAction::Replay, &until, done).unwrap();
    assert!(world.driver.run(0), "the reader stands at the first one");
    world.broker.drop_before("f.dlq", 0, letters[2]);
    world.settle_now();
    let report: DeadLetterReport = report.lock().unwrap().take().expect("it is over");
    assert_eq!((report.replayed, report.unfinished_tasks), (1, 0));
    assert_eq!((world.outputs().as_str(), meter.restarts.get()), ("a b x3", restarts));
}

#[test]
fn a_source_that_is_not_ready_does_not_end_a_trial() {
    let world = mended();
    world.fake.hesitates.store(true, Relaxed);
    let program = NativeProgram::new(|| Box::new(|record, host| host.emit(record.on(0))));
    let report = order(&world, &DeadLetterAction::Try(program));
    let outcomes: Vec<_> = report.tried.into_iter().map(|tried| tried.outcome).collect();
    assert_eq!(outcomes, [Ok(1), Ok(1), Ok(1)]);
    assert_eq!((world.outputs().as_str(), world.dead_letters().len()), ("a b", 3));
}

/// A program that takes longer than a slice for each record, counts them in the state, and emits the count.
fn counting(world: &World) -> Arc<NativeProgram> {
    let clock = world.clock.clone();
    NativeProgram::new(move || {
        let clock = clock.clone();
        Box::new(move |record, host| {
            clock.advance(Duration::from_millis(10));
            let mut key = store_prefix("s")?;
            put_simple(&mut key, b"count");
            let count = host.get(&key)?.map_or(0, |count| count.len()) + 1;
            host.write(&key, Write::Put(vec![b'1'; count].into()))?;
            (0..count).try_for_each(|_| host.emit(record.on(0)))
        })
    })
}

#[test]
fn a_trial_takes_turns_with_input_and_sees_what_it_wrote_before() {
    let world = mended_after(&["a", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8"]);
    let counts: Vec<_> = (1..=8).map(Ok).collect();
    let (end, report) = (world.broker.read("f.dlq", 0).last().unwrap().position.next(), Arc::new(Mutex::new(None)));
    let told = report.clone();
    let done = Box::new(move |done| *told.lock().unwrap() = Some(done));
    let action = DeadLetterAction::Try(counting(&world));
    let order = world.engine.dead_letters(ID, &action, &BTreeMap::from([(0, end)]), done).unwrap();
    while order.tried() == 0 {
        assert!(world.driver.run(0), "the trial does not begin");
    }
    world.produce(&["c"]);
    while world.outputs() != "a c" {
        assert!(world.driver.run(0), "the input waits");
        world.broker.commit_all();
        assert!(report.lock().unwrap().is_none(), "the input waited for the trial");
    }
    world.settle_now();
    let report: DeadLetterReport = report.lock().unwrap().take().unwrap();
    let outcomes: Vec<_> = report.tried.into_iter().map(|tried| tried.outcome).collect();
    assert_eq!(outcomes, counts, "each sees what those before it wrote");
    assert!(order.is_over());
    assert_eq!((world.outputs().as_str(), world.dead_letters().len()), ("a c", 8), "nothing was kept");
    // And nothing of it is left in the state that the next one sees.
    let report = self::order(&world, &DeadLetterAction::Try(counting(&world)));
    assert_eq!(report.tried.into_iter().map(|tried| tried.outcome).collect::<Vec<_>>(), counts);
}

#[test]
fn a_trial_takes_back_what_a_failed_letter_wrote_and_nothing_else() {
    let world = mended_after(&["x1", "x2", "x3", "x4", "x5"]);
    // Those with an odd number fail when they have written already.
    let program = NativeProgram::new(|| {
        Box::new(|record, host| {
            let mut key = store_prefix("s")?;
            put_simple(&mut key, b"count");
            let count = host.get(&key)?.map_or(0, |count| count.len()) + 1;
            host.write(&key, Write::Merge(b"1".as_slice().into()))?;
            (0..count).try_for_each(|_| host.emit(record.on(0)))?;
            match record.bytes()[1] % 2 {
                0 => Ok(()),
                _ => Err(Error::new(ErrorCode::GuestTrap, "odd")),
            }
        })
    });
    let report = order(&world, &DeadLetterAction::Try(program));
    let outcomes: Vec<_> = report.tried.into_iter().map(|tried| tried.outcome.ok()).collect();
    assert_eq!(outcomes, [None, Some(1), None, Some(2), None]);
    assert!(world.broker.state(TaskId::new(ID, 0)).is_empty(), "nothing is kept");
}

#[test]
fn one_that_is_dropped_from_among_others_has_them_move_to_the_end_in_their_order() {
    let world = mended();
    world.fake.hesitates.store(true, Relaxed);
    let second = world.broker.read("f.dlq", 0)[1].position;
    let report = order(&world, &DeadLetterAction::DropOnly(Arc::new([second].into())));
    assert_eq!((report.dropped, report.moved, report.unfinished_tasks), (1, 2, 0));
    assert_eq!(world.dead_letters().len(), 5, "two were written anew");
    assert_eq!(order(&world, &DeadLetterAction::Replay).replayed, 2);
    assert_eq!(world.outputs(), "a b x1 x3");
}

#[test]
fn a_record_counts_once_however_often_its_dead_letter_is_replayed() {
    let world = World::new(spec());
    world.produce(&["a", "x1", "x2"]);
    world.start(picky);
    world.settle();
    let meter = world.engine.meters().of("f");
    for round in 0..3 {
        assert_eq!((meter.records_in.get(), meter.records_dead_lettered.get()), (3, 2));
        assert_eq!((meter.records_replayed.get(), meter.records_failed_again.get()), (0, 2 * round));
        let report = order(&world, &DeadLetterAction::Replay);
        assert_eq!((report.replayed, report.failed_again), (0, 2));
    }
    let world = mended();
    let meter = world.engine.meters().of("f");
    assert_eq!(order(&world, &DeadLetterAction::Replay).replayed, 3);
    assert_eq!((meter.records_in.get(), meter.records_out.get(), meter.records_dead_lettered.get()), (5, 5, 3));
    assert_eq!((meter.records_replayed.get(), meter.records_failed_again.get()), (3, 0));
}

#[test]
fn a_cancelled_order_leaves_the_rest() {
    for action in [DeadLetterAction::Replay, DeadLetterAction::Drop, DeadLetterAction::DropOnly(Arc::default())] {
        let world = mended();
        let (end, report) = (world.broker.read("f.dlq", 0).last().unwrap().position.next(), Arc::new(Mutex::new(None)));
        let told = report.clone();
        let done = Box::new(move |done| *told.lock().unwrap() = Some(done));
        let order = world.engine.dead_letters(ID, &action, &BTreeMap::from([(0, end)]), done).unwrap();
        order.cancel();
        world.settle_now();
        let report: DeadLetterReport = report.lock().unwrap().take().expect("it is over");
        let done = (report.replayed, report.dropped, report.moved, report.unfinished_tasks);
        assert_eq!(done, (0, 0, 0, 0), "{action:?}");
        world.produce(&["c"]);
        world.settle_now();
        assert_eq!(world.outputs(), "a b c");
        assert_eq!(self::order(&world, &DeadLetterAction::Replay).replayed, 3, "the rest is there");
    }
}

#[test]
fn a_trial_that_is_cancelled_reports_nothing() {
    let world = mended();
    let (end, report) = (world.broker.read("f.dlq", 0).last().unwrap().position.next(), Arc::new(Mutex::new(None)));
    let told = report.clone();
    let done = Box::new(move |done| *told.lock().unwrap() = Some(done));
    let action = DeadLetterAction::Try(counting(&world));
    let order = world.engine.dead_letters(ID, &action, &BTreeMap::from([(0, end)]), done).unwrap();
    while order.tried() == 0 {
        assert!(world.driver.run(0), "the trial does not begin");
    }
    order.cancel();
    assert!(report.lock().unwrap().is_none());
    world.settle_now();
    let report: DeadLetterReport = report.lock().unwrap().take().expect("it is over");
    assert_eq!((report.tried.len(), report.unfinished_tasks), (0, 0));
    world.produce(&["c"]);
    world.settle_now();
    assert_eq!(world.outputs(), "a b c");
}

#[test]
fn a_new_function_waits_for_the_end_of_a_predecessors_dead_letters() {
    let world = World::new(spec());
    let at = |position| Some(Position(position));
    world.broker.append("f.dlq", 0, b"of another function of the name");
    world.fake.hides_ends.store(true, Relaxed);
    *world.fake.source_trouble.lock() = Some(Error::new(ErrorCode::Unavailable, "no broker answers"));
    world.produce(&["a"]);
    world.start(picky);
    for _ in 0..3 {
        world.settle_now();
        assert_eq!((world.outputs().as_str(), world.task().state), ("", TaskState::Opening));
        assert_eq!(world.task().trouble.map(|error| error.code), Some(ErrorCode::Unavailable));
        world.clock.advance(Duration::from_secs(1));
    }
    *world.fake.source_trouble.lock() = None;
    world.fake.shows_ends();
    world.settle_now();
    assert!(world.task().trouble.is_none());
    let progress = world.broker.progress(TaskId::new(ID, 0));
    assert_eq!(progress.positions.get(&TopicPartition::new("f.dlq", 0)).copied(), at(1));
    assert_eq!(world.outputs(), "a");
}
