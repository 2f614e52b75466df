// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What becomes of events.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::support::{Running, command, example, module, must, run};

const MONEY: &str = "{\"name\":\"rbt\",\"money\":2}\n{\"name\":\"tbr\",\"money\":6}\n";
const MORE: &str = "{\"name\":\"rbt\",\"money\":3,\"expected\":0}\n{\"name\":\"tbr\",\"money\":7,\"expected\":0}\n";

/// Writes the bytes `w` and a line end for each record, and says `why` on standard error.
const SAYS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\01\00\00\00") (data (i32.const 16) "w")
    (data (i32.const 32) "\30\00\00\00\04\00\00\00") (data (i32.const 48) "why\n")
    (func (export "process")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
        (drop (call $write (i32.const 2) (i32.const 32) (i32.const 1) (i32.const 64)))))"#;

#[test]
fn stdio_modules_and_packed_components_run() {
    for name in ["basic", "basic_rust"] {
        assert_eq!(must(&[&example(name)], MONEY), MORE, "{name}");
    }
}

#[test]
fn a_component_of_the_processor_world_runs_with_its_config() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = folder.path().join("counts.wasm").display().to_string();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/go-processor");
    let built = command(&["build", source.to_str().unwrap(), "-o", &artifact]).output().unwrap();
    assert!(built.status.success(), "{built:?}");
    let config = source.join("config.yaml").display().to_string();
    let counted = must(&[&artifact, "-f", &config, "-c", "key_prefix=p-"], "a b\na\n");
    let counts: Vec<Value> = counted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(counts.len(), 2, "{counted}");
    assert_eq!((&counts[1]["line"], &counts[1]["total"]), (&json!("p-a"), &json!(2)), "{counted}");
    // Two runs know nothing of each other.
    assert_eq!(must(&[&artifact, "-f", &config, "-c", "key_prefix=p-"], "a b\na\n"), counted);
}

#[test]
fn results_come_while_the_input_is_open() {
    let mut running = Running::start(&[&example("pass_through_rust")]);
    for word in ["one", "two", "three"] {
        running.types(&format!("{word}\nhal"));
        assert_eq!(running.line(), word);
        running.types("f\n");
        assert_eq!(running.line(), "half");
    }
    running.types("last");
    drop(running.input.take());
    let ended = running.ended();
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (Some(0), "last\n", ""));
}

#[test]
fn what_a_function_prints_goes_to_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(&[&module(folder.path(), SAYS)], "a\nb\n");
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (Some(0), "w\nw\n", "why\nwhy\n"));
}

#[test]
fn failed_events_are_told_with_their_lines_and_the_others_go_on() {
    let input = "good 1\n\nerror here\ngood 4\n\ntrap\ngood 7";
    for policy in [&[][..], &["--on-error", "skip"], &["--retries", "3", "--backoff", "10ms"]] {
        let unruly = example("unruly_rust");
        let ended = run(&[&[unruly.as_str()], policy].concat(), input);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), "good 1\ngood 4\ngood 7\n"), "{}", ended.err);
        for told in ["line 3 of standard input failed: FS-1401 ", "line 6 of standard input failed: FS-1402 "] {
            assert_eq!(ended.err.matches(told).count(), 1, "{told}: {}", ended.err);
        }
        assert!(ended.err.contains("told to fail by") && ended.err.ends_with("2 events failed\n"), "{}", ended.err);
    }
}

#[test]
fn a_run_stops_at_the_first_failure_if_it_is_told_so() {
    let ended = run(&[&example("unruly_rust"), "--on-error", "stop"], "good 1\n\ntrap\ngood 4\n");
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), "good 1\n"));
    assert!(ended.err.contains("error FS-1402: line 3 of standard input: "), "{}", ended.err);
}

#[test]
fn a_limit_holds_as_in_a_server() {
    let ended = run(&[&example("unruly_rust"), "--limit", "call-time=200ms"], "loop\nlarge\ngood\n");
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), "good\n"));
    assert!(ended.err.contains("line 1 of standard input failed: FS-1403 "), "{}", ended.err);
    assert!(ended.err.contains("line 2 of standard input failed: FS-1410 "), "{}", ended.err);
}

#[test]
fn json_lines_carry_all_of_an_event_and_go_round() {
    let events = [
        json!({"timestamp": 5, "key": "k", "headers": [{"name": "h", "value": "1"}], "value": "v\n"}),
        json!({"timestamp": -5, "key": {"base64": "/w=="}, "headers": [{"name": "h", "value": {"base64": "/g=="}}], "value": {"base64": "/w=="}}),
        json!({"timestamp": 0, "key": null, "headers": [], "value": null}),
        json!({"timestamp": 1, "key": "", "headers": [], "value": ""}),
    ];
    let lines = |events: &[Value]| events.iter().map(|event| format!("{event}\n")).collect::<String>();
    let pass = example("pass_through_rust");
    let once = must(&[&pass, "--json-lines"], lines(&events));
    let come: Vec<Value> = once.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (index, (event, come)) in events.iter().zip(&come).enumerate() {
        let mut come = come.clone();
        let come = come.as_object_mut().unwrap();
        assert_eq!(come.remove("position"), Some(json!(index.to_string())));
        assert_eq!(come.remove("partition"), Some(json!(0)));
        assert_eq!(Value::Object(come.clone()), *event);
    }
    assert_eq!(come.len(), events.len());
    assert_eq!(must(&[&pass, "--json-lines"], &once), once, "what comes out goes in");

    let ended = run(&[&pass, "--json-lines"], "{\"value\":\"a\"}\nplain\n\n{\"value\":7}\n{\"value\":\"b\"}\n");
    assert_eq!((ended.code, ended.out.lines().count()), (Some(1), 2));
    for line in ["line 2 of standard input is no event: ", "line 4 of standard input is no event: "] {
        assert!(ended.err.contains(line) && ended.err.contains("FS-1340"), "{}", ended.err);
    }
}

#[test]
fn several_inputs_are_files_and_windows_close_at_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/window/go/config.yaml");
    let click = |at: i64| format!("{}\n", json!({"key": "alice", "value": "click", "timestamp": at}));
    let (app, counts) = (folder.path().join("app"), folder.path().join("counts"));
    fs::write(&app, click(4_000)).unwrap();
    let (app, to) = (format!("clicks-app={}", app.display()), format!("clicks-per-window={}", counts.display()));
    let window = example("window_rust");
    let arguments = [&window, "-f", config.to_str().unwrap(), "--json-lines", "--input", &app, "--output", &to];
    let web = [click(1_000), click(13_000)].concat();
    assert_eq!(must(&arguments, &web), "");
    let counted = |text: String| {
        let values = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["value"].clone());
        values.map(|value| value.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let expected = [r#"{"key":"alice","window":0,"count":2}"#, r#"{"key":"alice","window":10000,"count":1}"#];
    assert_eq!(counted(fs::read_to_string(&counts).unwrap()), expected);
    let kept = [&arguments[..], &["--at-end", "keep"]].concat();
    assert_eq!(must(&kept, click(1_000)), "");
    assert_eq!(fs::read_to_string(&counts).unwrap(), "", "the window stays open");
}

#[test]
fn what_is_wrong_is_told_with_the_exit_code_for_it() {
    let (pass, window) = (example("pass_through_rust"), example("window_rust"));
    for (arguments, code, told) in [
        (&["run", "/nowhere.wasm"][..], 1, "FS-1201"),
        (&["run", &pass, "--input", "other=x"], 2, "'other' is no input of the function, which has 'input'"),
        (&["run", &pass, "--input", "input=/nowhere"], 2, "/nowhere"),
        (&["run", &pass, "--output", "output=a", "--output", "output=b"], 2, "is given twice"),
        (&["run", &pass, "--resume"], 2, "--data-dir"),
        (&["run", &pass, "--files", "/nowhere:/g"], 1, "FS-1108"),
        (&["run", &window, "-c", "window=soon"], 1, "the window 'soon' is not a duration"),
    ] {
        let ended = Running::of(&mut command(arguments)).ended();
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(told) && !ended.err.contains("line 1"), "{arguments:?}: {}", ended.err);
    }
}
