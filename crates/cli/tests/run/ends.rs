// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The ways in which a run ends before its input does.

use std::fs;
use std::io::Write;
use std::path::Path;

use rustix::process::Signal;

use super::support::{Running, command, example};

/// A run whose temporary folders are made in a folder of the test's.
fn started(temporary: &Path, arguments: &[&str]) -> Running {
    Running::of(command(&["run"]).args(arguments).env("TMPDIR", temporary))
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn an_interrupt_ends_orderly_and_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let temporary = tempfile::tempdir().unwrap();
        let mut running = started(temporary.path(), &[&example("pass_through_rust")]);
        running.types("one\ntwo\n");
        assert_eq!((running.line(), running.line()), ("one".into(), "two".into()));
        assert!(!is_empty(temporary.path()));
        running.signal(signal);
        let input = running.input.take();
        let ended = running.ended();
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (Some(130), "", ""), "the input is open");
        drop(input);
        assert!(is_empty(temporary.path()));
    }
}

#[test]
fn a_call_that_does_not_end_is_interrupted_too() {
    let temporary = tempfile::tempdir().unwrap();
    let mut running = started(temporary.path(), &[&example("unruly_rust"), "--limit", "call-time=10m"]);
    running.types("good\n");
    assert_eq!(running.line(), "good");
    running.types("loop\n");
    running.signal(Signal::INT);
    assert_eq!(running.ended().code, Some(130));
    assert!(is_empty(temporary.path()));
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let temporary = tempfile::tempdir().unwrap();
    let mut running = started(temporary.path(), &[&example("pass_through_rust")]);
    let mut input = running.input.take().unwrap();
    let writing = std::thread::spawn(move || {
        let lines = "line\n".repeat(10_000);
        // Until nobody reads.
        while input.write_all(lines.as_bytes()).is_ok() {}
    });
    assert_eq!(running.line(), "line");
    running.output = None;
    let ended = running.ended();
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
    writing.join().unwrap();
    assert!(is_empty(temporary.path()));
}

#[test]
fn a_reader_that_is_slow_holds_the_input_back() {
    let temporary = tempfile::tempdir().unwrap();
    let mut running = started(temporary.path(), &[&example("pass_through_rust")]);
    let mut input = running.input.take().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let line = format!("{}\n", "x".repeat(1 << 19));
    let writing = std::thread::spawn(move || {
        for count in 1..=120 {
            if input.write_all(line.as_bytes()).is_err() {
                return;
            }
            tell.send(count).unwrap();
        }
    });
    // Nothing is read: what is taken in ends far before all of it.
    let mut taken = told.recv_timeout(std::time::Duration::from_secs(120)).expect("it begins to read");
    while let Ok(count) = told.recv_timeout(std::time::Duration::from_secs(3)) {
        taken = count;
    }
    assert!((1..100).contains(&taken), "{taken} lines");
    let mut output = running.output.take().unwrap();
    assert_eq!(std::io::copy(&mut output, &mut std::io::sink()).unwrap(), 120 * ((1 << 19) + 1));
    assert_eq!(running.ended().code, Some(0));
    writing.join().unwrap();
}

/// What an option means here may differ from what it means for a function of a server.
#[test]
fn help_says_what_options_mean_without_a_server() {
    let help = command(&["run", "--help"]).output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    let text = words.join(" ");
    let files = text.split("--files <HOST[:GUEST]>").nth(1).unwrap();
    let files = files.split(" --").next().unwrap();
    assert!(files.contains("granted by being named here") && !files.contains("server"), "{files}");
}
