// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Hostile core modules.

use std::fmt::Write;

use crate::arena::{alone, harmless};

/// A module of this text, which has a memory unless it brings its own.
#[track_caller]
fn module(name: &str, body: &str, expected: &str) {
    let artifact = {
        // A hundred thousand globals are some hundred mebibytes of text that is being read.
        let _alone = alone();
        wat::parse_str(format!("(module {body})")).unwrap()
    };
    harmless(name, &artifact, expected);
}

const PROCESS: &str = r#"(func (export "process"))"#;

/// `text` of each number.
fn each(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut all, i| {
        all.push_str(&text(i));
        all
    })
}

#[test]
fn the_stack() {
    module("endless recursion", r#"(func $f (export "process") (call $f))"#, "process FS-1402");
    module(
        "endless recursion at the start",
        r#"(func $f (call $f)) (start $f) (func (export "process"))"#,
        "start FS-1402",
    );
    let wide = format!(
        r#"(func $f (param v128) {} (call $f (v128.not (local.get 0))) {}) (func (export "process") (call $f (v128.const i64x2 0 0)))"#,
        "(local v128)".repeat(2_000),
        each(2_000, |i| format!("(local.set {} (v128.not (local.get {})))", i + 1, i)),
    );
    module("recursion with wide frames", &wide, "process FS-1402");
    let table = r#"(table 1 funcref) (elem (i32.const 0) $f) (type $t (func))
        (func $f (export "process") (call_indirect (type $t) (i32.const 0)))"#;
    module("recursion through a table", table, "process FS-1402");
}

#[test]
fn time() {
    let endless = "(loop $l (br $l))";
    module("loop at the start", &format!("(func $f {endless}) (start $f) {PROCESS}"), "start FS-1403");
    module("loop in _initialize", &format!(r#"(func (export "_initialize") {endless}) {PROCESS}"#), "start FS-1403");
    module("loop in _start", &format!(r#"(func (export "_start") {endless})"#), "process FS-1403");
    module("loop in process", &format!(r#"(func (export "process") {endless})"#), "process FS-1403");
    let fill = r#"(memory (export "memory") 200)
        (func (export "process") (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 13107200)) (br $l)))"#;
    module("filling for ever", fill, "process FS-1403");
}

#[test]
fn host_calls_without_end() {
    let wasi = |name: &str, params: &str, body: &str| {
        format!(
            r#"(import "wasi_snapshot_preview1" "{name}" (func $f (param {params}) (result i32)))
            (memory (export "memory") 200)
            (func (export "process") (local $i i32) {body})"#
        )
    };
    let fill = "(loop $fill
        (i32.store offset=4 (local.get $i) (i32.const 13107200))
        (local.set $i (i32.add (local.get $i) (i32.const 8)))
        (br_if $fill (i32.lt_u (local.get $i) (i32.const 13000000))))";
    let list = "(i32.const 0) (i32.const 1625000) (i32.const 13100000)";
    let write = wasi("fd_write", "i32 i32 i32 i32", &format!("{fill} (drop (call $f (i32.const 2) {list}))"));
    module("the same huge buffer a million times", &write, "process FS-1403");
    let lines = wasi(
        "fd_write",
        "i32 i32 i32 i32",
        "(memory.fill (i32.const 0) (i32.const 10) (i32.const 65536))
        (i32.store (i32.const 4) (i32.const 65536))
        (i32.store (i32.const 0) (i32.const 64))
        (loop $l (drop (call $f (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 65536))) (br $l))",
    );
    module("lines without end", &lines, "process FS-1403");
    let read = wasi("fd_read", "i32 i32 i32 i32", &format!("(loop $l (drop (call $f (i32.const 0) {list})) (br $l))"));
    module("reading for ever", &read, "process FS-1403");
    let random = wasi("random_get", "i32 i32", "(loop $l (drop (call $f (i32.const 0) (i32.const 13107200))) (br $l))");
    module("random bytes for ever", &random, "process FS-1403");
    let poll = wasi(
        "poll_oneoff",
        "i32 i32 i32 i32",
        "(i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const -1))
        (drop (call $f (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 2048)))",
    );
    module("waiting for ever", &poll, "process FS-1403");
    let output = wasi(
        "fd_write",
        "i32 i32 i32 i32",
        "(i32.store (i32.const 4) (i32.const 65536))
        (loop $l (drop (call $f (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 65536))) (br $l))",
    );
    module("a result without end", &output, "process FS-1410");
}

#[test]
fn memory() {
    let grow = |ty: &str, pages: &str| {
        format!(
            r#"(memory (export "memory") {ty} 1) (func (export "process")
            (if (i64.eq ({extend} (memory.grow ({index}.const {pages}))) (i64.const -1)) (then unreachable)))"#,
            extend = if ty.is_empty() { "i64.extend_i32_s" } else { "i64.add (i64.const 0)" },
            index = if ty.is_empty() { "i32" } else { "i64" },
        )
    };
    module("growing to 4 GiB", &grow("", "65535"), "process FS-1404");
    module("growing to 2 EiB", &grow("i64", "281474976710655"), "process FS-1404");
    module("beginning with 4 GiB", &format!(r#"(memory (export "memory") 65536) {PROCESS}"#), "start FS-1404");
    module("a hundred memories", &format!("{} {PROCESS}", "(memory 200)".repeat(100)), "start FS-1404");
    module("a table of ten million", &format!("(table 10000000 funcref) {PROCESS}"), "start FS-1404");
    module("a hundred tables", &format!("{} {PROCESS}", "(table 1000000 funcref)".repeat(100)), "start FS-1404");
    let tables = r#"(table $t 1 externref) (func (export "process") (loop $l
        (br_if $l (i32.ne (table.grow $t (ref.null extern) (i32.const 100000)) (i32.const -1)))) unreachable)"#;
    module("a table that grows", tables, "process FS-1404");
    let outside = format!(r#"(memory 1) (data (i32.const 2147483647) "x") {PROCESS}"#);
    module("data outside of the memory", &outside, "start FS-1402");
    module(
        "elements outside of the table",
        &format!("(table 1 funcref) (elem (i32.const 9) $f) (func $f) {PROCESS}"),
        "start FS-1402",
    );
}

#[test]
fn collected_objects() {
    let arrays = r#"(type $a (array (mut i64)))
        (type $list (struct (field (ref null $list)) (field (ref $a))))
        (global $all (mut (ref null $list)) (ref.null $list))
        (func (export "process") (loop $l
            (global.set $all (struct.new $list (global.get $all) (array.new $a (i64.const 1) (i32.const 10000)))) (br $l)))"#;
    module("objects that are kept", arrays, "load FS-1202 | process FS-1404 | process FS-1402");
    let exceptions = r#"(tag $t (param i64)) (func (export "process") (throw $t (i64.const 1)))"#;
    module("an exception that nobody catches", exceptions, "load FS-1202 | process FS-1402");
}

#[test]
fn great_numbers() {
    module("many functions", &format!("{} {PROCESS}", "(func)".repeat(5_000)), "fine");
    module("too many functions", &format!("{} {PROCESS}", "(func)".repeat(100_000)), "load FS-1203");
    module("many globals", &format!("{} {PROCESS}", "(global i64 (i64.const 1))".repeat(100_000)), "fine");
    module(
        "too many globals",
        &format!("{} {PROCESS}", "(global i64 (i64.const 1))".repeat(1_000_001)),
        "load FS-1202",
    );
    let local = "(local i64)".repeat(50_000);
    module("many locals", &format!(r#"(func (export "process") {local})"#), "fine");
    let all = format!("(func {local})").repeat(20);
    module("many locals of many functions", &format!("{all} {PROCESS}"), "fine");
    let all = format!("(func {})", "(local i64)".repeat(50_000)).repeat(201);
    module("too many locals of many functions", &format!("{all} {PROCESS}"), "load FS-1203");
    let drops = "(i32.const 1) drop ".repeat(1_000_000);
    module("too long a function", &format!(r#"(func (export "process") {drops})"#), "load FS-1203");
    module("too many locals", &format!(r#"(func (export "process") {local} (local i32))"#), "load FS-1202");
    let import = r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"#;
    let imports = format!(r#"{} (memory (export "memory") 1) {PROCESS}"#, import.repeat(20_000));
    module("many imports", &imports, "fine");
    let exports = each(20_000, |i| format!(r#"(export "{i}" (func 0))"#));
    module("many exports", &format!("(func) {exports} {PROCESS}"), "fine");
    module("many exports and none that is wanted", &format!("(func) {exports}"), "load FS-1203");
    let nested = format!(r#"(func (export "process") {} {})"#, "block ".repeat(20_000), "end ".repeat(20_000));
    module("deep nesting", &nested, "fine");
    let sum = "(i32.const 1) i32.add ".repeat(50_000);
    let sum = format!(r#"(func (export "process") (local i32) (i32.const 1) {sum} (local.set 0))"#);
    module("a long sum", &sum, "fine");
    let deep =
        format!(r#"(func (export "process") {} {} drop)"#, "(i32.const 1) ".repeat(10_000), "i32.add ".repeat(9_999));
    module("a deep sum", &deep, "fine");
    let table = format!(r#"(func (export "process") (block $b (br_table {} (i32.const 7))))"#, "$b ".repeat(200_000));
    module("a wide branch", &table, "fine | load FS-1202");
    let text = each(2_000, |i| format!("(type (func (param {})))", "i64 ".repeat(i % 1_000)));
    module("many types", &format!("{text} {PROCESS}"), "fine");
}

#[test]
fn imports() {
    module("an unknown import", &format!(r#"(import "env" "system" (func)) {PROCESS}"#), "load FS-1203");
    module("a memory of the host", &format!(r#"(import "env" "memory" (memory 1)) {PROCESS}"#), "load FS-1203");
    let wrong = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param f64))) (memory (export "memory") 1)"#;
    module("a known import of another type", &format!("{wrong} {PROCESS}"), "load FS-1203");
    let global = r#"(import "wasi_snapshot_preview1" "fd_write" (global i32)) (memory (export "memory") 1)"#;
    module("a known import of another kind", &format!("{global} {PROCESS}"), "load FS-1203");
    let all = ["fd_advise", "fd_pwrite", "path_link", "proc_raise", "sock_accept"];
    let all = all.iter().fold(String::new(), |mut all, name| {
        write!(all, r#"(import "wasi_snapshot_preview1" "{name}" (func (param externref v128) (result f64 f64)))"#)
            .unwrap();
        all
    });
    module("absent functions of strange types", &format!(r#"{all} (memory (export "memory") 1) {PROCESS}"#), "fine");
    let shared = format!(r#"(memory (export "memory") 1 1 shared) {PROCESS}"#);
    module("shared memory", &shared, "load FS-1202");
}
