// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::time::Duration;

use fnstream_core::spec::{ErrorAction, FunctionSpec, WatermarkStrategy};

use super::*;

const SMALL: &str = "name: f\ninput-groups: [[{input-type: log, topic: i}]]\noutputs: [{output-type: log, topic: o}]\n";

fn good(text: &str) -> (FunctionConfig, Vec<String>) {
    let (config, notes) = parse_function_config(text.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    (config, notes.iter().map(|note| note.line("")).collect())
}

#[test]
fn what_is_left_out_is_the_default() {
    let (config, notes) = good(SMALL);
    assert_eq!(notes, Vec::<String>::new());
    let spec = config.to_spec("aa").unwrap();
    let expected = FunctionSpec {
        name: "f".into(),
        artifact: "aa".into(),
        inputs: vec![vec!["i".into()]],
        outputs: vec!["o".into()],
        replicas: 1,
        ..FunctionSpec::default()
    };
    assert_eq!(spec, expected);
    assert_eq!(config.kind, FunctionKind::Processor);
}

#[test]
fn every_key_has_its_field() {
    let text = r#"
name: window
archive: build/window.wasm
type: processor
from: 2026-01-31T08:00:00Z
input-groups:
  - inputs:
      - {input-type: log, topic: a, watermark: monotonic}
      - input-type: log
        topic: b
        schema: bytes
        watermark: {strategy: bounded, delay: 5s, idle-timeout: 30s, idle-advance: 10s, max-ahead: 1h}
  - [{input-type: log, topic: c, watermark: none}]
outputs:
  - {output-type: log, topic: x}
  - {output-type: log, topic: y, schema: none}
input-selector: priority
init_config:
  text: words with spaces
  empty: ""
  number: 007
  fraction: 1.50
  flag: true
  quoted: "5"
  lines: |
    one
    two
replicas: 4
no-join: true
limits:
  memory: 64MiB
  call-time: 500ms
  start-time: 2m
  record: 4096
  records-per-input: 7
  state: 1GiB
on-error:
  action: dead-letter
  retries: 3
  backoff: 100ms
  max-backoff: 1m
  dead-letter-topic: bad
env: {LANG: C, LEVEL: 3}
files:
  - {host: /srv/lists}
  - {host: /srv/b, guest: /c}
delivery: exactly-once
schema: bytes
"#;
    let (config, notes) = good(text);
    assert_eq!(notes, Vec::<String>::new());
    let spec = config.to_spec("aa").unwrap();
    assert_eq!(spec.inputs, [vec!["a".into(), "b".into()], vec!["c".into()]]);
    assert_eq!(spec.outputs, ["x".into(), "y".into()]);
    assert_eq!((spec.selector, spec.replicas, spec.no_join), (InputSelector::Priority, 4, true));
    assert_eq!(spec.from.to_string(), "2026-01-31T08:00:00.000Z");
    assert_eq!(config.archive.as_deref(), Some("build/window.wasm"));
    let watermark = |topic: &str| spec.watermarks.get(&topic.into()).copied();
    let monotonic = Watermark { strategy: WatermarkStrategy::Monotonic, ..Watermark::default() };
    let bounded = WatermarkStrategy::Bounded { delay: Duration::from_secs(5) };
    let (idle_timeout, max_ahead) = (Some(Duration::from_secs(30)), Some(Duration::from_hours(1)));
    let bounded = Watermark { strategy: bounded, idle_timeout, idle_advance: Some(Duration::from_secs(10)), max_ahead };
    assert_eq!((watermark("a"), watermark("b"), watermark("c")), (Some(monotonic), Some(bounded), None));
    let told: Vec<_> = spec.config.iter().map(|(name, text)| format!("{name}={text}")).collect();
    let expected = [
        "empty=",
        "flag=true",
        "fraction=1.50",
        "lines=one\ntwo\n",
        "number=007",
        "quoted=5",
        "text=words with spaces",
    ];
    assert_eq!(told, expected);
    let limits = Limits {
        memory: 64 << 20,
        call_time: Duration::from_millis(500),
        start_time: Duration::from_secs(120),
        record_bytes: 4096,
        records_per_input: 7,
        state_bytes: Some(1 << 30),
    };
    assert_eq!(spec.limits, limits);
    let on_error = ErrorPolicy {
        action: ErrorAction::DeadLetter { topic: Some("bad".into()) },
        retries: 3,
        backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(60),
    };
    assert_eq!(spec.on_error, on_error);
    assert_eq!((spec.env["LANG"].as_str(), spec.env["LEVEL"].as_str()), ("C", "3"));
    let files: Vec<_> = spec.files.iter().map(|grant| format!("{}:{}", grant.host, grant.guest)).collect();
    assert_eq!(files, ["/srv/lists:/srv/lists", "/srv/b:/c"]);
}

#[test]
fn the_other_forms_mean_the_same() {
    let json = r#"{"name": "f", "inputs": [{"inputs": [{"input-type": "log", "topic": "i"}]}],
        "outputs": [{"output-type": "log", "topic": "o"}], "limits": {"state": "none"}, "init_config": null,
        "on-error": "dead-letter", "input-selector": "round-robin", "env": {}, "files": []}"#;
    assert_eq!(good(json).0.to_spec("aa").unwrap(), good(SMALL).0.to_spec("aa").unwrap());
    for selector in InputSelector::ALL {
        let text = format!("{SMALL}input-selector: {}", selector.name());
        assert_eq!(good(&text).0.selector, selector);
    }
    for (word, action) in [("skip", ErrorAction::Skip), ("stop", ErrorAction::Stop)] {
        assert_eq!(good(&format!("{SMALL}on-error: {word}")).0.on_error.action, action);
    }
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_types() {
    let text = format!(
        "{SMALL}limits: {{{}}}\non-error: {{{}}}",
        defaults("limits", &[]),
        defaults("on-error", &["dead-letter-topic"])
    );
    let (config, _) = good(&text);
    assert_eq!((config.limits, config.on_error), (Limits::default(), ErrorPolicy::default()));
}

/// The defaults of a block as the table has them, as text.
fn defaults(name: &str, but: &[&str]) -> String {
    use crate::key::{Key, Kind};
    let key = keys::FUNCTION.iter().find(|key| key.name == name).unwrap();
    let keys: &[Key] = match key.kind {
        Kind::Block(keys) | Kind::Either([Kind::Block(keys), ..]) => keys,
        kind => panic!("{kind:?}"),
    };
    let told = keys.iter().filter(|key| !but.contains(&key.name)).map(|key| format!("{}: {}", key.name, key.default));
    told.collect::<Vec<_>>().join(", ")
}

#[test]
fn brokers_are_read_and_those_that_are_unavailable_told() {
    let text = r#"
name: f
input-groups:
  - inputs:
      - input-type: kafka
        bootstrap_servers: "b:9092, a:9092"
        topic: with/any/name
        group_id: g
        partition: 3
        session.timeout.ms: 6000
        debug: cgrp
      - {input-type: pulsar, service_url: "pulsar://localhost:6650", topic: "persistent://p/n/t", subscription: s, initial_position: latest, tls_hostname_verification: false}
      - {input-type: log, topic: i}
outputs:
  - {output-type: kafka, bootstrap_servers: "a:9092", topic: o, compression.type: lz4}
  - {output-type: pulsar, topic: o, compression: zstd}
"#;
    let (config, notes) = good(text);
    let read: Vec<_> = config.inputs[0].iter().map(|input| input.from.to_string()).collect();
    let expected = [
        "with/any/name@kafka://a:9092,b:9092?debug=cgrp&group_id=g&partition=3&session.timeout.ms=6000",
        "persistent://p/n/t@pulsar://localhost:6650?group_id=s&initial_position=latest&tls_hostname_verification=false",
        "i",
    ];
    assert_eq!(read, expected);
    let read: Vec<_> = config.outputs.iter().map(|output| output.to.to_string()).collect();
    assert_eq!(read, ["o@kafka://a:9092?compression.type=lz4", "o@pulsar://localhost:6650?compression=zstd"]);
    assert_eq!(notes, [""; 0]);
}

#[test]
fn topics_of_pulsar_may_be_named_by_a_pattern_and_outputs_have_schemas() {
    let text = r#"
name: f
input-groups: [[{input-type: pulsar, topics_pattern: "shop/eu/orders-.*", subscription: s, watermark: monotonic}]]
outputs:
  - {output-type: pulsar, topic: a, schema: input}
  - {output-type: pulsar, topic: b, schema: bytes}
  - {output-type: pulsar, topic: c, schema: topic}
  - {output-type: log, topic: d, schema: bytes}
"#;
    let (config, _) = good(text);
    let pattern = &config.inputs[0][0].from;
    assert!(pattern.is_pattern());
    assert_eq!(pattern.to_string(), "shop/eu/orders-.*@pulsar://localhost:6650?group_id=s&topics_pattern=true");
    let outputs: Vec<_> = config.outputs.iter().map(|output| output.to.to_string()).collect();
    let at = |name: &str| format!("{name}@pulsar://localhost:6650");
    assert_eq!(outputs, [at("a") + "?schema=input", at("b") + "?schema=none", at("c"), "d".to_owned()]);
    let spec = config.to_spec(&"0".repeat(64)).unwrap();
    assert_eq!(spec.watermarks.keys().next(), Some(&pattern.topic));
}

/// What is wrong with the topics of brokers is reported like what is wrong with others, before they are refused as such.
#[test]
fn topics_of_brokers_are_checked_like_others() {
    let text = r#"
name: f
input-groups:
  - inputs:
      - {input-type: kafka, bootstrap_servers: "a:1,b:2", topic: t, group_id: g}
      - {input-type: kafka, bootstrap_servers: "b:2,a:1", topic: t, group_id: h}
      - {input-type: kafka, bootstrap_servers: "c:1", topic: t, group_id: g}
      - {input-type: kafka, bootstrap_servers: "c:1", topic: "a b", group_id: g}
      - {input-type: kafka, bootstrap_servers: "u@c:1", topic: t, group_id: g}
      - {input-type: pulsar, service_url: "pulsar://h:x", topic: t}
      - {input-type: log, topic: "i@"}
outputs:
  - {output-type: kafka, bootstrap_servers: "a:1,b:2", topic: t}
"#;
    let problems = parse_function_config(text.as_bytes()).unwrap_err();
    let told: Vec<_> = problems.list.iter().map(|problem| problem.line("")).collect();
    // Where no cluster could be read, nothing follows for the topic.
    let expected = [
        "6:66: input 't@kafka://a:1,b:2' is named twice",
        "8:62: topic name 'a b' holds ' '",
        "9:48: 'bootstrap_servers': the addresses of a cluster: address 'u@c:1' has a host that holds '@'",
        "10:43: 'service_url': the addresses of a cluster: address 'h:x' has a port that is not 1 to 65535",
        "11:34: topic 'i@' names no cluster after '@'",
        "13:63: 't@kafka://a:1,b:2' is both input and output: the function would feed itself for ever",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_topic_of_the_log_type_has_its_text_form() {
    let text = "name: f\ninput-groups: [[{input-type: log, topic: 'persistent://t/n/i'}, {input-type: log, topic: 'i@prod?partition=1'}]]\noutputs: [{output-type: log, topic: o}]\n";
    let spec = good(text).0.to_spec("aa").unwrap();
    let read: Vec<_> = spec.inputs[0].iter().map(|named| named.to_string()).collect();
    assert_eq!(read, ["persistent://t/n/i", "i@prod?partition=1"]);
}

#[test]
fn a_beginning_that_is_none_is_refused_at_its_place() {
    let problems = parse_function_config(format!("{SMALL}from: yesterday\n").as_bytes()).unwrap_err();
    let told = "4:7: 'from': 'yesterday' is none of earliest, latest, a time in UTC such as 2026-01-31T08:00:00Z, or time=MS in milliseconds since the Unix epoch";
    assert_eq!(problems.to_string(), told);
}

#[test]
fn python_is_a_type_whose_description_is_like_any_other() {
    let (config, notes) =
        good(&format!("{SMALL}type: python\nenable_checkpoint: true\ncheckpoint_interval_seconds: 5\n"));
    let paths: Vec<_> = notes.iter().map(|note| note.split('\'').nth(1).unwrap()).collect();
    assert_eq!(paths, ["enable_checkpoint", "checkpoint_interval_seconds"]);
    assert_eq!(config.kind, FunctionKind::Python);
    assert_eq!(config.to_spec("aa").unwrap().artifact, "aa");
}

#[test]
fn keys_without_effect_are_noted_wherever_they_stand_and_whatever_they_hold() {
    let text = "
name: f
idle-sleep-ms: 500
control-channel-capacity: {any: [thing]}
processor-runtime: {max-batch-size: 100, use_builtin_event_serialization: true, control-poll-ms: 1, control-x: 2}
input-groups:
  - {channel-capacity: 10, inputs: [{input-type: log, topic: i, batch-consume-size: 1}]}
outputs: [{output-type: log, topic: o, sleep-when-full-ms: }]
";
    let (_, notes) = good(text);
    let paths: Vec<_> = notes.iter().map(|note| note.split('\'').nth(1).unwrap()).collect();
    let expected = [
        "idle-sleep-ms",
        "control-channel-capacity",
        "processor-runtime.max-batch-size",
        "processor-runtime.use_builtin_event_serialization",
        "processor-runtime.control-poll-ms",
        "processor-runtime.control-x",
        "input-groups[0].channel-capacity",
        "input-groups[0].inputs[0].batch-consume-size",
        "outputs[0].sleep-when-full-ms",
    ];
    assert_eq!(paths, expected);
    assert!(notes.iter().all(|note| note.contains("note: ") && note.contains("has no effect: ")), "{notes:?}");
}

#[test]
fn as_many_groups_as_there_may_be_and_no_more() {
    let group = |n: usize| {
        let input = |i: usize| format!("{{input-type: log, topic: t-{n}-{i}}}");
        format!("[{}]", (0..64).map(input).collect::<Vec<_>>().join(","))
    };
    let text = |groups: usize| {
        let groups: Vec<_> = (0..groups).map(group).collect();
        format!("name: f\ninput-groups: [{}]\noutputs: [{{output-type: log, topic: o}}]", groups.join(","))
    };
    assert_eq!(good(&text(64)).0.to_spec("aa").unwrap().inputs.iter().map(Vec::len).sum::<usize>(), 64 * 64);
    let problems = parse_function_config(text(65).as_bytes()).unwrap_err();
    assert_eq!(problems.to_string(), "2:15: 'input-groups' holds 65 entries, not 1 to 64");
    assert_eq!(problems.code, ErrorCode::InvalidSpec);
}

#[test]
fn the_example_is_good() {
    let text = include_str!("../../../../examples/go-processor/config.yaml");
    let spec = good(text).0.to_spec("aa").unwrap();
    assert_eq!((spec.name.as_str(), spec.config["key_prefix"].as_str()), ("go-processor", ""));
}
