// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What can be said. Printing a statement and parsing the text gives the same statement.

use std::fmt;

use crate::pattern::Pattern;

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `CREATE [OR REPLACE] FUNCTION [IF NOT EXISTS] WITH ('function_path'='…', 'config_path'='…')`: whoever reads the two
    /// files finds the function's name in the second.
    CreateFunction {
        /// What becomes of a function that has the name already.
        on_existing: OnExisting,
        /// The file of the artifact.
        function_path: String,
        /// The file of the description.
        config_path: String,
    },
    /// `START FUNCTION name`
    StartFunction {
        /// The function.
        name: String,
    },
    /// `STOP FUNCTION name`
    StopFunction {
        /// The function.
        name: String,
    },
    /// `RESTART FUNCTION name`
    RestartFunction {
        /// The function.
        name: String,
    },
    /// `DROP FUNCTION [IF EXISTS] name`
    DropFunction {
        /// The function.
        name: String,
        /// Whether it is fine that there is none.
        if_exists: bool,
    },
    /// `ROLLBACK FUNCTION name TO REVISION n`
    RollbackFunction {
        /// The function.
        name: String,
        /// The revision to put in force again, from 1.
        revision: u64,
    },
    /// `ALTER TOPIC name SET ('retention'='7d', …)`
    AlterTopic {
        /// The topic.
        name: String,
        /// The settings that are to change, of [`crate::TOPIC_SETTINGS`], each at most once, and their values as they were written.
        settings: Vec<(&'static str, String)>,
    },
    /// `DESCRIBE FUNCTION name`
    DescribeFunction {
        /// The function.
        name: String,
    },
    /// `SHOW FUNCTIONS [LIKE 'pattern']`
    ShowFunctions {
        /// Which names.
        like: Option<Pattern>,
    },
    /// `SHOW TOPICS [LIKE 'pattern']`
    ShowTopics {
        /// Which names.
        like: Option<Pattern>,
    },
    /// `SHOW STATE OF name [LIKE 'prefix'] [LIMIT n]`
    ShowState {
        /// The function.
        name: String,
        /// How the keys begin: a pattern made by [`Pattern::prefix`].
        like: Option<Pattern>,
        /// The most entries to show.
        limit: Option<u64>,
    },
    /// `SHOW DEAD LETTERS OF name [LIMIT n]`
    ShowDeadLetters {
        /// The function.
        name: String,
        /// The most dead letters to show.
        limit: Option<u64>,
    },
}

/// What `CREATE` does when there is a function of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExisting {
    /// Nothing changes, and the statement fails.
    #[default]
    Fail,
    /// `IF NOT EXISTS`: nothing changes, and that is fine.
    Keep,
    /// `OR REPLACE`: the function is updated.
    Replace,
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::CreateFunction { on_existing, function_path, config_path } => {
                let (replace, keep) = match on_existing {
                    OnExisting::Fail => ("", ""),
                    OnExisting::Keep => ("", "IF NOT EXISTS "),
                    OnExisting::Replace => ("OR REPLACE ", ""),
                };
                let (function, config) = (quoted(function_path, '\''), quoted(config_path, '\''));
                write!(f, "CREATE {replace}FUNCTION {keep}WITH ('function_path'={function}, 'config_path'={config})")
            }
            Statement::StartFunction { name } => write!(f, "START FUNCTION {}", written(name)),
            Statement::StopFunction { name } => write!(f, "STOP FUNCTION {}", written(name)),
            Statement::RestartFunction { name } => write!(f, "RESTART FUNCTION {}", written(name)),
            Statement::DropFunction { name, if_exists } => {
                write!(f, "DROP FUNCTION {}{}", if *if_exists { "IF EXISTS " } else { "" }, written(name))
            }
            Statement::RollbackFunction { name, revision } => {
                write!(f, "ROLLBACK FUNCTION {} TO REVISION {revision}", written(name))
            }
            Statement::AlterTopic { name, settings } => {
                write!(f, "ALTER TOPIC {} SET (", written(name))?;
                for (index, (setting, value)) in settings.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}'{setting}'={}", quoted(value, '\''))?;
                }
                f.write_str(")")
            }
            Statement::DescribeFunction { name } => write!(f, "DESCRIBE FUNCTION {}", written(name)),
            Statement::ShowFunctions { like } => write!(f, "SHOW FUNCTIONS{}", Like(like)),
            Statement::ShowTopics { like } => write!(f, "SHOW TOPICS{}", Like(like)),
            Statement::ShowState { name, like, limit } => {
                write!(f, "SHOW STATE OF {}{}{}", written(name), Like(like), Limit(*limit))
            }
            Statement::ShowDeadLetters { name, limit } => {
                write!(f, "SHOW DEAD LETTERS OF {}{}", written(name), Limit(*limit))
            }
        }
    }
}

/// A clause that may be absent.
struct Like<'a>(&'a Option<Pattern>);
struct Limit(Option<u64>);

impl fmt::Display for Like<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|pattern| write!(f, " LIKE {}", quoted(pattern.text(), '\'')))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|limit| write!(f, " LIMIT {limit}"))
    }
}

/// A name as a statement can hold it.
pub fn written(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    // Two dashes would begin a comment, and `if` is a part of two statements.
    match plain && !name.is_empty() && !name.contains("--") && !name.eq_ignore_ascii_case("if") {
        true => name.to_owned(),
        false => quoted(name, '"'),
    }
}

/// A text in quotes, those within it doubled.
fn quoted(text: &str, quote: char) -> String {
    let doubled: String = [quote, quote].iter().collect();
    format!("{quote}{}{quote}", text.replace(quote, &doubled))
}
