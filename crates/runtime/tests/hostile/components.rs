// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Hostile components of the per-record world.

use crate::arena::harmless;
use crate::support::guest;

/// What a hostile component does where; the rest of it is well-behaved.
#[derive(Default)]
pub(crate) struct Parts<'a> {
    /// Types and core functions at the component's level, and their names in the core module's imports.
    pub(crate) outside: &'a str,
    pub(crate) imports: &'a str,
    pub(crate) given: &'a str,
    /// Bodies.
    pub(crate) realloc: &'a str,
    pub(crate) init: &'a str,
    pub(crate) process: &'a str,
    pub(crate) close: &'a str,
    pub(crate) custom: &'a str,
    pub(crate) heartbeat: &'a str,
}

const BUMP: &str = "(local $at i32)
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
    (global.set $free (i32.add (local.get $at) (local.get 3)))
    (local.get $at)";

pub(crate) fn component(parts: &Parts<'_>) -> Vec<u8> {
    let or = |part: &'static str, given: &str| if given.is_empty() { part.to_owned() } else { given.to_owned() };
    let text = format!(
        r#"(component
        (import "functionstream:core/collector@0.1.0" (instance $collector
            (export "emit" (func (param "target-id" u32) (param "data" (list u8))))
            (export "emit-watermark" (func (param "target-id" u32) (param "watermark" u64)))))
        (import "functionstream:core/kv@0.1.0" (instance $kv
            (export "store" (type $store (sub resource)))
            (export "[constructor]store" (func (param "name" string) (result (own $store))))))
        (core module $memory (memory (export "memory") 2))
        (core instance $memory (instantiate $memory))
        (core func $emit (canon lower (func $collector "emit") (memory (core memory $memory "memory"))))
        (core func $open (canon lower (func $kv "[constructor]store") (memory (core memory $memory "memory"))))
        {outside}
        (core module $main
            (import "m" "memory" (memory 2))
            (import "m" "emit" (func $emit (param i32 i32 i32)))
            (import "m" "open" (func $open (param i32 i32) (result i32)))
            {imports}
            (global $free (mut i32) (i32.const 1024))
            (data (i32.const 16) "store")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc})
            (func (export "init") (param i32 i32) {init})
            (func (export "process") (param i32 i32 i32) (local $i i32) {process})
            (func (export "watermark") (param i32 i64))
            (func (export "checkpoint") (param i64))
            (func (export "heartbeat") (result i32) {heartbeat})
            (func (export "close") {close})
            (func (export "exec") (param i32 i32 i32 i32))
            (func (export "custom") (param i32 i32) (result i32) {custom}))
        (core instance $main (instantiate $main (with "m" (instance
            (export "memory" (memory $memory "memory"))
            (export "emit" (func $emit))
            (export "open" (func $open))
            {given}))))
        (type $pairs (list (tuple string string)))
        (type $modules (list (tuple string (list u8))))
        (func (export "fs-init") (param "config" $pairs)
            (canon lift (core func $main "init") (memory (core memory $memory "memory")) (realloc (core func $main "realloc"))))
        (func (export "fs-process") (param "source-id" u32) (param "data" (list u8))
            (canon lift (core func $main "process") (memory (core memory $memory "memory")) (realloc (core func $main "realloc"))))
        (func (export "fs-process-watermark") (param "source-id" u32) (param "watermark" u64)
            (canon lift (core func $main "watermark")))
        (func (export "fs-take-checkpoint") (param "checkpoint-id" u64) (canon lift (core func $main "checkpoint")))
        (func (export "fs-check-heartbeat") (result bool) (canon lift (core func $main "heartbeat")))
        (func (export "fs-close") (canon lift (core func $main "close")))
        (func (export "fs-exec") (param "class-name" string) (param "modules" $modules)
            (canon lift (core func $main "exec") (memory (core memory $memory "memory")) (realloc (core func $main "realloc"))))
        (func (export "fs-custom") (param "payload" (list u8)) (result (list u8))
            (canon lift (core func $main "custom") (memory (core memory $memory "memory")) (realloc (core func $main "realloc")))))"#,
        outside = parts.outside,
        imports = parts.imports,
        given = parts.given,
        realloc = or(BUMP, parts.realloc),
        init = parts.init,
        process = parts.process,
        close = parts.close,
        heartbeat = or("(i32.const 1)", parts.heartbeat),
        custom = or("(i32.const 8)", parts.custom),
    );
    wat::parse_str(text).unwrap()
}

#[track_caller]
fn case(name: &str, parts: Parts<'_>, expected: &str) {
    harmless(name, &component(&parts), expected);
}

#[test]
fn the_well_behaved_one_is_fine() {
    case("well-behaved", Parts::default(), "fine");
}

#[test]
fn addresses_that_realloc_gives() {
    let realloc = |realloc| Parts { realloc, ..Parts::default() };
    case("realloc gives -1", realloc("(i32.const -1)"), "start FS-1402");
    case("realloc gives an odd address", realloc("(i32.const 1025)"), "start FS-1402");
    case("realloc gives the last byte", realloc("(i32.const 131071)"), "start FS-1402");
    case("realloc gives the end", realloc("(i32.const 131072)"), "start FS-1402");
    // Its own memory, which it may spoil as it likes.
    case("realloc gives 0", realloc("(i32.const 0)"), "fine");
    case("realloc traps", realloc("unreachable"), "start FS-1402");
    case("realloc never returns", realloc("(loop $l (br $l)) unreachable"), "start FS-1403");
    case("realloc grows", realloc("(drop (memory.grow (i32.const 60000))) unreachable"), "start FS-1404");
    let emits = "(call $emit (i32.const 0) (i32.const 0) (i32.const 1)) (i32.const 1024)";
    case("realloc emits", realloc(emits), "start FS-1402");
}

#[test]
fn what_is_passed_to_the_host() {
    fn process(process: &str) -> Parts<'_> {
        Parts { process, ..Parts::default() }
    }
    let emit = |at: &str, len: &str| format!("(call $emit (i32.const 0) (i32.const {at}) (i32.const {len}))");
    case("emitting more than there is", process(&emit("0", "-1")), "process FS-1402");
    case("emitting from beyond the end", process(&emit("131072", "1")), "process FS-1402");
    case("emitting all of it", process(&emit("0", "131072")), "fine");
    case("emitting to nowhere", process("(call $emit (i32.const 7) (i32.const 0) (i32.const 1))"), "process FS-1406");
    let flood = "(loop $l (call $emit (i32.const 0) (i32.const 0) (i32.const 131072)) (br $l))";
    case("emitting without end", process(flood), "process FS-1404 | process FS-1403");
    case(
        "opening a store without a name",
        process("(drop (call $open (i32.const 0) (i32.const 0)))"),
        "process FS-1408",
    );
    case(
        "opening what is not text",
        process("(i32.store8 (i32.const 0) (i32.const 255)) (drop (call $open (i32.const 0) (i32.const 1)))"),
        "process FS-1402",
    );
    let stores = "(loop $l (drop (call $open (i32.const 16) (i32.const 5))) (br $l))";
    case("opening stores without end", process(stores), "process FS-1404");
}

#[test]
fn calls_at_the_wrong_time() {
    let emit = "(call $emit (i32.const 0) (i32.const 0) (i32.const 1))";
    case("emitting in init", Parts { init: emit, ..Parts::default() }, "fine");
    let open = "(drop (call $open (i32.const 16) (i32.const 5)))";
    case("state in close and after it", Parts { close: open, process: open, ..Parts::default() }, "fine");
}

#[test]
fn handles_of_its_own() {
    let parts = Parts {
        outside: "(type $r (resource (rep i32))) (core func $new (canon resource.new $r))",
        imports: r#"(import "m" "new" (func $new (param i32) (result i32)))"#,
        given: r#"(export "new" (func $new))"#,
        process: "(loop $l (drop (call $new (i32.const 1))) (br $l))",
        ..Parts::default()
    };
    case("handles without end", parts, "process FS-1402");
}

#[test]
fn answers() {
    for (name, custom) in [
        (
            "an answer of 4 GiB",
            "(i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const -1)) (i32.const 0)",
        ),
        ("an answer from nowhere", "(i32.const -1)"),
        ("an answer at an odd address", "(i32.const 1)"),
        ("an answer at the end", "(i32.const 131072)"),
    ] {
        // Nothing in a whole life asks for it, so it is asked here.
        let artifact = component(&Parts { custom, ..Parts::default() });
        let failure = crate::support::task(&artifact).instance.custom(b"x").unwrap_err();
        assert_eq!(failure.error.code.as_str(), "FS-1402", "{name}: {failure}");
    }
    let artifact = component(&Parts { heartbeat: "(i32.const 77)", ..Parts::default() });
    assert!(crate::support::task(&artifact).instance.check_heartbeat().unwrap(), "what is not 0 is true");
}

#[test]
fn types_that_are_larger_than_their_bytes() {
    let mut types = "(type $t0 (tuple u8 string))".to_owned();
    for i in 1..20 {
        types += &format!("(type $t{i} (tuple $t{0} $t{0} $t{0}))", i - 1);
        let artifact =
            format!(r#"(component {types} (import "f" (func $f (param "p" $t{i}))) (export "fs-process" (func $f)))"#);
        let artifact = wat::parse_str(artifact).unwrap();
        harmless(&format!("a type of 3^{i} parts"), &artifact, "load FS-1202 | load FS-1203");
    }
    let lists =
        (1..90).fold("(type $t0 (list u8))".to_owned(), |all, i| all + &format!("(type $t{i} (list $t{}))", i - 1));
    let lists =
        format!(r#"(component {lists} (import "f" (func $f (param "p" $t89))) (export "fs-process" (func $f)))"#);
    harmless("deep lists", &wat::parse_str(lists).unwrap(), "load FS-1202 | load FS-1203");
}

#[test]
fn real_ones_that_were_told_to() {
    let artifact = guest("packed");
    let program = fnstream_core::runtime::Runtime::load(crate::support::runtime(), &artifact).unwrap();
    for (command, code) in [
        ("trap", "FS-1402"),
        ("grow", "FS-1404"),
        ("loop", "FS-1403"),
        ("error 9000000", "FS-1401"),
        ("timer-of 9000000", "FS-1408"),
        ("timer-of 90000000", "FS-1404"),
        // What the host would have to keep is counted, where time does not end it first.
        ("many-timers 100000000", "FS-1404 FS-1403"),
    ] {
        let mut spec = crate::support::spec();
        spec.limits = crate::arena::limits();
        // Memory ends first, also where pages are slow to come.
        spec.limits.call_time *= 10;
        let failure = crate::support::start(&program, &spec).fail(&[command]);
        assert!(code.contains(failure.error.code.as_str()), "{command}: {failure}");
    }
}
