// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The bytes of version 1, as every later version must read them.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use fnstream_core::ErrorCode;
use fnstream_core::acks::Failed;
use fnstream_core::epoch::{Epoch, FunctionId};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::spec::{
    DesiredState, ErrorAction, ErrorPolicy, FileGrant, FunctionSpec, InputSelector, Limits, Watermark,
    WatermarkStrategy,
};
use fnstream_core::topic::Topic;
use fnstream_frame::{FrameBuilder, RecordRef};

use super::*;
use crate::log::producers::Recent;

const OLD_HEADER: usize = 10;

#[test]
fn stored_batch_of_version_1() {
    let golden = b"\x01\x01\
        \x00\x00\x00\x00\x00\x00\x01\x02\
        \x00\x00\x00\x00\x00\x00\x03\x04\
        FSF\x01\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\
        \x07\x00\x00\x00\x00\x00\x00\x00\
        \x00\x00\x00\x00\
        \x01\x00\x00\x00\
        \x01\x00\x00\x00\
        \x01\x00\x00\x00\
        \x02\x00\x00\x00\
        kv";
    let mut builder = FrameBuilder::new();
    builder.push(RecordRef::new(b"v").with_key(Some(b"k")).at(7));
    let mut encoded = Vec::new();
    StoredBatch::encode(&mut encoded, 0x102, 0x304, &builder.to_bytes());
    assert_eq!(encoded, golden);
    let decoded = StoredBatch::decode(golden).unwrap();
    assert_eq!((decoded.bytes_before, decoded.arrived_ms, decoded.bytes), (0x102, Some(0x304), &golden[18..]));
    assert_eq!(decoded.frame.record(0).value, Some(&b"v"[..]));
    // Without the arrival, as format 1 of the data folder has it.
    let mut old = golden[..OLD_HEADER].to_vec();
    old[1] = 0;
    old.extend_from_slice(&golden[18..]);
    let decoded = StoredBatch::decode(&old).unwrap();
    assert_eq!((decoded.bytes_before, decoded.arrived_ms, decoded.bytes), (0x102, None, &golden[18..]));
}

#[test]
fn topic_of_versions_1_and_2() {
    let first = b"\x01\x07\x01t\x04\x01\xe8\x07\x00\xd0\x0f";
    let golden = b"\x02\x07\x01t\x04\x01\xe8\x07\x00\xd0\x0f\x01";
    let topic = TopicDescriptor {
        id: 7,
        name: "t".into(),
        partitions: 4,
        max_age_ms: Some(1000),
        max_bytes: None,
        created_ms: 1000,
        by_event_time: true,
    };
    assert_eq!(encode_topic(&topic), golden);
    assert_eq!(decode_topic(golden).unwrap(), topic);
    assert_eq!(decode_topic(first).unwrap(), TopicDescriptor { by_event_time: false, ..topic });
}

#[test]
fn floor_cursor_and_counter_of_version_1() {
    let floor = Floor { position: 5, bytes_before: 0x100 };
    let golden = [1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(floor.encode(), golden);
    assert_eq!(Floor::decode(&golden).unwrap(), floor);
    assert_eq!(encode_cursor(258), [1, 0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(decode_cursor(&[1, 0, 0, 0, 0, 0, 0, 1, 2]).unwrap(), 258);
    assert_eq!(encode_counter(258), [1, 0, 0, 1, 2]);
    assert_eq!(decode_counter(&[1, 0, 0, 1, 2]).unwrap(), 258);
}

#[test]
fn producer_of_version_1() {
    let golden = b"\x01\xac\x02\xd0\x0f\x01\xaa\x02\x02\x01\x01\xac\x02\x02";
    let recent = vec![Recent { first: 298, count: 2, runs: vec![(1, 300, 2)] }];
    let producer = Producer { next: 300, at_ms: 1000, recent };
    assert_eq!(encode_producer(&producer), golden);
    assert_eq!(decode_producer(golden).unwrap(), producer);
}

#[test]
fn acknowledged_of_version_1() {
    // Era 300, committed 7, acknowledged 9 and 10, and 12; delivered in vain: 7, twice, not before the time 5.
    let golden = b"\x01\xac\x02\x07\x02\x09\x0b\x0c\x0d\x01\x07\x02\x0a";
    let acknowledged = Acknowledged {
        era: 300,
        committed: Position(7),
        acked: vec![(Position(9), Position(11)), (Position(12), Position(13))],
        failed: vec![Failed { position: Position(7), deliveries: 2, not_before_ms: 5 }],
    };
    assert_eq!(encode_acknowledged(&acknowledged), golden);
    assert_eq!(decode_acknowledged(golden).unwrap(), acknowledged);
}

#[test]
fn progress_of_version_1() {
    // Generation 2, epoch 3, two positions (t-1 at 300, t-0 of the cluster 'c' at 7), 4 records in, 5 out, two bytes of time.
    let golden = b"\x01\x02\x03\x02\0\x01t\x01\xac\x02\x01c\x01t\0\x07\x04\x05\x02xy";
    let elsewhere = TopicPartition::new("t@c".parse::<Topic>().unwrap(), 0);
    let progress = Progress {
        epoch: Epoch(3),
        positions: Positions::from([(TopicPartition::new("t", 1), Position(300)), (elsewhere, Position(7))]),
        records_in: 4,
        records_out: 5,
        time: Bytes::from_static(b"xy"),
    };
    assert_eq!(encode_progress(Generation(2), &progress), golden);
    assert_eq!(decode_progress(golden).unwrap(), (Generation(2), progress));
}

#[test]
fn unfinished_apply_of_version_1() {
    let golden = b"\x01\x09\x01z\x02ab";
    let marker = Marker { epoch: Epoch(9), log_end: Bytes::from_static(b"z") };
    let unfinished = Unfinished { marker, through: Bytes::from_static(b"ab") };
    assert_eq!(encode_unfinished(&unfinished), golden);
    assert_eq!(decode_unfinished(golden).unwrap(), unfinished);
}

#[test]
fn marker_of_version_1() {
    let golden = b"\x01\x09\x01z";
    let marker = Marker { epoch: Epoch(9), log_end: Bytes::from_static(b"z") };
    assert_eq!(encode_marker(&marker), golden);
    assert_eq!(decode_marker(golden).unwrap(), marker);
}

#[test]
fn function_entry_of_version_1() {
    let golden = concat!(
        "\x01",
        r#"{"id":3,"revision":2,"desired":"stopped","created_ms":9,"spec":{"name":"f","artifact":"aa","#,
        r#""inputs":[["a","b"],["c"]],"outputs":["o"],"replicas":1,"config":{"k":"v"},"#,
        r#""limits":{"memory":268435456,"call_time_ms":10000,"start_time_ms":60000,"record_bytes":1048576,"#,
        r#""records_per_input":10000},"on_error":{"action":{"dead-letter":{"topic":null}},"retries":1,"#,
        r#""backoff_ms":20,"max_backoff_ms":10000}}}"#
    );
    // Before functions had limits and policies of their own.
    let older = concat!(
        "\x01",
        r#"{"id":3,"revision":2,"desired":"stopped","created_ms":9,"spec":{"name":"f","artifact":"aa","#,
        r#""inputs":[["a","b"],["c"]],"outputs":["o"],"replicas":1,"config":{"k":"v"}}}"#
    );
    let entry = FunctionEntry {
        id: FunctionId(3),
        revision: 2,
        desired: DesiredState::Stopped,
        created_ms: 9,
        spec: FunctionSpec {
            name: "f".into(),
            artifact: "aa".into(),
            inputs: vec![vec!["a".into(), "b".into()], vec!["c".into()]],
            outputs: vec!["o".into()],
            replicas: 1,
            config: [("k".to_owned(), "v".to_owned())].into(),
            on_error: ErrorPolicy { backoff: std::time::Duration::from_millis(20), ..ErrorPolicy::default() },
            ..FunctionSpec::default()
        },
    };
    assert_eq!(std::str::from_utf8(&encode_function(&entry)).unwrap(), golden);
    assert_eq!(decode_function(golden.as_bytes()).unwrap(), entry);
    let on_error = ErrorPolicy::default();
    let entry = FunctionEntry { spec: FunctionSpec { on_error, ..entry.spec }, ..entry };
    assert_eq!(decode_function(older.as_bytes()).unwrap(), entry);
}

#[test]
fn revisions_of_version_1() {
    let golden = concat!(
        "\x01",
        r#"[{"revision":1,"spec":{"name":"f","artifact":"aa","inputs":[["a"]],"selector":"priority","#,
        r#""watermarks":{"a":{"strategy":"bounded","delay_ms":11,"idle_timeout_ms":12,"max_ahead_ms":13},"b":{"strategy":"monotonic"}},"#,
        r#""outputs":["o"],"replicas":1,"config":{},"#,
        r#""limits":{"memory":65536,"call_time_ms":1,"start_time_ms":2,"record_bytes":3,"records_per_input":4,"#,
        r#""state_bytes":5},"on_error":{"action":"skip","retries":6,"backoff_ms":7,"max_backoff_ms":8},"#,
        r#""env":{"E":"e"},"files":[{"host":"/h","guest":"/g"}]},"created_ms":9,"state":10}]"#
    );
    let ms = std::time::Duration::from_millis;
    let history = [Revision {
        revision: 1,
        spec: FunctionSpec {
            name: "f".into(),
            artifact: "aa".into(),
            inputs: vec![vec!["a".into()]],
            selector: InputSelector::Priority,
            from: Default::default(),
            watermarks: [
                (
                    "a".into(),
                    Watermark {
                        strategy: WatermarkStrategy::Bounded { delay: ms(11) },
                        idle_timeout: Some(ms(12)),
                        idle_advance: None,
                        max_ahead: Some(ms(13)),
                    },
                ),
                ("b".into(), Watermark { strategy: WatermarkStrategy::Monotonic, ..Watermark::default() }),
            ]
            .into(),
            outputs: vec!["o".into()],
            replicas: 1,
            no_join: false,
            config: Default::default(),
            limits: Limits {
                memory: 65536,
                call_time: ms(1),
                start_time: ms(2),
                record_bytes: 3,
                records_per_input: 4,
                state_bytes: Some(5),
            },
            on_error: ErrorPolicy { action: ErrorAction::Skip, retries: 6, backoff: ms(7), max_backoff: ms(8) },
            env: [("E".to_owned(), "e".to_owned())].into(),
            files: vec![FileGrant { host: "/h".into(), guest: "/g".into() }],
        },
        created_ms: 9,
        state: Some(FunctionId(10)),
    }];
    assert_eq!(std::str::from_utf8(&encode_revisions(&history)).unwrap(), golden);
    assert_eq!(decode_revisions(golden.as_bytes()).unwrap(), history);
    assert_eq!(encode_unclaimed(), [1]);
}

#[test]
fn watermark_of_version_1() {
    assert_eq!(encode_watermark(0x0102), *b"\x01\x00\x00\x00\x00\x00\x00\x01\x02");
    assert_eq!(decode_watermark(b"\x01\x00\x00\x00\x00\x00\x00\x01\x02").unwrap(), 0x0102);
    assert!(decode_watermark(b"\x01\x00").is_err());
    let writer = Writer { watermark: 0x0102, idle: true };
    assert_eq!(encode_writer(writer), *b"\x01\x00\x00\x00\x00\x00\x00\x01\x02\x01");
    assert_eq!(decode_writer(b"\x01\x00\x00\x00\x00\x00\x00\x01\x02\x01").unwrap(), writer);
    assert!(decode_writer(b"\x01\x00\x00\x00\x00\x00\x00\x01\x02\x02").is_err());
}

#[test]
fn other_versions_and_cut_values_are_corrupt_not_misread() {
    let progress = encode_progress(Generation(2), &Progress::default());
    for bad in [&b""[..], b"\x02\x00", &progress[..progress.len() - 1]] {
        assert_eq!(decode_progress(bad).unwrap_err().code, ErrorCode::DataCorrupt, "{bad:?}");
    }
    assert_eq!(decode_cursor(&[1, 0]).unwrap_err().code, ErrorCode::DataCorrupt);
    assert_eq!(StoredBatch::decode(&[1, 4, 0]).err().unwrap().code, ErrorCode::DataCorrupt);
}
