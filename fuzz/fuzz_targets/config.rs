// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Any bytes as a configuration file: reading ends, with a configuration or with problems that can be printed in a line
//! each; a description that is made is valid, and the server's settings, once shown, are read as the same.

#![no_main]

use fnstream_config::server::{Sources, server_config};
use fnstream_config::{ConfigKind, Problem, parse_function_config, parse_server_config};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ConfigKind::of(bytes);
    match parse_function_config(bytes) {
        Ok((config, notes)) => {
            printable(&notes);
            if let Ok(spec) = config.to_spec(&"0".repeat(64)) {
                spec.validate().unwrap();
            }
        }
        Err(problems) => {
            assert!(problems.errors().count() > 0);
            printable(&problems.list);
        }
    }
    let sources = Sources { file: Some(("", bytes)), ..Sources::default() };
    match server_config(&sources) {
        Ok((settings, effective, notes)) => {
            printable(&notes);
            let shown = effective.to_yaml();
            assert_eq!(parse_server_config(shown.as_bytes()).unwrap().0, settings, "{shown}");
        }
        Err(problems) => printable(&problems.list),
    }
});

fn printable(problems: &[Problem]) {
    for problem in problems {
        assert!(problem.place.is_none_or(|place| place.line > 0 && place.column > 0));
        let line = problem.line("file");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
