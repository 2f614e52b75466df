// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records that fail among others, at random, after random writes: state is as if they had never come.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use fnstream_sdk::testing::Harness;
use fnstream_sdk::{Config, Context, Error, Function, Record, Store};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// What state has to be. A new function begins with what there was at the last checkpoint, and is given the good records again.
#[derive(Default)]
struct Expected {
    now: Model,
    at_checkpoint: Model,
    made: usize,
    emitted: usize,
}

thread_local! {
    static EXPECTED: RefCell<Expected> = RefCell::default();
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A record is a seed, and `!` behind it if the record is to fail.
struct Failing(Store);

impl Failing {
    fn step(&self, random: &mut Random, model: &mut Model) -> Result<(), Error> {
        let key = format!("key {:02}", random.next(40)).into_bytes();
        let value = vec![b'a' + random.next(26) as u8; random.next(4) as usize];
        match random.next(20) {
            0..8 => {
                self.0.put(&key, &value)?;
                model.insert(key, value);
            }
            8..11 => {
                self.0.merge(&key, &value)?;
                model.entry(key).or_default().extend(value);
            }
            11..13 => {
                self.0.delete(&key)?;
                model.remove(&key);
            }
            13 => {
                let prefix = &key[..5];
                self.0.delete_prefix(prefix)?;
                model.retain(|key, _| !key.starts_with(prefix));
            }
            14 => {
                let found = self.0.scan(b"", None).collect::<Result<Model, Error>>()?;
                assert!(found == *model, "a scan gives {found:?}, not {model:?}");
            }
            15 if random.next(20) == 0 => {
                self.0.put(&key, &vec![b'x'; 1 << 20])?;
                self.0.put(&key, &value)?;
                model.insert(key, value);
            }
            _ => assert_eq!(self.0.get(&key)?.as_ref(), model.get(&key)),
        }
        Ok(())
    }
}

impl Function for Failing {
    fn init(ctx: &mut Context, _: &Config) -> Result<Self, Error> {
        EXPECTED.with_borrow_mut(|expected| {
            expected.made += 1;
            expected.now = expected.at_checkpoint.clone();
        });
        Ok(Failing(ctx.state("s")?))
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let text = std::str::from_utf8(record.bytes())?;
        let mut random = Random(text.trim_end_matches('!').parse()?);
        let mut model = EXPECTED.with_borrow(|expected| expected.now.clone());
        for _ in 0..random.next(6) {
            self.step(&mut random, &mut model)?;
            ctx.emit(0, text.as_bytes())?;
        }
        if text.ends_with('!') {
            return Err(Error::new("as told"));
        }
        EXPECTED.with_borrow_mut(|expected| expected.now = model);
        Ok(())
    }
}

#[test]
fn state_and_output_are_as_if_failed_records_had_never_come() {
    let mut random = Random(7);
    let mut test = Harness::<Failing>::new(&[]).unwrap();
    let mut failed = 0;
    for _ in 0..3_000 {
        let records: Vec<_> = (0..1 + random.next(8))
            .map(|_| format!("{}{}", random.next(1 << 30), if random.next(3) == 0 { "!" } else { "" }))
            .collect();
        let mut rest = &records[..];
        while !rest.is_empty() {
            test.take_checkpoint(0).unwrap();
            EXPECTED.with_borrow_mut(|expected| expected.at_checkpoint = expected.now.clone());
            let bad = rest.iter().position(|record| record.ends_with('!'));
            let batch: Vec<_> = rest.iter().map(|record| Record::new(record.as_bytes())).collect();
            let outcome = test.process(&batch);
            assert_eq!(outcome.err().map(|failed| failed.record), bad.map(Some));
            failed += usize::from(bad.is_some());
            let good = &rest[..bad.unwrap_or(rest.len())];
            let steps = |record: &String| Random(record.parse().unwrap()).next(6) as usize;
            let wanted: Vec<_> =
                good.iter().flat_map(|record| std::iter::repeat_n(record.clone(), steps(record))).collect();
            let output = test.take_output();
            assert!(output.iter().map(|emitted| emitted.bytes()).eq(wanted.iter().map(String::as_bytes)));
            EXPECTED.with_borrow_mut(|expected| expected.emitted += output.len());
            rest = &rest[bad.map_or(rest.len(), |bad| bad + 1)..];
        }
    }
    let (made, emitted) = EXPECTED.with_borrow(|expected| (expected.made, expected.emitted));
    assert!(failed > 1_000 && emitted > 1_000, "{failed} failed, {emitted} were emitted");
    // Some cannot be undone, since the host had to be asked amid their writes.
    assert!(made > 1 && made < failed / 2, "{made} functions for {failed} failures");
}
