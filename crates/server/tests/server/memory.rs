// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that take much memory, on a server that has little: they take turns and lose nothing, and hold up nobody who takes
//! little.

use std::time::{Duration, Instant};

use fnstream_api::{Function, FunctionDescription, ProduceOptions};

use crate::support::{Fixture, function, within_long};

/// Pages of memory of a hog, and of the good function. There are about 925 of them: one hog fits, and nobody beside it.
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

/// A server with little memory, and hogs on it.
async fn with_hogs(hogs: usize, then: &str) -> Fixture {
    let fixture = Fixture::with(|config| config.memory = 300 << 20).await;
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
