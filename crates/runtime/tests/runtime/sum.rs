// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The memory of all guests together: what they take of it, and how the call ends of one that gets no more or has to give way.

use std::sync::Arc;
use std::thread;

use fnstream_core::ErrorCode;
use fnstream_core::budget::Part;
use fnstream_core::budget::guests::{Account, Guests};
use fnstream_core::runtime::{InstanceSpec, Program, Runtime};
use fnstream_core::spec::Limits;
use fnstream_core::waker::Waker;

use crate::support::{refusal, runtime, spec, start};

const PAGE: usize = 64 << 10;

/// What counts of so many pages that a memory begins with.
fn begun(pages: usize) -> usize {
    pages * PAGE - (pages * PAGE).min(1 << 20) / 8 * 7
}

fn guests(pages: usize) -> (Guests, Part) {
    let part = Part::new("guests", "functions' memories", pages * PAGE);
    (Guests::new(part.clone()), part)
}

fn taking(account: &Account) -> InstanceSpec {
    InstanceSpec { memory: account.clone(), ..spec() }
}

fn load(module: &str) -> Arc<dyn Program> {
    runtime().load(&wat::parse_str(module).unwrap()).unwrap()
}

/// Has 2 pages, and takes 10 more for each record; does not mind if there are none.
fn growing() -> Arc<dyn Program> {
    load(
        r#"(module (memory (export "memory") 2)
            (func (export "process") (drop (memory.grow (i32.const 10)))))"#,
    )
}

#[test]
fn what_an_instance_has_is_taken_until_it_is_dropped() {
    let (guests, part) = guests(100);
    let account = guests.open(Waker::noop());
    let mut task = start(&growing(), &taking(&account));
    assert_eq!(part.used(), begun(2));
    task.run(&["a", "b"]).unwrap();
    assert_eq!((part.used(), account.bytes()), (begun(2) + 20 * PAGE, begun(2) + 20 * PAGE));
    drop(task);
    assert_eq!(part.used(), 0);
    let tables = start(&load(r#"(module (table 8192 funcref) (func (export "process")))"#), &taking(&account));
    assert_eq!(part.used(), PAGE);
    drop(tables);
    assert_eq!(part.used(), 0);
}

#[test]
fn a_program_that_is_started_for_each_record_takes_its_memory_once_at_a_time() {
    let (guests, part) = guests(100);
    let program = load(r#"(module (memory (export "memory") 60) (func (export "_start")))"#);
    let mut task = start(&program, &taking(&guests.open(Waker::noop())));
    task.run(&["a", "b", "c"]).unwrap();
    assert_eq!((part.used(), part.peak()), (0, begun(60)));
}

#[test]
fn a_call_ends_when_there_is_nothing_left_and_no_record_is_to_blame() {
    let (guests, part) = guests(100);
    let neighbour = guests.open(Waker::noop());
    neighbour.grow(80 * PAGE).unwrap();
    let mut task = start(&growing(), &taking(&guests.open(Waker::noop())));
    // The guest would go on with the refusal, and fail in its own words.
    let failure = task.fail(&["a", "b", "c"]);
    assert_eq!((failure.error.code, failure.record), (ErrorCode::GuestMemoryShort, None));
    assert!(failure.error.message.starts_with("the server's memory for functions is used up"), "{failure}");
    assert_eq!(task.fail(&["a"]).error.code, ErrorCode::GuestPoisoned);
    assert_eq!(part.used(), begun(2) + 90 * PAGE);
    drop(task);
    assert_eq!(part.used(), 80 * PAGE);
}

#[test]
fn an_instance_for_which_there_is_no_memory_is_not_made() {
    let (guests, part) = guests(100);
    let neighbour = guests.open(Waker::noop());
    neighbour.grow(100 * PAGE - 1024).unwrap();
    let account = guests.open(Waker::noop());
    assert_eq!(refusal(&growing(), &taking(&account)).error.code, ErrorCode::GuestMemoryShort);
    assert_eq!(part.used(), 100 * PAGE - 1024);
}

#[test]
fn more_than_it_could_have_alone_is_a_records_fault_and_what_others_have_is_not() {
    let (guests, part) = guests(20);
    let trapping = load(
        r#"(module (memory (export "memory") 2)
            (func (export "process")
              (if (i32.eq (memory.grow (i32.const 10)) (i32.const -1)) (then unreachable))))"#,
    );
    let bounded = ": the server has no more for this function";
    // The limit in force is never more than there is for all, and the default leaves an eighth of that to others.
    for (limit, in_force, why) in [
        (15 * PAGE, 15 * PAGE, ""),
        (30 * PAGE, 20 * PAGE, bounded),
        (Limits::default().memory, 35 * PAGE / 2, bounded),
    ] {
        let mut spec = taking(&guests.open(Waker::noop()));
        spec.limits.memory = limit;
        let failure = start(&trapping, &spec).fail(&["a", "b"]);
        assert_eq!((failure.error.code, failure.record), (ErrorCode::GuestOutOfMemory, Some(1)));
        assert_eq!(failure.error.message, format!("the limit of {in_force} bytes of memory was reached{why}"));
        assert_eq!(part.refused(), 0);
    }

    // It could have as much, but for another.
    let neighbour = guests.open(Waker::noop());
    neighbour.grow(12 * PAGE).unwrap();
    let failure = start(&trapping, &taking(&guests.open(Waker::noop()))).fail(&["a"]);
    assert_eq!((failure.error.code, failure.record), (ErrorCode::GuestMemoryShort, None), "{failure}");
}

#[test]
fn a_call_that_goes_on_ends_when_its_instance_has_to_give_way() {
    let (guests, part) = guests(100);
    let hog = guests.open(Waker::noop());
    let looping = load(r#"(module (memory (export "memory") 90) (func (export "process") (loop (br 0))))"#);
    let mut task = start(&looping, &taking(&hog));
    thread::scope(|scope| {
        let ended = scope.spawn(move || {
            let failure = task.fail(&["a"]);
            (failure.error, failure.record)
        });
        let small = guests.open(Waker::noop());
        assert_eq!(small.grow(30 * PAGE).unwrap_err().code, ErrorCode::GuestMemoryShort);
        let (error, record) = ended.join().unwrap();
        assert_eq!((error.code, record), (ErrorCode::GuestMemoryShort, None), "{error}");
        assert!(error.message.contains("gives way"), "{error}");
        small.grow(30 * PAGE).unwrap();
    });
    assert_eq!(part.used(), 0);
}
