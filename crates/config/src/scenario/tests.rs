// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use super::*;

fn problems(text: &str) -> Vec<String> {
    parse_scenario(text.as_bytes()).unwrap_err().list.iter().map(|problem| problem.line("f")).collect()
}

fn of(steps: &str) -> Vec<What> {
    let scenario = parse_scenario(format!("steps:\n{steps}").as_bytes()).unwrap();
    scenario.steps.into_iter().map(|step| step.what).collect()
}

#[test]
fn records_may_be_short_or_whole() {
    let steps = of(
        "  - send: [a, 5, null, {json: {a: 1}, key: k, time: 7, headers: {h: 1}}, {hex: ff00}]\n    fails: {4: bad}\n    to: t",
    );
    let [What::Send { to, records, fails }] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!((to.as_deref(), fails[0].1, &*fails[0].2), (Some("t"), 4, "bad"));
    let values: Vec<_> = records.iter().map(|record| record.value.bytes()).collect();
    let text = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(values, [text("a"), text("5"), None, text(r#"{"a":1}"#), Some(vec![0xff, 0])]);
    assert_eq!((records[3].key.clone(), records[3].time), (Some(Data::Bytes(b"k".to_vec())), Some(7)));
    assert_eq!(records[3].place, Place { line: 2, column: 24 });
}

#[test]
fn json_is_compared_as_json_and_text_as_bytes() {
    let json = Data::Json(serde_json::json!({"a": 1, "b": 2}));
    assert!(json.is(Some(b"{ \"b\": 2, \"a\": 1 }")));
    assert!(!json.is(Some(b"{\"a\":1}")) && !json.is(Some(b"x")) && !json.is(None));
    assert!(Data::Null.is(None) && !Data::Null.is(Some(b"")));
}

#[test]
fn numbers_of_state_have_the_bytes_of_typed_states() {
    let steps = of("  - state: {s: {a: {int64: -1}, b: {uint64: 2}, c: {float64: 1.5}, d: null}}");
    let [What::State(entries)] = &steps[..] else { panic!("{steps:?}") };
    let values: Vec<_> = entries.iter().map(|entry| entry.value.bytes()).collect();
    let one_and_a_half = (1.5f64.to_bits() ^ (1 << 63)).to_be_bytes().to_vec();
    let minus_one = vec![0x7f, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(values, [Some(minus_one), Some(vec![0, 0, 0, 0, 0, 0, 0, 2]), Some(one_and_a_half), None]);
}

#[test]
fn all_that_is_wrong_is_told_with_its_place() {
    assert_eq!(
        problems(
            "nmae: x\nsteps:\n  - sned: [a]\n  - send: a\n  - emitted: [{valu: a}]\n  - time: 5\n  - send: [a]\n    fails: {1: x}\n  - restart: no\n"
        ),
        [
            "f:1:1: unknown key 'nmae'; did you mean 'name'?",
            "f:3:5: the step says nothing; steps: send, emitted, watermark, time, restart, state",
            "f:4:11: the records: text, not a list",
            "f:5:16: unknown key 'valu'; did you mean 'value'?",
            "f:6:11: a number, not a duration such as 500ms or 10s",
            "f:8:13: '1' is the index of none of the records, which begin with 0",
            "f:9:14: 'restart' is 'true' or not there",
        ]
    );
    assert_eq!(problems(""), ["f:1:1: the file is empty"]);
    assert_eq!(problems("name: x"), ["f:1:1: the scenario has no steps, and nothing is expected"]);
    assert_eq!(
        problems("steps:\n  - send: [a]\n    emitted: [b]\n"),
        [
            "f:2:5: 'emitted' is a step of its own: begin it with '-'; steps: send, emitted, watermark, time, restart, state"
        ]
    );
    assert_eq!(
        problems("steps: [{state: {s: {a: {in64: 5}}}}]"),
        ["f:1:32: 'in64' is no form of a value; did you mean 'int64'?"]
    );
}

#[test]
fn no_text_makes_it_panic() {
    for text in [
        "[]",
        "- a",
        "steps: 5",
        "steps: [[]]",
        "steps: [{send: [[a]]}]",
        "steps: [{send: {a: b}}]",
        "\u{0}",
        "a: *x",
        "steps: [{send: [{hex: é}]}]",
    ] {
        assert!(parse_scenario(text.as_bytes()).is_err(), "{text}");
    }
}
