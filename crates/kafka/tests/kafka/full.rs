// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Sources that hold as much as they may: their partitions are paused, and are read on.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fnstream_core::broker::{Assignment, PollLimit, Polled, Source, TaskInput};
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::test_util::suites::log::LogHarness;
use fnstream_core::waker::Waker;
use fnstream_frame::RecordRef;

use crate::cluster::bootstrap;
use crate::harness::Process;

/// More than a source holds.
const RECORDS: usize = 120_000;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_source_that_was_full_is_read_after_a_seek_and_by_the_next_one() {
    let Some(bootstrap) = bootstrap() else { return };
    let process = Process::new(&bootstrap);
    let at = TopicPartition::new("in", 0);
    process.create_topic("in", 1);
    let values: Vec<_> = (0..RECORDS).map(|number| number.to_string()).collect();
    // What is old is dropped by the broker.
    let now = SystemClock::new().unix_ms();
    for values in values.chunks(10_000) {
        let records: Vec<_> = values.iter().map(|value| RecordRef::new(value.as_bytes()).at(now)).collect();
        process.append(&at, &records);
    }

    let mut read = Reading::open(&process, &at);
    read.until_nothing_comes();
    read.source.seek(&Positions::from([(at.clone(), Position(7))])).unwrap();
    assert_eq!(read.all_from(7), RECORDS);

    read.source.seek(&Positions::from([(at.clone(), Position::START)])).unwrap();
    read.until_nothing_comes();
    drop(read);
    assert_eq!(Reading::open(&process, &at).all_from(0), RECORDS);
}

struct Reading {
    source: Box<dyn Source>,
    woken: Receiver<()>,
}

impl Reading {
    fn open(process: &Process, at: &TopicPartition) -> Reading {
        let (wake, woken) = channel();
        let waker = Waker::new(move || {
            // Nobody may listen any more.
            let _ = wake.send(());
        });
        let inputs = vec![TaskInput { group: 0, partition: at.clone() }];
        let assignment = Assignment { task: TaskId::new(FunctionId(1), 0), lease: 1, inputs };
        let from = Positions::from([(at.clone(), Position::START)]);
        Reading { source: process.broker().open_source(&assignment, &from, waker).unwrap(), woken }
    }

    /// Takes one record, so that it is read, and lets it be filled.
    fn until_nothing_comes(&mut self) {
        while matches!(self.source.poll(None, PollLimit { records: 1, bytes: 1 }).unwrap(), Polled::Pending) {
            self.woken.recv_timeout(PATIENCE).unwrap();
        }
        while self.woken.recv_timeout(Duration::from_millis(500)).is_ok() {}
    }

    /// Reads all that there is, in order; answers the number after the last.
    fn all_from(&mut self, mut next: usize) -> usize {
        while next < RECORDS {
            match self.source.poll(None, PollLimit { records: 1_000, bytes: 1 << 20 }).unwrap() {
                Polled::Batch(batch) => {
                    for record in batch.frame().iter() {
                        assert_eq!(record.bytes(), next.to_string().as_bytes());
                        next += 1;
                    }
                }
                Polled::Pending => self.woken.recv_timeout(PATIENCE).expect("nothing comes any more"),
                other => panic!("{other:?}"),
            }
        }
        next
    }
}
