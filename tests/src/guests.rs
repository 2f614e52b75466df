// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Modules of the first generation, written by hand: each turns `{…,"money":N}` into `{…,"money":N+1,"expected":0}`.
//!
//! They differ in how they come to life and where they read, and trap when the host gets the order wrong.

use anyhow::{Context, Result};

/// How a module comes to life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// `_start` returns, then `process` for each record.
    StartThenProcess,
    /// `_start` ends with `proc_exit(0)`, then `process` for each record.
    ExitThenProcess,
    /// `_initialize`, then `process` for each record.
    InitializeThenProcess,
    /// `_start` alone, anew for each record.
    StartOnly,
}

/// Where a module reads its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// From the standard input.
    Stdin,
    /// From the virtual file `process`.
    File,
}

/// The bytes of such a module.
pub fn money(life: Life, input: Input) -> Result<Vec<u8>> {
    let (setup, work) = match life {
        Life::StartThenProcess => (r#"(func (export "_start") (call $set_up))"#, "process"),
        Life::ExitThenProcess => {
            (r#"(func (export "_start") (call $set_up) (call $proc_exit (i32.const 0)) (unreachable))"#, "process")
        }
        Life::InitializeThenProcess => (r#"(func (export "_initialize") (call $set_up))"#, "process"),
        Life::StartOnly => ("(start $set_up)", "_start"),
    };
    let descriptor = match input {
        Input::Stdin => "(i32.const 0)",
        Input::File => "(call $open)",
    };
    let close = match input {
        Input::Stdin => "",
        Input::File => "(if (call $fd_close (local.get $fd)) (then (unreachable)))",
    };
    let text = format!(
        r#"
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 32) "process")
  (data (i32.const 48) ",\"expected\":0}}")
  (global $ready (mut i32) (i32.const 0))

  ;; Called twice, or not before the first record: a mistake of the host.
  (func $set_up
    (if (global.get $ready) (then (unreachable)))
    (global.set $ready (i32.const 1)))
  {setup}

  (func $open (result i32)
    (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 7) (i32.const 0)
          (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 12)) (then (unreachable)))
    (i32.load (i32.const 12)))

  ;; Reads to the end, to address 1024; answers the length.
  (func $read (param $fd i32) (result i32)
    (local $len i32)
    (block $end
      (loop $more
        (i32.store (i32.const 0) (i32.add (i32.const 1024) (local.get $len)))
        (i32.store (i32.const 4) (i32.sub (i32.const 65536) (local.get $len)))
        (if (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
        (br_if $end (i32.eqz (i32.load (i32.const 8))))
        (local.set $len (i32.add (local.get $len) (i32.load (i32.const 8))))
        (br $more)))
    (local.get $len))

  (func $write (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
    (if (i32.ne (i32.load (i32.const 8)) (local.get $len)) (then (unreachable))))

  ;; The last digit stands before the closing brace.
  (func (export "{work}")
    (local $fd i32) (local $len i32) (local $digit i32)
    (if (i32.eqz (global.get $ready)) (then (unreachable)))
    (local.set $fd {descriptor})
    (local.set $len (call $read (local.get $fd)))
    {close}
    (if (i32.lt_u (local.get $len) (i32.const 2)) (then (unreachable)))
    (local.set $digit (i32.add (i32.const 1022) (local.get $len)))
    (i32.store8 (local.get $digit) (i32.add (i32.load8_u (local.get $digit)) (i32.const 1)))
    (call $write (i32.const 1024) (i32.sub (local.get $len) (i32.const 1)))
    (call $write (i32.const 48) (i32.const 14))))
"#
    );
    wat::parse_str(text).context("the text of a guest is wrong")
}
