// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::fs;
use std::path::Path;

use crate::support::{command, ended, must, run};

/// Timers, failures and state by the words of a record.
const FUNCTION: &str = r#"
import { EVENT_TIME, PROCESSING_TIME } from "functionstream";

export default class Timers {
  init(ctx) {
    this.store = ctx.store("seen");
    if (ctx.config.fail) throw new Error(ctx.config.fail);
  }

  process(record, ctx) {
    const [what, at] = record.text.split(" ");
    if (what === "fail") throw new Error("no " + at);
    if (what === "event" || what === "bad") ctx.setTimer(EVENT_TIME, what, Number(at));
    if (what === "clock") ctx.setTimer(PROCESSING_TIME, what, Number(at));
    this.store.put(what, String(at));
    ctx.emit(record.text, { key: record.key, headers: record.headers });
  }

  onTimer(timer) {
    if (timer.keyText === "bad") throw new Error("bad timer");
    return "fired " + timer.keyText;
  }
}
"#;

fn project(scenario: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.js"), FUNCTION).unwrap();
    fs::create_dir(folder.path().join("scenarios")).unwrap();
    fs::write(folder.path().join("scenarios/s.yaml"), scenario).unwrap();
    folder
}

/// What is told of a scenario that fails, without the beginnings of lines.
fn told(scenario: &str) -> String {
    let folder = project(scenario);
    let ended = run(folder.path(), &["test"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let lines = ended.out.lines().filter_map(|line| line.strip_prefix("      "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_scenario_moves_time_and_sees_state_and_failures() {
    let folder = project(
        r#"
name: everything
start: 1000
steps:
  - send: [event 20, clock 5000, fail 3, {value: x, key: k, headers: {h: "1"}, time: 7}, null]
    fails: {2: no 3, 4: ""}
  - emitted: [event 20, clock 5000, {value: x, key: k, headers: {h: "1"}, time: 7}]
  - watermark: 19
  - emitted: []
  - watermark: 20
    of: input
  - emitted: [fired event]
  - time: 3999ms
  - emitted: []
  - time: 1ms
  - emitted: [fired clock]
  - restart: true
  - state:
      seen: {event: "20", fail: null}
  - send: [bad 30]
    to: input
  - emitted: [bad 30]
    from: output
  - watermark: 40
    fails: bad timer
"#,
    );
    let out = must(folder.path(), &["test", "--scenarios-only"]);
    assert_eq!(out, "ok    ./scenarios/s.yaml: everything\n1 scenario passed\n");
}

#[test]
fn a_function_that_does_not_start_may_be_what_is_expected() {
    let folder = project("config: {fail: not today}\ninit-fails: today\n");
    must(folder.path(), &["test"]);
    assert_eq!(
        told("config: {fail: not today}\ninit-fails: tomorrow\n").lines().next().unwrap(),
        "./scenarios/s.yaml:2:13: the reason has no 'tomorrow': Error: not today (FS-1401)"
    );
    assert!(told("init-fails: x\n").contains(":1:13: the function starts, and was to fail with 'x'"));
}

#[test]
fn what_differs_is_told_with_its_line() {
    assert_eq!(
        told("steps:\n  - send: [a 1, b 2, c 3]\n  - emitted:\n      - a 1\n      - b 5\n      - c 3\n"),
        "./scenarios/s.yaml:3:5: what was emitted to 'output' is not what was expected\n    \"a 1\"\n  - \"b 5\"   (expected, line 5)\n  \
         + \"b 2\"   (emitted)\n    \"c 3\""
    );
    for (steps, line) in [
        ("[{send: [a 1, fail 2]}]", ":1:22: record 1 failed: FS-1401 "),
        ("[{send: [a 1], fails: {0: x}}]", ":1:31: record 0 does not fail"),
        ("[{send: [fail 1], fails: {0: x}}]", ":1:34: the reason has no 'x': FS-1401 "),
        ("[{send: [a 1]}, {state: {seen: {b: 1}}}]", ":1:40: 'b' of the store 'seen' is not there, not \"1\""),
        ("[{send: [a 1]}, {state: {seen: {a: 2}}}]", ":1:40: 'a' of the store 'seen' is \"1\", not \"2\""),
        (
            "[{send: [a 1]}, {state: {seen: {a: null}}}]",
            ":1:40: 'a' of the store 'seen' is \"1\", and was not to be there",
        ),
        ("[{send: [a 1], to: nowhere}]", ":1:10: 'nowhere' is no input of the function, which has 'input'"),
        ("[{emitted: [], from: nowhere}]", ":1:10: 'nowhere' is no output of the function, which has 'output'"),
        ("[{send: [bad 5]}, {watermark: 9}]", ":1:27: the function does not go on: telling of time: Error: bad timer"),
        ("[{watermark: 9, fails: x}]", ": nothing fails, and something was to fail with 'x'"),
    ] {
        let told = told(&format!("steps: {steps}\n"));
        assert!(told.starts_with("./scenarios/s.yaml") && told.contains(line), "{steps}: {told}");
    }
}

#[test]
fn a_bad_file_is_told_with_its_lines_and_others_are_run() {
    let folder = project("steps:\n  - snd: [a]\n");
    fs::write(folder.path().join("scenarios/t.yaml"), "steps: [{send: [a 1]}, {emitted: [a 1]}]\n").unwrap();
    let ended = run(folder.path(), &["test"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.out.contains("error FS-1804: ./scenarios/s.yaml:2:5: the step says nothing"), "{}", ended.out);
    assert!(ended.out.contains("ok    ./scenarios/t.yaml\n1 of 2 scenarios failed\n"), "{}", ended.out);
}

#[test]
fn a_tool_that_is_missing_is_named_and_scenarios_are_run() {
    let folder = tempfile::tempdir().unwrap();
    for (language, tool) in [("python", "python3"), ("javascript", "node")] {
        let name = format!("{language}-words");
        must(folder.path(), &["new", language, &name]);
        let ended = ended(command(&folder.path().join(&name), &["test"]).env("PATH", "/nowhere"));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let wanted = format!(
            "not run: '{tool}' was not found\nok    ./scenarios/counting.yaml: words are counted over a restart\n"
        );
        assert!(ended.out.contains(&wanted), "{}", ended.out);
    }
}

#[test]
fn a_test_that_fails_fails_the_command() {
    if std::process::Command::new("node").arg("--version").output().is_err() {
        return eprintln!("skipped: no node");
    }
    let folder = tempfile::tempdir().unwrap();
    must(folder.path(), &["new", "js", "words"]);
    let test = folder.path().join("words/tests/app.test.js");
    replace(&test, "\"a=1\"", "\"a=7\"");
    let ended = run(&folder.path().join("words"), &["test"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.out.contains("FAIL  the tests in JavaScript: 'node --test' failed\nok    ./scenarios/"),
        "{}",
        ended.out
    );
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).unwrap();
}
