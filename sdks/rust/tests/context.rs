// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a function may rely on: state, emits, failures. The function under test obeys commands in its records.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use fnstream_sdk::testing::Harness;
use fnstream_sdk::{Config, Context, Error, Function, Output, Record, Store};

/// In each line `put K V`, `get K`, `delete K`, `merge K V`, `scan`, `clear PREFIX`, `fill N`, `emit TARGET` or `late`.
struct Obey {
    store: Store,
    part: Store,
    /// The number of this one.
    made: u32,
}

impl Function for Obey {
    fn init(ctx: &mut Context, _: &Config) -> Result<Self, Error> {
        let store = ctx.state("s")?;
        let part = store.part(b"g", b"k", b"n");
        static MADE: AtomicU32 = AtomicU32::new(0);
        Ok(Obey { store, part, made: MADE.fetch_add(1, Relaxed) })
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        std::str::from_utf8(record.bytes())?.split('\n').try_for_each(|line| self.obey(ctx, &record, line))
    }

    fn take_checkpoint(&mut self, ctx: &mut Context, checkpoint: u64) -> Result<(), Error> {
        ctx.emit(0, format!("checkpoint {checkpoint}").as_bytes())
    }
}

impl Obey {
    fn obey(&mut self, ctx: &mut Context, record: &Record<'_>, text: &str) -> Result<(), Error> {
        let words: Vec<_> = text.split(' ').collect();
        let store = if record.source == 1 { &self.part } else { &self.store };
        match words[..] {
            ["put", key, value] => store.put(key.as_bytes(), value.as_bytes()),
            ["merge", key, value] => store.merge(key.as_bytes(), value.as_bytes()),
            ["delete", key] => store.delete(key.as_bytes()),
            ["clear", prefix] => store.delete_prefix(prefix.as_bytes()),
            ["get", key] => match store.get(key.as_bytes())? {
                Some(value) => ctx.emit(0, &value),
                None => ctx.emit(0, b"(absent)"),
            },
            ["scan"] => {
                let pairs = store.scan(b"", None).collect::<Result<Vec<_>, _>>()?;
                let text: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)))
                    .collect();
                ctx.emit(0, text.join(",").as_bytes())
            }
            ["fill", n] => {
                for i in 0..n.parse::<u32>()? {
                    store.put(format!("{i:06}").as_bytes(), &[b'x'; 100])?;
                }
                ctx.emit(0, store.scan(b"", None).count().to_string().as_bytes())
            }
            ["emit", target] => ctx.emit(target.parse()?, b"x"),
            ["late"] => {
                ctx.emit_watermark(0, 5)?;
                ctx.emit_record(Output::new(b"late").at(1))
            }
            _ => Err(Error::new(format!("what is '{text}'"))),
        }
    }
}

fn obey() -> Harness<Obey> {
    Harness::new(&[]).unwrap()
}

/// The values emitted for commands, all in one batch.
fn run(test: &mut Harness<Obey>, commands: &[&str]) -> Vec<String> {
    let records: Vec<_> = commands.iter().map(|command| Record::new(command.as_bytes())).collect();
    test.process(&records).unwrap();
    test.take_output().into_iter().map(|r| String::from_utf8(r.value.unwrap()).unwrap()).collect()
}

#[test]
fn own_writes_are_read_within_and_across_batches() {
    let mut test = obey();
    assert_eq!(
        run(&mut test, &["get a", "put a 1", "get a", "delete a", "get a", "put a 2"]),
        ["(absent)", "1", "(absent)"]
    );
    assert_eq!(run(&mut test, &["get a"]), ["2"]);
}

#[test]
fn merge_appends_to_whatever_is_there() {
    let mut test = obey();
    // Absent; put in this batch; deleted in this batch; several without reading; read in between.
    assert_eq!(run(&mut test, &["merge a 1", "get a", "merge a 2", "get a"]), ["1", "12"]);
    assert_eq!(run(&mut test, &["merge a 3", "merge a 4"]), [""; 0]);
    assert_eq!(run(&mut test, &["get a", "delete a", "merge a 5", "get a"]), ["1234", "5"]);
    // A scan passes the operand on; it must not be appended a second time.
    assert_eq!(run(&mut test, &["merge a 6", "scan", "merge a 7", "get a"]), ["a=56", "567"]);
    assert_eq!(run(&mut test, &["get a"]), ["567"]);
}

#[test]
fn an_empty_value_is_not_absent() {
    let mut test = obey();
    assert_eq!(run(&mut test, &["put a ", "get a"]), [""]);
    assert_eq!(run(&mut test, &["get a"]), [""]);
}

#[test]
fn scans_are_ordered_and_show_own_writes() {
    let mut test = obey();
    run(&mut test, &["put b 1", "put c 1"]);
    assert_eq!(run(&mut test, &["put a 2", "delete c", "scan"]), ["a=2,b=1"]);
}

#[test]
fn scans_go_on_over_pages_and_stores_over_their_bound() {
    // Two megabytes: more than a page, and more than is kept unwritten.
    assert_eq!(run(&mut obey(), &["fill 20000"]), ["20000"]);
}

#[test]
fn parts_are_apart_from_the_store_and_are_cleared_alone() {
    let mut test = obey();
    let in_part = |value| Record::new(value).from_source(1);
    test.process(&[Record::new(b"put ab 1"), in_part(b"put ab 2"), in_part(b"put b 3"), in_part(b"clear a")]).unwrap();
    test.process(&[Record::new(b"scan"), in_part(b"scan")]).unwrap();
    let output: Vec<_> = test.take_output().into_iter().map(|r| r.value.unwrap()).collect();
    assert_eq!(output, [b"ab=1", &b"b=3\0"[..3]]);
}

#[test]
fn a_failed_record_leaves_no_trace_and_those_before_it_do() {
    let mut test = obey();
    run(&mut test, &["put a 1"]);
    for records in [["put a 2", "emit 0", "nonsense", "put a 3"], ["put a 2", "emit 0", "put b 1\nnonsense", "put a 3"]]
    {
        let failed = test.process(&records.map(|record| Record::new(record.as_bytes()))).unwrap_err();
        assert_eq!((failed.record, &failed.message[..]), (Some(2), "what is 'nonsense'"));
        assert_eq!(test.take_output().len(), 1);
        assert_eq!(run(&mut test, &["get a", "get b"]), ["2", "(absent)"]);
    }
}

#[test]
fn the_function_stays_after_an_error_unless_something_of_the_record_is_with_the_host() {
    let mut test = obey();
    for (record, stays) in [
        ("nonsense", true),
        ("put a 1\nemit 0\nnonsense", true),
        ("late\nnonsense", false),
        ("put a 1\nscan\nnonsense", false),
        ("fill 20000\nnonsense", false),
    ] {
        let made = test.function().unwrap().made;
        test.process(&[Record::new(b"put a 0"), Record::new(record.as_bytes())]).unwrap_err();
        assert_eq!(test.function().unwrap().made == made, stays, "{record}");
        assert_eq!(test.take_watermarks(), [], "{record}");
        test.take_output();
        assert_eq!(run(&mut test, &["scan"]), ["a=0"], "{record}");
    }
}

#[test]
fn an_unknown_output_fails_the_record_that_named_it() {
    let failed = obey().process(&[Record::new(b"emit 0"), Record::new(b"emit 1"), Record::new(b"emit 0")]).unwrap_err();
    assert_eq!(failed.record, Some(1));
    assert_eq!(failed.message, "emitted to output 1, but the function has 1");
}

#[test]
fn emits_have_the_time_of_their_record_and_watermarks_stay_in_order() {
    let mut test = obey();
    test.process(&[Record::new(b"emit 0").at(41), Record::new(b"emit 0").at(42), Record::new(b"late").at(43)]).unwrap();
    assert_eq!(test.take_output().iter().map(|r| r.timestamp).collect::<Vec<_>>(), [41, 42, 1]);
    assert_eq!(test.take_watermarks(), [(0, 5)]);
}

/// Passes records on, except that it deletes what comes with an empty value.
struct Compact;

impl Function for Compact {
    fn init(_: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(Compact)
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        match (record.value, record.key) {
            (Some([]), Some(key)) => ctx.emit_record(Output::null().with_key(key)),
            _ => ctx.emit_record(record.into()),
        }
    }
}

#[test]
fn a_null_value_is_seen_and_emitted_and_is_not_an_empty_one() {
    let mut test = Harness::<Compact>::new(&[]).unwrap();
    test.process(&[Record::new(b"").with_key(b"a"), Record::null().with_key(b"b"), Record::new(b"")]).unwrap();
    let output: Vec<_> = test.take_output().into_iter().map(|r| (r.key, r.value)).collect();
    assert_eq!(output, [(Some(b"a".to_vec()), None), (Some(b"b".to_vec()), None), (None, Some(vec![]))]);
    assert_eq!(Record::null().bytes(), b"");
}

#[test]
fn hooks_emit_too_and_a_request_comes_back() {
    let mut test = obey();
    test.take_checkpoint(9).unwrap();
    assert_eq!(test.take_output()[0].bytes(), b"checkpoint 9");
    assert!(test.check_heartbeat().unwrap());
    assert_eq!(test.custom(b"ping").unwrap(), b"ping");
}
