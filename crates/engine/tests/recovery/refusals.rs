// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records that the broker does not take, found out before the commit or by it.

use std::sync::atomic::Ordering::Relaxed;

use fnstream_core::spec::{ErrorAction, ErrorPolicy};
use fnstream_engine::TaskState;

use crate::world::{World, picky, spec};

/// Larger than the limit of these tests, with what a packed record costs beside its value.
fn large() -> String {
    "l".repeat(200)
}

#[test]
fn a_record_above_the_announced_limit_fails_like_one_above_the_functions_own() {
    let world = World::new(spec());
    world.fake.announced_limit.store(150, Relaxed);
    world.produce(&["a", &large(), "b"]);
    world.start(picky);
    world.settle();
    assert_eq!(world.outputs(), "a b");
    assert_eq!(world.dead_letters(), [(large(), "FS-1410".to_owned())]);
    assert!(world.task().last_error.unwrap().message.contains("output 'out' takes 150"));
}

#[test]
fn a_rejected_commit_leads_to_the_record_that_made_it() {
    let mut spec = spec();
    // The dead letters are large too, and belong elsewhere.
    spec.on_error = ErrorPolicy { action: ErrorAction::Skip, retries: 5, ..ErrorPolicy::default() };
    let world = World::new(spec);
    world.fake.secret_limit.store(150, Relaxed);
    let mut values: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    values[42] = large();
    values[77] = large();
    world.produce(&values.iter().map(String::as_str).collect::<Vec<_>>());
    world.start(picky);
    world.settle();
    values.retain(|value| value.len() < 100);
    assert_eq!(world.outputs(), values.join(" "));
    let meter = world.engine.meters().of("f");
    assert_eq!((meter.records_skipped.get(), meter.records_in.get()), (2, 100));
    assert_eq!(world.fake.acquires.load(Relaxed), 1);
    let error = world.task().last_error.unwrap();
    assert_eq!(error.code.as_str(), "FS-1606");
    assert!(error.message.contains("at position 77 of in-0") && error.message.contains("output 'out'"), "{error:?}");
    world.broker.assert_no_violations();
}

#[test]
fn it_becomes_a_dead_letter_with_its_own_code() {
    let world = World::new(spec());
    world.fake.secret_limit.store(900, Relaxed);
    // The output is twice as large as the record, and the dead letter is not.
    let doubled = |record: fnstream_frame::RecordRef<'_>, host: &mut dyn fnstream_core::runtime::Host| {
        host.emit(fnstream_frame::RecordRef::new(&record.bytes().repeat(2)))
    };
    let culprit = "l".repeat(450);
    world.produce(&["a", &culprit, "b"]);
    world.start(doubled);
    world.settle();
    assert_eq!(world.outputs(), "aa bb");
    assert_eq!(world.dead_letters(), [(culprit, "FS-1606".to_owned())]);
}

#[test]
fn a_task_whose_dead_letter_is_rejected_stops_before_the_record_and_says_so() {
    let world = World::new(spec());
    world.fake.secret_limit.store(150, Relaxed);
    world.produce(&["a", &large(), "b"]);
    world.start(picky);
    world.settle();
    let task = world.task();
    assert_eq!((world.outputs().as_str(), task.state), ("a", TaskState::Failed));
    assert!(task.last_error.unwrap().message.contains("its dead letter is refused"));
}
