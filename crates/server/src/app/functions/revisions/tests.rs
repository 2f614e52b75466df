// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use bytes::Bytes;
use fnstream_core::epoch::Epoch;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::DesiredState;

use super::*;

fn progress(epoch: u64, position: u128, records_in: u64, records_out: u64) -> Progress {
    let positions = [(TopicPartition::new("in", 0), Position(position))].into();
    Progress { epoch: Epoch(epoch), positions, records_in, records_out, time: Bytes::from(vec![epoch as u8]) }
}

fn described(artifact: &str, output: &str) -> FunctionSpec {
    let (artifact, outputs) = (artifact.into(), vec![output.into()]);
    FunctionSpec { name: "f".into(), artifact, inputs: vec![vec!["in".into()]], outputs, ..FunctionSpec::default() }
}

fn revision(number: u64, spec: FunctionSpec, state: Option<u32>) -> Revision {
    Revision { revision: number, spec, created_ms: 0, state: state.map(FunctionId) }
}

#[test]
fn positions_stay_or_go_back_and_counters_only_grow() {
    let then = Standing::from([(0, progress(3, 30, 30, 3))]);
    let now = Standing::from([(0, progress(9, 90, 95, 9)), (1, progress(2, 20, 20, 2))]);
    let dead_letters = |position| (TopicPartition::new("f.dlq", 0), Position(position));
    let (mut then, mut now) = (then, now);
    then.entry(0).and_modify(|task| task.positions.extend([dead_letters(1)]));
    now.entry(0).and_modify(|task| task.positions.extend([dead_letters(4)]));
    let spec = described("a", "out");
    let mut stay = placed(&spec, &then, &now, false);
    let place = |standing: &mut Standing| standing.get_mut(&0).unwrap().positions.remove(&dead_letters(0).0);
    assert_eq!(place(&mut stay), Some(Position(4)));
    assert_eq!(stay[&0], Progress { time: Bytes::from(vec![3]), ..progress(3, 90, 95, 9) });
    assert_eq!(stay[&1], Progress { time: Bytes::new(), ..progress(0, 20, 20, 2) }, "a task that came later");
    let mut again = placed(&spec, &then, &now, true);
    assert_eq!(place(&mut again), Some(Position(4)), "dead letters that were dealt with are");
    assert_eq!(again[&0], Progress { time: Bytes::from(vec![3]), ..progress(3, 30, 95, 9) });
    assert_eq!((again[&1].epoch, again[&1].positions.len()), (Epoch(0), 0));
}

#[test]
fn dead_letters_that_tasks_have_gone_past_are_counted() {
    let at = |place| {
        let mut task = progress(1, 1, 1, 1);
        task.positions.insert(TopicPartition::new("f.dlq", 0), Position(place));
        Standing::from([(0, task)])
    };
    assert_eq!(passed(&described("a", "out"), &at(3), &at(8)), 5);
    assert_eq!(passed(&described("a", "out"), &Standing::new(), &at(8)), 0, "it began behind those of others");
}

#[test]
fn what_was_done_is_counted_by_output() {
    let mut since = Since::default();
    let standing = |records_in, records_out| Standing::from([(0, progress(1, 1, records_in, records_out))]);
    since.add(&described("a", "out"), &standing(10, 10), &standing(15, 14));
    since.add(&described("a", "other"), &standing(15, 14), &standing(16, 14));
    since.add(&described("b", "out"), &standing(16, 14), &standing(20, 20));
    let emitted = |topic: &str, records| Emitted { topic: topic.into(), records };
    assert_eq!(since, Since { emitted: vec![emitted("out", 10), emitted("other", 0)], consumed: 10, dead_letters: 0 });
    let history = [revision(1, described("a", "out"), Some(7)), revision(2, described("b", "out"), None)];
    let request = RollbackRequest { to: 1, with_state: true, reprocess: false };
    assert_eq!(
        notes(Some(&since), &history, request),
        [
            "10 records were emitted to out since then, dead letters counted in: they stay",
            "10 input records were processed since then: that is not in the state any more and is not done again",
            "dead letters that were written to f.dlq since then stay there",
        ]
    );
    let replayed = Since { dead_letters: 2, ..since };
    assert!(notes(Some(&replayed), &history, request)[2].starts_with("of these, up to 2 were dead letters"));
    let since = Since { dead_letters: 0, ..replayed };
    let again = notes(Some(&since), &history, RollbackRequest { reprocess: true, ..request });
    assert!(again[1].ends_with("that is done again, and the outputs come again"), "{again:?}");
}

#[test]
fn only_what_is_kept_and_differs_can_be_rolled_back_to() {
    let history = [
        revision(1, described("a", "out"), None),
        revision(4, described("b", "out"), Some(7)),
        revision(5, described("a", "out"), Some(8)),
        revision(6, described("b", "out"), None),
    ];
    let spec = described("b", "out");
    let entry = FunctionEntry { id: FunctionId(3), revision: 8, desired: DesiredState::Running, created_ms: 0, spec };
    let ask = |to, with_state, reprocess| target(&entry, &history, RollbackRequest { to, with_state, reprocess });
    assert_eq!(ask(1, false, false).unwrap().len(), 4);
    assert_eq!(ask(5, true, true).unwrap().len(), 2);
    for (to, with_state, reprocess, code) in [
        (2, false, false, ErrorCode::RevisionNotFound),
        (6, false, false, ErrorCode::InvalidRequest),
        (6, true, false, ErrorCode::InvalidRequest),
        (5, false, true, ErrorCode::InvalidRequest),
        (1, true, false, ErrorCode::RevisionStateGone),
        (4, false, false, ErrorCode::InvalidRequest),
    ] {
        assert_eq!(ask(to, with_state, reprocess).unwrap_err().code, code, "{to} {with_state} {reprocess}");
    }
    assert_eq!(ask(4, true, false).unwrap().len(), 3, "the same description with another state");
}

#[test]
fn a_history_tells_what_changed() {
    let inputs = vec![vec!["in?group_id=other".parse().unwrap()]];
    let other = FunctionSpec {
        inputs,
        no_join: true,
        replicas: 2,
        config: [("a".into(), "b".into())].into(),
        ..described("b", "out")
    };
    let told = told(&[revision(1, described("a", "out"), Some(7)), revision(3, other, None)]);
    let shown: Vec<_> = told.iter().map(|of| (of.revision, of.changed.join(" "), of.state, of.current)).collect();
    let changed = "archive inputs replicas no-join config".to_owned();
    assert_eq!(shown, [(3, changed, false, true), (1, String::new(), true, false)]);
}
