// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Descriptions that are applied.

use crate::changes::stillborn;
use crate::support::Server;
use crate::told::{echo, err, out};

#[test]
fn a_description_is_applied_and_shown_before() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let (good, bad, path) = (echo(&folder), stillborn(&folder), folder.path().join("config.yaml"));
    let file = path.to_str().unwrap();
    let describe = |settings: &str| {
        let text = "name: f\ntype: processor\ninput-groups: [{inputs: [{input-type: log, topic: in}]}]\n\
            outputs: [{output-type: log, topic: out}]\n";
        std::fs::write(&path, format!("{text}init_config: {{{settings}}}\n")).unwrap();
    };
    let apply = |archive: &str, more: &[&str]| server.client(&[&["apply", "-f", file, "-a", archive], more].concat());
    describe("a: '1', b: '2'");
    let dry = apply(&good, &["--dry-run"]);
    for line in ["+ config.a: 1\n", "+ inputs: in\n", "+ outputs: out\n", "Function f would be created\n"] {
        assert!(out(&dry).contains(line), "{line}: {} {}", out(&dry), err(&dry));
    }
    assert_eq!(out(&server.client(&["list"])), "");
    let created = apply(&good, &[]);
    assert!(out(&created).ends_with("Function created: f\nFunction f is running\n"), "{}", err(&created));
    assert_eq!(out(&apply(&good, &["--dry-run"])), "Function f is unchanged\n");
    assert_eq!(out(&apply(&good, &[])), "Function f is unchanged\nFunction f is running\n");

    describe("b: '3', c: '4'");
    let diff = "- config.a: 1\n~ config.b: 2 -> 3\n+ config.c: 4\n";
    assert_eq!(out(&apply(&good, &["--dry-run"])), format!("{diff}Function f would be changed\n"));
    assert!(out(&server.client(&["describe", "-n", "f"])).contains("config    a=1\n"), "nothing was done");
    let changed = apply(&good, &[]);
    let told = format!("{diff}Function f is at revision 2\nFunction f is running\n");
    assert_eq!(out(&changed), told, "{}", err(&changed));
    // It comes to an end as an update does.
    let taken_back = apply(&bad, &[]);
    assert_eq!(taken_back.status.code(), Some(1));
    assert!(out(&taken_back).starts_with("~ archive: sha256:"), "{}", out(&taken_back));
    assert!(
        err(&taken_back).contains("; revision 2 is in force again, as revision 4, and runs"),
        "{}",
        err(&taken_back)
    );

    std::fs::write(&path, "name: f\ninputs: [[]]\noutputs: 3\n").unwrap();
    let refused = apply(&good, &["--dry-run"]);
    assert!(err(&refused).starts_with("error FS-1103: "), "{}", err(&refused));
}

/// A description of a function that copies a topic, with more lines.
pub(crate) fn described(name: &str, more: &str) -> String {
    format!(
        "name: {name}\ninput-groups: [{{inputs: [{{input-type: log, topic: in}}]}}]\n\
         outputs: [{{output-type: log, topic: out-{name}}}]\n{more}\n"
    )
}

#[test]
fn descriptions_are_applied_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    echo(&folder);
    stillborn(&folder);
    let place = folder.path().join("deploy");
    std::fs::create_dir(&place).unwrap();
    let write = |file: &str, text: &str| std::fs::write(place.join(file), text).unwrap();
    let apply = |more: &[&str]| server.client(&[&["apply", "-f", place.to_str().unwrap()], more].concat());
    let good = "archive: ../echo.wasm";
    write("1.yaml", &format!("# two\n---\n{}---\n{}", described("a", good), described("b", good)));
    write("2.yml", &described("c", &format!("{good}\nfrom: soon")));
    write("notes.txt", "no description");
    let listed = || out(&server.client(&["list"])).to_owned();

    // What is wrong with one is told with its place, and nothing is done.
    let refused = apply(&[]);
    let told = err(&refused);
    assert!(told.starts_with("error FS-1103: ") && told.contains("2.yml:5:7: 'from': 'soon' is none of"), "{told}");
    assert_eq!(listed(), "");
    // So it is with what only the server knows.
    write("2.yml", &described("c", &format!("{good}\nfiles: [{{host: /etc}}]")));
    let refused = apply(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        err(&refused).contains("2.yml: nothing was changed, since not every description is accepted"),
        "{}",
        err(&refused)
    );
    assert_eq!(listed(), "");

    write("2.yml", &described("c", good));
    let dry = apply(&["--dry-run"]);
    assert!(out(&dry).starts_with("a:\n+ archive: sha256:"), "{} {}", out(&dry), err(&dry));
    let ends = "Function a would be created\nFunction b would be created\nFunction c would be created\n";
    assert!(out(&dry).ends_with(ends), "{}", out(&dry));
    assert_eq!(listed(), "");
    assert!(apply(&[]).status.success());
    assert_eq!(listed(), "a\nb\nc\n");
    let again = apply(&["--no-wait"]);
    assert_eq!(out(&again), "Function a is unchanged\nFunction b is unchanged\nFunction c is unchanged\n");

    // The second does not come up: the first is changed, and the third is not tried.
    let [changed, bad] = ["replicas: 2", "archive: ../stillborn.wasm"];
    write("1.yaml", &format!("{}---\n{}", described("a", &format!("{good}\n{changed}")), described("b", bad)));
    write("2.yml", &described("c", &format!("{good}\n{changed}")));
    let failed = apply(&[]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(out(&failed).contains("Function a is at revision 2\n"), "{}", out(&failed));
    let told = err(&failed);
    assert!(told.contains("not applied, since function b failed: c\n"), "{told}");
    assert!(told.contains("error FS-1117: function 'b' was updated to revision 2, but does not come up"), "{told}");
    let revision = |name: &str| out(&server.client(&["describe", "-n", name])).contains("revision  1\n");
    assert!(revision("c") && !revision("a"));

    // Wrong usage.
    write("1.yaml", &described("a", ""));
    for (says, wrong) in [
        ("there is no artifact for function 'a': give --archive, or 'archive' in '", described("c", good)),
        ("function 'a' is described twice, in '", described("a", good)),
        ("describes no function", "# nothing\n".to_owned()),
    ] {
        write("2.yml", &wrong);
        let archive: &[&str] = if says.contains("no artifact") { &[] } else { &["-a", "sha256:00"] };
        let refused = apply(archive);
        assert!(refused.status.code() == Some(2) && err(&refused).contains(says), "{}", err(&refused));
    }
    server.stop();
}

#[test]
fn one_that_failed_and_is_applied_again_is_told_one_truth() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let (bad, config) = (stillborn(&folder), folder.path().join("config.yaml"));
    std::fs::write(&config, described("f", "")).unwrap();
    let apply = ["apply", "-f", config.to_str().unwrap(), "-a", &bad];
    let created = server.client(&apply);
    assert!(err(&created).starts_with("error FS-1117: function 'f' was created, but does not come up: "));
    let again = server.client(&apply);
    assert_eq!((again.status.code(), out(&again)), (Some(1), "Function f is unchanged\n"));
    let told = err(&again);
    assert!(told.starts_with("error FS-1117: function 'f' stays at revision 1, but does not come up: "), "{told}");
    server.stop();
}
