// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Bad files and what exactly each is told. `FNSTREAM_GOLDEN=write cargo test -p fnstream-config --test golden` writes what
//! they are told now; what changed is then read in the diff.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use fnstream_config::{parse_function_config, parse_server_config};

const CASE: &str = "#### case: ";
const TOLD: &str = "#### told:";

#[test]
fn bad_functions_are_told_exactly_this() {
    let cases = check("functions.txt", |bytes| match parse_function_config(bytes) {
        Ok((config, _)) => panic!("it is good: {config:?}"),
        Err(problems) => problems.named("config.yaml").to_string(),
    });
    assert!(cases >= 60, "{cases}");
}

#[test]
fn bad_servers_are_told_exactly_this() {
    let cases = check("servers.txt", |bytes| match parse_server_config(bytes) {
        Ok((config, _)) => panic!("it is good: {config:?}"),
        Err(problems) => problems.named("config.yaml").to_string(),
    });
    assert!(cases >= 35, "{cases}");
}

/// What is told of each case of a file, and how many there are.
fn check(name: &str, told: impl Fn(&[u8]) -> String) -> usize {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let golden = std::fs::read_to_string(&path).unwrap();
    let mut now = String::new();
    let mut cases = 0;
    for case in golden.split(CASE).skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let text = rest.split_once(TOLD).map_or(rest, |(text, _)| text);
        let messages = told(text.as_bytes());
        assert!(!messages.is_empty(), "{title}");
        now += &format!("{CASE}{title}\n{text}{TOLD}\n{messages}\n");
        cases += 1;
    }
    if std::env::var_os("FNSTREAM_GOLDEN").is_some_and(|what| what == "write") {
        std::fs::write(&path, &now).unwrap();
    } else {
        for (line, (now, golden)) in now.lines().zip(golden.lines()).enumerate() {
            assert_eq!(now, golden, "{name}, line {}", line + 1);
        }
        assert_eq!(now.lines().count(), golden.lines().count(), "{name}");
    }
    cases
}
