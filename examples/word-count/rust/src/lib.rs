// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Counts words: for each word of a record, how often it has come up so far.

use fnstream_sdk::states::MapState;
use fnstream_sdk::{Config, Context, Error, Function, Output, Record};

struct WordCount {
    counts: MapState<String, u64>,
}

impl Function for WordCount {
    fn init(ctx: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(WordCount { counts: MapState::open(ctx, "counts")? })
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let text = std::str::from_utf8(record.bytes())?;
        for word in text.split_whitespace() {
            let count = self.counts.get(word)?.unwrap_or(0) + 1;
            self.counts.insert(word, &count)?;
            ctx.emit_record(Output::new(count.to_string().as_bytes()).with_key(word.as_bytes()))?;
        }
        Ok(())
    }
}

fnstream_sdk::export!(WordCount);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fnstream_sdk::Record;
    use fnstream_sdk::testing::Harness;

    #[test]
    fn counts_go_on_after_a_restart() {
        let mut words = Harness::<super::WordCount>::new(&[]).unwrap();
        words.process(&[Record::new(b"a b a")]).unwrap();
        words.restart().unwrap();
        words.process(&[Record::new(b" b\nc ")]).unwrap();
        let output = words.take_output();
        let counted: Vec<_> = output.iter().map(|r| (r.key.as_deref().unwrap(), r.bytes())).collect();
        let expected: [(&[u8], &[u8]); 5] = [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", b"2"), (b"c", b"1")];
        assert_eq!(counted, expected);
    }
}
