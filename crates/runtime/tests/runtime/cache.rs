// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Compiled code on disk: used when it is whole, made again when it is not.

use std::fs;
use std::path::{Path, PathBuf};

use fnstream_core::runtime::Runtime;
use fnstream_runtime::{RuntimeOptions, WasmRuntime};

use crate::support::{guest, spec, start};

fn load_and_run(dir: &Path, artifact: &[u8]) {
    let runtime = WasmRuntime::new(Some(dir.into()), RuntimeOptions::default()).unwrap();
    let mut task = start(&runtime.load(artifact).unwrap(), &spec());
    assert_eq!(task.run(&["echo a"]).unwrap(), ["a"]);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn code_is_kept_under_the_artifacts_digest_and_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("not/there/yet");
    let artifact = guest("packed");
    load_and_run(&cache, &artifact);
    let [code, sum] = &files(&cache)[..] else { panic!("{:?}", files(&cache)) };
    let name = code.file_name().unwrap().to_str().unwrap();
    let digest = sha256(&artifact);
    assert!(name.starts_with(&format!("{digest}-")) && name.ends_with(".cwasm"), "{name}");
    assert!(fs::read_to_string(sum).unwrap().starts_with("packed "));
    // Whoever compiles again writes the file again.
    let written = fs::metadata(code).unwrap().modified().unwrap();
    load_and_run(&cache, &artifact);
    assert_eq!(fs::metadata(code).unwrap().modified().unwrap(), written);
}

#[test]
fn damaged_code_is_never_run_but_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let artifact = guest("packed");
    load_and_run(dir.path(), &artifact);
    let [code, sum] = &files(dir.path())[..] else { panic!() };
    let (whole, right) = (fs::read(code).unwrap(), fs::read(sum).unwrap());
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let wrong_kind = String::from_utf8(right.clone()).unwrap().replace("packed", "stdio");
    let damages: [(&Path, Option<&[u8]>); 8] = [
        (code, Some(&whole[..whole.len() / 2])),
        (code, Some(&flipped)),
        (code, Some(b"")),
        (code, None),
        (sum, Some(b"")),
        (sum, Some(b"packed 00")),
        (sum, Some(wrong_kind.as_bytes())),
        (sum, None),
    ];
    for (i, (file, damage)) in damages.into_iter().enumerate() {
        match damage {
            Some(bytes) => fs::write(file, bytes).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
        load_and_run(dir.path(), &artifact);
        assert!(fs::read(code).unwrap() == whole && fs::read(sum).unwrap() == right, "damage {i} was not repaired");
    }
    assert_eq!(files(dir.path()).len(), 2, "files were left behind");
}

#[test]
fn code_of_another_engine_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let artifact = guest("packed");
    load_and_run(dir.path(), &artifact);
    // The stack's size is not part of the code; the engine's features are. A file of another name stands for both.
    let [code, sum] = &files(dir.path())[..] else { panic!() };
    let other = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (digest, rest) = name.split_once('-').unwrap();
        path.with_file_name(format!("{digest}-0000000000000000.{}", rest.split_once('.').unwrap().1))
    };
    fs::rename(code, other(code)).unwrap();
    fs::rename(sum, other(sum)).unwrap();
    load_and_run(dir.path(), &artifact);
    assert_eq!(files(dir.path()).len(), 4);
}

#[test]
fn a_folder_that_cannot_be_written_only_costs_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a-file");
    fs::write(&file, "").unwrap();
    load_and_run(&file, &guest("packed"));
}

#[test]
fn what_was_compiled_longest_ago_goes_when_there_is_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let artifact =
        |n: u32| wat::parse_str(format!(r#"(module (func (export "process") (drop (i32.const {n}))))"#)).unwrap();
    let load = |n: u32, cache_bytes: Option<u64>| {
        let options = RuntimeOptions { cache_bytes, ..RuntimeOptions::default() };
        let runtime = WasmRuntime::new(Some(dir.path().into()), options).unwrap();
        runtime.load(&artifact(n)).unwrap();
    };
    let kept = |n: u32| files(dir.path()).iter().any(|path| path.to_string_lossy().contains(&sha256(&artifact(n))));
    // Times of files may be coarse: here each is older than the one after it.
    let age = |n: u32, seconds: u64| {
        let path = files(dir.path()).into_iter().find(|path| {
            path.to_string_lossy().contains(&sha256(&artifact(n))) && path.extension().unwrap() == "cwasm"
        });
        let file = fs::File::options().write(true).open(path.unwrap()).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        file.metadata().unwrap().len()
    };
    load(1, None);
    load(2, None);
    let bytes = age(1, 1) + age(2, 2);
    load(3, Some(bytes + 10));
    assert_eq!((kept(1), kept(2), kept(3)), (false, true, true));
    assert_eq!(files(dir.path()).len(), 4, "code and sum of each");
    // What was just made stays even when it alone is too much.
    load(4, Some(1));
    assert_eq!((kept(2), kept(3), kept(4)), (false, false, true));
}

#[test]
fn refused_artifacts_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = WasmRuntime::new(Some(dir.path().into()), RuntimeOptions::default()).unwrap();
    assert!(runtime.load(b"\0asm").is_err());
    assert!(runtime.load(&wat::parse_str(r#"(component (import "a:b/c" (instance)))"#).unwrap()).is_err());
    assert!(files(dir.path()).is_empty());
}

#[test]
fn one_artifact_is_one_program_while_somebody_uses_it() {
    let runtime = WasmRuntime::new(None, RuntimeOptions::default()).unwrap();
    let artifact = wat::parse_str(r#"(module (func (export "process")))"#).unwrap();
    let (one, two) = (runtime.load(&artifact).unwrap(), runtime.load(&artifact).unwrap());
    assert!(std::sync::Arc::ptr_eq(&one, &two));
    let weak = std::sync::Arc::downgrade(&one);
    drop((one, two));
    assert!(weak.upgrade().is_none());
    runtime.load(&artifact).unwrap();
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
