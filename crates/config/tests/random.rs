// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Any bytes as a file: reading ends, with a configuration or with problems that are in the file, and never panics.

#![allow(clippy::unwrap_used)]

use fnstream_config::server::{Sources, server_config};
use fnstream_config::{ConfigKind, Place, Problems, parse_function_config, parse_server_config};
use proptest::prelude::*;

/// What files are made of, so that chance gets past the first line.
const PARTS: &[&str] = &[
    "name",
    "input-groups",
    "inputs",
    "outputs",
    "input-type",
    "output-type",
    "topic",
    "log",
    "kafka",
    "pulsar",
    "watermark",
    "bounded",
    "strategy",
    "delay",
    "limits",
    "memory",
    "64MiB",
    "on-error",
    "dead-letter",
    "init_config",
    "replicas",
    "env",
    "files",
    "host",
    "service",
    "port",
    "rest",
    "logging",
    "level",
    "state_storage",
    "allow",
    "files_dirs",
    "wasm",
    "5s",
    "1",
    "-1",
    "true",
    "null",
    "~",
    ": ",
    ":",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "'",
    "#",
    "&a ",
    "*a",
    "!!str ",
    "|",
    ">",
    "---",
    "...",
    "? ",
    "<<",
    "\t",
    "%YAML 1.2\n",
    "ä",
    "\u{feff}",
    "\0",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PARTS), 0..60).prop_map(|parts| parts.concat())
}

/// Of a good file with something put into it or taken out.
fn nearly_good() -> impl Strategy<Value = Vec<u8>> {
    const GOOD: &str = "name: f\ninput-groups:\n  - inputs:\n      - {input-type: log, topic: i, watermark: {strategy: bounded, \
                        delay: 5s}}\noutputs: [{output-type: log, topic: o}]\nlimits: {memory: 64MiB}\non-error: skip\n";
    (0..GOOD.len(), 0..6usize, prop::sample::select(PARTS)).prop_map(|(at, cut, part)| {
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes.splice(at..(at + cut).min(GOOD.len()), part.bytes());
        bytes
    })
}

fn read(bytes: &[u8]) {
    let lines = u32::try_from(bytes.split(|byte| *byte == b'\n').count()).unwrap() + 1;
    let in_file = |problems: &Problems| {
        assert!(problems.errors().count() > 0);
        for problem in &problems.list {
            let place = problem.place.unwrap_or(Place::START);
            // The parser also breaks lines at what is a line end to it alone.
            assert!(place.line >= 1 && place.column >= 1 && place.line <= lines + bytes.len() as u32, "{problem:?}");
            assert!(!problem.message.contains('\n') && !problem.message.contains('\u{1b}'), "{problem:?}");
        }
    };
    match parse_function_config(bytes) {
        Ok((config, _)) => {
            if let Ok(spec) = config.to_spec(&"0".repeat(64)) {
                spec.validate().unwrap();
            }
        }
        Err(problems) => in_file(&problems),
    }
    match parse_server_config(bytes) {
        Ok((settings, _)) => {
            let sources = Sources { file: Some(("", bytes)), ..Sources::default() };
            let shown = server_config(&sources).unwrap().1.to_yaml();
            assert_eq!(parse_server_config(shown.as_bytes()).unwrap().0, settings, "{shown}");
        }
        Err(problems) => in_file(&problems),
    }
    let _ = ConfigKind::of(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes);
    }

    #[test]
    fn any_parts_of_files_are_read_or_refused(text in text()) {
        read(text.as_bytes());
    }

    #[test]
    fn what_is_nearly_good_is_read_or_refused(bytes in nearly_good()) {
        read(&bytes);
    }
}
