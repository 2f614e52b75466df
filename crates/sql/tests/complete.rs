// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a prompt is told: whether to go on asking, and what to offer.

use fnstream_sql::{KEYWORDS, Wanted, completion, is_complete};

#[test]
fn a_text_is_complete_when_nothing_waits_for_its_end() {
    for complete in ["", "  \n", "SHOW FUNCTIONS;", "a; b; -- c", "SELECT 1;\n\n", "/* ; */", "'a;' ;", ";"] {
        assert!(is_complete(complete), "{complete:?}");
    }
    let waiting = [
        "SHOW FUNCTIONS",
        "a; b",
        "SHOW TOPICS LIKE 'a;",
        "a /* ;",
        "a -- ;",
        "\"a;",
        "`;",
        "'it''s;",
        "create function with (",
    ];
    for waiting in waiting {
        assert!(!is_complete(waiting), "{waiting:?}");
    }
}

fn keywords(before: &str) -> Vec<&'static str> {
    let wanted = completion(before).wanted.into_iter();
    wanted
        .filter_map(|wanted| match wanted {
            Wanted::Keyword(word) | Wanted::Symbol(word) => Some(word),
            _ => None,
        })
        .collect()
}

#[test]
fn the_keywords_that_may_follow_are_offered() {
    let first = ["CREATE", "START", "STOP", "RESTART", "DROP", "SHOW", "DESCRIBE", "ROLLBACK", "ALTER"];
    assert_eq!(keywords(""), first);
    assert_eq!(keywords("SH"), first);
    assert_eq!(keywords("SHOW TOPICS; "), first);
    assert_eq!(keywords("show "), ["FUNCTIONS", "TOPICS", "STATE", "DEAD"]);
    assert_eq!(keywords("show f"), ["FUNCTIONS", "TOPICS", "STATE", "DEAD"]);
    assert_eq!(keywords("CREATE "), ["OR", "FUNCTION"]);
    assert_eq!(keywords("CREATE FUNCTION "), ["IF", "WITH"]);
    assert_eq!(keywords("CREATE FUNCTION WITH"), ["IF", "WITH"]);
    assert_eq!(keywords("CREATE FUNCTION WITH "), ["("]);
    assert_eq!(keywords("SHOW STATE OF a "), ["LIKE", "LIMIT"]);
    assert_eq!(keywords("ROLLBACK FUNCTION a "), ["TO"]);
    assert_eq!(keywords("ALTER "), ["TOPIC"]);
    assert_eq!(keywords("ALTER TOPIC a "), ["SET"]);
    assert_eq!(keywords("STOP FUNCTION a "), [""; 0]);
}

#[test]
fn the_names_that_may_follow_are_offered() {
    let table = [
        ("STOP FUNCTION ", 14, None, Wanted::Function),
        ("STOP FUNCTION wo", 14, None, Wanted::Function),
        ("STOP FUNCTION word-c", 14, None, Wanted::Function),
        ("STOP FUNCTION \"wo", 15, Some('"'), Wanted::Function),
        ("SHOW STATE OF ", 14, None, Wanted::Function),
        ("ALTER TOPIC or", 12, None, Wanted::Topic),
        ("ALTER TOPIC a SET (", 19, None, Wanted::Setting),
        ("ALTER TOPIC a SET ('ret", 20, Some('\''), Wanted::Setting),
        ("ALTER TOPIC a SET (retention = ", 31, None, Wanted::Value),
        ("SHOW TOPICS LIKE 'or", 18, Some('\''), Wanted::TopicPattern),
        ("SHOW FUNCTIONS LIKE ", 20, None, Wanted::FunctionPattern),
        ("CREATE FUNCTION WITH (", 22, None, Wanted::Option),
        ("CREATE FUNCTION WITH ('fun", 23, Some('\''), Wanted::Option),
        ("CREATE FUNCTION WITH ('function_path'='bu", 39, Some('\''), Wanted::Path),
    ];
    for (before, start, quote, wanted) in table {
        let found = completion(before);
        assert_eq!((found.start, found.quote), (start, quote), "{before}");
        assert!(found.wanted.contains(&wanted), "{before}: {found:?}");
    }
}

#[test]
fn nothing_is_offered_where_nothing_is_right() {
    for before in ["SELECT ", "STOP FUNCTION a b ", "-- SHOW ", "/* SHOW ", "SHOW TOPICS LIKE 'a'", "STRAT FUNCTION "] {
        assert_eq!(completion(before).wanted.iter().filter(|wanted| **wanted != Wanted::End).count(), 0, "{before}");
    }
}

#[test]
fn all_words_that_are_ever_offered_are_in_the_list() {
    let texts = [
        "",
        "CREATE ",
        "CREATE OR ",
        "CREATE FUNCTION ",
        "CREATE FUNCTION IF ",
        "CREATE FUNCTION IF NOT ",
        "DROP FUNCTION ",
        "DROP FUNCTION IF ",
        "SHOW ",
        "SHOW DEAD ",
        "SHOW STATE ",
        "SHOW STATE OF a ",
        "ALTER ",
        "ALTER TOPIC a ",
        "ROLLBACK FUNCTION a ",
        "ROLLBACK FUNCTION a TO ",
        "SHOW DEAD DEAD_LETTERS OF a ",
    ];
    let mut offered: Vec<_> = texts.into_iter().flat_map(keywords).filter(|word| *word != "(").collect();
    offered.extend(["function_path", "config_path"]);
    for keyword in KEYWORDS {
        assert!(offered.contains(&keyword), "{keyword} is never offered");
    }
    offered.iter().for_each(|word| assert!(KEYWORDS.contains(word), "{word} is not in the list"));
}
