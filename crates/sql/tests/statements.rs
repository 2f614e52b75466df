// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What text means: each form of each statement, the ways to write names and texts, and the places of statements.

use fnstream_core::ErrorCode;
use fnstream_sql::{MAX_BYTES, MAX_ERRORS, OnExisting, Pattern, Statement, parse, parse_each};

fn one(sql: &str) -> Statement {
    let mut all = parse(sql).unwrap_or_else(|errors| panic!("{}", errors.render(sql)));
    assert_eq!(all.len(), 1, "{sql}");
    all.remove(0).node
}

fn create(on_existing: OnExisting, function_path: &str, config_path: &str) -> Statement {
    Statement::CreateFunction {
        on_existing,
        function_path: function_path.to_owned(),
        config_path: config_path.to_owned(),
    }
}

fn start(name: &str) -> Statement {
    Statement::StartFunction { name: name.to_owned() }
}

#[test]
fn the_statement_of_the_guide_means_what_it_says() {
    let sql = "create function with (\n  'function_path'='/path/to/build/processor.wasm',\n  'config_path'='/path/to/config.yaml'\n);";
    assert_eq!(one(sql), create(OnExisting::Fail, "/path/to/build/processor.wasm", "/path/to/config.yaml"));
}

#[test]
fn each_form_of_create() {
    let table = [
        ("CREATE FUNCTION WITH ('function_path'='a', 'config_path'='b')", create(OnExisting::Fail, "a", "b")),
        ("CREATE FUNCTION WITH ('config_path'='b','function_path'='a')", create(OnExisting::Fail, "a", "b")),
        ("CREATE FUNCTION WITH (function_path = 'a', config_path = 'b',)", create(OnExisting::Fail, "a", "b")),
        (
            r#"create function with ("function_path"="a b", "config_path"='it''s')"#,
            create(OnExisting::Fail, "a b", "it's"),
        ),
        (
            "CREATE OR REPLACE FUNCTION WITH ('function_path'='a', 'config_path'='b')",
            create(OnExisting::Replace, "a", "b"),
        ),
        (
            "Create Function If Not Exists With('function_path'='a','config_path'='b')",
            create(OnExisting::Keep, "a", "b"),
        ),
        (
            r"CREATE FUNCTION WITH ('function_path'='C:\new\a.wasm', 'config_path'='日本/b')",
            create(OnExisting::Fail, r"C:\new\a.wasm", "日本/b"),
        ),
        (
            "CREATE FUNCTION WITH ('function_path'='a;b--c/*d', 'config_path'='\n')",
            create(OnExisting::Fail, "a;b--c/*d", "\n"),
        ),
    ];
    table.into_iter().for_each(|(sql, statement)| assert_eq!(one(sql), statement, "{sql}"));
}

#[test]
fn each_form_of_the_others() {
    let name = || "word-count".to_owned();
    let pattern = |text| Pattern::new(text);
    let prefix = |text| Pattern::prefix(text);
    let table = [
        ("START FUNCTION word-count", Statement::StartFunction { name: name() }),
        ("stop function word-count", Statement::StopFunction { name: name() }),
        ("Restart Function word-count", Statement::RestartFunction { name: name() }),
        ("DROP FUNCTION word-count", Statement::DropFunction { name: name(), if_exists: false }),
        ("DROP FUNCTION IF EXISTS word-count", Statement::DropFunction { name: name(), if_exists: true }),
        ("DESCRIBE FUNCTION word-count", Statement::DescribeFunction { name: name() }),
        ("ROLLBACK FUNCTION word-count TO REVISION 3", Statement::RollbackFunction { name: name(), revision: 3 }),
        ("ROLLBACK FUNCTION word-count TO REVISION 007", Statement::RollbackFunction { name: name(), revision: 7 }),
        (
            "alter topic word-count set (partitions = 4, 'retention'=\"7d\", retention_bytes=default)",
            Statement::AlterTopic {
                name: name(),
                settings: vec![
                    ("partitions", "4".to_owned()),
                    ("retention", "7d".to_owned()),
                    ("retention_bytes", "default".to_owned()),
                ],
            },
        ),
        (
            "ALTER TOPIC 'persistent://t/n/in' SET ('retention_by'='event-time')",
            Statement::AlterTopic {
                name: "persistent://t/n/in".to_owned(),
                settings: vec![("retention_by", "event-time".to_owned())],
            },
        ),
        ("SHOW FUNCTIONS", Statement::ShowFunctions { like: None }),
        ("SHOW FUNCTIONS LIKE 'word%'", Statement::ShowFunctions { like: pattern("word%") }),
        ("SHOW FUNCTIONS LIKE \"word%\"", Statement::ShowFunctions { like: pattern("word%") }),
        ("SHOW FUNCTIONS LIKE'word%'", Statement::ShowFunctions { like: pattern("word%") }),
        ("SHOW TOPICS", Statement::ShowTopics { like: None }),
        ("SHOW TOPICS LIKE ''", Statement::ShowTopics { like: pattern("") }),
        ("SHOW STATE OF word-count", Statement::ShowState { name: name(), like: None, limit: None }),
        ("SHOW STATE OF word-count LIMIT 0", Statement::ShowState { name: name(), like: None, limit: Some(0) }),
        (
            "SHOW STATE OF word-count LIKE 'user:'",
            Statement::ShowState { name: name(), like: prefix("user:"), limit: None },
        ),
        (
            "SHOW STATE OF word-count LIKE 'user:' LIMIT 18446744073709551615",
            Statement::ShowState { name: name(), like: prefix("user:"), limit: Some(u64::MAX) },
        ),
        ("SHOW DEAD LETTERS OF word-count", Statement::ShowDeadLetters { name: name(), limit: None }),
        ("SHOW DEAD LETTERS OF word-count LIMIT 10", Statement::ShowDeadLetters { name: name(), limit: Some(10) }),
    ];
    table.into_iter().for_each(|(sql, statement)| assert_eq!(one(sql), statement, "{sql}"));
}

#[test]
fn names_are_written_bare_or_in_any_quotes() {
    let bare = [
        "a",
        "A",
        "word-count",
        "a.b-c_d",
        "9",
        "1e5",
        "1e-5",
        "0x1f",
        "1.5",
        "1_000",
        "2L",
        "9lives",
        "_x",
        "_",
        "a-",
        "a.",
        "a..b",
        "a.._b",
        "a-._b",
        "1._x",
        "a-1",
        "function",
        "FUNCTION",
        "like",
        "limit",
        "exists",
        "n",
        "x",
        "X-ray",
        "b",
        "e",
    ];
    for name in bare {
        assert_eq!(one(&format!("START FUNCTION {name}")), start(name));
        assert_eq!(one(&format!("START FUNCTION {name};")), start(name));
        assert_eq!(one(&format!("START FUNCTION {name}/* that one */-- and so on")), start(name));
    }
    for quote in ['"', '\'', '`'] {
        for name in bare.into_iter().chain(["a--b", "if", "a-.-b"]) {
            assert_eq!(one(&format!("start function{quote}{name}{quote}")), start(name));
        }
    }
    assert_eq!(
        one("DROP FUNCTION IF EXISTS exists"),
        Statement::DropFunction { name: "exists".to_owned(), if_exists: true }
    );
    assert_eq!(
        one("SHOW STATE OF limit LIMIT 5"),
        Statement::ShowState { name: "limit".to_owned(), like: None, limit: Some(5) }
    );
}

#[test]
fn blanks_and_comments_stand_anywhere() {
    let same = [
        "\tSTART\nFUNCTION\r\n  a  ;",
        "\u{feff}START FUNCTION a",
        "START\u{a0}FUNCTION\u{3000}a",
        "-- first\nSTART -- then ; '\nFUNCTION a -- last",
        "/* 'it */START/* /* nested; */ */FUNCTION/**/a;-- ;",
        ";;START FUNCTION a;;\n;",
    ];
    same.into_iter().for_each(|sql| assert_eq!(one(sql), start("a"), "{sql:?}"));
    for nothing in ["", ";", " ; ;\n", "-- a", "/* a; */", "\u{feff}"] {
        assert_eq!(parse(nothing).unwrap(), vec![], "{nothing:?}");
    }
}

#[test]
fn each_statement_knows_its_part_of_the_text() {
    let sql = "  SHOW TOPICS LIKE 'ä;b' ; -- and\n stop function b /* now */;\ndrop function c";
    let all = parse(sql).unwrap();
    let texts: Vec<_> = all.iter().map(|statement| statement.text(sql)).collect();
    assert_eq!(texts, ["SHOW TOPICS LIKE 'ä;b'", "stop function b", "drop function c"]);
    for statement in &all {
        assert_eq!(one(statement.text(sql)), statement.node);
    }
}

#[test]
fn what_is_right_is_kept_beside_what_is_wrong() {
    let each = parse_each("SHOW TOPICS; STRAT FUNCTION a; START FUNCTION b; SHOW FUNCTIONS LIKE 'x");
    let right: Vec<_> = each.iter().map(Result::is_ok).collect();
    assert_eq!(right, [true, false, true, false]);
}

#[test]
fn a_text_that_is_too_long_is_not_looked_at() {
    let comment = |length: usize| format!("--{}", "x".repeat(length - 2));
    assert_eq!(parse(&comment(MAX_BYTES)).unwrap(), vec![]);
    let long = comment(MAX_BYTES + 1);
    let errors = parse(&long).unwrap_err();
    assert_eq!(errors.first().code, ErrorCode::InvalidSql);
    assert_eq!(errors.first().message, "the text has 1048577 bytes, more than 1048576");
    assert!(errors.render(&long).len() < 1_000);
}

#[test]
fn hostile_texts_are_read_in_one_go() {
    let filled = |part: &str| part.repeat(MAX_BYTES / part.len());
    for part in [
        "(",
        ";",
        "a;",
        "'",
        "''",
        "\"",
        "/*",
        "/* */",
        "--",
        "-",
        ".",
        "a.._b",
        "._",
        "$",
        "$a$",
        "\\",
        "é",
        "🦀",
        "\n",
        "n'",
        "x'\\",
        "start function a;",
    ] {
        let text = filled(part);
        // Not that it is wrong, but that it ends.
        if let Err(errors) = parse(&text) {
            assert!(errors.iter().count() <= MAX_ERRORS + 1);
            errors.render(&text);
        }
    }
    let wide = format!("START FUNCTION {}", "x".repeat(MAX_BYTES - 20));
    assert!(parse(&wide).unwrap_err().render(&wide).len() < 2_000);
}

#[test]
fn mistakes_become_coded_errors_with_their_places() {
    let error = fnstream_core::Error::from(parse("STOP FUNCTON a;\nSTOP b").unwrap_err());
    assert_eq!(error.code, ErrorCode::InvalidSql);
    assert_eq!(
        error.message,
        "line 1, column 6: expected FUNCTION, found 'FUNCTON'; did you mean 'FUNCTION'?\n\
         line 2, column 6: expected FUNCTION, found 'b'; the statement is: STOP FUNCTION name"
    );
    assert_eq!(fnstream_core::Error::from(parse("STOP FUNCTION 'a b'").unwrap_err()).code, ErrorCode::InvalidName);
}

#[test]
fn what_could_steer_a_terminal_is_not_shown() {
    let sql = "DROP FUNCTION a \u{1b}[2J\u{7}\u{202e}b\r\n";
    let shown = parse(sql).unwrap_err().render(sql);
    assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']), "{shown:?}");
    assert!(shown.contains("1 | DROP FUNCTION a ?[2J??b\n"), "{shown}");
    for sql in ["SHOW TOPICS LIKE 5\u{1b}[2J", "CREATE FUNCTION WITH (function_path=\0", "START FUNCTION \"\u{202e}\""]
    {
        let shown = parse(sql).unwrap_err().render(sql);
        assert!(!shown.contains(['\u{1b}', '\0', '\u{202e}']), "{shown:?}");
    }
}
