// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::fs;
use std::process::Command;

use crate::support::{must, run};

#[test]
fn a_project_is_made_and_the_way_on_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = must(folder.path(), &["new", "py", "words"]);
    assert_eq!(told, "Created words/, a function in Python\nNext: cd words && function-stream test\n");
    let valid = must(folder.path(), &["validate", "words/config.yaml"]);
    assert_eq!(valid, "words/config.yaml: valid function configuration\n");
}

#[test]
fn what_cannot_be_a_project_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("taken")).unwrap();
    for (arguments, told) in [
        (["go", "../out"], "error: the name '../out' is a path: go to the folder first\n"),
        (["go", "/tmp/out"], "error: the name '/tmp/out' is a path: go to the folder first\n"),
        (["rust", "fn"], "error: the name 'fn' is reserved\n"),
        (
            ["js", "-x"],
            "error: the name '-x' is not of lowercase letters, digits, '-' and '_' that begin with a letter\n",
        ),
        (["js", ""], "error: the name '' is empty\n"),
        (["go", "taken"], "error: 'taken' is there already: choose another name\n"),
    ] {
        let ended = run(folder.path(), &["new", arguments[0], arguments[1]]);
        assert_eq!((ended.code, &*ended.err), (Some(2), told), "{arguments:?}");
    }
    let unknown = run(folder.path(), &["new", "cobol", "words"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("[possible values: go, rust, python, javascript]"), "{}", unknown.err);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["taken"]);
    assert_eq!(fs::read_dir(folder.path().join("taken")).unwrap().count(), 0);
}

/// What each language's own test runner says of a new project, without a network. Rust fetches what the SDK needs, so it is not here.
#[test]
fn the_tests_of_a_new_project_pass_where_their_tools_are() {
    let folder = tempfile::tempdir().unwrap();
    for (language, tool, arguments) in [
        ("go", "go", &["test", "./..."][..]),
        ("python", "python3", &["-m", "unittest"]),
        ("javascript", "node", &["--test"]),
    ] {
        let name = format!("{language}-words");
        must(folder.path(), &["new", language, &name]);
        let mut test = Command::new(tool);
        test.args(arguments).current_dir(folder.path().join(&name)).env("GOPROXY", "off").env_remove("GOFLAGS");
        match test.output() {
            Err(error) => eprintln!("skipped: no {tool}: {error}"),
            Ok(output) => assert!(output.status.success(), "{language}: {output:?}"),
        }
    }
}
