// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a function is granted it sees, of both kinds of WASI; nothing else, and nothing to write to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use fnstream_core::ErrorCode;
use fnstream_core::runtime::{InstanceSpec, Program, Runtime};
use fnstream_core::spec::FileGrant;
use tempfile::TempDir;

use crate::support::{Task, filter, guest, refusal, runtime, said, spec, start, task};

/// A component and a filter that take the same commands, with what makes a command a record of theirs.
fn both() -> [(Arc<dyn Program>, &'static str); 2] {
    [(runtime().load(&guest("packed")).unwrap(), "files "), (runtime().load(&filter()).unwrap(), "")]
}

fn granted(host: &Path, guest: &str) -> InstanceSpec {
    let grant = FileGrant { host: host.to_str().unwrap().into(), guest: guest.into() };
    InstanceSpec { files: vec![grant], ..spec() }
}

fn ask(task: &mut Task, prefix: &str, command: &str) -> String {
    task.run(&[&format!("{prefix}{command}")]).unwrap().concat()
}

/// `secret`, and beside it the folder `granted` with some files and links, of which some lead out.
fn world() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("granted/inner")).unwrap();
    fs::write(root.join("secret"), "secret").unwrap();
    fs::write(root.join("granted/a.txt"), "hello").unwrap();
    fs::write(root.join("granted/inner/b.txt"), "world").unwrap();
    symlink("inner/b.txt", root.join("granted/inside")).unwrap();
    symlink("../secret", root.join("granted/outside")).unwrap();
    symlink(root.join("secret"), root.join("granted/absolute")).unwrap();
    symlink("..", root.join("granted/up")).unwrap();
    symlink("circle", root.join("granted/circle")).unwrap();
    dir
}

/// Every name below a folder, with its contents.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            all.extend(contents(&entry.path()).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            all.push((name, fs::read(entry.path()).unwrap_or_default()));
        }
    }
    all.sort();
    all
}

#[test]
fn variables_are_those_that_were_granted() {
    let mut spec = spec();
    spec.env = [("A".to_owned(), "1".to_owned()), ("B_2".to_owned(), "two words = ü".to_owned())].into();
    for (program, prefix) in both() {
        assert_eq!(ask(&mut start(&program, &spec), prefix, "env"), "A=1 B_2=two words = ü", "{}", program.kind());
    }
}

#[test]
fn what_is_granted_can_be_read() {
    let world = world();
    for (program, prefix) in both() {
        let mut task = start(&program, &granted(&world.path().join("granted"), "/data"));
        let mut ask = |command: &str| ask(&mut task, prefix, command);
        assert_eq!(ask("read /data/a.txt"), "hello", "{}", program.kind());
        assert_eq!(ask("read /data/inner/../a.txt"), "hello");
        assert_eq!(ask("read /data/inside"), "world");
        assert_eq!(ask("tail /data/inner/b.txt"), "ld");
        assert_eq!(ask("size /data/a.txt"), "5");
        assert_eq!(ask("list /data"), "a.txt absolute circle inner/ inside outside up");
        assert_eq!(ask("list /data/inner"), "b.txt");
        assert_eq!(ask("read /data/nothing"), "NotFound");
    }
}

#[test]
fn no_path_leads_out() {
    let world = world();
    for (program, prefix) in both() {
        let mut task = start(&program, &granted(&world.path().join("granted"), "/data"));
        let secret = world.path().join("secret");
        let secret = secret.to_str().unwrap();
        for path in [
            "/data/../secret",
            "/data/inner/../../secret",
            "/data/outside",
            "/data/absolute",
            "/data/up/secret",
            "/data/circle",
            "/data//../secret",
            "/secret",
            "../secret",
            secret,
            &format!("/data/{secret}"),
            "/etc/passwd",
            "/proc/self/environ",
        ] {
            for verb in ["read", "size", "list"] {
                let answer = ask(&mut task, prefix, &format!("{verb} {path}"));
                let refused = ["PermissionDenied", "NotFound", "Uncategorized", "FilesystemLoop", "NotADirectory"];
                assert!(refused.contains(&&*answer), "{} {verb} {path}: {answer}", program.kind());
            }
        }
        assert!(!ask(&mut task, prefix, "list /data/up").contains("secret"));
    }
}

#[test]
fn nothing_can_be_written() {
    let world = world();
    let before = contents(world.path());
    for (program, prefix) in both() {
        let mut task = start(&program, &granted(&world.path().join("granted"), "/data"));
        for command in [
            "write /data/new",
            "write /data/a.txt",
            "append /data/a.txt",
            "read-write /data/a.txt",
            "resize /data/a.txt",
            "mkdir /data/new",
            "remove /data/a.txt",
            "rmdir /data/inner",
            "rename /data/a.txt /data/b.txt",
            "link /data/a.txt /data/b.txt",
            "write /data/up/new",
            "write /new",
        ] {
            let answer = ask(&mut task, prefix, command);
            assert!(!answer.contains("ok"), "{} {command}: {answer}", program.kind());
        }
        assert_eq!(contents(world.path()), before, "{}", program.kind());
    }
}

#[test]
fn a_pipe_in_a_granted_folder_is_not_waited_for() {
    let world = world();
    let pipe = world.path().join("granted/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut task = start(&runtime().load(&filter()).unwrap(), &granted(&world.path().join("granted"), "/data"));
    assert_ne!(ask(&mut task, "", "read /data/pipe"), "");
    assert_eq!(ask(&mut task, "", "read /data/a.txt"), "hello");
}

#[test]
fn what_is_granted_as_the_root_is_found_below_it_and_the_record_with_it() {
    let world = world();
    let mut task = start(&both()[1].0, &granted(&world.path().join("granted"), "/"));
    assert_eq!(ask(&mut task, "", "read /a.txt"), "hello");
    assert_eq!(ask(&mut task, "", "read /process"), "read /process");
    assert_eq!(ask(&mut task, "", "list /"), "a.txt absolute circle inner/ inside outside process up");
    assert_ne!(ask(&mut task, "", "read /../secret"), "secret");
}

#[test]
fn a_folder_that_is_not_there_is_an_error_of_the_surroundings() {
    let world = world();
    for missing in ["nowhere", "secret"] {
        let host = world.path().join(missing);
        for (program, _) in both() {
            let failure = refusal(&program, &granted(&host, "/data"));
            let (code, message, _) = said(&failure);
            let begin = format!("the granted folder '{}' cannot be opened: ", host.display());
            assert_eq!(code, ErrorCode::Storage, "{}", program.kind());
            assert!(message.starts_with(&begin), "{message}");
            assert!(failure.error.is_retriable());
        }
    }
}

#[test]
fn without_a_grant_there_is_nothing() {
    for (program, prefix) in both() {
        let mut task = start(&program, &spec());
        assert_eq!(ask(&mut task, prefix, "env"), "");
        assert_ne!(ask(&mut task, prefix, "read /etc/passwd").len(), 0);
    }
    assert_eq!(task(&filter()).run(&["list /"]).unwrap(), ["process"]);
}
