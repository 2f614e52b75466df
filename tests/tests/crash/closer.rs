// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A component that emits each record as it is, and the word `closed` when it is told that it ends.

use anyhow::{Context, Result};

/// What it emits when it is closed.
pub(crate) const CLOSED: &[u8] = b"closed";

/// The component: the world `processor`, written by hand. Its memory is used anew by each call.
pub(crate) fn component() -> Result<Vec<u8>> {
    wat::parse_str(TEXT).context("the text of the component is wrong")
}

const TEXT: &str = r#"
(component
  (import "functionstream:core/collector@0.1.0" (instance $collector
    (export "emit" (func (param "target-id" u32) (param "data" (list u8))))))

  (core module $memory
    (memory (export "memory") 16)
    (global $next (mut i32) (i32.const 1024))
    (func (export "reset") (global.set $next (i32.const 1024)))
    (func (export "realloc") (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $len)))
      (local.get $at)))
  (core instance $mem (instantiate $memory))
  (alias core export $mem "memory" (core memory $m))
  (alias core export $mem "realloc" (core func $realloc))
  (alias export $collector "emit" (func $emit_to))
  (core func $emit (canon lower (func $emit_to) (memory $m)))

  (core module $code
    (import "host" "emit" (func $emit (param i32 i32 i32)))
    (import "mem" "memory" (memory 16))
    (import "mem" "reset" (func $reset))
    (data (i32.const 16) "closed")
    (func (export "init") (param i32 i32) (call $reset))
    (func (export "process") (param $source i32) (param $at i32) (param $len i32)
      (call $emit (i32.const 0) (local.get $at) (local.get $len))
      (call $reset))
    (func (export "watermark") (param i32 i64))
    (func (export "checkpoint") (param i64))
    (func (export "heartbeat") (result i32) (i32.const 1))
    (func (export "close") (call $emit (i32.const 0) (i32.const 16) (i32.const 6)))
    (func (export "exec") (param i32 i32 i32 i32) (call $reset))
    (func (export "custom") (param i32 i32) (result i32) (call $reset) (i32.const 64)))
  (core instance $i (instantiate $code
    (with "host" (instance (export "emit" (func $emit))))
    (with "mem" (instance $mem))))

  (func (export "fs-init") (param "config" (list (tuple string string)))
    (canon lift (core func $i "init") (memory $m) (realloc $realloc)))
  (func (export "fs-process") (param "source-id" u32) (param "data" (list u8))
    (canon lift (core func $i "process") (memory $m) (realloc $realloc)))
  (func (export "fs-process-watermark") (param "source-id" u32) (param "watermark" u64)
    (canon lift (core func $i "watermark")))
  (func (export "fs-take-checkpoint") (param "checkpoint-id" u64) (canon lift (core func $i "checkpoint")))
  (func (export "fs-check-heartbeat") (result bool) (canon lift (core func $i "heartbeat")))
  (func (export "fs-close") (canon lift (core func $i "close")))
  (func (export "fs-exec") (param "class-name" string) (param "modules" (list (tuple string (list u8))))
    (canon lift (core func $i "exec") (memory $m) (realloc $realloc)))
  (func (export "fs-custom") (param "payload" (list u8)) (result (list u8))
    (canon lift (core func $i "custom") (memory $m) (realloc $realloc))))
"#;
