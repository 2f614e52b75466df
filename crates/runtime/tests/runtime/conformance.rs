// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The kinds of artifacts keep to the contract of the seam.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnstream_core::runtime::{Program, Runtime};
use fnstream_core::test_util::suites::run;
use fnstream_core::test_util::suites::runtime::{Behaviour, CHECKS, Guest, RuntimeHarness};

use crate::support::{example, guest, runtime};

/// The guest that obeys commands, and the example that passes records through.
#[derive(Clone)]
struct Packed {
    obey: Arc<dyn Program>,
    pass_through: Arc<dyn Program>,
}

impl RuntimeHarness for Packed {
    fn able(&self) -> &[Behaviour] {
        &Behaviour::ALL
    }

    fn guest(&self, behaviour: Behaviour) -> Option<Guest> {
        if behaviour == Behaviour::PassThrough {
            return Some(made_of(&self.pass_through, as_it_is, "fine"));
        }
        let wanted = match behaviour {
            Behaviour::Count => "count a",
            Behaviour::Fail => "fail bad data",
            Behaviour::FailLate => "fail-late",
            Behaviour::Trap => "trap",
            Behaviour::Loop => "loop",
            Behaviour::Grow => "grow",
            Behaviour::Exit => "exit 7",
            Behaviour::UnknownTarget => "raw-target 5",
            Behaviour::Timers => "timers",
            _ => "echo fine",
        };
        let mut obey = made_of(&self.obey, |text| format!("echo {text}").into_bytes(), wanted);
        if behaviour == Behaviour::RefuseInit {
            obey.config.insert("fail".into(), "no colour".into());
        }
        Some(obey)
    }

    fn undoes(&self, behaviour: Behaviour) -> bool {
        matches!(behaviour, Behaviour::Fail | Behaviour::FailLate)
    }

    /// The guest says where it returned an error; of a trap it says nothing.
    fn names_record(&self, behaviour: Behaviour) -> bool {
        matches!(behaviour, Behaviour::Fail | Behaviour::FailLate | Behaviour::UnknownTarget)
    }
}

/// Filters of WASI preview 1: `process` in one instance, or `_start` in a fresh one for each record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stdio {
    Resident,
    Fresh,
}

impl RuntimeHarness for Stdio {
    fn able(&self) -> &[Behaviour] {
        const BOTH: [Behaviour; 7] = [
            Behaviour::Echo,
            Behaviour::PassThrough,
            Behaviour::Trap,
            Behaviour::Loop,
            Behaviour::Grow,
            Behaviour::Exit,
            Behaviour::RefuseInit,
        ];
        match self {
            Stdio::Resident => &BOTH,
            // There is nothing to call before the first record.
            Stdio::Fresh => &BOTH[..6],
        }
    }

    fn emits_values_without_bytes(&self) -> bool {
        false
    }

    fn guest(&self, behaviour: Behaviour) -> Option<Guest> {
        let at_mark = match behaviour {
            Behaviour::Echo | Behaviour::PassThrough | Behaviour::RefuseInit => "",
            Behaviour::Trap => "unreachable",
            Behaviour::Loop => "(loop $ever (br $ever))",
            Behaviour::Grow => {
                "(loop $more
                    (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
                    (br $more))"
            }
            Behaviour::Exit => "(call $proc_exit (i32.const 7))",
            Behaviour::Fail
            | Behaviour::FailLate
            | Behaviour::UnknownTarget
            | Behaviour::Count
            | Behaviour::Hooks
            | Behaviour::Timers => return None,
        };
        let before = match (self, behaviour) {
            (_, Behaviour::RefuseInit) if *self == Stdio::Fresh => return None,
            (_, Behaviour::RefuseInit) => r#"(func (export "_initialize") (call $proc_exit (i32.const 3)))"#,
            _ => "",
        };
        let name = if *self == Stdio::Resident { "process" } else { "_start" };
        Some(made_of(&load(&copies(name, before, at_mark)), as_it_is, "!"))
    }

    /// The runtime calls a filter once a record, and knows at which one it is.
    fn names_record(&self, _: Behaviour) -> bool {
        true
    }

    /// A fresh instance has nothing to undo: it emits when all went well, and its memory is nobody else's.
    fn undoes(&self, _: Behaviour) -> bool {
        *self == Stdio::Fresh
    }
}

/// A module that copies its input to its output; at an input that begins with `!` it does something else first.
fn copies(name: &str, before: &str, at_mark: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
        (memory (export "memory") 1)
        {before}
        (func (export "{name}")
            (loop $more
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 16))
                (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
                (i32.store (i32.const 4) (i32.load (i32.const 8)))
                (if (i32.load (i32.const 8)) (then
                    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 33)) (then {at_mark}))
                    (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)) (then unreachable))
                    (br $more))))))"#
    );
    wat::parse_str(text).unwrap()
}

fn as_it_is(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn load(artifact: &[u8]) -> Arc<dyn Program> {
    runtime().load(artifact).unwrap()
}

fn made_of(program: &Arc<dyn Program>, echo: fn(&str) -> Vec<u8>, wanted: &str) -> Guest {
    Guest { program: Arc::clone(program), config: BTreeMap::new(), echo, wanted: wanted.into() }
}

#[test]
fn packed_components_keep_to_the_contract() {
    // Loaded once: there is no cache, and nobody else keeps them.
    let packed = Packed { obey: load(&guest("packed")), pass_through: load(&example("pass_through_rust")) };
    run(CHECKS, || Box::new(packed.clone()));
}

#[test]
fn modules_that_stay_keep_to_the_contract() {
    run(CHECKS, || Box::new(Stdio::Resident));
}

#[test]
fn modules_that_start_anew_keep_to_the_contract() {
    run(CHECKS, || Box::new(Stdio::Fresh));
}
