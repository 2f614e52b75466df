// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that take much memory, on a server that has little: they take turns and lose nothing, and hold up nobody who takes
//! little.

use std::time::{Duration, Instant};

use fnstream_api::units::Quantity;
use fnstream_api::{Function, FunctionDescription, ProduceOptions};

use crate::support::{Fixture, function, within_long};

/// Of which functions have about 57 MiB.
const MEMORY: usize = 400 << 20;

/// Pages of memory of a hog, and of the good function. There are about 918 of them: one hog fits, and nobody beside it.
const HOG: u32 = 640;
const GOOD: u32 = 300;

const HOGS: usize = 4;

/// How long the good function may take for a record while hogs have all of the memory: a wait or two, on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);

/// Grows to so many pages with its first record; then it does something, and copies the record.
fn growing(pages: u32, then: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func (export "process")
              (if (i32.lt_u (memory.size) (i32.const {pages}))
                (then (drop (memory.grow (i32.sub (i32.const {pages}) (memory.size))))))
              {then}
              (i32.store (i32.const 0) (i32.const 1024))
              (i32.store (i32.const 4) (i32.const 60000))
              (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
              (i32.store (i32.const 4) (i32.load (i32.const 8)))
              (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#
    );
    wat::parse_str(text).unwrap()
}

/// Takes page after page for a record that begins with `g`, until it gets no more, and fails then; copies any other.
fn insatiable() -> Vec<u8> {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (func (export "process")
          (i32.store (i32.const 0) (i32.const 1024))
          (i32.store (i32.const 4) (i32.const 60000))
          (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 103))
            (then (loop $more
              (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
              unreachable)))
          (i32.store (i32.const 4) (i32.load (i32.const 8)))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#;
    wat::parse_str(text).unwrap()
}

/// A server with little memory, and hogs on it.
async fn with_hogs(hogs: usize, then: &str) -> Fixture {
    let fixture = Fixture::with(|config| config.memory = MEMORY).await;
    let digest = fixture.client.upload_artifact(growing(HOG, then)).await.unwrap().digest;
    for hog in 0..hogs {
        let hungry =
            patient(function(&format!("sha256:{digest}"), &format!("hog-{hog}-in"), &format!("hog-{hog}-out")));
        fixture.client.create_function(&format!("hog-{hog}"), &hungry).await.unwrap();
    }
    fixture
}

fn patient(mut function: Function) -> Function {
    function.limits.set("call-time", "10m").unwrap();
    function
}

async fn create_good(fixture: &Fixture) {
    let good = fixture.function(growing(GOOD, ""), "good-in", "good-out").await;
    fixture.client.create_function("good", &good).await.unwrap();
}

/// Gives the good function a record; answers how long it took.
async fn ask_good(fixture: &Fixture, record: &str) -> Duration {
    let begun = Instant::now();
    fixture.client.produce("good-in", record.to_owned(), &ProduceOptions::default()).await.unwrap();
    let answer = fixture.client.consume("good-out", &within_long()).await.unwrap().unwrap();
    assert_eq!(answer.json, format!("\"{record}\""));
    begun.elapsed()
}

fn is_short(description: &FunctionDescription) -> bool {
    description.tasks.iter().any(|task| task.last_error.as_ref().is_some_and(|error| error.code == "FS-1417"))
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_fit_one_by_one_take_turns_and_lose_nothing() {
    let fixture = with_hogs(HOGS, "").await;
    create_good(&fixture).await;
    let record = |hog: usize, round: usize| format!("record {round} of {hog}");
    for round in 0..3 {
        for hog in 0..HOGS {
            let input = format!("hog-{hog}-in");
            fixture.client.produce(&input, record(hog, round), &ProduceOptions::default()).await.unwrap();
        }
        let took = ask_good(&fixture, &format!("round {round}")).await;
        assert!(took < PROMPT, "the good function took {took:?}");
        for hog in 0..HOGS {
            let answer = fixture.client.consume(&format!("hog-{hog}-out"), &within_long()).await.unwrap();
            assert_eq!(answer.unwrap().json, format!("\"{}\"", record(hog, round)));
        }
    }
    let guests = &fixture.server.budget().guests;
    assert!(guests.refused() > 0, "{guests:?}");
    assert!(guests.peak() <= guests.limit() && guests.peak() >= (HOG as usize - 2) << 16, "{guests:?}");
    for hog in 0..HOGS {
        // Not one was given up for want of memory.
        assert_eq!(fixture.values(&format!("hog-{hog}.dlq")).await, [""; 0]);
        assert_eq!(fixture.values(&format!("hog-{hog}-out")).await.len(), 3);
    }
    assert_eq!(fixture.values("good.dlq").await, [""; 0]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_ends_gives_way_to_a_smaller_one_and_says_why_it_waits() {
    // Once it has its memory it goes on for ever.
    let fixture = with_hogs(1, "(loop (br 0))").await;
    fixture.client.produce("hog-0-in", "kept", &ProduceOptions::default()).await.unwrap();
    let guests = fixture.server.budget().guests.clone();
    let begun = Instant::now();
    while guests.used() < (HOG as usize - 2) << 16 {
        assert!(begun.elapsed() < PROMPT, "the hog does not grow");
        tokio::task::yield_now().await;
    }
    create_good(&fixture).await;
    for record in ["a", "b"] {
        let took = ask_good(&fixture, record).await;
        assert!(took < PROMPT, "the good function took {took:?}");
    }
    let hog = fixture.described("hog-0", is_short).await;
    assert!(hog.tasks[0].restarts > 0, "{hog:?}");

    // The hog is taken away, and its record is there for another.
    fixture.client.delete_function("hog-0").await.unwrap();
    let heir = fixture.function(growing(2, ""), "hog-0-in", "heir-out").await;
    fixture.client.create_function("heir", &heir).await.unwrap();
    assert_eq!(fixture.client.consume("heir-out", &within_long()).await.unwrap().unwrap().json, "\"kept\"");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_above_all_that_there_is_is_accepted_with_a_warning_and_what_needs_more_fails_by_itself() {
    let fixture = Fixture::with(|config| config.memory = MEMORY).await;
    let all = fixture.server.budget().guests.limit();
    let mut large = fixture.function(insatiable(), "large-in", "large-out").await;
    large.limits.set("memory", "512MiB").unwrap();
    let made = fixture.client.create_function("large", &large).await.unwrap();
    let warning = made.memory.warning.unwrap();
    assert!(warning.starts_with("the limit memory, 512MiB, is more than the 57MiB that the server has"), "{warning}");
    assert_eq!(made.memory.all_limit_bytes, all as u64);
    let lines = fixture.client.function_logs("large", &Default::default()).await.unwrap();
    assert!(format!("{lines:?}").contains(&warning), "{lines:?}");

    fixture.client.produce_lines("large-in", "greedy\nlast", &Default::default()).await.unwrap();
    assert_eq!(fixture.client.consume("large-out", &within_long()).await.unwrap().unwrap().json, "\"last\"");
    let described = fixture.client.describe_function("large").await.unwrap();
    let error = described.tasks[0].last_error.as_ref().unwrap();
    let reached = format!(
        "at position 0 of large-in-0: the limit of {all} bytes of memory was reached: the server has no more for this function"
    );
    assert_eq!((error.code.as_str(), &error.message), ("FS-1404", &reached));
    assert_eq!(fixture.values("large.dlq").await, ["greedy"]);

    // What passes a limit that can be reached fails in the same way, and nobody is warned.
    let mut small = fixture
        .function(
            growing(1_000, "(if (i32.lt_u (memory.size) (i32.const 1000)) (then unreachable))"),
            "small-in",
            "small-out",
        )
        .await;
    small.limits.set("memory", "32MiB").unwrap();
    assert_eq!(fixture.client.create_function("small", &small).await.unwrap().memory.warning, None);
    fixture.client.produce("small-in", "x", &ProduceOptions::default()).await.unwrap();
    let blamed = fixture.described("small", |small| small.tasks[0].records_in == 1).await;
    assert_eq!(blamed.tasks[0].last_error.as_ref().unwrap().code, "FS-1404");
    fixture.server.shutdown().await.unwrap();
}

/// Small ones have more than the default leaves to them, so the greedy record meets no limit of its own as long as they keep it.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_wants_without_end_is_given_up_also_beside_small_functions() {
    const SMALL: usize = 6;
    let fixture = Fixture::with(|config| config.memory = MEMORY).await;
    let small = async |round: &str| {
        for n in 0..SMALL {
            fixture
                .client
                .produce(&format!("small-{n}-in"), round.to_owned(), &ProduceOptions::default())
                .await
                .unwrap();
            let answer = fixture.client.consume(&format!("small-{n}-out"), &within_long()).await.unwrap().unwrap();
            assert_eq!(answer.json, format!("\"{round}\""));
        }
    };
    for n in 0..SMALL {
        let function = fixture.function(growing(30, ""), &format!("small-{n}-in"), &format!("small-{n}-out")).await;
        fixture.client.create_function(&format!("small-{n}"), &function).await.unwrap();
    }
    small("before").await;
    let guests = fixture.server.budget().guests.clone();
    assert!(guests.used() > guests.limit() / 8, "{guests:?}");

    let greedy = fixture.function(insatiable(), "greedy-in", "greedy-out").await;
    fixture.client.create_function("greedy", &greedy).await.unwrap();
    fixture.client.produce_lines("greedy-in", "first\ngreedy\nlast", &Default::default()).await.unwrap();
    for record in ["first", "last"] {
        let answer = fixture.client.consume("greedy-out", &within_long()).await.unwrap().unwrap();
        assert_eq!(answer.json, format!("\"{record}\""));
    }
    let described = fixture.client.describe_function("greedy").await.unwrap();
    assert_eq!(described.tasks[0].last_error.as_ref().unwrap().code, "FS-1404", "{described:?}");
    assert_eq!(fixture.values("greedy.dlq").await, ["greedy"]);

    small("after").await;
    for n in 0..SMALL {
        assert_eq!(fixture.values(&format!("small-{n}.dlq")).await, [""; 0]);
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_tells_what_its_instances_hold_and_what_all_do() {
    let fixture = Fixture::with(|config| config.memory = MEMORY).await;
    let create = async |name: &str, pages| {
        let function = fixture.function(growing(pages, ""), &format!("{name}-in"), &format!("{name}-out")).await;
        fixture.client.create_function(name, &function).await.unwrap();
        fixture.client.produce(&format!("{name}-in"), "x", &ProduceOptions::default()).await.unwrap();
        fixture.client.consume(&format!("{name}-out"), &within_long()).await.unwrap().unwrap();
    };
    create("a", 100).await;
    create("b", 20).await;
    let (a, b) = (100 << 16, 20 << 16);
    let described = fixture.described("a", |function| function.memory.used_bytes == a).await;
    let guests = &fixture.server.budget().guests;
    assert_eq!(described.memory.all_limit_bytes, guests.limit() as u64);
    // Of what an instance begins with less counts.
    let counted = a - (1 << 16)..=a + b;
    assert!(counted.contains(&described.memory.all_used_bytes), "{:?}", described.memory);
    assert_eq!(fixture.described("b", |function| function.memory.used_bytes == b).await.memory.warning, None);

    fixture.client.stop_function("a").await.unwrap();
    let stopped = fixture.client.describe_function("a").await.unwrap().memory;
    assert_eq!(stopped.used_bytes, 0);
    assert!(stopped.all_used_bytes <= b, "{stopped:?}");
    fixture.server.shutdown().await.unwrap();
}

/// It has all its memory and goes on: nothing that it did is left, so it is tried again, and a new instance is there for that.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_all_its_memory_and_never_ends_is_given_up() {
    let fixture = Fixture::new().await;
    let greedy = wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "_start") (loop $on (drop (memory.grow (i32.const 16))) (br $on))))"#,
    );
    let mut function = fixture.function(greedy.unwrap(), "in", "out").await;
    function.limits.memory = Some(Quantity::Text("16MiB".into()));
    function.limits.call_time = Some(Quantity::Text("100ms".into()));
    fixture.client.create_function("f", &function).await.unwrap();
    fixture.client.produce_lines("in", "a\nb\nc", &Default::default()).await.unwrap();
    let f = fixture.described("f", |f| f.tasks.iter().any(|task| task.records_in == 3)).await;
    assert_eq!(fixture.client.status(Some("f")).await.unwrap()[0].dead_lettered, 3, "{f:?}");
    fixture.server.shutdown().await.unwrap();
}
