// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Counts the records of each key, and emits the count with the key. Counts are 8 bytes, little-endian.

use fnstream_sdk::{Config, Context, Error, Function, Output, Record, Store};

struct KeyedCount {
    counts: Store,
}

impl Function for KeyedCount {
    fn init(ctx: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(KeyedCount { counts: ctx.state("counts")? })
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let key = record.key.unwrap_or_default();
        let before = self.counts.get_as(key)?.map_or(0, u64::from_le_bytes);
        let count = (before + 1).to_le_bytes();
        self.counts.put(key, &count)?;
        ctx.emit_record(Output::new(&count).with_key(key))
    }
}

fnstream_sdk::export!(KeyedCount);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fnstream_sdk::Record;
    use fnstream_sdk::testing::Harness;

    #[test]
    fn each_key_has_its_count() {
        let mut counts = Harness::<super::KeyedCount>::new(&[]).unwrap();
        let record = |key| Record::new(b"").with_key(key);
        counts.process(&[record(b"a"), record(b"b"), record(b"a")]).unwrap();
        let output = counts.take_output();
        assert_eq!(output.iter().map(|r| r.bytes()[0]).collect::<Vec<_>>(), [1, 1, 2]);
        assert!(output.iter().all(|r| r.bytes().len() == 8));
    }
}
