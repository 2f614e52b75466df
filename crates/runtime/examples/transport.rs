// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What one record costs on its way through a function, without an engine: calls, frames and state in memory.
//!
//! `cargo run --release -p fnstream-runtime --example transport -- DIR [NAME…]`, where DIR is what `examples/build.sh` was
//! given, and the names are those of examples, such as `keyed_count_rust`. Compiled code is kept in DIR.
//! Workload: batches of 256 records of 100 bytes with 16-byte keys out of 1,000; one thread. Prints the best of 200 short
//! rounds, since everything else that the machine does only adds.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::delta::Write;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::runtime::{Host, InstanceSpec, Runtime};
use fnstream_core::state::Visit;
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_runtime::{RuntimeOptions, WasmRuntime};
use parking_lot::Mutex;

const RECORDS: usize = 256;
const BATCHES: usize = 20;
const ROUNDS: usize = 200;

/// Takes what is emitted into one buffer, as a task's outbox would.
#[derive(Default)]
struct Sink {
    outbox: Vec<u8>,
    state: HashMap<Vec<u8>, Bytes>,
}

impl Host for Sink {
    fn emit_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.outbox.clear();
        self.outbox.extend_from_slice(frame);
        Ok(())
    }

    fn emit(&mut self, record: RecordRef<'_>) -> Result<()> {
        self.outbox.clear();
        self.outbox.extend_from_slice(record.bytes());
        Ok(())
    }

    fn emit_watermark(&mut self, _: u32, _: u64) -> Result<()> {
        Ok(())
    }

    fn set_timer(&mut self, _: Timer) -> Result<()> {
        Ok(())
    }

    fn delete_timer(&mut self, _: TimeDomain, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.state.get(key).cloned())
    }

    fn write(&mut self, key: &[u8], write: Write) -> Result<()> {
        match write {
            Write::Put(value) => drop(self.state.insert(key.to_vec(), value)),
            _ => drop(self.state.remove(key)),
        }
        Ok(())
    }

    fn delete_range(&mut self, _: &[u8], _: Option<&[u8]>) -> Result<()> {
        Ok(())
    }

    fn scan(&mut self, _: &[u8], _: Option<&[u8]>, _: &mut Visit<'_>) -> Result<()> {
        Ok(())
    }
}

fn batch(number: usize, value: &[u8]) -> Batch {
    let mut frame = FrameBuilder::new();
    for i in 0..RECORDS {
        // A fixed sequence that visits all keys.
        let key = format!("key-{:012}", (number * RECORDS + i) * 7919 % 1000);
        frame.push(RecordRef::new(value).with_key(Some(key.as_bytes())).at(i as i64));
    }
    let positions = BatchPositions::Contiguous(Position((number * RECORDS) as u128));
    Batch::new(TopicPartition::new("in", 0), positions, frame.to_bytes().into()).unwrap()
}

fn measure(runtime: &WasmRuntime, name: &str, artifact: &[u8], value: &[u8]) {
    let begun = Instant::now();
    let program = runtime.load(artifact).unwrap();
    let loaded = begun.elapsed();
    let spec = InstanceSpec { outputs: vec!["out".into()], ..InstanceSpec::default() };
    let begun = Instant::now();
    let mut instance = program.instantiate(&spec, Arc::new(Mutex::new(Sink::default()))).unwrap();
    instance.init().unwrap();
    let started = begun.elapsed();
    let batches: Vec<_> = (0..BATCHES).map(|number| batch(number, value)).collect();
    let best = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            batches.iter().for_each(|batch| instance.process(batch).unwrap());
            begun.elapsed()
        })
        .min()
        .unwrap_or(Duration::MAX);
    let each = best.as_nanos() as f64 / (BATCHES * RECORDS) as f64;
    println!(
        "{name:<24} {each:>9.1} ns/record   load {loaded:>10.1?}   start {started:>10.1?}   {} KiB",
        instance.memory_bytes() >> 10
    );
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().expect("usage: transport DIR [NAME…]");
    let names: Vec<_> = args.collect();
    let cache = Path::new(&dir).join("compiled");
    let runtime = WasmRuntime::new(Some(cache), RuntimeOptions::default()).unwrap();
    let json = br#"{"name":"a person with a name that makes this record one hundred bytes long ----------","money":2}"#;
    for (name, value) in [
        ("pass_through_rust", &[b'x'; 100][..]),
        ("keyed_count_rust", &[b'x'; 100]),
        ("word_count_rust", b"some words of which there are twelve in each record of this bench, no more"),
        ("basic_rust", json),
        ("basic", json),
    ] {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let artifact = std::fs::read(Path::new(&dir).join(format!("example_{name}.wasm"))).unwrap();
        measure(&runtime, name, &artifact, value);
    }
}
