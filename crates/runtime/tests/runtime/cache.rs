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
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    // The key is no file of an artifact.
    let mut files: Vec<_> = paths.filter(|path| !path.ends_with("KEY")).collect();
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

/// The code of one artifact in the place of another's, and whatever else would pass for it without the folder's key.
#[test]
fn code_that_no_server_has_put_there_is_made_again() {
    let shelf = Shelf::new();
    shelf.add(&[1, 2]);
    let other = Shelf::new();
    other.add(&[1]);
    let path = |number, extension| shelf.file(number, extension).unwrap();
    let (code, sum) = (path(1, "cwasm"), path(1, "sum"));
    let (right_code, right_sum) = (fs::read(&code).unwrap(), fs::read_to_string(&sum).unwrap());
    let swapped = || {
        fs::copy(path(2, "cwasm"), &code).unwrap();
        fs::copy(path(2, "sum"), &sum).unwrap();
    };
    let forged = || {
        // What was enough without a key: a sum that fits the code.
        let bytes = [fs::read(path(2, "cwasm")).unwrap(), vec![0]].concat();
        fs::write(&code, &bytes).unwrap();
        let signature = right_sum.trim_end().rsplit_once(' ').unwrap().1;
        fs::write(&sum, format!("stdio {} {signature}\n", sha256(&bytes))).unwrap();
    };
    let unsigned = || fs::write(&sum, right_sum.rsplit_once(' ').unwrap().0).unwrap();
    let of_another_folder = || {
        fs::copy(other.file(1, "sum").unwrap(), &sum).unwrap();
    };
    let crafts: [&dyn Fn(); 4] = [&swapped, &forged, &unsigned, &of_another_folder];
    for (i, craft) in crafts.into_iter().enumerate() {
        craft();
        assert!(fs::read_to_string(&sum).unwrap() != right_sum, "craft {i} changes nothing");
        shelf.add(&[1]);
        assert!(fs::read(&code).unwrap() == right_code && fs::read_to_string(&sum).unwrap() == right_sum, "craft {i}");
    }
}

#[test]
fn a_key_that_is_missing_or_was_readable_is_replaced_with_all_that_it_signed() {
    use std::os::unix::fs::PermissionsExt;
    let shelf = Shelf::new();
    shelf.add(&[1]);
    let key = shelf.dir.path().join("KEY");
    let [expose, remove, cut, link]: [&dyn Fn(); 4] = [
        &|| fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap(),
        &|| fs::remove_file(&key).unwrap(),
        &|| fs::write(&key, b"short").unwrap(),
        &|| {
            fs::rename(&key, shelf.dir.path().join("real")).unwrap();
            std::os::unix::fs::symlink("real", &key).unwrap();
        },
    ];
    for (i, damage) in [expose, remove, cut, link].into_iter().enumerate() {
        let (before, sum) = (fs::read(&key).unwrap(), fs::read(shelf.file(1, "sum").unwrap()).unwrap());
        damage();
        shelf.add(&[1]);
        let after = fs::symlink_metadata(&key).unwrap();
        assert!(after.is_file() && after.permissions().mode() & 0o777 == 0o600 && after.len() == 32, "damage {i}");
        assert!(fs::read(&key).unwrap() != before, "damage {i}");
        assert!(fs::read(shelf.file(1, "sum").unwrap()).unwrap() != sum, "damage {i}: signed anew");
    }
}

#[test]
fn a_folder_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    for rights in [0o770, 0o707, 0o1777] {
        let shelf = Shelf::new();
        fs::set_permissions(shelf.dir.path(), fs::Permissions::from_mode(rights)).unwrap();
        load_and_run(shelf.dir.path(), &guest("packed"));
        assert_eq!(files(shelf.dir.path()), Vec::<PathBuf>::new(), "{rights:o}");
        assert!(!shelf.dir.path().join("KEY").exists());
    }
}

#[test]
fn two_runtimes_of_one_folder_use_what_the_other_has_made() {
    let shelf = Shelf::new();
    let (one, two) = (shelf.runtime(u64::MAX), shelf.runtime(u64::MAX));
    drop(one.load(&numbered(1)).unwrap());
    let written = fs::metadata(shelf.file(1, "cwasm").unwrap()).unwrap().modified().unwrap();
    drop(two.load(&numbered(1)).unwrap());
    // A key that was replaced meanwhile is the one of both.
    fs::remove_file(shelf.dir.path().join("KEY")).unwrap();
    drop(two.load(&numbered(2)).unwrap());
    drop(one.load(&numbered(2)).unwrap());
    assert_eq!(fs::metadata(shelf.file(1, "cwasm").unwrap()).unwrap().modified().unwrap(), written);
    let second = fs::metadata(shelf.file(2, "cwasm").unwrap()).unwrap().modified().unwrap();
    drop(one.load(&numbered(2)).unwrap());
    assert_eq!(fs::metadata(shelf.file(2, "cwasm").unwrap()).unwrap().modified().unwrap(), second);
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
fn a_folder_above_that_was_moved_away_is_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (data, away) = (dir.path().join("data"), dir.path().join("away"));
    let runtime = WasmRuntime::new(Some(data.join("cache")), RuntimeOptions::default()).unwrap();
    fs::rename(&data, &away).unwrap();
    runtime.load(&numbered(1)).unwrap();
    assert!(!data.exists() && fs::read_dir(&away).unwrap().count() == 0);
    // Something else in its place is not it.
    fs::create_dir(&data).unwrap();
    runtime.load(&numbered(2)).unwrap();
    assert!(fs::read_dir(&data).unwrap().count() == 0 && fs::read_dir(&away).unwrap().count() == 0);
    fs::remove_dir(&data).unwrap();
    fs::rename(&away, &data).unwrap();
    runtime.load(&numbered(3)).unwrap();
    assert_eq!(files(&data.join("cache")).len(), 2);
    // The cache itself may go at any time.
    fs::remove_dir_all(data.join("cache")).unwrap();
    runtime.load(&numbered(4)).unwrap();
    assert_eq!(files(&data.join("cache")).len(), 2);
}

/// A folder with code of small modules, which differ by a number.
struct Shelf {
    dir: tempfile::TempDir,
}

impl Shelf {
    fn new() -> Self {
        Shelf { dir: tempfile::tempdir().unwrap() }
    }

    fn runtime(&self, cache_bytes: u64) -> WasmRuntime {
        let options = RuntimeOptions { cache_bytes, ..RuntimeOptions::default() };
        WasmRuntime::new(Some(self.dir.path().into()), options).unwrap()
    }

    /// What another process would do that has no bound.
    fn add(&self, numbers: &[u32]) {
        let runtime = self.runtime(u64::MAX);
        numbers.iter().for_each(|&number| drop(runtime.load(&numbered(number)).unwrap()));
    }

    fn file(&self, number: u32, extension: &str) -> Option<PathBuf> {
        let digest = sha256(&numbered(number));
        files(self.dir.path()).into_iter().find(|path| {
            path.to_string_lossy().contains(&digest) && path.extension().is_some_and(|has| has == extension)
        })
    }

    /// Those that are there, each as a whole.
    fn kept(&self) -> Vec<u32> {
        let kept: Vec<_> = (0..10).filter(|&number| self.file(number, "cwasm").is_some()).collect();
        let sums: Vec<_> = (0..10).filter(|&number| self.file(number, "sum").is_some()).collect();
        assert_eq!(kept, sums, "code without sum, or sum without code");
        kept
    }

    /// Has it last been used at that second of long ago: times of files may be coarse.
    fn last_used(&self, number: u32, second: u64) {
        let file = fs::File::options().write(true).open(self.file(number, "sum").unwrap()).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second)).unwrap();
    }

    fn bytes(&self, numbers: &[u32]) -> u64 {
        let len = |number, extension| fs::metadata(self.file(number, extension).unwrap()).unwrap().len();
        numbers.iter().map(|&number| len(number, "cwasm") + len(number, "sum")).sum()
    }
}

fn numbered(number: u32) -> Vec<u8> {
    wat::parse_str(format!(r#"(module (func (export "process") (drop (i32.const {number}))))"#)).unwrap()
}

#[test]
fn what_was_used_longest_ago_goes_when_there_is_too_much() {
    let shelf = Shelf::new();
    shelf.add(&[1, 2, 3, 4]);
    for (number, second) in [(1, 3), (2, 1), (3, 4), (4, 2)] {
        shelf.last_used(number, second);
    }
    // Loading is using.
    shelf.add(&[2]);
    let bound = shelf.bytes(&[1, 2, 3]);
    shelf.runtime(bound).load(&numbered(5)).unwrap();
    assert_eq!(shelf.kept(), [2, 3, 5], "4 went at the start, 1 for 5");
}

#[test]
fn code_in_use_stays_and_goes_when_its_last_instance_is_gone() {
    let shelf = Shelf::new();
    let other = shelf.runtime(u64::MAX);
    let program = other.load(&numbered(1)).unwrap();
    let task = start(&program, &spec());
    shelf.add(&[2, 3]);
    let small = shelf.runtime(1);
    assert_eq!(shelf.kept(), [1], "used by another runtime");
    small.load(&numbered(4)).unwrap();
    assert_eq!(shelf.kept(), [1, 4], "what was just made is in use while it is loaded");
    drop(program);
    shelf.runtime(1);
    assert_eq!(shelf.kept(), [1], "an instance is left");
    drop((task, other));
    shelf.runtime(1);
    assert_eq!(shelf.kept(), [0; 0]);
}

#[test]
fn what_a_crash_leaves_at_any_step_is_never_used_and_goes() {
    let complete = Shelf::new();
    complete.add(&[1]);
    let [code, sum] = ["cwasm", "sum"].map(|extension| complete.file(1, extension).unwrap());
    let (code_name, sum_name) = (code.file_name().unwrap(), sum.file_name().unwrap());
    let unfinished = |of: &Path| of.with_extension("1-0.tmp").file_name().unwrap().to_owned();
    // The steps of adding, and then those of removing.
    let leftovers: [&[(&std::ffi::OsStr, &[u8])]; 5] = [
        &[(&unfinished(&code), b"half")],
        &[(&unfinished(&code), &fs::read(&code).unwrap()), (&unfinished(&sum), b"")],
        &[(&unfinished(&code), &fs::read(&code).unwrap()), (sum_name, &fs::read(&sum).unwrap())],
        &[(sum_name, &fs::read(&sum).unwrap())],
        &[(code_name, &fs::read(&code).unwrap())],
    ];
    for leftover in leftovers {
        let shelf = Shelf::new();
        let leave = || leftover.iter().for_each(|(name, bytes)| fs::write(shelf.dir.path().join(name), bytes).unwrap());
        leave();
        shelf.runtime(u64::MAX);
        assert_eq!(files(shelf.dir.path()), Vec::<PathBuf>::new(), "after {leftover:?}");
        // Also where it comes to be while a runtime is up.
        let runtime = shelf.runtime(u64::MAX);
        leave();
        runtime.load(&numbered(1)).unwrap();
        assert_eq!((shelf.kept(), files(shelf.dir.path()).len()), (vec![1], 2), "after {leftover:?}");
        assert_eq!(fs::read(shelf.file(1, "cwasm").unwrap()).unwrap(), fs::read(&code).unwrap());
    }
}

#[test]
fn files_of_others_are_left_alone() {
    let shelf = Shelf::new();
    shelf.add(&[1]);
    let theirs = ["notes.txt", "a.tmp", "b.cwasm", "lost+found"].map(|name| shelf.dir.path().join(name));
    theirs.iter().for_each(|path| fs::write(path, "theirs").unwrap());
    shelf.runtime(1);
    assert_eq!(files(shelf.dir.path()), {
        let mut all = theirs.to_vec();
        all.sort();
        all
    });
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
