// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a command prints, and a function that gives back what it is given.

use std::process::Output;

use tempfile::TempDir;

use crate::support::{BINARY, command};

pub(crate) fn run(args: &[&str]) -> Output {
    command(BINARY).args(args).output().unwrap()
}

pub(crate) fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

pub(crate) fn echo(folder: &TempDir) -> String {
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func (export "_initialize"))
            (func (export "process")
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 60000))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (i32.store (i32.const 4) (i32.load (i32.const 8)))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#,
    );
    let path = folder.path().join("echo.wasm");
    std::fs::write(&path, module.unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}
