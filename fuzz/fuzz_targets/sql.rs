// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Any text as SQL: reading, completing and telling mistakes never panic, places lie on character boundaries, and a
//! statement that is printed is read as the same.

#![no_main]

use fnstream_sql::{completion, is_complete, parse, parse_each};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|sql: &str| {
    for one in parse_each(sql) {
        match one {
            Ok(statement) => {
                assert_eq!(parse(&sql[statement.span.clone()]).unwrap()[0].node, statement.node);
                assert_eq!(parse(&statement.node.to_string()).unwrap()[0].node, statement.node);
            }
            Err(error) => {
                let _ = &sql[error.span.clone()];
                let shown = error.render(sql);
                assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            }
        }
    }
    is_complete(sql);
    let _ = &sql[completion(sql).start..];
});
