// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The prompt.
//!
//! ```text
//! prompt ── a line ──► complete? ── no ──► "  -> ", and on
//!    ▲                     │ yes
//!    └──── answers, or what is wrong: nothing of it is begun then
//! ```
//!
//! Ctrl-C forgets the lines that are being typed, or stops waiting for an answer; Ctrl-D ends. A server that goes away is
//! an error of the statement that found out; the next one connects again.

use std::sync::Arc;
use std::time::Instant;

use fnstream_sql::{Located, Statement, is_complete, parse};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::NOT_REACHED;
use super::completer::Words;
use super::history::History;
use super::session::{Answer, Session, Trouble};
use super::show::{Format, Show};
use crate::failure::{Failure, Result};
use crate::output::{self, Exact};

const PROMPT: &str = "function-stream> ";
const CONTINUATION: &str = "  -> ";
/// Entries of the history.
const REMEMBERED: usize = 1_000;

const HELP: &str = "\
Statements end with ';' and may have several lines:

  CREATE [OR REPLACE] FUNCTION [IF NOT EXISTS] WITH ('function_path'='…', 'config_path'='…');
  START | STOP | RESTART | DESCRIBE FUNCTION name;
  DROP FUNCTION [IF EXISTS] name;
  ROLLBACK FUNCTION name TO REVISION n;
  SHOW FUNCTIONS | TOPICS [LIKE 'pattern'];
  SHOW STATE OF name [LIKE 'prefix'] [LIMIT n];
  SHOW DEAD LETTERS OF name [LIMIT n];

Paths are those of this machine: both files are uploaded.

  help             this text
  exit, quit, q    the end, as Ctrl-D
  Tab              completes keywords, names and paths
  Ctrl-C           forgets what is being typed, or stops waiting for an answer
  Up, Ctrl-R       what was typed before";

type Prompt = Editor<Words, DefaultHistory>;

/// What somebody at the prompt wants.
enum Wish {
    Run(String),
    Help,
    Nothing,
    End,
}

/// Asks and answers until the user ends it.
pub(super) fn run(runtime: &Runtime, session: &Arc<Session>, format: Format) -> Result {
    if let Err(trouble) = runtime.block_on(session.client()) {
        complain(&trouble);
        return Err(Failure::Told(NOT_REACHED));
    }
    // From here on no Ctrl-C ends the program, whatever it does at that moment.
    let _interrupts = runtime.block_on(async { interrupts() })?;
    let config =
        Config::builder().completion_type(CompletionType::List).max_history_size(REMEMBERED).map_err(broken)?;
    let mut editor = Prompt::with_config(config.build()).map_err(broken)?;
    editor.set_helper(Some(Words::new(runtime.handle().clone(), Arc::clone(session))));
    let mut history = History::load(&mut editor);
    output::line(format!("Connected to {}. Statements end with ';'; 'help' tells more.", session.address()))?;
    let mut show = Show::new(Exact::stdout(), format);
    loop {
        match ask(&mut editor)? {
            Wish::End => return Ok(()),
            Wish::Nothing => {}
            Wish::Help => output::line(HELP)?,
            Wish::Run(text) => {
                history.add(&mut editor, text.trim());
                match parse(&text) {
                    Err(mistakes) => output::complain(&mistakes.render(&text)),
                    Ok(statements) => carry_out(runtime, session, &text, &statements, &mut show)?,
                }
            }
        }
    }
}

/// Reads lines until they are complete.
fn ask(editor: &mut Prompt) -> Result<Wish> {
    let mut text = String::new();
    loop {
        if let Some(words) = editor.helper_mut() {
            words.before.clone_from(&text);
        }
        let line = match editor.readline(if text.is_empty() { PROMPT } else { CONTINUATION }) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => return Ok(Wish::Nothing),
            Err(ReadlineError::Eof) => return Ok(Wish::End),
            Err(error) => return Err(broken(error)),
        };
        if text.is_empty() {
            match line.trim().trim_end_matches(';').trim_end().to_ascii_lowercase().as_str() {
                "" => return Ok(Wish::Nothing),
                "exit" | "quit" | "q" => return Ok(Wish::End),
                "help" => return Ok(Wish::Help),
                _ => {}
            }
        }
        text.push_str(&line);
        text.push('\n');
        if is_complete(&text) {
            return Ok(Wish::Run(text));
        }
    }
}

/// Carries statements out up to the first that fails.
fn carry_out(
    runtime: &Runtime,
    session: &Session,
    text: &str,
    statements: &[Located<Statement>],
    show: &mut Show<Exact>,
) -> Result {
    for statement in statements {
        let (begun, mut after) = (Instant::now(), None);
        loop {
            match runtime.block_on(answer(session, statement, text, after.take()))? {
                None => {
                    show.cut()?;
                    output::complain("no longer waiting: the server may carry it out all the same");
                    return Ok(());
                }
                Some(Ok(answer)) => {
                    show.answer(&answer, Some(begun.elapsed()))?;
                    after = answer.next;
                    if after.is_none() {
                        break;
                    }
                }
                Some(Err(trouble)) => {
                    show.cut()?;
                    complain(&trouble);
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// The answer, unless the user does not want to wait for it.
async fn answer(
    session: &Session,
    statement: &Located<Statement>,
    text: &str,
    after: Option<String>,
) -> Result<Option<std::result::Result<Answer, Trouble>>> {
    // Before the statement is sent, so that none is missed.
    let mut interrupts = interrupts()?;
    Ok(tokio::select! {
        answer = session.execute(&statement.node, statement.text(text), after) => Some(answer),
        _ = interrupts.recv() => None,
    })
}

/// Tells of each Ctrl-C from now on.
fn interrupts() -> Result<Signal> {
    Ok(signal(SignalKind::interrupt())?)
}

fn complain(trouble: &Trouble) {
    let (Trouble::Unreachable(failure) | Trouble::Refused(failure)) = trouble;
    output::complain(&failure.to_string());
}

fn broken(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => error.into(),
        other => Failure::Plain(format!("the terminal: {other}")),
    }
}
