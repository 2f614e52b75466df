// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Whatever the text: no panic, places on character boundaries, and what is printed is read as the same.

#![allow(clippy::unwrap_used, reason = "a test may say plainly what it takes for granted")]

use fnstream_sql::{
    OnExisting, Pattern, SqlError, Statement, TOPIC_SETTINGS, completion, is_complete, parse, parse_each,
};
use proptest::prelude::*;

/// Texts that look like SQL, more or less.
fn nearly_sql() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        prop::sample::select(fnstream_sql::KEYWORDS.to_vec()).prop_map(str::to_owned),
        prop::sample::select(vec![
            ";",
            "(",
            ")",
            "=",
            ",",
            "'",
            "\"",
            "`",
            "--",
            "/*",
            "*/",
            "\n",
            "\t",
            "\r\n",
            "'a'",
            "\"b\"",
            "a-b",
            "1e5",
            "._",
            "$$",
            "N'",
            "x'",
            "é",
            "日",
            "🦀",
            "\u{a0}",
            "\u{feff}",
            "\\",
            "\u{1b}",
            "\0",
            "\u{202e}",
            "%",
            "0",
            "18446744073709551616",
        ])
        .prop_map(str::to_owned),
        "[a-z0-9._-]{1,8}",
        "\\PC{0,4}",
    ];
    prop::collection::vec((word, prop::sample::select(vec!["", " ", "  "])), 0..24)
        .prop_map(|words| words.into_iter().map(|(word, blank)| word + blank).collect())
}

fn check(sql: &str) -> Result<(), TestCaseError> {
    for one in parse_each(sql) {
        match one {
            Ok(statement) => {
                let part = sql.get(statement.span.clone());
                prop_assert!(part.is_some(), "{:?} is no part of {sql:?}", statement.span);
                let again = parse(part.unwrap_or_default()).unwrap();
                prop_assert_eq!(&again[0].node, &statement.node);
                prop_assert_eq!(&parse(&statement.node.to_string()).unwrap()[0].node, &statement.node);
            }
            Err(error) => {
                let SqlError { span, line, column, .. } = &error;
                prop_assert!(sql.get(span.clone()).is_some(), "{span:?} is no part of {sql:?}");
                prop_assert!(*line >= 1 && *column >= 1);
                let shown = error.render(sql);
                let problem = shown.chars().find(|c| c.is_control() && *c != '\n');
                prop_assert!(problem.is_none(), "{shown:?}");
            }
        }
    }
    is_complete(sql);
    let found = completion(sql);
    prop_assert!(sql.is_char_boundary(found.start));
    Ok(())
}

/// Names of every allowed form, and texts of any.
fn statement() -> impl Strategy<Value = Statement> {
    let name = || "[A-Za-z0-9_][A-Za-z0-9._-]{0,11}".prop_filter("a name", |name| !name.is_empty());
    let text = || "\\PC{1,12}";
    let like = |make: fn(&str) -> Option<Pattern>| {
        prop::option::of("\\PC{0,8}".prop_filter_map("a pattern", move |text| make(&text)))
    };
    let existing = prop::sample::select(vec![OnExisting::Fail, OnExisting::Keep, OnExisting::Replace]);
    let limit = || prop::option::of(any::<u64>());
    prop_oneof![
        (existing, text(), text()).prop_map(|(on_existing, function_path, config_path)| Statement::CreateFunction {
            on_existing,
            function_path,
            config_path
        }),
        name().prop_map(|name| Statement::StartFunction { name }),
        name().prop_map(|name| Statement::StopFunction { name }),
        name().prop_map(|name| Statement::RestartFunction { name }),
        (name(), any::<bool>()).prop_map(|(name, if_exists)| Statement::DropFunction { name, if_exists }),
        (name(), 1..=u64::MAX).prop_map(|(name, revision)| Statement::RollbackFunction { name, revision }),
        (name(), prop::sample::subsequence(TOPIC_SETTINGS.to_vec(), 1..5), text()).prop_map(
            |(name, settings, value)| {
                Statement::AlterTopic {
                    name,
                    settings: settings.into_iter().map(|setting| (setting, value.clone())).collect(),
                }
            }
        ),
        name().prop_map(|name| Statement::DescribeFunction { name }),
        like(Pattern::new).prop_map(|like| Statement::ShowFunctions { like }),
        like(Pattern::new).prop_map(|like| Statement::ShowTopics { like }),
        (name(), like(Pattern::prefix), limit()).prop_map(|(name, like, limit)| Statement::ShowState {
            name,
            like,
            limit
        }),
        (name(), limit()).prop_map(|(name, limit)| Statement::ShowDeadLetters { name, limit }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused_at_a_place(sql in any::<String>()) {
        check(&sql)?;
    }

    #[test]
    fn any_text_that_looks_like_sql_is_read_or_refused_at_a_place(sql in nearly_sql()) {
        check(&sql)?;
    }

    #[test]
    fn what_is_printed_is_read_as_the_same(statements in prop::collection::vec(statement(), 1..4)) {
        let printed: Vec<_> = statements.iter().map(Statement::to_string).collect();
        let read: Vec<_> = parse(&printed.join(";")).unwrap().into_iter().map(|one| one.node).collect();
        prop_assert_eq!(read, statements);
    }

    #[test]
    fn a_beginning_of_a_statement_wants_something_or_is_whole(statement in statement(), cut in any::<prop::sample::Index>()) {
        let printed = statement.to_string();
        let words: Vec<_> = printed.split(' ').collect();
        let before = words[..cut.index(words.len())].join(" ");
        prop_assume!(!before.contains(['\'', '"']));
        let found = completion(&format!("{before} "));
        prop_assert!(!found.wanted.is_empty(), "nothing is wanted after {:?}", before);
    }
}
