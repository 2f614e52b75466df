// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The prompt, as somebody at a terminal meets it.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use super::command;
use super::fake::Fake;
use super::terminal::Terminal;

const PROMPT: &str = "function-stream> ";
const CONTINUATION: &str = "  -> ";
const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";

fn prompt(fake: &Fake, folder: &TempDir) -> Terminal {
    let mut terminal = Terminal::run(command(fake.port, folder.path()));
    terminal.reads("Connected to 127.0.0.1:");
    terminal.reads(PROMPT);
    terminal
}

#[test]
fn statements_of_several_lines_are_answered_with_how_long_they_took() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut terminal = prompt(&fake, &folder);
    terminal.types("show\r");
    terminal.reads(CONTINUATION);
    terminal.types("functions; stop function\r");
    terminal.reads(CONTINUATION);
    terminal.types("word-count;\r");
    terminal.reads("| word-count | processor | Stopped |");
    terminal.reads("2 rows (0.");
    terminal.reads("function 'word-count' is stopped (0.");
    terminal.reads(PROMPT);
    assert_eq!(fake.sql(), ["show\nfunctions", "stop function\nword-count"]);
    terminal.types("exit\r");
    assert_eq!(terminal.ends().code(), Some(0));
}

#[test]
fn every_word_for_the_end_ends_it() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    for end in ["exit\r", "quit\r", "q\r", "EXIT;\r", " q ; \r", CTRL_D] {
        let mut terminal = prompt(&fake, &folder);
        terminal.types("\r");
        terminal.reads(PROMPT);
        terminal.types(end);
        assert_eq!(terminal.ends().code(), Some(0), "{end:?}");
    }
    assert!(fake.sql().is_empty());
}

#[test]
fn help_names_the_statements() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut terminal = prompt(&fake, &folder);
    for help in ["help\r", "HELP;\r"] {
        terminal.types(help);
        terminal.reads("SHOW DEAD LETTERS OF name [LIMIT n];");
        terminal.reads("exit, quit, q");
        terminal.reads(PROMPT);
    }
}

#[test]
fn mistakes_and_failures_are_told_and_the_prompt_lives_on() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut terminal = prompt(&fake, &folder);
    terminal.types("stop function word-count; strat function a;\r");
    terminal.reads("error FS-1007 at 1:27: no statement begins with 'strat'");
    terminal.reads("hint: did you mean 'START'?");
    terminal.reads(PROMPT);
    assert!(fake.sql().is_empty());
    terminal.types("stop function nobody; stop function word-count;\r");
    terminal.reads("error FS-1102: there is no function of this name\\u{1b}[2J");
    terminal.reads("advice: ");
    terminal.reads(PROMPT);
    assert_eq!(fake.sql(), ["stop function nobody"]);
    terminal.types("stop function word-count;\r");
    terminal.reads("is stopped");
}

#[test]
fn ctrl_c_forgets_the_lines_that_are_being_typed() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut terminal = prompt(&fake, &folder);
    terminal.types("drop function 'a\r");
    terminal.reads(CONTINUATION);
    terminal.types("and more");
    terminal.reads("and more");
    terminal.types(CTRL_C);
    terminal.reads(PROMPT);
    terminal.types("stop function word-count;\r");
    terminal.reads("is stopped");
    assert_eq!(fake.sql(), ["stop function word-count"]);
}

#[test]
fn a_server_that_goes_away_is_found_again() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut terminal = prompt(&fake, &folder);
    terminal.types("stop function word-count;\r");
    terminal.reads("is stopped");
    terminal.reads(PROMPT);
    let port = fake.port;
    drop(fake);
    for _ in 0..2 {
        terminal.types("stop function word-count;\r");
        terminal.reads("error FS-1704: ");
        terminal.reads(PROMPT);
    }
    let fake = Fake::start_at(port);
    terminal.types("stop function word-count;\r");
    terminal.reads("is stopped");
    assert_eq!(fake.sql().len(), 1);
}

#[test]
fn a_prompt_needs_a_server_at_its_beginning() {
    let folder = TempDir::new().unwrap();
    let port = Fake::start().port;
    let mut terminal = Terminal::run(command(port, folder.path()));
    terminal.reads("error FS-1704: ");
    assert_eq!(terminal.ends().code(), Some(3));
}

#[test]
fn tab_completes_keywords_and_names() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut terminal = prompt(&fake, &folder);
    terminal.types("sto\tfu\two\t;\r");
    terminal.reads("stop function word-count ;");
    terminal.reads("is stopped");
    terminal.types("show topics like 'or\t;\r");
    terminal.reads("'orders';");
    terminal.reads("2 rows");
    assert_eq!(fake.sql().first().map(String::as_str), Some("stop function word-count"));
    assert_eq!(fake.sql().last().map(String::as_str), Some("show topics like 'orders'"));
}

#[test]
fn a_server_that_hangs_holds_up_neither_completion_nor_the_user() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut terminal = prompt(&fake, &folder);
    terminal.types("stop function en\t");
    terminal.reads("enrich ");
    fake.told.hangs.store(true, Ordering::SeqCst);
    // The name is known from before; an unknown one is not completed. In both cases typing goes on.
    terminal.types(CTRL_C);
    terminal.reads(PROMPT);
    terminal.types("stop function wo\t-- on\t");
    terminal.reads("word-count -- on");
    terminal.types(CTRL_C);
    terminal.reads(PROMPT);
    terminal.types("show topics like 'o\t");
    terminal.reads("'o");
    terminal.types(CTRL_C);
    terminal.reads(PROMPT);
}

#[test]
fn ctrl_c_ends_waiting_for_an_answer() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut terminal = prompt(&fake, &folder);
    fake.told.hangs.store(true, Ordering::SeqCst);
    terminal.types("stop function word-count; show topics;\r");
    fake.is_asked();
    terminal.interrupts();
    terminal.reads("no longer waiting");
    terminal.reads(PROMPT);
    fake.told.hangs.store(false, Ordering::SeqCst);
    terminal.types("stop function word-count;\r");
    terminal.reads("is stopped");
    assert_eq!(fake.sql(), ["stop function word-count"; 2]);
}

#[test]
fn an_interrupt_while_nothing_is_asked_ends_nothing() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut terminal = prompt(&fake, &folder);
    terminal.interrupts();
    terminal.types("stop function word-count;\r");
    terminal.reads("is stopped");
}

#[test]
fn what_was_typed_is_there_the_next_time_and_for_nobody_else() {
    let (fake, folder) = (Fake::start(), TempDir::new().unwrap());
    let mut terminal = prompt(&fake, &folder);
    terminal.types("stop function\r");
    terminal.reads(CONTINUATION);
    terminal.types("word-count;\r");
    terminal.reads("is stopped");
    terminal.reads(PROMPT);
    terminal.types(CTRL_D);
    terminal.ends();
    let state = folder.path().join("state/function-stream");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!((mode(&state), mode(&state.join("sql_history"))), (0, 0));

    let mut terminal = prompt(&fake, &folder);
    terminal.types("\u{1b}[A\r");
    terminal.reads("is stopped");
    assert_eq!(fake.sql(), ["stop function\nword-count"; 2]);
}
