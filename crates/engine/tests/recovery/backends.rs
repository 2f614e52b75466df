// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions of one engine on different backends.

use std::sync::Arc;

use fnstream_core::epoch::FunctionId;
use fnstream_core::spec::{DesiredState, FunctionEntry};
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::{Error, ErrorCode};
use fnstream_engine::native::NativeProgram;
use fnstream_engine::{Backend, FunctionState};

use crate::fake::{Fake, FakeBroker};
use crate::world::{ID, World, picky, spec};

const OTHER: FunctionId = FunctionId(2);

#[test]
fn one_backend_that_is_away_keeps_nobody_on_the_other_from_working() {
    let world = World::new(spec());
    world.produce(&["a"]);
    world.start(picky);
    world.settle();

    // A second function of the same name and topics, elsewhere.
    let elsewhere = MemBroker::new();
    for topic in spec().topics() {
        elsewhere.create_topic(&topic.name, 1);
    }
    let fake = Fake::new(elsewhere.connect(0));
    let entry = FunctionEntry { id: OTHER, revision: 1, desired: DesiredState::Running, created_ms: 0, spec: spec() };
    let program = NativeProgram::new(|| Box::new(|record, host| host.emit(record.on(0))));
    let backend = Backend { broker: Arc::new(FakeBroker(fake.clone())), committer: fake.clone(), ..world.backend() };
    world.engine.start_function(&entry, program, backend).unwrap();
    elsewhere.assign_free(OTHER, 0);
    let settle = || while world.run() + world.broker.commit_all() + elsewhere.commit_all() > 0 {};
    settle();

    *world.fake.source_trouble.lock() = Some(Error::new(ErrorCode::Unavailable, "no broker answers"));
    world.produce(&["b"]);
    for value in ["x1", "x2"] {
        elsewhere.produce("in", b"k", value.as_bytes());
    }
    settle();
    let outputs = |broker: &MemBroker| String::from_utf8(broker.values("out", 0).join(&b' ')).unwrap();
    assert_eq!((outputs(&world.broker), outputs(&elsewhere)), ("a".to_owned(), "x1 x2".to_owned()));
    let trouble = |id| world.engine.status(id).unwrap().tasks[0].trouble.clone().map(|error| error.code);
    assert_eq!((trouble(ID), trouble(OTHER)), (Some(ErrorCode::Unavailable), None));
    assert_eq!(world.engine.status(OTHER).unwrap().state, FunctionState::Running);

    *world.fake.source_trouble.lock() = None;
    world.produce(&["c"]);
    settle();
    assert_eq!((outputs(&world.broker), outputs(&elsewhere)), ("a b c".to_owned(), "x1 x2".to_owned()));
}
