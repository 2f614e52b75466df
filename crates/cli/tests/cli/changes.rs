// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that are changed: revisions, settings, and whether what was changed comes up.

use tempfile::TempDir;

use crate::support::Server;
use crate::told::{echo, err, out};

#[test]
fn a_function_is_changed_and_brought_back_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let archive = echo(&folder);
    server.client(&["create", "-n", "f", "-a", &archive, "-i", "in", "-o", "out", "-c", "a=b"]);
    assert_eq!(
        out(&server.client(&["update", "-n", "f", "-o", "other", "--clear", "config"])),
        "Function f is at revision 2\nFunction f is running\n"
    );
    let revisions: serde_json::Value =
        serde_json::from_slice(&server.client(&["revisions", "-n", "f", "--json"]).stdout).unwrap();
    assert_eq!(revisions[0]["changed"], serde_json::json!(["output", "config"]));
    assert_eq!(out(&server.client(&["restart", "-n", "f"])), "Function f is running\n");
    let back = server.client(&["rollback", "-n", "f", "--to", "1"]);
    assert!(out(&back).starts_with("Function f is back to revision 1, as revision 3\n"), "{}", out(&back));
    let present = server.client(&["rollback", "-n", "f", "--to", "3"]);
    assert!(err(&present).starts_with("error FS-1001: revision 3 is the one that function 'f' is at\nadvice: "));
    let shown = server.client(&["describe", "-n", "f"]);
    assert!(out(&shown).contains("outputs   out\n") && out(&shown).contains("config    a=b\n"), "{}", out(&shown));
}

/// A module that traps when it is started.
pub(crate) fn stillborn(folder: &TempDir) -> String {
    let module = wat::parse_str(
        r#"(module (memory (export "memory") 1)
            (func (export "_initialize") unreachable) (func (export "process")))"#,
    );
    let path = folder.path().join("stillborn.wasm");
    std::fs::write(&path, module.unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_exit_code_says_whether_a_function_is_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let (good, bad) = (echo(&folder), stillborn(&folder));
    let created = server.client(&["create", "-n", "f", "-a", &bad, "-i", "in", "-o", "out"]);
    assert_eq!((created.status.code(), out(&created)), (Some(1), "Function created: f\n"));
    let told = err(&created);
    assert!(told.starts_with("error FS-1117: function 'f' was created, but does not come up: task 0: "), "{told}");
    assert!(told.contains("\nadvice: see what it wrote with 'function-stream client logs -n f'"), "{told}");
    let trusting = server.client(&["create", "-n", "g", "-a", &bad, "-i", "in", "-o", "out", "--no-wait"]);
    assert_eq!((trusting.status.code(), out(&trusting)), (Some(0), "Function created: g\n"));
    // The revision before did not run either: there is nothing to go back to.
    let still = server.client(&["update", "-n", "f", "-c", "a=1"]);
    assert_eq!((still.status.code(), out(&still)), (Some(1), ""));
    assert!(!err(&still).contains("in force again"), "{}", err(&still));
    let mended = server.client(&["update", "-n", "f", "-a", &good]);
    assert_eq!(out(&mended), "Function f is at revision 3\nFunction f is running\n", "{}", err(&mended));

    let taken_back = server.client(&["update", "-n", "f", "-a", &bad]);
    assert_eq!((taken_back.status.code(), out(&taken_back)), (Some(1), ""));
    let told = err(&taken_back);
    assert!(
        told.starts_with("error FS-1117: function 'f' was updated to revision 4, but does not come up: "),
        "{told}"
    );
    assert!(told.contains("; revision 3 is in force again, as revision 5, and runs\n"), "{told}");
    assert!(out(&server.client(&["describe", "-n", "f"])).contains("revision  5\n"));
    let kept = server.client(&["update", "-n", "f", "-a", &bad, "--keep-failed"]);
    assert!(kept.status.code() == Some(1) && !err(&kept).contains("in force again"), "{}", err(&kept));
    assert_eq!(server.client(&["start", "-n", "f"]).status.code(), Some(1));
    server.stop();
}

#[test]
fn settings_are_merged_and_taken_away_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let archive = echo(&folder);
    let mut create = vec!["create", "-n", "f", "-a", &archive, "-i", "in", "-o", "out", "-c", "a=1", "-c", "b=2"];
    create.extend(["--env", "E=e"]);
    server.client(&create);
    for (args, config, env) in [
        (&["-c", "a=3", "--env", "F=f"][..], "a=3 b=2", "E=e F=f"),
        (&["--unset", "b", "-c", "c=4"], "a=3 c=4", "E=e F=f"),
        (&["--unset-env", "E"], "a=3 c=4", "F=f"),
        (&["--clear", "config", "-c", "z=0", "--clear", "env"], "z=0", ""),
    ] {
        let updated = server.client(&[&["update", "-n", "f"], args].concat());
        assert!(updated.status.success(), "{args:?}: {}", err(&updated));
        let shown = server.client(&["describe", "-n", "f"]);
        let of = |name: &str| {
            let rows = out(&shown).lines().filter_map(|line| line.strip_prefix(&format!("{name:<10}")));
            rows.collect::<Vec<_>>().join(" ")
        };
        assert_eq!((of("config").as_str(), of("env").as_str()), (config, env), "{args:?}");
    }
}

#[test]
fn a_revision_has_one_number_wherever_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    server.client(&["create", "-n", "f", "-a", &echo(&folder), "-i", "in", "-o", "out"]);
    for verb in ["stop", "start", "stop", "start"] {
        assert!(server.client(&[verb, "-n", "f"]).status.success());
    }
    let json = |args: &[&str]| -> serde_json::Value { serde_json::from_slice(&server.client(args).stdout).unwrap() };
    let described = json(&["describe", "-n", "f", "--json"]);
    let (status, revisions) = (json(&["status", "--json"]), json(&["revisions", "-n", "f", "--json"]));
    assert_eq!(
        (&described["revision"], &status[0]["revision"]),
        (&1.into(), &1.into()),
        "stops and starts change nothing"
    );
    server.client(&["update", "-n", "f", "-o", "other"]);
    assert_eq!(revisions[0]["revision"], 1);
    let described = json(&["describe", "-n", "f", "--json"]);
    let newest = json(&["revisions", "-n", "f", "--json"])[0]["revision"].clone();
    assert_eq!(described["revision"], newest);
    assert_eq!(json(&["status", "--json"])[0]["revision"], newest);
    assert!(server.client(&["rollback", "-n", "f", "--to", "1"]).status.success());
}
