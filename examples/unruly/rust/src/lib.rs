// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Does what its records say, most of which is bad: for seeing what becomes of a function that misbehaves.
//!
//! | a record that begins with | makes the function |
//! |---|---|
//! | `loop` | run for ever |
//! | `memory` | take memory until there is no more |
//! | `trap` | trap |
//! | `large` | emit a record of 10 MiB |
//! | `error` | return an error |
//! | `scatter` | emit 1 to 4 records, as chance will have it: the record, the number of each and how many there are |
//! | anything else | emit it as it came |

use std::hash::{BuildHasher, RandomState};

use fnstream_sdk::{Config, Context, Error, Function, Output, Record};

const LARGE: usize = 10 << 20;

struct Unruly;

impl Function for Unruly {
    fn init(_: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(Unruly)
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let begins = |word: &str| record.bytes().starts_with(word.as_bytes());
        if begins("loop") {
            run_for_ever();
        } else if begins("memory") {
            take_all_memory();
        } else if begins("trap") {
            panic!("told to trap");
        } else if begins("large") {
            return ctx.emit_record(Output::new(&vec![b'x'; LARGE]));
        } else if begins("scatter") {
            return scatter(ctx, record);
        } else if begins("error") {
            return Err(Error::new(format!("told to fail by {:?}", String::from_utf8_lossy(record.bytes()))));
        }
        ctx.emit_record(record.into())
    }
}

fn scatter(ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
    // The standard library's hashers are seeded by chance.
    let count = 1 + RandomState::new().hash_one(0) % 4;
    for number in 0..count {
        let value = format!("{} {number} {count}", String::from_utf8_lossy(record.bytes()));
        let output = Output::new(value.as_bytes());
        ctx.emit_record(record.key.into_iter().fold(output, Output::with_key))?;
    }
    Ok(())
}

fn run_for_ever() -> ! {
    let mut n = 0u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn take_all_memory() -> ! {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
}

fnstream_sdk::export!(Unruly);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fnstream_sdk::Record;
    use fnstream_sdk::testing::Harness;

    #[test]
    fn what_is_not_a_word_is_passed_on_and_an_error_is_returned() {
        let mut unruly = Harness::<super::Unruly>::new(&[]).unwrap();
        unruly.process(&[Record::new(b"good")]).unwrap();
        assert_eq!(unruly.take_output()[0].bytes(), b"good");
        assert!(unruly.process(&[Record::new(b"error 1")]).is_err());
    }

    #[test]
    fn what_is_scattered_says_how_many_there_are() {
        let mut unruly = Harness::<super::Unruly>::new(&[]).unwrap();
        unruly.process(&[Record::new(b"scatter7")]).unwrap();
        let scattered = unruly.take_output();
        let wanted: Vec<_> = (0..scattered.len()).map(|n| format!("scatter7 {n} {}", scattered.len())).collect();
        let found: Vec<_> = scattered.iter().map(|of| String::from_utf8_lossy(of.bytes()).into_owned()).collect();
        assert_eq!(found, wanted);
        assert!((1..=4).contains(&found.len()));
    }
}
