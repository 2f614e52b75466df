// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What Tab offers: what the grammar allows there, with the names that the server knows and the files of this machine.
//!
//! A server that is slow or gone never holds up the one who types: names are waited for so long as nobody notices, and
//! then those of the time before are offered.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fnstream_sql::statement::written;
use fnstream_sql::{TOPIC_SETTINGS, Wanted, completion};
use parking_lot::Mutex;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use tokio::runtime::Handle;

use super::session::{Session, Trouble};
use crate::output::escape::is_harmless;

/// How long names are waited for.
const PATIENCE: Duration = Duration::from_millis(300);
/// The most files and names that are offered.
const MAX_OFFERED: usize = 1_000;

/// Knows the words of the language and the names of the server.
pub(super) struct Words {
    /// The lines before the one that is being typed.
    pub before: String,
    handle: Handle,
    session: Arc<Session>,
    functions: Mutex<Vec<String>>,
    topics: Mutex<Vec<String>>,
}

impl Words {
    /// Asks the server for names when they are needed.
    pub(super) fn new(handle: Handle, session: Arc<Session>) -> Self {
        let (functions, topics) = (Mutex::default(), Mutex::default());
        Words { before: String::new(), handle, session, functions, topics }
    }

    fn functions(&self) -> Vec<String> {
        self.fresh(&self.functions, async {
            let listed = self.session.client().await?.show_functions(None).await;
            Ok(listed.map_err(|e| self.session.trouble(e))?.into_iter().map(|function| function.name).collect())
        })
    }

    fn topics(&self) -> Vec<String> {
        self.fresh(&self.topics, async {
            let answer = self.session.ask("SHOW TOPICS").await?;
            Ok(answer.rows.map(|rows| rows.texts("name")).unwrap_or_default())
        })
    }

    /// The names of now, or those of the time before.
    fn fresh(
        &self,
        known: &Mutex<Vec<String>>,
        ask: impl Future<Output = Result<Vec<String>, Trouble>>,
    ) -> Vec<String> {
        if let Ok(Ok(names)) = self.handle.block_on(async { tokio::time::timeout(PATIENCE, ask).await }) {
            // Others cannot be typed, and would steer the terminal when they are listed.
            *known.lock() = names.into_iter().filter(|name| is_harmless(name)).collect();
        }
        known.lock().clone()
    }

    /// What may stand for `wanted`, after `typed` within `quote`.
    fn offers(&self, wanted: Wanted, typed: &str, quote: Option<char>) -> Vec<String> {
        let text = |names: Vec<String>| names.into_iter().map(|name| in_quotes(&name, quote, true)).collect();
        match wanted {
            Wanted::Keyword(keyword) if quote.is_none() => vec![in_case_of(typed, keyword)],
            Wanted::Symbol(symbol) if quote.is_none() && typed.is_empty() => vec![symbol.to_owned()],
            Wanted::Function => match quote {
                None => self.functions().iter().map(|name| written(name)).collect(),
                Some(_) => text(self.functions()),
            },
            Wanted::Topic => match quote {
                None => self.topics().iter().map(|name| written(name)).collect(),
                Some(_) => text(self.topics()),
            },
            Wanted::Setting => TOPIC_SETTINGS.map(|name| in_quotes(name, quote, true) + "=").to_vec(),
            Wanted::FunctionPattern => text(self.functions()),
            Wanted::TopicPattern => text(self.topics()),
            Wanted::Option => ["function_path", "config_path"].map(|name| in_quotes(name, quote, true) + "=").to_vec(),
            Wanted::Path => {
                paths(typed).into_iter().map(|path| in_quotes(&path, quote, !path.ends_with('/'))).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let text = format!("{}{}", self.before, &line[..pos]);
        let found = completion(&text);
        // What began in a line before cannot be changed any more.
        let Some(start) = found.start.checked_sub(self.before.len()) else { return Ok((pos, Vec::new())) };
        let typed = &text[found.start..];
        let mut offered: Vec<_> = found
            .wanted
            .into_iter()
            .flat_map(|wanted| self.offers(wanted, typed, found.quote))
            .filter(|offer| begins_with(offer, typed))
            .take(MAX_OFFERED)
            .collect();
        offered.dedup();
        let pair = |offer: String| Pair { display: offer.clone(), replacement: with_blank(offer) };
        Ok((start, offered.into_iter().map(pair).collect()))
    }
}

impl Helper for Words {}
impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Validator for Words {}

/// Keywords are completed in the case in which they were begun.
fn in_case_of(typed: &str, keyword: &str) -> String {
    match typed.chars().next() {
        Some(first) if first.is_lowercase() => keyword.to_lowercase(),
        _ => keyword.to_owned(),
    }
}

/// The quotes that are still to be typed; a path may go on, and then the last is not.
fn in_quotes(text: &str, open: Option<char>, close: bool) -> String {
    let quote = open.unwrap_or('\'');
    let doubled: String = [quote, quote].iter().collect();
    let mut quoted = if open.is_none() { quote.to_string() } else { String::new() };
    quoted.push_str(&text.replace(quote, &doubled));
    if close {
        quoted.push(quote);
    }
    quoted
}

fn begins_with(offer: &str, typed: &str) -> bool {
    offer.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed))
}

/// Behind a whole word a blank is next, which need not be typed.
fn with_blank(offer: String) -> String {
    match offer.ends_with(|c: char| c.is_alphanumeric()) && !offer.contains(['\'', '"', '`', '/']) {
        true => offer + " ",
        false => offer,
    }
}

/// The files that begin so; folders end with a slash. Hidden ones only for those who ask for them.
fn paths(typed: &str) -> Vec<String> {
    let (folder, start) =
        typed.rsplit_once('/').map_or(("", typed), |(folder, start)| (&typed[..=folder.len()], start));
    let Ok(entries) = std::fs::read_dir(if folder.is_empty() { Path::new(".") } else { Path::new(folder) }) else {
        return Vec::new();
    };
    let path = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let shown = name.starts_with(start) && (start.starts_with('.') || !name.starts_with('.'));
        let slash = if entry.path().is_dir() { "/" } else { "" };
        shown.then(|| format!("{folder}{name}{slash}"))
    };
    let mut found: Vec<_> = entries.filter_map(|entry| path(entry.ok()?)).take(MAX_OFFERED).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use rustyline::history::DefaultHistory;

    use super::*;

    /// Of a server that does not exist: nothing listens on port 1.
    fn words(runtime: &tokio::runtime::Runtime) -> Words {
        Words::new(runtime.handle().clone(), Arc::new(Session::new("http://127.0.0.1:1".to_owned())))
    }

    fn offered(words: &Words, line: &str) -> (usize, Vec<String>) {
        let history = DefaultHistory::new();
        let (start, pairs) = words.complete(line, line.len(), &Context::new(&history)).unwrap();
        (start, pairs.into_iter().map(|pair| pair.replacement).collect())
    }

    #[test]
    fn words_are_completed_in_their_case_and_place() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut words = words(&runtime);
        assert_eq!(offered(&words, "ST"), (0, vec!["START ".into(), "STOP ".into()]));
        assert_eq!(offered(&words, "show to"), (5, vec!["topics ".into()]));
        assert_eq!(offered(&words, "create function with "), (21, vec!["(".into()]));
        assert_eq!(offered(&words, "create function with ('f"), (23, vec!["function_path'=".into()]));
        assert_eq!(offered(&words, "select "), (7, vec![]));
        words.before = "SHOW STATE\n".to_owned();
        assert_eq!(offered(&words, "O"), (0, vec!["OF ".into()]));
        words.before = "SHOW TOPICS LIKE '\n".to_owned();
        assert_eq!(offered(&words, "a").1, Vec::<String>::new());
    }

    #[test]
    fn names_of_a_server_that_is_gone_are_those_of_before() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let words = words(&runtime);
        assert_eq!(offered(&words, "STOP FUNCTION "), (14, vec![]));
        *words.functions.lock() = vec!["word-count".into(), "a--b".into(), "other".into()];
        *words.topics.lock() = vec!["orders".into()];
        assert_eq!(offered(&words, "STOP FUNCTION wo"), (14, vec!["word-count ".into()]));
        assert_eq!(offered(&words, "STOP FUNCTION \"a"), (15, vec!["a--b\"".into()]));
        assert_eq!(offered(&words, "SHOW TOPICS LIKE "), (17, vec!["'orders'".into()]));
        assert_eq!(offered(&words, "SHOW TOPICS LIKE 'or"), (18, vec!["orders'".into()]));
    }

    #[test]
    fn paths_are_those_of_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("it's.wasm"), b"").unwrap();
        std::fs::write(folder.path().join(".hidden"), b"").unwrap();
        std::fs::create_dir(folder.path().join("items")).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let words = words(&runtime);
        let path = folder.path().display();
        let (start, found) = offered(&words, &format!("CREATE FUNCTION WITH ('function_path'='{path}/it"));
        assert_eq!((start, found), (39, vec![format!("{path}/it''s.wasm'"), format!("{path}/items/")]));
    }
}
