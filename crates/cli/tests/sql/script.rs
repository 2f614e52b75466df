// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Texts that are there as a whole: what is printed where, and the exit code.

use std::io::Write;
use std::process::Stdio;

use tempfile::TempDir;

use super::fake::Fake;
use super::{command, err, out};

fn run(fake: &Fake, args: &[&str]) -> std::process::Output {
    command(fake.port, std::env::temp_dir().as_path()).args(args).output().unwrap()
}

#[test]
fn statements_of_the_command_line_run_in_order() {
    let fake = Fake::start();
    let output = run(&fake, &["-e", "show functions; stop function word-count", "-e", "SHOW TOPICS -- all"]);
    let expected = r#"+------------+-----------+---------+
| name       | task_type | status  |
+==================================+
| enrich     | processor | Running |
| word-count | processor | Stopped |
+------------+-----------+---------+
2 rows
function 'word-count' is stopped
+----------+------------+
| name     | partitions |
+=======================+
| orders   |          4 |
| a "b", c |          1 |
+----------+------------+
2 rows
"#;
    assert_eq!(out(&output), expected);
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""));
    assert_eq!(fake.sql(), ["show functions", "stop function word-count", "SHOW TOPICS"]);
}

#[test]
fn a_file_and_standard_input_are_read_too() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    std::fs::write(folder.path().join("stop.sql"), "\u{feff}-- one\r\nSTOP FUNCTION\r\n  word-count;\r\n").unwrap();
    let output = command(fake.port, folder.path()).args(["-f", "stop.sql"]).output().unwrap();
    assert_eq!((out(&output), output.status.code()), ("function 'word-count' is stopped\n", Some(0)));

    for args in [&[][..], &["-f", "-"]] {
        let mut child =
            command(fake.port, folder.path()).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"stop function word-count;\n;").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((out(&output), output.status.code()), ("function 'word-count' is stopped\n", Some(0)));
    }
    assert_eq!(fake.sql().len(), 3);
}

#[test]
fn other_programs_get_json_or_csv() {
    let fake = Fake::start();
    let sql = "SHOW FUNCTIONS; STOP FUNCTION word-count; SHOW TOPICS";
    let output = run(&fake, &["--format", "json", "-e", sql]);
    let expected = r#"[{"name":"enrich","task_type":"processor","status":"Running"},{"name":"word-count","task_type":"processor","status":"Stopped"}]
{"message":"function 'word-count' is stopped"}
[{"name":"orders","partitions":4},{"name":"a \"b\", c","partitions":1}]
"#;
    assert_eq!((out(&output), err(&output)), (expected, ""));

    let output = run(&fake, &["--format", "csv", "-e", sql]);
    let expected = "name,task_type,status\nenrich,processor,Running\nword-count,processor,Stopped\n\n\
                    name,partitions\norders,4\n\"a \"\"b\"\", c\",1\n";
    assert_eq!((out(&output), err(&output)), (expected, "function 'word-count' is stopped\n"));
}

#[test]
fn a_text_with_a_mistake_is_not_begun() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let output = run(&fake, &["-e", "STOP FUNCTION word-count; STRAT FUNCTION a", "-e", "SHOW"]);
    let expected = "error FS-1007 at 1:27: no statement begins with 'STRAT'
  |
1 | STOP FUNCTION word-count; STRAT FUNCTION a
  |                           ^^^^^
hint: did you mean 'START'?

error FS-1007 at 1:5: expected FUNCTIONS, TOPICS, STATE or DEAD, found the end of the statement
  |
1 | SHOW
  |     ^
hint: the statement is: SHOW FUNCTIONS | TOPICS | STATE OF name | DEAD LETTERS OF name
";
    assert_eq!((out(&output), err(&output), output.status.code()), ("", expected, Some(1)));
    assert!(fake.sql().is_empty());

    std::fs::write(folder.path().join("bad.sql"), "SHOW TOPICS;\nSHOW 'x").unwrap();
    let output = command(fake.port, folder.path()).args(["-f", "bad.sql"]).output().unwrap();
    assert!(
        err(&output).starts_with("in 'bad.sql':\nerror FS-1007 at 2:6: the text is not closed\n"),
        "{}",
        err(&output)
    );
    assert!(fake.sql().is_empty());
}

#[test]
fn the_first_failure_ends_it_unless_it_is_to_go_on() {
    let fake = Fake::start();
    let sql = "STOP FUNCTION word-count;\nSTOP FUNCTION\n  nobody; STOP FUNCTION word-count";
    let output = run(&fake, &["-e", sql]);
    let expected = "line 2: STOP FUNCTION …
error FS-1102: there is no function of this name\\u{1b}[2J
advice: see 'function-stream client list' for the names
";
    assert_eq!((out(&output), err(&output)), ("function 'word-count' is stopped\n", expected));
    assert_eq!((output.status.code(), fake.sql().len()), (Some(1), 2));

    let output = run(&fake, &["--keep-going", "-e", sql, "-e", "STRAT; STOP FUNCTION word-count"]);
    assert_eq!(out(&output), "function 'word-count' is stopped\n".repeat(3));
    assert!(err(&output).contains("error FS-1102: ") && err(&output).contains("error FS-1007 at 1:1: "));
    assert_eq!(output.status.code(), Some(1));

    let output = run(&fake, &["-e", "STOP FUNCTION nobody"]);
    assert!(err(&output).starts_with("error FS-1102: "), "{}", err(&output));
}

#[test]
fn a_server_that_is_not_there_is_exit_code_3() {
    let folder = TempDir::new().unwrap();
    // A port that was free a moment ago.
    let port = Fake::start().port;
    let output =
        command(port, folder.path()).args(["--keep-going", "-e", "SHOW TOPICS; SHOW TOPICS"]).output().unwrap();
    assert_eq!((out(&output), output.status.code()), ("", Some(3)));
    assert_eq!(err(&output).matches("error FS-1704: ").count(), 1, "{}", err(&output));
    assert!(err(&output).contains("--host and --port"), "{}", err(&output));
    // Nothing to do needs no server, and a mistake none to be told.
    assert_eq!(command(port, folder.path()).output().unwrap().status.code(), Some(0));
    assert_eq!(command(port, folder.path()).args(["-e", "SHOW"]).output().unwrap().status.code(), Some(1));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let fake = Fake::start();
    for args in [
        &["-e", "SHOW TOPICS", "-f", "x.sql"][..],
        &["-f", "missing.sql"],
        &["-f", "/"],
        &["-h", "a b", "-e", "SHOW TOPICS"],
        &["-h", "", "-e", "SHOW TOPICS"],
        &["-p", "0", "-e", "SHOW TOPICS"],
        &["--format", "xml", "-e", "SHOW TOPICS"],
        &["SHOW TOPICS"],
        &["-f", "/dev/zero"],
    ] {
        let output = run(&fake, args);
        assert_eq!((out(&output), output.status.code()), ("", Some(2)), "{args:?}: {}", err(&output));
        assert!(!err(&output).is_empty(), "{args:?}");
    }
    assert!(fake.sql().is_empty());
    let help = run(&fake, &["--help"]);
    assert!(out(&help).contains("-h, --host") && out(&help).contains("Exit codes: "), "{}", out(&help));
}

#[test]
fn create_function_uploads_files_of_this_machine() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    std::fs::write(folder.path().join("it's.wasm"), b"\0asm").unwrap();
    std::fs::write(folder.path().join("config.yaml"), b"name: made\n").unwrap();
    let with = "with (\n  'function_path'='it''s.wasm',\n  'config_path'='config.yaml'\n);";
    let forms = ["create function", "CREATE OR REPLACE FUNCTION", "Create Function If Not Exists"];
    for form in forms {
        let output = command(fake.port, folder.path()).args(["-e", &format!("{form} {with}")]).output().unwrap();
        assert_eq!((out(&output), err(&output)), ("function 'made' is created\n", ""));
    }
    let created = fake.told.created.lock();
    let modes: Vec<_> = created.iter().map(|create| (create.or_replace, create.if_not_exists)).collect();
    assert_eq!(modes, [(false, false), (true, false), (false, true)]);
    assert!(created.iter().all(|c| c.function_bytes == b"\0asm"[..] && c.config_bytes == b"name: made\n"[..]));
    assert!(fake.sql().is_empty());
}

#[test]
fn files_that_cannot_be_uploaded_are_told_before_anything_is_sent() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    std::fs::write(folder.path().join("config.yaml"), b"name: made\n").unwrap();
    let large = std::fs::File::create(folder.path().join("large.wasm")).unwrap();
    large.set_len(64 << 20).unwrap();
    let cases = [
        ("missing.wasm", "config.yaml", "error FS-1201: cannot read 'missing.wasm': No such file"),
        (".", "config.yaml", "error FS-1201: cannot read '.': the source has 2 files and 67108875 bytes, more than"),
        ("config.yaml", "missing.yaml", "error FS-1103: cannot read 'missing.yaml': No such file"),
        ("large.wasm", "config.yaml", "error FS-1003: 'large.wasm' and 'config.yaml' have 67108875 bytes, more than"),
    ];
    for (function, config, says) in cases {
        let sql = format!("CREATE FUNCTION WITH ('function_path'='{function}', 'config_path'='{config}')");
        let output = command(fake.port, folder.path()).args(["-e", &sql]).output().unwrap();
        assert_eq!((out(&output), output.status.code()), ("", Some(1)));
        assert!(err(&output).starts_with(says), "{}", err(&output));
        assert!(err(&output).contains("\nadvice: "), "{}", err(&output));
    }
    large.set_len((64 << 20) - 2_048).unwrap();
    let sql = "CREATE FUNCTION WITH ('function_path'='large.wasm', 'config_path'='config.yaml')";
    let output = command(fake.port, folder.path()).args(["-e", sql]).output().unwrap();
    assert_eq!((out(&output), err(&output)), ("function 'made' is created\n", ""));
    assert_eq!(fake.told.created.lock().len(), 1);
}

#[test]
fn a_reader_that_goes_away_is_no_complaint() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut child = command(fake.port, folder.path())
        .args(["-e", &"SHOW FUNCTIONS;".repeat(2_000)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((err(&output), output.status.code()), ("", Some(1)));
}
