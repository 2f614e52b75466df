// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The test kit ends epochs and goes back to the last one as a server does.
#![allow(clippy::unwrap_used)]

use fnstream_sdk::states::ListState;
use fnstream_sdk::testing::Harness;
use fnstream_sdk::{Config, Context, Error, Function, Record};

/// Keeps its records in state and in a field, and emits how many the field has.
struct Keeper {
    list: ListState<String>,
    field: Vec<String>,
}

impl Function for Keeper {
    fn init(ctx: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(Keeper { list: ListState::open(ctx, "list")?, field: Vec::new() })
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let text = std::str::from_utf8(record.bytes())?;
        self.list.push(text)?;
        self.field.push(text.to_owned());
        ctx.emit(0, self.field.len().to_string().as_bytes())?;
        assert!(text != "panic", "{text} was told");
        Ok(())
    }

    fn take_checkpoint(&mut self, ctx: &mut Context, checkpoint: u64) -> Result<(), Error> {
        self.list.push(&format!("checkpoint {checkpoint}"))?;
        ctx.emit(0, b"checkpoint")?;
        if checkpoint == 13 { Err(Error::new("unlucky")) } else { Ok(()) }
    }

    fn check_heartbeat(&mut self, _: &mut Context) -> bool {
        self.field.len() < 5
    }

    fn close(&mut self, _: &mut Context) -> Result<(), Error> {
        self.list.push("closed")
    }

    fn custom(&mut self, _: &mut Context, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        self.list.push("asked")?;
        if payload == b"fail" { Err(Error::new("refused")) } else { Ok(payload) }
    }
}

fn keeper() -> Harness<Keeper> {
    Harness::new(&[]).unwrap()
}

fn send(test: &mut Harness<Keeper>, records: &[&str]) {
    let records: Vec<_> = records.iter().map(|record| Record::new(record.as_bytes())).collect();
    test.process(&records).unwrap();
}

/// What is in state and in the field, and what was emitted since the last call.
fn seen(test: &mut Harness<Keeper>) -> (Vec<String>, Vec<String>, Vec<String>) {
    let output = test.take_output().into_iter().map(|emitted| String::from_utf8(emitted.value.unwrap()).unwrap());
    let (list, field) = test.with(|keeper, _| Ok((keeper.list.get()?, keeper.field.clone()))).unwrap();
    (list, field, output.collect())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_new_function_gets_the_records_since_the_last_checkpoint_again_and_nothing_is_seen_twice() {
    let mut test = keeper();
    send(&mut test, &["a", "b"]);
    test.take_checkpoint(1).unwrap();
    send(&mut test, &["c"]);
    assert_eq!(test.take_output().len(), 4);
    send(&mut test, &["d"]);
    test.restart().unwrap();
    let list = texts(&["a", "b", "checkpoint 1", "c", "d"]);
    assert_eq!(seen(&mut test), (list.clone(), texts(&["c", "d"]), texts(&["2"])));
    test.take_checkpoint(2).unwrap();
    test.restart().unwrap();
    assert_eq!(seen(&mut test), ([list, texts(&["checkpoint 2"])].concat(), texts(&[]), texts(&["checkpoint"])));
}

#[test]
fn a_panic_fails_its_record_and_a_new_function_goes_on() {
    let mut test = keeper();
    send(&mut test, &["a"]);
    let failed = test.process(&["b", "panic", "c"].map(|text| Record::new(text.as_bytes()))).unwrap_err();
    assert_eq!(failed.record, Some(1));
    assert_eq!(failed.message, "the function panicked: panic was told");
    send(&mut test, &["c"]);
    assert_eq!(seen(&mut test), (texts(&["a", "b", "c"]), texts(&["a", "b", "c"]), texts(&["1", "2", "3"])));
}

#[test]
fn a_call_that_fails_leaves_nothing() {
    let mut test = keeper();
    send(&mut test, &["a"]);
    assert_eq!(test.custom(b"fail").unwrap_err().to_string(), "refused");
    assert_eq!(test.take_checkpoint(13).unwrap_err().to_string(), "unlucky");
    assert_eq!(seen(&mut test), (texts(&["a"]), texts(&["a"]), texts(&["1"])));
    assert_eq!(test.custom(b"ping").unwrap(), b"ping");
    assert_eq!(seen(&mut test).0, texts(&["a", "asked"]));
}

#[test]
fn a_function_that_is_not_well_is_replaced() {
    let mut test = keeper();
    send(&mut test, &["1", "2", "3", "4"]);
    assert!(test.check_heartbeat().unwrap());
    test.take_checkpoint(1).unwrap();
    send(&mut test, &["5"]);
    assert!(!test.check_heartbeat().unwrap());
    assert_eq!(seen(&mut test).1, texts(&["5"]));
}

#[test]
fn a_function_that_was_stopped_takes_nothing_before_it_is_started_again() {
    let mut test = keeper();
    send(&mut test, &["a"]);
    test.stop(1).unwrap();
    assert_eq!(test.process(&[Record::new(b"b")]).unwrap_err().message, "the function was stopped");
    assert_eq!(test.custom(b"").unwrap_err().to_string(), "the function was stopped");
    test.process_watermark(0, 5).unwrap();
    test.restart().unwrap();
    assert_eq!(seen(&mut test).0, texts(&["a", "checkpoint 1", "closed"]));
}
