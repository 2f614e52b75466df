// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A folder that is kept.

use std::io::Read;

use super::support::{Running, example, must, run};

#[test]
fn state_goes_on_from_run_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let arguments = [&example("word_count_rust"), "--data-dir", &data];
    assert_eq!(must(&arguments, "a b\na\n"), "1\n1\n2\n");
    assert_eq!(must(&arguments, ""), "", "what was printed is not printed again");
    assert_eq!(must(&arguments, "a\nb\n"), "3\n2\n");
    assert_eq!(must(&[&arguments[..], &["--resume"]].concat(), "a b\na\na\nb\nc\n"), "1\n", "the line that is new");
}

#[test]
fn dead_letters_of_a_kept_folder_stay_and_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let arguments = [&example("unruly_rust"), "--data-dir", &data];
    let first = run(&arguments, "error\n");
    assert!(first.code == Some(1) && first.err.contains("line 1 of standard input failed"), "{first:?}");
    let second = run(&arguments, "good\nerror\n");
    assert_eq!((second.code, second.out.as_str()), (Some(1), "good\n"));
    assert!(second.err.contains("line 2 of standard input failed"), "{second:?}");
    assert!(second.err.ends_with("1 event failed\n"), "{second:?}");
}

#[test]
fn what_a_run_has_left_is_processed_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let arguments = [&example("unruly_rust"), "--data-dir", &data];
    let stopped = run(&[&arguments[..], &["--on-error", "stop"]].concat(), "one\nerror\nthree\n");
    assert_eq!((stopped.code, stopped.out.as_str()), (Some(1), "one\n"));
    assert!(stopped.err.contains("error FS-1401: line 2 of standard input: "), "{stopped:?}");
    let next = run(&arguments, "four\n");
    assert_eq!((next.code, next.out.as_str()), (Some(1), "three\nfour\n"), "{next:?}");
    assert!(next.err.contains("position 1 of input-0, from an earlier run, failed: FS-1401 "), "{next:?}");
}

/// The counts of one word say how often it was counted: none is missing, and none is beyond the lines that there are.
#[test]
fn a_run_that_is_killed_and_resumed_counts_each_line_once() {
    const LINES: usize = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let arguments = [&example("word_count_rust"), "--data-dir", &data, "--resume"];
    let input = "a\n".repeat(LINES);
    let mut seen = Vec::new();
    for kill_after in [1, 700, 5_000, 9_999] {
        let mut running = Running::start(&arguments);
        let (mut stdin, bytes) = (running.input.take().unwrap(), input.clone().into_bytes());
        let writing = std::thread::spawn(move || {
            // It is killed while this is written.
            let _ = std::io::Write::write_all(&mut stdin, &bytes);
            stdin
        });
        for _ in 0..kill_after {
            match running.line() {
                line if line.is_empty() => break,
                line => seen.push(line.parse::<usize>().unwrap()),
            }
        }
        running.child.kill().unwrap();
        // What was in the pipe was printed; the last line may be torn.
        let mut rest = String::new();
        running.output.as_mut().unwrap().read_to_string(&mut rest).unwrap();
        if let Some((whole, _)) = rest.rsplit_once('\n') {
            seen.extend(whole.lines().map(|line| line.parse::<usize>().unwrap()));
        }
        drop(running);
        drop(writing.join().unwrap());
    }
    seen.extend(must(&arguments, &input).lines().map(|line| line.parse::<usize>().unwrap()));
    assert_eq!(must(&arguments, &input), "", "all of it was taken");
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (1..=LINES).collect::<Vec<_>>());
}
