// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is counted of each function.
//!
//! A [`FunctionMeter`] belongs to a name: it goes on counting when the function is stopped and started or updated, and it
//! is thrown away when the function is deleted. It counts what this process did; nothing of it is on disk, so it begins
//! at zero when the process does. What is consumed, emitted, skipped or kept as a dead letter is counted when the epoch
//! that does so is committed, and so exactly once; calls and failures are counted as they happen, repetitions included.
//!
//! What is a state and not an event (lag, memory, the states of tasks) is not counted here: it is read from
//! [`Engine::status`](crate::Engine::status) when somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

/// The upper bounds of the buckets of a call's time, in seconds: from a call that only hands bytes on to one that runs
/// into its limit.
const CALL_BUCKETS: [f64; 10] = [0.000_01, 0.000_1, 0.000_5, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

/// The same of an epoch's age and of a commit.
const EPOCH_BUCKETS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 5.0];

/// The counters of one function. Cheap enough for each batch, and free of waiting: any number of tasks share one.
#[derive(Debug)]
pub struct FunctionMeter {
    /// Records of the input consumed and committed. A dead letter that is replayed is not one more.
    pub records_in: Counter,
    /// Records emitted and committed.
    pub records_out: Counter,
    /// Attempts at a record that failed.
    pub records_failed: Counter,
    /// Records that went to the dead letters. One that fails again in a replay is not one more.
    pub records_dead_lettered: Counter,
    /// Dead letters that were replayed and processed.
    pub records_replayed: Counter,
    /// Dead letters that were replayed and failed again.
    pub records_failed_again: Counter,
    /// Records that were consumed without being processed, because the error policy says so.
    pub records_skipped: Counter,
    /// Records whose timestamps were too far ahead of the clock to move the watermark.
    pub records_ahead: Counter,
    /// Records that retention dropped before they were read.
    pub records_dropped_unread: Counter,
    /// Timers that timers have set for a time that had come already.
    pub timers_set_due: Counter,
    /// Times that a task was opened again, or its instance replaced, after a failure.
    pub restarts: Counter,
    /// Steps of its tasks that panicked.
    pub panics: Counter,
    /// Epochs committed.
    pub commits: Counter,
    /// Epochs that were handed in and not committed, since another owner of the task was there.
    pub commits_fenced: Counter,
    /// Keys of state that were read again when tasks were taken over.
    pub restored_keys: Counter,
    /// Bytes of those keys and their values.
    pub restored_bytes: Counter,
    /// From an epoch's first record until it was handed in.
    pub epoch_seconds: Histogram,
    /// From handing an epoch in until the answer.
    pub commit_seconds: Histogram,
    /// One call of user code.
    pub call_seconds: Histogram,
}

impl Default for FunctionMeter {
    fn default() -> Self {
        FunctionMeter {
            records_in: Counter::default(),
            records_out: Counter::default(),
            records_failed: Counter::default(),
            records_dead_lettered: Counter::default(),
            records_replayed: Counter::default(),
            records_failed_again: Counter::default(),
            records_skipped: Counter::default(),
            records_ahead: Counter::default(),
            records_dropped_unread: Counter::default(),
            timers_set_due: Counter::default(),
            restarts: Counter::default(),
            panics: Counter::default(),
            commits: Counter::default(),
            commits_fenced: Counter::default(),
            restored_keys: Counter::default(),
            restored_bytes: Counter::default(),
            epoch_seconds: Histogram::new(EPOCH_BUCKETS),
            commit_seconds: Histogram::new(EPOCH_BUCKETS),
            call_seconds: Histogram::new(CALL_BUCKETS),
        }
    }
}

impl FunctionMeter {
    /// User code was called and has returned, whatever came of it.
    pub fn call(&self, took: Duration) {
        self.call_seconds.observe(took.as_secs_f64());
    }

    /// An epoch was committed that consumed and emitted so many records.
    ///
    /// `epoch_age` is the time from its first record until it was handed in, `None` for an epoch without records;
    /// `commit_time` the time from then until the answer.
    pub fn committed(
        &self,
        records_in: u64,
        records_out: u64,
        epoch_age: impl Into<Option<Duration>>,
        commit_time: Duration,
    ) {
        self.commits.inc();
        self.records_in.inc_by(records_in);
        self.records_out.inc_by(records_out);
        if let Some(age) = epoch_age.into() {
            self.epoch_seconds.observe(age.as_secs_f64());
        }
        self.commit_seconds.observe(commit_time.as_secs_f64());
    }

    /// An epoch was refused, since another owner of the task is there.
    pub fn fenced(&self) {
        self.commits_fenced.inc();
    }

    /// So many keys of state were read again, with so many bytes.
    pub fn restored(&self, keys: usize, bytes: usize) {
        self.restored_keys.inc_by(keys as u64);
        self.restored_bytes.inc_by(bytes as u64);
    }

    /// The function failed at a record.
    pub fn failed(&self) {
        self.records_failed.inc();
    }

    /// So many records went to the dead letters; to be called with the commit that did so.
    pub fn dead_lettered(&self, records: u64) {
        self.records_dead_lettered.inc_by(records);
    }

    /// So many dead letters were replayed, and so many of them failed again; to be called with the commit that did so.
    pub fn replayed(&self, processed: u64, failed_again: u64) {
        self.records_replayed.inc_by(processed);
        self.records_failed_again.inc_by(failed_again);
    }

    /// So many records were skipped; to be called with the commit that did so.
    pub fn skipped(&self, records: u64) {
        self.records_skipped.inc_by(records);
    }

    /// So many records did not move the watermark; to be called with the commit that consumed them.
    pub fn ahead(&self, records: u64) {
        self.records_ahead.inc_by(records);
    }

    /// Retention dropped so many records before they were read.
    pub fn dropped_unread(&self, records: u64) {
        self.records_dropped_unread.inc_by(records);
    }

    /// A call for timers has set so many that were due already.
    pub fn timers_set_due(&self, timers: u64) {
        self.timers_set_due.inc_by(timers);
    }

    /// A step of a task panicked.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// A task is opened again, or its instance replaced, after a failure.
    pub fn restarted(&self) {
        self.restarts.inc();
    }
}

/// The meters of all functions, by name.
#[derive(Debug, Default)]
pub struct Meters(Mutex<BTreeMap<Arc<str>, Arc<FunctionMeter>>>);

impl Meters {
    /// The meter of that function, a new one when it has none.
    pub fn of(&self, name: &str) -> Arc<FunctionMeter> {
        let mut meters = self.0.lock();
        if let Some(meter) = meters.get(name) {
            return meter.clone();
        }
        meters.entry(name.into()).or_default().clone()
    }

    /// The meter of that function, when it has one.
    pub fn get(&self, name: &str) -> Option<Arc<FunctionMeter>> {
        self.0.lock().get(name).cloned()
    }

    /// Forgets a function that was deleted. What its tasks still count until they have noticed is seen by nobody, also
    /// when the name is taken again.
    pub fn remove(&self, name: &str) {
        self.0.lock().remove(name);
    }

    /// All meters, in the order of their names.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<FunctionMeter>)> {
        self.0.lock().iter().map(|(name, meter)| (name.clone(), meter.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_goes_on_counting_until_it_is_removed() {
        let meters = Meters::default();
        meters.of("a").committed(3, 2, Duration::from_millis(1), Duration::from_millis(2));
        let before = meters.of("a");
        before.committed(1, 0, None, Duration::ZERO);
        assert_eq!((before.records_in.get(), before.records_out.get(), before.commits.get()), (4, 2, 2));
        meters.remove("a");
        before.failed();
        let after = meters.of("a");
        assert_eq!((after.commits.get(), after.records_failed.get()), (0, 0));
    }

    #[test]
    fn all_are_listed_by_name() {
        let meters = Meters::default();
        for name in ["c", "a", "b"] {
            meters.of(name);
        }
        let names: Vec<_> = meters.all().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a".into(), "b".into(), "c".into()] as [Arc<str>; 3]);
    }
}
