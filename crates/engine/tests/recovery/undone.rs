// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Errors that leave nothing of their record: they cost no instance, no way back to the last commit, and no epoch of their own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::runtime::Host;
use fnstream_core::spec::{DesiredState, ErrorAction, ErrorPolicy, FunctionEntry, FunctionSpec};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::native::NativeProgram;
use fnstream_engine::{Backend, DeadLetterAction, DeadLetterReport, DeadLettersOrdered, EpochBounds, TaskState};
use fnstream_frame::{Headers, RecordRef};

use crate::world::{ID, World, spec};

/// The function returns an error at records that begin with an x, before it does anything, and traps at those that begin with a t, which
/// it has emitted then.
struct Picky {
    world: World,
    /// How many instances were made, and how many records they were given.
    instances: Arc<AtomicU64>,
    given: Arc<AtomicU64>,
    mended: Arc<AtomicBool>,
}

impl Picky {
    fn start(policy: ErrorPolicy, records: &[String]) -> Picky {
        Self::start_with(policy, records, EpochBounds::default())
    }

    fn start_with(policy: ErrorPolicy, records: &[String], epoch: EpochBounds) -> Picky {
        let spec = FunctionSpec { on_error: policy, ..spec() };
        let world = World::new(spec.clone());
        let (instances, given, mended) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        let picky = Picky { world, instances, given, mended };
        let (instances, given, mended) = (picky.instances.clone(), picky.given.clone(), picky.mended.clone());
        let program = NativeProgram::new(move || {
            instances.fetch_add(1, Relaxed);
            let (given, mended) = (given.clone(), mended.clone());
            Box::new(move |record: RecordRef<'_>, host: &mut dyn Host| {
                given.fetch_add(1, Relaxed);
                match record.bytes().first() {
                    Some(b'x') if !mended.load(Relaxed) => {
                        Err(Error::new(ErrorCode::GuestError, "it does not like it"))
                    }
                    Some(b't') => {
                        host.emit(record.on(0))?;
                        Err(Error::new(ErrorCode::GuestTrap, "unreachable"))
                    }
                    _ => host.emit(record.on(0)),
                }
            })
        });
        for record in records {
            picky.world.broker.produce("in", b"k", record.as_bytes());
        }
        let entry = FunctionEntry { id: ID, revision: 7, desired: DesiredState::Running, created_ms: 0, spec };
        picky.world.engine.start_function(&entry, program, Backend { epoch, ..picky.world.backend() }).unwrap();
        picky.world.broker.assign_free(FunctionId(1), 0);
        picky.world.settle_now();
        picky
    }

    fn instances(&self) -> u64 {
        self.instances.load(Relaxed)
    }

    fn epoch(&self) -> u64 {
        self.world.broker.progress(TaskId::new(ID, 0)).epoch.0
    }

    /// The values of the dead letters, with how often each was tried.
    fn letters(&self) -> Vec<(String, u64)> {
        let read = |record: &fnstream_core::test_util::mem_broker::StoredRecord| {
            let letter = DeadLetter::read(Headers::parse(&record.headers).unwrap()).unwrap();
            (String::from_utf8_lossy(record.bytes()).into_owned(), letter.attempts)
        };
        self.world.broker.read("f.dlq", 0).iter().map(read).collect()
    }

    fn order(&self, action: &DeadLetterAction) -> (DeadLettersOrdered, Arc<Mutex<Option<DeadLetterReport>>>) {
        let end = self.world.broker.read("f.dlq", 0).last().unwrap().position.next();
        let report = Arc::new(Mutex::new(None));
        let told = report.clone();
        let done = Box::new(move |done| *told.lock().unwrap() = Some(done));
        (self.world.engine.dead_letters(ID, action, &BTreeMap::from([(0, end)]), done).unwrap(), report)
    }
}

fn policy(action: ErrorAction, retries: u32) -> ErrorPolicy {
    ErrorPolicy { action, retries, ..ErrorPolicy::default() }
}

fn dead_letters() -> ErrorAction {
    ErrorAction::DeadLetter { topic: None }
}

/// So many records, of which each third is bad.
fn some_bad(count: usize) -> (Vec<String>, Vec<String>, Vec<String>) {
    let records: Vec<_> = (0..count).map(|i| format!("{}{i}", if i % 3 == 1 { "x" } else { "g" })).collect();
    let (bad, good) = records.iter().cloned().partition(|record: &String| record.starts_with('x'));
    (records, good, bad)
}

#[test]
fn bad_records_among_others_cost_no_instance_and_no_epoch() {
    let (records, good, bad) = some_bad(3_000);
    let picky = Picky::start(ErrorPolicy::default(), &records);
    assert_eq!(picky.world.outputs(), good.join(" "));
    assert_eq!(picky.letters(), bad.iter().map(|value| (value.clone(), 2)).collect::<Vec<_>>());
    assert_eq!((picky.instances(), picky.world.task().restarts), (1, 0));
    assert!(picky.epoch() < 20, "{} epochs", picky.epoch());
    // Each bad record twice, and nothing else again.
    assert_eq!(picky.given.load(Relaxed), 4_000);
    let error = picky.world.task().last_error.unwrap();
    assert!(error.message.contains("at position 2998 of in-0"), "{}", error.message);
    let meter = picky.world.engine.meters().of("f");
    assert_eq!((meter.records_failed.get(), meter.records_dead_lettered.get()), (2_000, 1_000));
}

#[test]
fn a_backlog_of_which_all_is_bad_is_given_up_where_it_is() {
    let records: Vec<_> = (0..2_000).map(|i| format!("x{i}")).collect();
    let picky = Picky::start(policy(ErrorAction::Skip, 0), &records);
    assert_eq!((picky.world.outputs().as_str(), picky.instances(), picky.given.load(Relaxed)), ("", 1, 2_000));
    let meter = picky.world.engine.meters().of("f");
    assert_eq!((meter.records_skipped.get(), meter.records_in.get()), (2_000, 2_000));
    assert!(picky.epoch() < 20, "{} epochs", picky.epoch());
}

#[test]
fn a_wait_between_tries_is_kept() {
    let wait = Duration::from_secs(7);
    let policy = ErrorPolicy { backoff: wait, ..policy(dead_letters(), 1) };
    let picky = Picky::start(policy, &["a", "x", "b"].map(str::to_owned));
    picky.world.clock.advance(wait - Duration::from_millis(1));
    picky.world.settle_now();
    assert_eq!((picky.world.task().state, picky.letters().len()), (TaskState::BackingOff, 0));
    picky.world.clock.advance(Duration::from_millis(1));
    picky.world.settle_now();
    assert_eq!(picky.letters(), [("x".to_owned(), 2)]);
    assert_eq!(picky.world.outputs(), "a b");
}

#[test]
fn a_task_that_is_to_stop_stands_before_the_record_with_everything_before_it_committed() {
    for (retries, records) in [(0, ["a", "b", "x", "c"]), (2, ["a", "b", "x", "c"]), (1, ["x", "a", "b", "c"])] {
        let picky = Picky::start(policy(ErrorAction::Stop, retries), &records.map(str::to_owned));
        let before = records.iter().position(|record| *record == "x").unwrap();
        assert_eq!(picky.world.outputs(), records[..before].join(" "));
        let task = picky.world.task();
        let error = task.last_error.unwrap();
        assert_eq!((task.state, error.code), (TaskState::Failed, ErrorCode::GuestError));
        assert!(error.message.contains(&format!("at position {before} of in-0")), "{}", error.message);
    }
}

#[test]
fn a_trap_costs_one_instance_for_each_try() {
    let records: Vec<_> = (0..60).map(|i| format!("{}{i}", if i % 2 == 0 { "t" } else { "g" })).collect();
    let picky = Picky::start(ErrorPolicy::default(), &records);
    assert_eq!(picky.letters().iter().map(|(_, tries)| *tries).collect::<Vec<_>>(), [2; 30]);
    assert_eq!(picky.instances(), 1 + 2 * 30);
    // Nothing is done again for the sake of another.
    assert_eq!(picky.given.load(Relaxed), 30 + 2 * 30);
}

#[test]
fn a_backlog_of_traps_costs_no_epoch_for_each_and_nothing_of_them_is_kept() {
    let records: Vec<_> = (0..2_000).map(|i| format!("t{i}")).collect();
    let picky = Picky::start(ErrorPolicy::default(), &records);
    picky.world.broker.produce("in", b"k", b"good");
    picky.world.settle_now();
    assert_eq!(picky.letters(), records.iter().map(|value| (value.clone(), 2)).collect::<Vec<_>>());
    assert_eq!(picky.world.outputs(), "good");
    // An instance for each try, and the one that took the good record.
    assert_eq!((picky.instances(), picky.given.load(Relaxed)), (2 * 2_000 + 1, 2 * 2_000 + 1));
    assert!(picky.epoch() < 20, "{} epochs", picky.epoch());
    let meter = picky.world.engine.meters().of("f");
    assert_eq!((meter.records_failed.get(), meter.records_dead_lettered.get()), (4_000, 2_000));
    assert_eq!((meter.restarts.get(), picky.world.task().restarts), (4_000, 4_000));
}

#[test]
fn traps_without_retries_are_tried_alone_once() {
    let records: Vec<_> = (0..200).map(|i| format!("t{i}")).collect();
    let picky = Picky::start(policy(ErrorAction::Skip, 0), &records);
    // The first one failed in front of others before, which does not count.
    assert_eq!((picky.instances(), picky.given.load(Relaxed)), (201, 201));
    assert_eq!(picky.world.engine.meters().of("f").records_skipped.get(), 200);
    assert_eq!(picky.world.outputs(), "");
}

#[test]
fn errors_and_traps_in_one_epoch_are_each_given_up_once_and_in_order() {
    let kinds = ["g", "x", "x", "t", "g", "x", "t", "t", "g", "g"];
    let records: Vec<_> = (0..200).map(|i| format!("{}{i}", kinds[i * 7 % 10])).collect();
    let picky = Picky::start(ErrorPolicy::default(), &records);
    let (good, bad): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| record.starts_with('g'));
    assert_eq!(picky.world.outputs(), good.join(" "));
    assert_eq!(picky.letters().into_iter().map(|(value, _)| value).collect::<Vec<_>>(), bad);
    assert!(picky.letters().iter().all(|(_, tries)| *tries >= 2));
}

#[test]
fn a_replay_that_fails_again_costs_no_epoch_for_each_letter() {
    let records: Vec<_> = (0..3_000).map(|i| format!("x{i}")).collect();
    let picky = Picky::start(ErrorPolicy::default(), &records);
    let before = picky.epoch();
    let (_, report) = picky.order(&DeadLetterAction::Replay);
    picky.world.settle_now();
    let report = report.lock().unwrap().take().expect("the replay is done");
    assert_eq!((report.replayed, report.failed_again, report.unfinished_tasks), (0, 3_000, 0));
    assert!(picky.epoch() - before < 20, "{} epochs", picky.epoch() - before);
    let again: Vec<_> = records.iter().map(|value| (value.clone(), 4)).collect();
    assert_eq!(picky.letters()[3_000..], again);
    picky.mended.store(true, Relaxed);
    let (_, report) = picky.order(&DeadLetterAction::Replay);
    picky.world.settle_now();
    let report = report.lock().unwrap().take().expect("the replay is done");
    assert_eq!((report.replayed, report.failed_again), (3_000, 0));
    assert_eq!(picky.world.outputs(), records.join(" "));
    assert_eq!(picky.instances(), 1);
}

#[test]
fn a_replay_that_is_cancelled_amid_a_batch_loses_and_doubles_nothing() {
    let records: Vec<_> = (0..500).map(|i| format!("x{i}")).collect();
    // A turn is 64 things that the task does: it ends when an epoch was just handed in, and there is more of the batch.
    let epoch = EpochBounds { records: 63, ..EpochBounds::default() };
    let picky = Picky::start_with(policy(dead_letters(), 0), &records, epoch);
    let given = picky.given.load(Relaxed);
    let (order, report) = picky.order(&DeadLetterAction::Replay);
    while picky.given.load(Relaxed) == given {
        assert!(picky.world.driver.run(0), "the replay does not begin");
    }
    assert_eq!(picky.given.load(Relaxed) - given, 63);
    order.cancel();
    picky.mended.store(true, Relaxed);
    picky.world.broker.commit_all();
    picky.world.settle_now();
    let first = report.lock().unwrap().take().expect("it is over");
    assert_eq!(first.unfinished_tasks, 0);
    picky.world.broker.produce("in", b"k", b"later");
    let (_, report) = picky.order(&DeadLetterAction::Replay);
    picky.world.settle_now();
    let second = report.lock().unwrap().take().expect("it is over");
    assert!(first.failed_again > 0 && second.failed_again == 0);
    assert_eq!(first.replayed + second.replayed, 500, "{first:?}, {second:?}");
    let mut outputs: Vec<_> = picky.world.outputs().split(' ').map(str::to_owned).collect();
    outputs.sort_unstable();
    let mut wanted = [records, vec!["later".to_owned()]].concat();
    wanted.sort_unstable();
    assert_eq!(outputs, wanted);
}

#[test]
fn a_trial_keeps_its_instance_at_such_errors() {
    let records: Vec<_> = (0..500).map(|i| format!("x{i}")).collect();
    let picky = Picky::start(policy(dead_letters(), 0), &records);
    let made = Arc::new(AtomicU64::new(0));
    let counted = made.clone();
    let program = NativeProgram::new(move || {
        counted.fetch_add(1, Relaxed);
        let refuse =
            |_: RecordRef<'_>, _: &mut dyn Host| -> Result<()> { Err(Error::new(ErrorCode::GuestError, "no")) };
        Box::new(refuse)
    });
    let (_, report) = picky.order(&DeadLetterAction::Try(program));
    picky.world.settle_now();
    let report = report.lock().unwrap().take().expect("the trial is done");
    assert_eq!(report.tried.iter().filter(|tried| tried.outcome.is_err()).count(), 500);
    assert_eq!(made.load(Relaxed), 1);
}
