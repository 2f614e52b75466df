// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Bytes that are hardly an artifact, or hardly any more.

use crate::arena::harmless;
use crate::support::{filter, guest};

const HEADER: &[u8] = b"\0asm\x01\0\0\0";

/// A section, whose size is given and need not be its own.
fn section(id: u8, size: u32, contents: &[u8]) -> Vec<u8> {
    [HEADER, &[id], &leb(size), contents].concat()
}

fn leb(mut value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[test]
fn sizes_that_are_lies() {
    for id in 0..14 {
        for size in [u32::MAX, 1 << 31, 1_000_000, 1] {
            harmless(&format!("section {id} of {size}"), &section(id, size, b"\x01"), "load FS-1202 | load FS-1203");
        }
        // A count of things that are not there.
        let count = leb(u32::MAX);
        harmless(
            &format!("section {id} of a huge count"),
            &section(id, count.len() as u32, &count),
            "load FS-1202 | load FS-1203",
        );
    }
    // A passive data segment of 2 GiB.
    let data = [&[1, 1][..], &leb(1 << 31)].concat();
    harmless("data of 2 GiB", &section(11, data.len() as u32, &data), "load FS-1202");
}

#[test]
fn long_names() {
    let name = "n".repeat(1 << 20);
    let export = format!(r#"(module (func (export "{name}")) (func (export "process")))"#);
    harmless("an export of a mebibyte", &wat::parse_str(export).unwrap(), "load FS-1202");
    let export = format!(r#"(module (func (export "{}")))"#, &name[..99_999]);
    harmless("an export that is just allowed", &wat::parse_str(export).unwrap(), "load FS-1203");
    let import = format!(r#"(module (import "{0}" "{0}" (func)))"#, &name[..99_999]);
    harmless("an import that is just allowed", &wat::parse_str(import).unwrap(), "load FS-1203");
    let debug = format!(r#"(module (func (export "process") (@name "{name}") unreachable))"#);
    let debug = wat::parse_str(
        debug
            .replace(r#"(export "process") (@name"#, r#"(@name"#)
            .replace("unreachable)", r#"(export "process") unreachable)"#),
    );
    if let Ok(debug) = debug {
        harmless("a name of a mebibyte for a backtrace", &debug, "process FS-1402 | load FS-1202");
    }
}

#[test]
fn nesting() {
    for depth in [10, 100, 1_000, 10_000] {
        let mut artifact = b"\0asm\x0d\0\x01\0".to_vec();
        for _ in 0..depth {
            let size = leb(artifact.len() as u32);
            artifact = [b"\0asm\x0d\0\x01\0", &[4][..], &size, &artifact].concat();
        }
        harmless(&format!("{depth} components in each other"), &artifact, "load FS-1202 | load FS-1203");
    }
    // The same without an end: each is as long as its surroundings say, and the last one is missing.
    let endless = b"\0asm\x0d\0\x01\0\x04\x80\x80\x80\x08".repeat(100_000);
    harmless("components without an end", &endless, "load FS-1202");
}

#[test]
fn noise() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    for len in [0, 1, 8, 100, 10_000, 1 << 20] {
        let noise: Vec<u8> = (0..len).map(|_| random()).collect();
        harmless(&format!("{len} random bytes"), &noise, "load FS-1202");
        harmless(&format!("{len} random bytes of a module"), &[HEADER, &noise].concat(), "load FS-1202 | load FS-1203");
        let component = [&b"\0asm\x0d\0\x01\0"[..], &noise].concat();
        harmless(&format!("{len} random bytes of a component"), &component, "load FS-1202 | load FS-1203");
    }
}

#[test]
fn halves_of_real_artifacts() {
    for (name, artifact) in [("packed", guest("packed")), ("processor", guest("processor")), ("filter", filter())] {
        for part in 0..64 {
            let cut = &artifact[..artifact.len() * part / 64];
            harmless(&format!("{part}/64 of {name}"), cut, "load FS-1202 | load FS-1203");
        }
    }
}
