// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What becomes of records that a function fails at: by policy, by limit, and by whose fault it is.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::delta::Write;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::function_log::ProcessLog;
use fnstream_core::runtime::{Host, Limits};
use fnstream_core::spec::{DesiredState, ErrorAction, ErrorPolicy, FunctionEntry, FunctionSpec};
use fnstream_core::test_util::clock::ManualClock;
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::native::NativeProgram;
use fnstream_engine::{
    Backend, Engine, EngineConfig, EngineDeps, EpochBounds, FunctionStatus, ManualDriver, Request, TaskState,
};
use fnstream_frame::{Headers, RecordRef};

const ID: FunctionId = FunctionId(1);

/// One function with one task, in virtual time.
struct World {
    broker: MemBroker,
    engine: Engine,
    driver: ManualDriver,
    clock: Arc<ManualClock>,
}

impl World {
    /// Runs a function over records until nothing is left to do.
    fn run(
        change: impl FnOnce(&mut FunctionSpec),
        records: &[&str],
        function: impl Fn(RecordRef<'_>, &mut dyn Host) -> Result<()> + Send + Sync + Clone + 'static,
    ) -> World {
        let mut spec = FunctionSpec {
            name: "f".into(),
            artifact: "native".into(),
            inputs: vec![vec!["in".into()]],
            outputs: vec!["out".into()],
            replicas: 1,
            ..FunctionSpec::default()
        };
        change(&mut spec);
        spec.validate().unwrap();
        let broker = MemBroker::new();
        for topic in spec.topics() {
            broker.create_topic(&topic.name, 1);
        }
        for record in records {
            broker.produce("in", b"k", record.as_bytes());
        }
        let (clock, client) = (Arc::new(ManualClock::new(0)), broker.connect(0));
        let deps = EngineDeps { clock: clock.clone(), log: Arc::new(ProcessLog) };
        let backend = Backend {
            broker: client.clone(),
            committer: client,
            state_stores: Arc::new(MemStateStores::new()),
            epoch: EpochBounds::default(),
        };
        let (engine, driver) = Engine::manual(EngineConfig::default(), deps);
        let entry = FunctionEntry { id: ID, revision: 7, desired: DesiredState::Running, created_ms: 0, spec };
        let program = NativeProgram::new(move || {
            let function = function.clone();
            Box::new(move |record, host| function(record, host))
        });
        engine.start_function(&entry, program, backend).unwrap();
        broker.assign_free(ID, 0);
        let world = World { broker, engine, driver, clock };
        world.settle();
        world
    }

    fn settle(&self) {
        let mut quiet = 0;
        for _ in 0..1_000 {
            let mut ran = 0;
            while self.driver.ready() > 0 {
                self.driver.run(0);
                ran += 1;
                assert!(ran < 100_000, "a task runs for ever");
            }
            quiet = if ran + self.broker.commit_all() == 0 { quiet + 1 } else { 0 };
            if quiet == 3 {
                return;
            }
            self.clock.advance(Duration::from_secs(1));
        }
    }

    fn outputs(&self) -> Vec<String> {
        let values = self.broker.values("out", 0);
        values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// Value and code of each dead letter.
    fn dead_letters(&self) -> Vec<(String, String)> {
        let records = self.broker.read("f.dlq", 0);
        let read = |record: &fnstream_core::test_util::mem_broker::StoredRecord| {
            let dead_letter = DeadLetter::read(Headers::parse(&record.headers).unwrap()).unwrap();
            assert_eq!((dead_letter.revision, dead_letter.function.as_str()), (7, "f"));
            (String::from_utf8_lossy(record.bytes()).into_owned(), dead_letter.code)
        };
        records.iter().map(read).collect()
    }

    fn status(&self) -> FunctionStatus {
        self.engine.status(ID).unwrap()
    }

    fn consumed(&self) -> u128 {
        self.broker.progress(TaskId::new(ID, 0)).positions.iter().find(|(at, _)| &*at.topic.name == "in").unwrap().1.0
    }
}

/// Passes records on, and fails at those that begin with an x.
fn picky(record: RecordRef<'_>, host: &mut dyn Host) -> Result<()> {
    host.emit(record.on(0))?;
    match record.bytes().starts_with(b"x") {
        true => Err(Error::new(ErrorCode::GuestTrap, "it does not like it")),
        false => Ok(()),
    }
}

fn policy(action: ErrorAction, retries: u32) -> impl FnOnce(&mut FunctionSpec) {
    move |spec| spec.on_error = ErrorPolicy { action, retries, ..ErrorPolicy::default() }
}

#[test]
fn the_default_is_a_dead_letter_and_the_rest_in_order() {
    let world = World::run(|_| (), &["a", "x1", "b", "x2", "x3", "c"], picky);
    assert_eq!(world.outputs(), ["a", "b", "c"]);
    let trap = |value: &str| (value.to_owned(), "FS-1402".to_owned());
    assert_eq!(world.dead_letters(), ["x1", "x2", "x3"].map(trap));
    let meter = world.engine.meters().of("f");
    assert_eq!((meter.records_in.get(), meter.records_out.get(), meter.records_dead_lettered.get()), (6, 3, 3));
}

#[test]
fn a_null_value_stays_null_on_its_way_out_and_as_a_dead_letter() {
    let by_key = |record: RecordRef<'_>, host: &mut dyn Host| {
        host.emit(record.on(0))?;
        match record.key {
            Some(b"bad") => Err(Error::new(ErrorCode::GuestTrap, "it does not like it")),
            _ => Ok(()),
        }
    };
    let world = World::run(|_| (), &[], by_key);
    for record in
        [RecordRef::null().with_key(Some(b"good")), RecordRef::null().with_key(Some(b"bad")), RecordRef::new(b"")]
    {
        world.broker.append_record("in", 0, record);
    }
    world.settle();
    let values = |topic: &str| world.broker.read(topic, 0).into_iter().map(|record| record.value).collect::<Vec<_>>();
    assert_eq!(values("out"), [None, Some(Bytes::new())]);
    assert_eq!(values("f.dlq"), [None]);
}

#[test]
fn skipped_records_leave_no_trace_but_a_number() {
    let world = World::run(policy(ErrorAction::Skip, 0), &["a", "x1", "b"], picky);
    assert_eq!(world.outputs(), ["a", "b"]);
    let meter = world.engine.meters().of("f");
    assert_eq!((meter.records_skipped.get(), meter.records_dead_lettered.get()), (1, 0));
}

#[test]
fn a_task_that_is_to_stop_stands_before_the_record_with_everything_before_it_committed() {
    let world = World::run(policy(ErrorAction::Stop, 2), &["a", "b", "x1", "c"], picky);
    assert_eq!((world.outputs(), world.consumed()), (vec!["a".to_owned(), "b".to_owned()], 2));
    let task = &world.status().tasks[0];
    let error = task.last_error.as_ref().unwrap();
    assert_eq!((task.state, error.code), (TaskState::Failed, ErrorCode::GuestTrap));
    assert!(error.message.contains("at position 2 of in-0"), "{}", error.message);
}

#[test]
fn a_record_that_succeeds_when_it_is_tried_again_is_no_dead_letter() {
    let calls = Arc::new(AtomicU64::new(0));
    let flaky = move |record: RecordRef<'_>, host: &mut dyn Host| {
        if record.bytes() == b"x" && calls.fetch_add(1, Relaxed) < 3 {
            return Err(Error::new(ErrorCode::GuestError, "not yet"));
        }
        host.emit(record.on(0))
    };
    let world = World::run(policy(ErrorAction::DeadLetter { topic: None }, 3), &["a", "x", "b"], flaky);
    assert_eq!((world.outputs().join(""), world.dead_letters().len()), ("axb".to_owned(), 0));
}

#[test]
fn a_fault_of_the_host_is_no_records_fault() {
    let calls = Arc::new(AtomicU64::new(0));
    let on_a_full_disk = move |record: RecordRef<'_>, host: &mut dyn Host| {
        if calls.fetch_add(1, Relaxed) < 5 {
            return Err(Error::new(ErrorCode::StorageFull, "the disk is full"));
        }
        host.emit(record.on(0))
    };
    let world = World::run(policy(ErrorAction::DeadLetter { topic: None }, 0), &["a", "b"], on_a_full_disk);
    assert_eq!((world.outputs().join(""), world.dead_letters().len()), ("ab".to_owned(), 0));
    assert_eq!(world.engine.meters().of("f").records_failed.get(), 0);
}

#[test]
fn each_limit_of_output_fails_the_record_that_passes_it_with_its_own_code() {
    let limits = |spec: &mut FunctionSpec| {
        spec.limits = Limits { record_bytes: 100, records_per_input: 3, memory: 64 << 10, ..Limits::default() };
    };
    // A number is how many records, a letter how large they are.
    let emitter = |record: RecordRef<'_>, host: &mut dyn Host| {
        let (count, size) = match record.bytes() {
            b"many" => (4, 1),
            b"large" => (1, 101),
            _ => (3, 50),
        };
        (0..count).try_for_each(|_| host.emit(RecordRef::new(&vec![b'v'; size])))
    };
    let world = World::run(limits, &["ok", "many", "large", "ok"], emitter);
    assert_eq!(world.outputs().len(), 6);
    let expected = [("many", "FS-1411"), ("large", "FS-1410")].map(|(v, c)| (v.to_owned(), c.to_owned()));
    assert_eq!(world.dead_letters(), expected);
}

#[test]
fn state_stays_within_its_limit_whatever_is_written() {
    let limits = |spec: &mut FunctionSpec| spec.limits = Limits { state_bytes: Some(20), ..Limits::default() };
    // `put KEY SIZE`, `merge KEY SIZE`, `delete KEY`, `clear`; a key has one byte.
    let keeper = |record: RecordRef<'_>, host: &mut dyn Host| {
        let text = String::from_utf8_lossy(record.bytes()).into_owned();
        let words: Vec<&str> = text.split(' ').collect();
        let bytes = || Bytes::from(vec![0; words[2].parse().unwrap()]);
        match words[0] {
            "put" => host.write(words[1].as_bytes(), Write::Put(bytes())),
            "merge" => host.write(words[1].as_bytes(), Write::Merge(bytes())),
            "delete" => host.write(words[1].as_bytes(), Write::Delete),
            _ => host.delete_range(b"", None),
        }
    };
    let records = [
        "put a 9",
        "put b 9",
        "put c 0",
        "merge a 1",
        "put a 8",
        "put c 0",
        "delete b",
        "put d 9",
        "merge d 1",
        "clear",
        "put a 19",
        "put b 0",
    ];
    let world = World::run(limits, &records, keeper);
    let full = |value: &str| (value.to_owned(), "FS-1412".to_owned());
    assert_eq!(world.dead_letters(), ["put c 0", "merge a 1", "merge d 1", "put b 0"].map(full));
    assert_eq!(world.broker.state(TaskId::new(ID, 0)).into_iter().map(|(k, v)| k.len() + v.len()).sum::<usize>(), 20);
}

#[test]
fn a_request_is_answered_between_batches_and_one_to_nobody_at_once() {
    let world = World::run(|_| (), &["a"], picky);
    let answers = Arc::new(parking_lot::Mutex::new(Vec::new()));
    for task in [0, 1] {
        let answers = answers.clone();
        let done = Box::new(move |answer: Result<Vec<u8>>| answers.lock().push((task, answer.map_err(|e| e.code))));
        let most = std::time::Duration::from_secs(30);
        world.engine.request(ID, task, Request::Custom(b"how are you".to_vec()), most, done);
    }
    world.settle();
    // There is no task 1.
    let nobody = (1, Err(ErrorCode::FunctionStopped));
    assert_eq!(*answers.lock(), [nobody, (0, Ok(b"how are you".to_vec()))]);
}
