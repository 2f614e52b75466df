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
//! | anything else | emit it as it came |

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
        } else if begins("error") {
            return Err(Error::new(format!("told to fail by {:?}", String::from_utf8_lossy(record.bytes()))));
        }
        ctx.emit_record(record.into())
    }
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
}
