// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What an idle instance costs.

use std::fs;

use fnstream_core::runtime::Runtime;

use crate::support::{example, runtime, spec, start};

/// Resident bytes of this process that no file stands behind.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
fn a_thousand_idle_instances_take_less_than_a_mebibyte_each() {
    let program = runtime().load(&example("pass_through_rust")).unwrap();
    let mut first = start(&program, &spec());
    first.run(&["a"]).unwrap();
    let before = resident();
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let mut task = start(&program, &spec());
            task.run(&["a"]).unwrap();
            task
        })
        .collect();
    let each = resident().saturating_sub(before) / tasks.len();
    println!("{} KiB for each idle instance", each >> 10);
    assert!(each < 1 << 20, "{each} bytes");
}
