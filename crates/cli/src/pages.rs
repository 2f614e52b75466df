// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Every command and every flag that a page, or an error's advice, names is there.

use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory};
use fnstream_core::ErrorCode;

use crate::Cli;

/// The programs whose commands are looked at.
const PROGRAM: &str = "function-stream";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => pages(&path, all),
            false if path.extension().is_some_and(|end| end == "md") => all.push(path),
            false => {}
        }
    }
}

/// What a page has in code: whole lines of fences, and the pieces between backticks.
fn code(text: &str) -> Vec<String> {
    let (mut found, mut inside, mut prose) = (Vec::new(), false, String::new());
    for line in text.replace("\\\n", " ").lines() {
        if line.trim_start().starts_with("```") {
            inside ^= true;
            prose.push_str("\n\n");
        } else if inside {
            found.push(line.trim().trim_start_matches("$ ").to_owned());
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    for paragraph in prose.split("\n\n") {
        found.extend(paragraph.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    found
}

/// The words of each command of ours in a line, without what is quoted.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut bare = String::new();
    for (at, piece) in line.split(['\'', '"']).enumerate() {
        bare.push_str(if at % 2 == 0 { piece } else { "QUOTED" });
    }
    let ours = |words: Vec<&str>| {
        let begins = words.iter().position(|word| !word.contains('='))?;
        let name = words[begins].rsplit('/').next()?;
        let rest = match name {
            PROGRAM => &words[begins + 1..],
            "client" => &words[begins..],
            _ => return None,
        };
        Some(rest.iter().map(|word| (*word).to_owned()).collect())
    };
    let bare = bare.split(" #").next().unwrap();
    let pieces = bare.split(['|', '&', ';', '>', '<', '(', ')']);
    pieces.filter_map(|piece| ours(piece.split_whitespace().collect())).collect()
}

/// What of a command's words is not there.
fn unknown(words: &[String]) -> Option<String> {
    let mut path = vec![Cli::command()];
    path[0].build();
    let mut words = words.iter().map(|word| word.trim_matches(|c: char| matches!(c, '[' | ']' | ',' | '.' | '…')));
    while let Some(word) = words.next() {
        let command = path.last().unwrap();
        if word.is_empty() || word == "--" {
            return None;
        }
        if let Some(flag) = word.strip_prefix('-') {
            let (name, is_long) = match flag.strip_prefix('-') {
                Some(long) => (long.split('=').next().unwrap(), true),
                None => (&flag[..flag.chars().next().map_or(0, char::len_utf8)], false),
            };
            if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue;
            }
            let is_it = |arg: &&Arg| match is_long {
                true => arg.get_long_and_visible_aliases().is_some_and(|all| all.contains(&name)),
                false => arg.get_short().is_some_and(|short| name.starts_with(short)),
            };
            match path.iter().flat_map(|command| command.get_arguments()).find(is_it) {
                None => return Some(format!("no option '{word}'")),
                Some(arg) if arg.get_action().takes_values() && !word.contains('=') => {
                    let _value = words.next();
                }
                Some(_) => {}
            }
        } else if let Some(below) = command.find_subcommand(word).cloned() {
            path.push(below);
        } else if command.has_subcommands() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
            return Some(format!("no command '{word}'"));
        } else if command.has_subcommands() {
            return None;
        }
    }
    None
}

#[test]
fn every_command_that_a_page_names_is_there() {
    let mut all = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    pages(&root().join("docs"), &mut all);
    assert!(all.len() > 50, "only {} pages", all.len());
    let (mut problems, mut looked_at) = (Vec::new(), 0);
    for page in all {
        let text = std::fs::read_to_string(&page).unwrap();
        for words in code(&text).iter().flat_map(|line| commands(line)) {
            looked_at += 1;
            if let Some(problem) = unknown(&words) {
                problems.push(format!("{}: {}: {problem}", page.display(), words.join(" ")));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(looked_at > 100, "only {looked_at} commands");
}

#[test]
fn every_command_that_an_error_advises_is_there() {
    let mut problems = Vec::new();
    for error in ErrorCode::ALL {
        // Between single quotes, as in all messages.
        for quoted in error.advice().split('\'').skip(1).step_by(2) {
            problems.extend(commands(quoted).iter().filter_map(|words| Some(format!("{error}: {}", unknown(words)?))));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn what_is_not_there_is_found() {
    let page = "Run `client dead-letters NAME`,\n`function-stream client list\n--yaml`, `client -s URL topic list --json`.\n\
                ```sh\n$ A=b bin/function-stream sql -e 'x --y' --formt csv | jq .a # -z\nfunction-stream client dlq ls -n f \\\n  --max 3\n```\n";
    let found: Vec<_> = code(page).iter().flat_map(|line| commands(line)).filter_map(|words| unknown(&words)).collect();
    assert_eq!(found, ["no option '--formt'", "no command 'dead-letters'", "no option '--yaml'"]);
}

/// The commands of the client that change something, or whose answer is bytes of a function's own. All others read.
const OTHERS: [&str; 21] = [
    "ack", "alter", "apply", "backup", "create", "custom", "delete", "drop", "exec", "nack", "produce", "replay",
    "reset", "restart", "rollback", "seek", "start", "stop", "take", "trigger", "update",
];

fn without_json(command: &Command, path: &str, found: &mut Vec<String>) {
    for below in command.get_subcommands() {
        let (name, path) = (below.get_name(), format!("{path} {}", below.get_name()));
        without_json(below, &path, found);
        let has = below.get_arguments().any(|arg| arg.get_long() == Some("json"));
        if !below.has_subcommands() && !has && !OTHERS.contains(&name) {
            found.push(path);
        }
    }
}

#[test]
fn every_command_that_reads_has_a_form_for_programs() {
    let (program, mut found) = (Cli::command(), Vec::new());
    without_json(program.find_subcommand("client").unwrap(), "client", &mut found);
    assert!(found.is_empty(), "without --json: {found:?}");
    let mut lacks = Vec::new();
    without_json(&Command::new("x").subcommand(Command::new("show")), "x", &mut lacks);
    assert_eq!(lacks, ["x show"]);
}
