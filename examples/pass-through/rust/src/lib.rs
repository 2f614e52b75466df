// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Emits every record as it came: what a function costs when it does nothing.

use fnstream_sdk::{Config, Context, Error, Function, Record};

struct PassThrough;

impl Function for PassThrough {
    fn init(_: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(PassThrough)
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        ctx.emit_record(record.into())
    }
}

fnstream_sdk::export!(PassThrough);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fnstream_sdk::testing::Harness;
    use fnstream_sdk::{HeadersBuilder, Record};

    #[test]
    fn key_headers_and_time_are_kept() {
        let mut headers = HeadersBuilder::new();
        headers.push("h", b"1").unwrap();
        let mut pass = Harness::<super::PassThrough>::new(&[]).unwrap();
        pass.process(&[Record::new(b"v").with_key(b"").with_headers(headers.as_headers()).at(7), Record::new(b"")])
            .unwrap();
        let output = pass.take_output();
        assert_eq!(output[0].key.as_deref(), Some(&b""[..]));
        assert_eq!(output[0].headers, [("h".to_owned(), b"1".to_vec())]);
        assert_eq!((output[0].timestamp, output[0].bytes()), (7, &b"v"[..]));
        assert_eq!((&output[1].key, &output[1].value), (&None, &Some(vec![])));
    }
}
