// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Texts that are there as a whole: from the command line, a file or standard input.
//!
//! All of them are read before anything is done: when one has a mistake, nothing is begun. Then the statements run in
//! order and stop at the first that fails. With `--keep-going` both mistakes and failures are passed over and told.

use std::io::Write;
use std::path::Path;

use fnstream_sql::{Located, SqlError, Statement, parse_each};

use super::session::{Session, Trouble};
use super::show::{Format, Show};
use super::{FAILED, NOT_REACHED};
use crate::failure::{Failure, Result};
use crate::output::{self, Exact};

/// So much of a statement says which one it is.
const SHOWN: usize = 60;

/// A text and where it is from.
pub(super) struct Source {
    file: Option<String>,
    text: String,
}

impl Source {
    /// From the command line or standard input.
    pub(super) fn argument(text: &str) -> Self {
        Source { file: None, text: text.to_owned() }
    }

    /// From a file.
    pub(super) fn file(path: &Path, text: String) -> Self {
        Source { file: Some(path.display().to_string()), text }
    }
}

type Piece<'a> = (&'a Source, std::result::Result<Located<Statement>, SqlError>);

/// Runs the statements of all texts.
pub(super) async fn run(session: &Session, sources: &[Source], format: Format, keep_going: bool) -> Result {
    let pieces: Vec<Piece<'_>> =
        sources.iter().flat_map(|source| parse_each(&source.text).into_iter().map(move |one| (source, one))).collect();
    let mistakes: Vec<_> = pieces.iter().filter_map(|(source, one)| Some((*source, one.as_ref().err()?))).collect();
    if !mistakes.is_empty() && !keep_going {
        for (at, (source, mistake)) in mistakes.into_iter().enumerate() {
            output::complain(&told(source, mistake, at > 0));
        }
        return Err(Failure::Told(FAILED));
    }

    let mut show = Show::new(Exact::stdout(), format);
    let (mut failed, several) = (false, pieces.len() > 1);
    for (source, piece) in &pieces {
        let statement = match piece {
            Ok(statement) => statement,
            Err(mistake) => {
                output::complain(&told(source, mistake, false));
                failed = true;
                continue;
            }
        };
        let text = statement.text(&source.text);
        match carry_out(session, &statement.node, text, &mut show).await? {
            Ok(()) => {}
            Err(trouble) => {
                if several {
                    output::complain(&which(source, statement));
                }
                match trouble {
                    // Without a server the others would fail as well.
                    Trouble::Unreachable(failure) => {
                        output::complain(&failure.to_string());
                        return Err(Failure::Told(NOT_REACHED));
                    }
                    Trouble::Refused(failure) => output::complain(&failure.to_string()),
                }
                failed = true;
                if !keep_going {
                    break;
                }
            }
        }
    }
    if failed { Err(Failure::Told(FAILED)) } else { Ok(()) }
}

/// Carries a statement out and shows its rows as they come.
async fn carry_out<W: Write>(
    session: &Session,
    statement: &Statement,
    text: &str,
    show: &mut Show<W>,
) -> Result<std::result::Result<(), Trouble>> {
    let mut after = None;
    loop {
        match session.execute(statement, text, after).await {
            Ok(answer) => {
                show.answer(&answer, None)?;
                after = answer.next;
                if after.is_none() {
                    return Ok(Ok(()));
                }
            }
            Err(trouble) => {
                show.cut()?;
                return Ok(Err(trouble));
            }
        }
    }
}

fn told(source: &Source, mistake: &SqlError, blank_before: bool) -> String {
    let file = source.file.iter().map(|file| format!("in '{file}':\n")).next().unwrap_or_default();
    format!("{}{file}{}", if blank_before { "\n" } else { "" }, mistake.render(&source.text))
}

/// Which statement it was that failed, where there are several.
fn which(source: &Source, statement: &Located<Statement>) -> String {
    let line = source.text[..statement.span.start].matches('\n').count() + 1;
    let whole = statement.text(&source.text);
    let text: String = whole.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
    let cut = if text.len() < whole.len() { " …" } else { "" };
    let file = source.file.iter().map(|file| format!("'{file}', ")).next().unwrap_or_default();
    format!("{file}line {line}: {text}{cut}")
}
