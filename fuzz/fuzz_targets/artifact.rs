// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Any bytes as an artifact: it is loaded or refused with a code of its own, never with a panic, and the answer is the same
//! as that of looking at it without compiling it, as far as that goes.
//!
//! Random bytes are hardly ever valid, so most inputs are changes to a small valid artifact: which one, and for each change a
//! place, what is removed there and what is put in. Only small ones are compiled.

#![no_main]

use std::sync::LazyLock;

use fnstream_core::ErrorCode;
use fnstream_core::runtime::Runtime;
use fnstream_runtime::{RuntimeOptions, WasmRuntime, kind_of};
use libfuzzer_sys::fuzz_target;

/// The largest artifact that is compiled.
const COMPILED: usize = 8 << 10;

static RUNTIME: LazyLock<WasmRuntime> =
    LazyLock::new(|| WasmRuntime::new(None, RuntimeOptions::default()).expect("the engine starts"));

static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let texts = [
        r#"(module (func $f (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
            (func (export "process") (drop (call $f (i32.const 1)))))"#,
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1 2) (table 4 funcref) (elem (i32.const 1) $start)
            (global $g (mut i64) (i64.const 7)) (data (i32.const 0) "\40\00\00\00\10\00\00\00")
            (func $start (export "_start")
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 36)))))"#,
        r#"(component
            (import "functionstream:core/collector@0.1.0" (instance $collector
                (export "emit" (func (param "target-id" u32) (param "data" (list u8))))))
            (core module $m (memory (export "memory") 1) (func (export "process") (param i32 i32 i32))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
            (core instance $i (instantiate $m))
            (core func $emit (canon lower (func $collector "emit") (memory (core memory $i "memory"))))
            (func (export "fs-process") (param "source-id" u32) (param "data" (list u8))
                (canon lift (core func $i "process") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#,
    ];
    texts.iter().map(|text| wat::parse_str(text).expect("is valid")).collect()
});

fuzz_target!(|input: (Option<u8>, Vec<(u16, u8, Vec<u8>)>, Vec<u8>)| {
    let (seed, changes, tail) = input;
    let mut artifact = seed.map_or_else(Vec::new, |seed| SEEDS[usize::from(seed) % SEEDS.len()].clone());
    for (at, removed, added) in changes {
        let at = usize::from(at) % (artifact.len() + 1);
        let end = (at + usize::from(removed % 32)).min(artifact.len());
        artifact.splice(at..end, added);
    }
    artifact.extend(tail);

    let kind = kind_of(&artifact);
    if let Err(error) = &kind {
        assert!(matches!(error.code, ErrorCode::ArtifactInvalid | ErrorCode::ArtifactUnsupported), "{error}");
    }
    if artifact.len() > COMPILED {
        return;
    }
    match (RUNTIME.load(&artifact), kind) {
        (Ok(program), Ok(kind)) => assert_eq!(program.kind(), kind),
        (Ok(_), Err(error)) => panic!("loaded, although {error}"),
        (Err(error), Ok(_)) => {
            assert!(matches!(error.code, ErrorCode::ArtifactInvalid | ErrorCode::ArtifactUnsupported), "{error}");
        }
        (Err(error), Err(same)) => assert_eq!((error.code, error.message), (same.code, same.message)),
    }
});
