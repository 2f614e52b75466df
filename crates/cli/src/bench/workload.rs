// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the records of a workload are, and what must come out.
//!
//! Record `i` of a run is a pure function of the seed and `i`, so nothing has to be kept to check the outputs. A record
//! carries its number: in the first eight bytes of its value (pass-through, keyed-count) or in its name (money). The
//! outputs of keyed-count are counts, which carry none: a key that came n times must give each of 1 to n once, so the
//! number of outputs of each count is known.

use std::collections::HashMap;

use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

use super::{Args, WorkloadArg};
use crate::failure::{Failure, Result};

/// What the money of every record is before the function adds one.
const MONEY: u64 = 2;

/// A workload with its sizes.
pub(super) struct Workload {
    pub kind: WorkloadArg,
    pub records: u64,
    pub record_size: usize,
    pub keys: Option<u64>,
    pub zipf: Option<f64>,
    pub seed: u64,
    /// How many records at the beginning are not timed.
    pub untimed: u64,
    /// Random bytes that values are cut from.
    filler: Vec<u8>,
}

/// How the outputs compare with what had to come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub lost: u64,
    pub duplicated: u64,
    /// Outputs that no record explains.
    pub wrong: u64,
}

impl Workload {
    pub(super) fn new(args: &Args) -> Result<Self> {
        let invalid = |why: &str| Err(Failure::Usage(why.to_owned()));
        if args.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e9)) {
            return invalid("--rate is not above 0 and at most 1e9 records per second");
        }
        let keyed = args.workload == WorkloadArg::KeyedCount;
        if !keyed && (args.keys.is_some() || args.zipf.is_some()) {
            return invalid("--keys and --zipf need --workload keyed-count");
        }
        if args.zipf.is_some_and(|s| !(0.0..=10.0).contains(&s)) {
            return invalid("--zipf is not between 0 and 10");
        }
        if !(8..=1 << 20).contains(&args.record_size) {
            return invalid("--record-size is not between 8 bytes, which the record's number takes, and 1 MiB");
        }
        let untimed = args.rate.map_or(0, |rate| (rate * f64::from(args.warm_up())) as u64);
        if args.records.is_some_and(|records| records <= untimed) {
            return invalid("--records are no more than the warm-up takes: say less with --warm-up");
        }
        let ten_seconds = args.rate.map(|rate| untimed + ((rate * 10.0) as u64).max(1));
        let mut filler = vec![0; (args.record_size as usize).max(64) * 2];
        SmallRng::seed_from_u64(args.seed).fill_bytes(&mut filler);
        Ok(Workload {
            kind: args.workload,
            records: args.records.or(ten_seconds).unwrap_or(1_000_000),
            record_size: args.record_size as usize,
            keys: keyed.then_some(args.keys.unwrap_or(1_000_000)),
            zipf: keyed.then_some(args.zipf.unwrap_or(1.0)),
            seed: args.seed,
            untimed,
            filler,
        })
    }

    /// Makes the records in order, each time the same.
    pub(super) fn records(&self) -> Result<Records<'_>> {
        let keys = match (self.keys, self.zipf) {
            (Some(keys), Some(s)) => {
                let zipf = Zipf::new(keys as f64, s).map_err(|e| Failure::Plain(format!("keys: {e}")))?;
                Some(zipf)
            }
            _ => None,
        };
        Ok(Records {
            workload: self,
            keys,
            rng: SmallRng::seed_from_u64(self.seed ^ 0x5eed),
            next: 0,
            value: Vec::new(),
        })
    }

    /// Finds the numbers of records by their outputs. `copied` when they are the inputs themselves, whatever the workload.
    pub(super) fn numbers(&self, copied: bool) -> Result<Numbers<'_>> {
        let mut of_key: HashMap<Vec<u8>, Vec<u64>> = HashMap::new();
        if self.kind == WorkloadArg::KeyedCount && !copied {
            self.each_key(&mut |number, key| of_key.entry(key.to_vec()).or_default().push(number))?;
        }
        Ok(Numbers { workload: self, copied, of_key })
    }

    /// Shows the number and the key of each record.
    fn each_key(&self, see: &mut dyn FnMut(u64, &[u8])) -> Result {
        let mut records = self.records()?;
        let mut frame = FrameBuilder::new();
        while records.made() < self.records {
            let first = records.made();
            frame.clear();
            records.fill(&mut frame, 4096, 0);
            let bytes = frame.to_bytes();
            let parsed = Frame::parse(&bytes).map_err(|e| Failure::Plain(e.to_string()))?;
            (first..).zip(parsed.iter()).for_each(|(number, record)| see(number, record.key.unwrap_or_default()));
        }
        Ok(())
    }

    /// The number that an input carries.
    fn input_number(&self, value: &[u8]) -> Option<u64> {
        match self.kind {
            WorkloadArg::Money => {
                let json: serde_json::Value = serde_json::from_slice(value).ok()?;
                json.get("name")?.as_str()?.split('-').next()?.parse().ok()
            }
            WorkloadArg::PassThrough | WorkloadArg::KeyedCount => value.first_chunk().map(|id| u64::from_le_bytes(*id)),
        }
    }

    /// The number that an output carries; `None` when it carries none or is malformed.
    fn number(&self, value: &[u8]) -> Option<u64> {
        match self.kind {
            WorkloadArg::PassThrough => value.first_chunk().map(|id| u64::from_le_bytes(*id)),
            WorkloadArg::Money => {
                let json: serde_json::Value = serde_json::from_slice(value).ok()?;
                if json.get("money")?.as_u64()? != MONEY + 1 {
                    return None;
                }
                json.get("name")?.as_str()?.split('-').next()?.parse().ok()
            }
            WorkloadArg::KeyedCount => None,
        }
    }
}

/// The records of a workload in order.
pub(super) struct Records<'a> {
    workload: &'a Workload,
    keys: Option<Zipf<f64>>,
    rng: SmallRng,
    next: u64,
    value: Vec<u8>,
}

impl Records<'_> {
    /// Adds the next `count` records to a frame, with a timestamp.
    pub(super) fn fill(&mut self, frame: &mut FrameBuilder, count: u64, now_ms: i64) {
        for _ in 0..count.min(self.workload.records - self.next) {
            let key = self.key();
            self.make_value();
            frame.push(RecordRef::new(&self.value).with_key(key.as_ref().map(|k| &k[..])).at(now_ms));
            self.next += 1;
        }
    }

    /// How many were made.
    pub(super) fn made(&self) -> u64 {
        self.next
    }

    fn key(&mut self) -> Option<[u8; 8]> {
        // The rank is scattered, so that frequent keys do not lie side by side in the state.
        self.keys.map(|zipf| (zipf.sample(&mut self.rng) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
    }

    fn make_value(&mut self) {
        let Workload { record_size, filler, kind, .. } = self.workload;
        self.value.clear();
        if *kind == WorkloadArg::Money {
            let head = format!("{{\"name\":\"{}-", self.next);
            let tail = format!("\",\"money\":{MONEY}}}");
            self.value.extend_from_slice(head.as_bytes());
            self.value.resize(record_size.saturating_sub(tail.len()).max(head.len()), b'x');
            self.value.extend_from_slice(tail.as_bytes());
            return;
        }
        self.value.extend_from_slice(&self.next.to_le_bytes());
        let from = self.rng.random_range(0..=filler.len() - record_size);
        self.value.extend_from_slice(&filler[from..from + record_size - 8]);
    }
}

/// Finds the numbers of records by their outputs.
pub(super) struct Numbers<'a> {
    workload: &'a Workload,
    copied: bool,
    /// The numbers of the records of each key, in order: the n-th makes the count n.
    of_key: HashMap<Vec<u8>, Vec<u64>>,
}

impl Numbers<'_> {
    /// The number of the record that an output is of.
    pub(super) fn of(&self, output: &RecordRef<'_>) -> Option<u64> {
        if self.copied {
            return self.workload.input_number(output.bytes());
        }
        if self.workload.kind != WorkloadArg::KeyedCount {
            return self.workload.number(output.bytes());
        }
        let numbers = self.of_key.get(output.key.unwrap_or_default())?;
        let count = u64::from_le_bytes(*output.bytes().first_chunk()?);
        numbers.get(usize::try_from(count.checked_sub(1)?).ok()?).copied()
    }
}

/// Compares outputs with what had to come.
pub(super) struct Checker<'a> {
    workload: &'a Workload,
    /// How often each record's number came.
    seen: Vec<u8>,
    /// How often each count came.
    counts: HashMap<u64, u64>,
    wrong: u64,
}

impl<'a> Checker<'a> {
    pub(super) fn new(workload: &'a Workload) -> Self {
        let numbered = workload.kind != WorkloadArg::KeyedCount;
        let seen = vec![0; if numbered { workload.records as usize } else { 0 }];
        Checker { workload, seen, counts: HashMap::new(), wrong: 0 }
    }

    /// Takes the outputs of a frame. `copied` when they are the inputs themselves, whatever the workload.
    pub(super) fn add(&mut self, frame: &Frame<'_>, copied: bool) {
        for record in frame.iter() {
            if copied || self.workload.kind != WorkloadArg::KeyedCount {
                self.add_number(if copied {
                    self.workload.input_number(record.bytes())
                } else {
                    self.workload.number(record.bytes())
                });
            } else {
                match record.bytes().first_chunk().filter(|_| record.bytes().len() == 8) {
                    Some(count) => *self.counts.entry(u64::from_le_bytes(*count)).or_default() += 1,
                    None => self.wrong += 1,
                }
            }
        }
    }

    fn add_number(&mut self, number: Option<u64>) {
        if self.seen.is_empty() {
            self.seen = vec![0; self.workload.records as usize];
        }
        match number.and_then(|n| self.seen.get_mut(usize::try_from(n).ok()?)) {
            Some(times) => *times = times.saturating_add(1),
            None => self.wrong += 1,
        }
    }

    pub(super) fn verdict(self) -> Result<Verdict> {
        let mut verdict = Verdict { wrong: self.wrong, ..Verdict::default() };
        for times in &self.seen {
            verdict.lost += u64::from(*times == 0);
            verdict.duplicated += u64::from(times.saturating_sub(1));
        }
        if self.seen.is_empty() {
            let mut expected = expected_counts(self.workload)?;
            for (count, times) in self.counts {
                let wanted = expected.remove(&count).unwrap_or(0);
                verdict.lost += wanted.saturating_sub(times);
                verdict.duplicated += times.saturating_sub(wanted);
            }
            verdict.lost += expected.into_values().sum::<u64>();
        }
        Ok(verdict)
    }
}

/// How many outputs of each count there must be: one of count c for each key that came at least c times.
fn expected_counts(workload: &Workload) -> Result<HashMap<u64, u64>> {
    let mut of_key: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut expected: HashMap<u64, u64> = HashMap::new();
    workload.each_key(&mut |_, key| {
        let count = of_key.entry(key.to_vec()).or_default();
        *count += 1;
        *expected.entry(*count).or_default() += 1;
    })?;
    Ok(expected)
}
