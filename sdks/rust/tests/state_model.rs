// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State under random use reads like one plain map, over many batches and far past what an instance keeps in memory.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use fnstream_sdk::testing::Harness;
use fnstream_sdk::{Config, Context, Error, Function, Record, Store};

/// With their values many times what is kept in memory.
const KEYS: u64 = 60_000;

/// Each record is the number of random steps to take; what is read is compared with the model at once.
struct Random {
    store: Store,
    model: BTreeMap<Vec<u8>, Vec<u8>>,
    state: u64,
}

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    fn step(&mut self) -> Result<(), Error> {
        // Half of the steps go to a few hot keys.
        let range = if self.next(2) == 0 { 100 } else { KEYS };
        let key = format!("key {:08}", self.next(range)).into_bytes();
        match self.next(100) {
            0..50 => {
                let read = self.store.get(&key)?;
                assert_eq!(read.as_ref(), self.model.get(&key), "{}", String::from_utf8_lossy(&key));
                // The way of a counter.
                let value = [read.unwrap_or_default(), vec![1]].concat();
                self.store.put(&key, &value)?;
                self.model.insert(key, value);
            }
            50..75 => {
                let value = vec![7; self.next(40) as usize];
                self.store.put(&key, &value)?;
                self.model.insert(key, value);
            }
            75..90 => {
                self.store.merge(&key, b"+")?;
                self.model.entry(key).or_default().push(b'+');
            }
            90..99 => {
                self.store.delete(&key)?;
                self.model.remove(&key);
            }
            _ => {
                let prefix = &key[..key.len() - 1];
                self.store.delete_prefix(prefix)?;
                let gone: Vec<_> = self
                    .model
                    .range(prefix.to_vec()..)
                    .map_while(|(key, _)| key.starts_with(prefix).then(|| key.clone()))
                    .collect();
                gone.iter().for_each(|key| drop(self.model.remove(key)));
            }
        }
        Ok(())
    }
}

impl Function for Random {
    fn init(ctx: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(Random { store: ctx.state("random")?, model: BTreeMap::new(), state: 1 })
    }

    fn process(&mut self, _: &mut Context, record: Record<'_>) -> Result<(), Error> {
        for _ in 0..std::str::from_utf8(record.bytes())?.parse::<u32>()? {
            self.step()?;
        }
        Ok(())
    }
}

#[test]
fn state_reads_like_one_map() {
    let mut random = Harness::<Random>::new(&[]).unwrap();
    // Small batches flush often; in the large ones memory runs short before anything was flushed.
    for steps in ["300"; 50].into_iter().chain(["60000"; 3]) {
        random.process(&[Record::new(steps.as_bytes())]).unwrap();
    }
}

/// More distinct keys in one batch than are kept: what was written and forgotten is still read, also while the writes wait.
#[test]
fn a_key_that_was_forgotten_before_it_was_flushed_is_read_as_written() {
    struct Count(Store);
    impl Function for Count {
        fn init(ctx: &mut Context, _: &Config) -> Result<Self, Error> {
            Ok(Count(ctx.state("counts")?))
        }

        fn process(&mut self, _: &mut Context, _: Record<'_>) -> Result<(), Error> {
            let key = |i: u32| [&i.to_le_bytes()[..], &[0; 400]].concat();
            for i in 1..10 {
                self.0.put(&key(i), &i.to_le_bytes())?;
            }
            self.0.put(&key(10), b"gone")?;
            self.0.delete(&key(10))?;
            // Some 25 MiB of others are only read, so that nothing but a forgotten write passes the writes on.
            for i in 11..60_000 {
                assert_eq!(self.0.get(&key(i))?, None);
            }
            for i in 1..10 {
                assert_eq!(self.0.get(&key(i))?.as_deref(), Some(&i.to_le_bytes()[..]));
            }
            assert_eq!(self.0.get(&key(10))?, None);
            Ok(())
        }
    }
    Harness::<Count>::new(&[]).unwrap().process(&[Record::new(b"")]).unwrap();
}
