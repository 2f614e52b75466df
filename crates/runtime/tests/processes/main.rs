// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The runtime in several processes: children that compile, and others that share a folder of compiled code with it and are
//! killed. The program of these tests is those children too, so it has a `main` of its own and runs one test after the other.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "a test says what it did")]

mod compiling;
mod sharing;

use std::process::ExitCode;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    if let Some(done) = fnstream_runtime::compile_if_asked() {
        return done;
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [verb, dir] = &arguments[..]
        && verb == sharing::CHURN
    {
        return sharing::churn(dir.as_ref());
    }
    // As cargo's own harness: what is not an option is a part of the names to run.
    if arguments.iter().any(|argument| argument == "--list" || argument == "--ignored") {
        return ExitCode::SUCCESS;
    }
    let named: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    for (name, test) in compiling::TESTS.iter().chain(sharing::TESTS) {
        if named.is_empty() || named.iter().any(|part| name.contains(part.as_str())) {
            println!("test {name} ...");
            test();
            println!("test {name} ... ok");
        }
    }
    ExitCode::SUCCESS
}
