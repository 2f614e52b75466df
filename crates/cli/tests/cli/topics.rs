// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics: their limits, their partitions, their names and what is in them.

use crate::support::Server;
use crate::told::{echo, err, out};

#[test]
fn a_null_value_is_produced_and_printed_as_null() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let produced = server.client(&["produce", "-n", "t", "--null", "-k", "k"]);
    assert_eq!((out(&produced), err(&produced)), ("Event produced\n", "note: there is no topic 't' yet\n"));
    assert!(server.client(&["produce", "-n", "t", "-c", "null"]).status.success());
    let consumed = server.client(&["consume", "-n", "t", "-c", "2", "-t", "60s"]);
    assert_eq!((out(&consumed), err(&consumed)), ("null\n\"null\"\n", ""));
    server.stop();
}

#[test]
fn a_topic_is_altered_and_describe_says_whose_limits_hold() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    assert!(server.client(&["topic", "create", "-n", "t", "--retention", "90m"]).status.success());
    let kept = || {
        let described = server.client(&["topic", "describe", "-n", "t"]);
        out(&described)
            .lines()
            .find(|line| line.starts_with("kept"))
            .unwrap()
            .split_once(' ')
            .unwrap()
            .1
            .trim()
            .to_owned()
    };
    assert_eq!(kept(), "90m by arrival, without bound (the server's default)");
    let alter = |args: &[&str]| server.client(&[&["topic", "alter", "-n", "t"], args].concat());
    let altered =
        alter(&["--retention", "default", "--retention-bytes", "1MiB", "--retention-by", "event-time", "-p", "2"]);
    assert_eq!((out(&altered), err(&altered)), ("Topic altered: t\n", ""));
    assert_eq!(kept(), "for ever by event-time (the server's default), 1.0 MiB a partition");
    let archive = echo(&folder);
    assert!(
        server
            .client(&["create", "-n", "f", "-a", &archive, "-i", "t", "-i", "u", "-o", "o", "-r", "2"])
            .status
            .success()
    );
    let altered = alter(&["--partitions", "3"]);
    assert_eq!(out(&altered), "Topic altered: t\nFunction restarted: f\n");
    assert!(
        err(&altered).starts_with("note: function 'f': input 't' has 3 partitions and input 'u' 2: "),
        "{}",
        err(&altered)
    );
    let refused = alter(&["-p", "1"]);
    assert!(err(&refused).starts_with("error FS-1311: topic 't' has 3 partitions"), "{}", err(&refused));
    for wrong in [&[][..], &["--accept-moved-keys"], &["--retention", "soon"], &["--retention-by", "luck"]] {
        assert_eq!(alter(wrong).status.code(), Some(2), "{wrong:?}");
    }
    server.stop();
}

#[test]
fn a_name_that_is_no_topic_is_told_with_the_nearest_that_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let produced = server.client(&["produce", "-n", "orders", "-c", "a"]);
    assert_eq!((out(&produced), err(&produced)), ("Event produced\n", "note: there is no topic 'orders' yet\n"));
    let produced = server.client(&["produce", "-n", "orders", "-c", "b"]);
    assert_eq!((out(&produced), err(&produced)), ("Event produced\n", ""), "it is there");
    let consumed = server.client(&["consume", "-n", "oders", "-t", "1ms"]);
    assert_eq!((consumed.status.code(), out(&consumed)), (Some(1), ""));
    let told = "note: there is no topic 'oders' yet, its first event is waited for; did you mean 'orders'?\n";
    assert!(err(&consumed).starts_with(told), "{}", err(&consumed));
    assert_eq!(out(&server.client(&["topic", "list"])), "orders\n");
    let produced = server.client(&["produce", "-n", "Orders", "-c", "a"]);
    assert_eq!(err(&produced), "note: there is no topic 'Orders' yet; did you mean 'orders'?\n");
    assert_eq!(out(&server.client(&["topic", "list"])), "Orders\norders\n", "it is made all the same");
    server.stop();
}

#[test]
fn more_replicas_than_partitions_and_inputs_that_do_not_meet_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let archive = echo(&folder);
    assert!(server.client(&["topic", "create", "-n", "one"]).status.success());
    assert!(server.client(&["topic", "create", "-n", "two", "-p", "2"]).status.success());
    let create = |name: &str, args: &[&str]| {
        server.client(&[&["create", "-n", name, "-a", &archive, "-o", "out"], args].concat())
    };
    let created = create("f", &["-i", "one", "-r", "4"]);
    assert_eq!(out(&created), "Function created: f\nFunction f is running\n");
    assert!(
        err(&created).starts_with("note: replicas is 4, but there is a task for each partition"),
        "{}",
        err(&created)
    );
    let refused = create("g", &["-i", "one", "-i", "two"]);
    assert!(err(&refused).starts_with("error FS-1313: input 'one' has 1 partition"), "{}", err(&refused));
    assert!(create("g", &["-i", "one", "-i", "two", "--no-join"]).status.success());
    assert!(out(&server.client(&["describe", "-n", "g"])).contains("no-join   true\n"));
    let refused = server.client(&["update", "-n", "g", "--no-join", "false"]);
    assert!(err(&refused).starts_with("error FS-1313"), "{}", err(&refused));
    server.stop();
}

#[test]
fn topics_are_named_in_their_text_form_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let (input, output) = ("persistent://t/n/in", "t/n/out");
    let archive = echo(&folder);
    let created = server.client(&["create", "-n", "f", "-a", &archive, "-i", input, "-o", output]);
    assert_eq!(err(&created), "");
    assert!(server.client(&["produce", "-n", input, "-c", "e"]).status.success());
    assert_eq!(out(&server.client(&["consume", "-n", output, "-t", "60s"])), "\"e\"\n");
    assert!(out(&server.client(&["topic", "describe", "-n", input])).contains("name       persistent://t/n/in\n"));
    let described = server.client(&["describe", "-n", "f"]);
    assert!(out(&described).contains("inputs    persistent://t/n/in\n"), "{}", out(&described));

    for args in [
        &["produce", "-n", "t@prod", "-c", "e"][..],
        &["consume", "-n", "t@prod", "-t", "1ms"],
        &["topic", "create", "-n", "t@prod"],
        &["topic", "describe", "-n", "t@prod"],
        &["topic", "delete", "-n", "t@prod"],
        &["create", "-n", "g", "-a", &archive, "-i", "t@prod", "-o", "o"],
        &["update", "-n", "f", "-o", "t@prod"],
    ] {
        let refused = server.client(args);
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        assert!(err(&refused).starts_with("error FS-1309: topic 't@"), "{args:?}: {}", err(&refused));
    }
    server.stop();
}
