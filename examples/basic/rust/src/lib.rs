// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Adds 1 to `money`.

use fnstream_sdk::{Config, Context, Error, Function, Output, Record};
use serde::{Deserialize, Serialize};

/// What the records hold, in and out.
#[derive(Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Person {
    name: String,
    money: i64,
    expected: i64,
}

struct Basic;

impl Function for Basic {
    fn init(_: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(Basic)
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let mut person: Person = serde_json::from_slice(record.bytes())?;
        person.money += 1;
        let value = serde_json::to_vec(&person)?;
        let output = Output::new(&value).with_headers(record.headers);
        ctx.emit_record(match record.key {
            Some(key) => output.with_key(key),
            None => output,
        })
    }
}

fnstream_sdk::export!(Basic);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fnstream_sdk::Record;
    use fnstream_sdk::testing::Harness;

    #[test]
    fn adds_one_and_keeps_the_order_of_fields() {
        let mut basic = Harness::<super::Basic>::new(&[]).unwrap();
        basic.process(&[Record::new(br#"{"name":"rbt","money":2}"#)]).unwrap();
        assert_eq!(basic.take_output()[0].bytes(), br#"{"name":"rbt","money":3,"expected":0}"#);
    }

    #[test]
    fn what_is_not_json_fails_alone() {
        let mut basic = Harness::<super::Basic>::new(&[]).unwrap();
        let failed = basic.process(&[Record::new(br#"{}"#), Record::new(b"x")]).unwrap_err();
        assert_eq!(failed.record, Some(1));
        assert_eq!(failed.message, "expected value at line 1 column 1");
    }
}
