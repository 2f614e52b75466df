// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! No signal ends a server without a line, and what was acknowledged is there afterwards.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::support::{BINARY, Server, command, flags, wait_for};

const HUP: i32 = 1;
const INT: i32 = 2;

/// What ends a process on Linux unless it says otherwise; of those for real time the first, one in the middle and the last.
const ENDING: [(i32, &str); 15] = [
    (15, "SIGTERM"),
    (INT, "SIGINT"),
    (3, "SIGQUIT"),
    (10, "SIGUSR1"),
    (12, "SIGUSR2"),
    (14, "SIGALRM"),
    (16, "SIGSTKFLT"),
    (24, "SIGXCPU"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (35, "signal 35"),
    (50, "signal 50"),
    (64, "signal 64"),
];

#[test]
fn every_signal_that_ends_ends_orderly() {
    let data = tempfile::tempdir().unwrap();
    for (at, (number, name)) in ENDING.into_iter().enumerate() {
        let mut server = Server::start(data.path());
        assert_eq!(server.must(&["produce", "-n", "t", "-c", name]), "Event produced\n");
        server.signal(number);
        let status = server.ended();
        let log = server.log.join("\n");
        assert!(status.success() && log.contains("shutting down") && log.contains(name), "{name}: {status}\n{log}");
        assert!(server.log.last().unwrap().contains("stopped"), "{log}");
        let server = Server::start(data.path());
        let position = at.to_string();
        let read = server.must(&["consume", "-n", "t", "--from", &position, "-t", "30s"]);
        assert_eq!(read, format!("\"{name}\"\n"));
        server.stop();
    }
}

#[test]
fn signals_that_tell_of_a_failed_write_do_nothing() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    for number in [13, 25] {
        server.signal(number);
        server.must(&["produce", "-n", "t", "-c", "x"]);
    }
    server.stop();
}

#[test]
fn a_hangup_opens_the_logs_anew_and_nothing_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("server.log"));
    let config = folder.path().join("config.yaml");
    fs::write(&config, format!("logging: {{file_path: '{}'}}\n", log.display())).unwrap();
    let mut plain = Server::start(&data);
    plain.signal(HUP);
    plain.logs("log files are opened anew");
    plain.must(&["produce", "-n", "t", "-c", "x"]);
    plain.stop();

    let mut command = command(BINARY);
    let mut child = command.args(flags(&data)).arg("--config").arg(&config).spawn().unwrap();
    wait_for(&log, "listening");
    fs::rename(&log, folder.path().join("server.log.old")).unwrap();
    let kill =
        |number: i32| std::process::Command::new("kill").arg(format!("-{number}")).arg(child.id().to_string()).status();
    assert!(kill(HUP).unwrap().success());
    wait_for(&log, "log files are opened anew");
    assert!(kill(15).unwrap().success());
    assert!(child.wait().unwrap().success());
    let (old, new) =
        (fs::read_to_string(folder.path().join("server.log.old")).unwrap(), fs::read_to_string(&log).unwrap());
    assert!(old.contains("listening") && !old.contains("stopped") && new.contains("stopped"), "{old}\n{new}");
}

/// A request whose body does not come holds up an orderly end.
#[test]
fn the_second_signal_ends_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path());
    let mut held = TcpStream::connect(server.address()).unwrap();
    held.write_all(b"PUT /api/v1/produce/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
    // One answer later the server has it.
    server.must(&["produce", "-n", "t", "-c", "x"]);
    server.signal(INT);
    server.logs("shutting down");
    server.signal(HUP);
    server.signal(INT);
    let status = server.ended();
    assert_eq!(status.code(), Some(130), "{status}\n{}", server.log.join("\n"));
    assert!(server.log.last().unwrap().contains("second signal"), "{}", server.log.join("\n"));
}

/// Starts a server on a terminal of its own, closes the terminal, and answers the server.
fn on_closed_terminal(data: &std::path::Path, starter: &[&str]) -> Server {
    // Not `openpty`: a child of another test that inherits an end keeps the terminal open.
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave =
        File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(ptsname_r(&master).unwrap());
    let mut command = command("setsid");
    command.arg("--ctty").args(starter).arg(BINARY).args(flags(data));
    let server = Server::run(command.stdin(slave.unwrap()));
    // Its copy of the terminal.
    drop(command);
    drop(master);
    server
}

#[test]
fn a_closed_terminal_ends_the_server_in_it_unless_it_was_started_to_outlive_it() {
    let data = tempfile::tempdir().unwrap();
    // Whoever runs this test may have been started to outlive its own.
    let mut server = on_closed_terminal(data.path(), &["env", "--default-signal=HUP"]);
    let status = server.ended();
    let log = server.log.join("\n");
    assert!(status.success() && log.contains("signal=\"SIGHUP\"") && log.contains("stopped"), "{status}\n{log}");
    let mut server = on_closed_terminal(data.path(), &["nohup"]);
    server.logs("log files are opened anew");
    server.must(&["produce", "-n", "t", "-c", "x"]);
    server.stop();
}

#[test]
fn a_bench_that_is_interrupted_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = command(BINARY);
    bench.args(["bench", "--variant", "copy", "--workload", "pass-through", "--records", "10000000", "--dir"]);
    let mut bench = bench.arg(folder.path()).spawn().unwrap();
    let count = || fs::read_dir(folder.path()).unwrap().count();
    let data = || fs::read_dir(folder.path()).unwrap().any(|entry| entry.unwrap().path().join("data/FORMAT").exists());
    while !data() {
        assert_eq!(bench.try_wait().unwrap(), None, "the bench ended by itself");
        std::thread::yield_now();
    }
    let kill = std::process::Command::new("kill").arg("-2").arg(bench.id().to_string()).status();
    assert!(kill.unwrap().success());
    let status = bench.wait().unwrap();
    assert_eq!((status.code(), status.signal(), count()), (Some(130), None, 0));
}
