// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The data folder is the server's alone: its rights, links in it, and code that was swapped.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::{BINARY, Server, command, flags, wait_for};

/// A function that says a line for each event.
const CHATTY: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\0a")
    (func (export "process") (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 100)))))"#;

fn rights(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// All that is in a folder, itself included.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match fs::symlink_metadata(&path).unwrap().is_dir() {
            true => all.extend(tree(&path)),
            false => all.push(path),
        }
    }
    all
}

/// Has a function run that fills every folder.
fn fill(server: &Server, folder: &Path) {
    let artifact = folder.join("chatty.wasm");
    fs::write(&artifact, wat::parse_str(CHATTY).unwrap()).unwrap();
    server.must(&["create", "-n", "f", "-a", artifact.to_str().unwrap(), "-i", "in", "-o", "out"]);
    server.must(&["produce", "-n", "in", "-c", "x"]);
    while !server.must(&["logs", "-n", "f"]).contains("hello") {}
}

/// A server that was started with that umask and those settings.
fn start(umask: &str, data: &Path, config: Option<&Path>) -> Server {
    let mut shell = command("sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), BINARY]).args(flags(data));
    if let Some(config) = config {
        shell.arg("--config").arg(config);
    }
    Server::run(&mut shell)
}

#[test]
fn everything_in_the_folder_is_its_owners_whatever_the_umask() {
    for umask in ["000", "022", "077", "277"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let server = start(umask, &data, None);
        fill(&server, folder.path());
        for path in tree(&data) {
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(rights(&path), wanted, "{} with umask {umask}", path.display());
        }
        let names = ["db/CURRENT", "artifacts", "logs/f", "cache/KEY", "REACH", "LOCK", "FORMAT"];
        assert!(names.iter().all(|name| data.join(name).exists()), "{:?}", tree(&data));
        server.stop();
    }
}

#[test]
fn a_group_reads_if_it_shall_and_the_log_file_is_as_the_shell_says() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("config.yaml"));
    let log = folder.path().join("log/server.log");
    let text = "state_storage: {access: group}\nlogging: {file_path: '";
    fs::write(&config, format!("{text}{}'}}\n", log.display())).unwrap();
    let mut shell = command("sh");
    shell.args(["-c", "umask 022; exec \"$0\" \"$@\"", BINARY]).args(flags(&data)).arg("--config").arg(&config);
    let mut child = shell.spawn().unwrap();
    wait_for(&log, "listening");
    child.kill().unwrap();
    child.wait().unwrap();
    for path in tree(&data) {
        let of_cache = path.starts_with(data.join("cache"));
        let wanted = match (path.is_dir(), of_cache) {
            (true, false) => 0o750,
            (false, false) => 0o640,
            (true, true) => 0o700,
            (false, true) => 0o600,
        };
        assert_eq!(rights(&path), wanted, "{}", path.display());
    }
    assert_eq!((rights(&log), rights(log.parent().unwrap())), (0o644, 0o755));
}

#[test]
fn a_folder_with_wider_rights_is_narrowed_with_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for wide in [0o755, 0o777] {
        fs::create_dir_all(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(wide)).unwrap();
        let server = Server::start(&data);
        let log = server.log.join("\n");
        assert!(log.contains("others had rights to the data folder"), "{log}");
        assert_eq!(rights(&data), 0o700);
        server.stop();
    }
    // One that holds something else is not touched.
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("thesis.tex"), "").unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = command(BINARY).args(flags(&theirs)).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("FS-1504") && rights(&theirs) == 0o755);
}

#[test]
fn a_link_in_the_folder_is_refused_and_what_it_leads_to_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    fill(&server, folder.path());
    server.stop();
    let log = fs::read_dir(data.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let log = log.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap();
    let log = log.strip_prefix(&data).unwrap().to_owned();
    let names = ["FORMAT", "LOCK", "REACH", "db", "db/CURRENT", "artifacts", "logs", "cache"].map(PathBuf::from);
    for name in names.into_iter().chain([log]) {
        let (place, away) = (data.join(&name), folder.path().join("away"));
        fs::rename(&place, &away).unwrap();
        symlink(&away, &place).unwrap();
        let before: Vec<_> = tree_or_file(&away);
        for verb in [flags(&data), vec!["check".into(), "--data-dir".into(), data.display().to_string()]] {
            let refused = command(BINARY).args(verb).output().unwrap();
            let told = String::from_utf8_lossy(&refused.stderr);
            assert!(!refused.status.success() && told.contains("FS-1510"), "{}: {told}", name.display());
            assert!(told.contains(&format!("{}' is a symbolic link", name.display())), "{told}");
        }
        assert_eq!(tree_or_file(&away), before, "{}", name.display());
        fs::remove_file(&place).unwrap();
        fs::rename(&away, &place).unwrap();
    }
    // The folder itself may be named by one.
    let named = folder.path().join("named");
    symlink(&data, &named).unwrap();
    let server = Server::start(&named);
    assert!(server.must(&["list"]).contains('f'));
    server.stop();
}

/// What files there are, with their bytes.
fn tree_or_file(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = if path.is_dir() { tree(path) } else { vec![path.to_owned()] };
    paths.into_iter().filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn an_artifact_that_is_a_link_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    fill(&server, folder.path());
    server.stop();
    let artifact = fs::read_dir(data.join("artifacts")).unwrap().next().unwrap().unwrap().path();
    let away = folder.path().join("away");
    fs::rename(&artifact, &away).unwrap();
    symlink(&away, &artifact).unwrap();
    let mut server = Server::start(&data);
    let told = server.logs("FS-1510");
    assert!(told.contains("is a symbolic link"), "{told}");
}
