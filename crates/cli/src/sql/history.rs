// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What was typed, kept for the next time: in `$XDG_STATE_HOME/function-stream/sql_history`, or below `~/.local/state`.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Editor, Helper};

use crate::output;

/// The file, if there is one. What goes wrong with it is said once, and is no reason not to work.
pub(super) struct History {
    path: Option<PathBuf>,
}

impl History {
    /// Loads what was typed before.
    pub(super) fn load<H: Helper>(editor: &mut Editor<H, DefaultHistory>) -> Self {
        let mut history = History { path: place(|name| std::env::var_os(name).map(PathBuf::from)) };
        let Some(path) = history.path.clone() else { return history };
        let folder = path.parent().unwrap_or(Path::new("."));
        // Statements are nobody else's business.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let loaded = made.map_err(ReadlineError::Io).and_then(|()| match path.exists() {
            true => editor.load_history(&path),
            false => Ok(()),
        });
        history.check(loaded);
        history
    }

    /// Keeps what was typed.
    pub(super) fn add<H: Helper>(&mut self, editor: &mut Editor<H, DefaultHistory>, text: &str) {
        let added = editor.add_history_entry(text).map(|_| ());
        self.check(added);
        if let Some(path) = self.path.clone() {
            let kept = editor.append_history(&path);
            self.check(kept);
        }
    }

    fn check(&mut self, done: rustyline::Result<()>) {
        if let Err(error) = done
            && let Some(path) = self.path.take()
        {
            output::complain(&format!("history is not kept in '{}': {error}", path.display()));
        }
    }
}

/// Where the file is, by the variables of the environment. Relative folders are to be ignored, says who defined them.
fn place(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let state = variable("XDG_STATE_HOME").filter(|folder| folder.is_absolute());
    let state = state.or_else(|| Some(variable("HOME").filter(|home| home.is_absolute())?.join(".local/state")));
    Some(state?.join("function-stream/sql_history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_in_the_users_state_folder() {
        let place = |state: Option<&str>, home: Option<&str>| {
            place(|name| match name {
                "XDG_STATE_HOME" => state.map(PathBuf::from),
                _ => home.map(PathBuf::from),
            })
        };
        assert_eq!(place(Some("/s"), Some("/h")), Some("/s/function-stream/sql_history".into()));
        let at_home = Some(PathBuf::from("/h/.local/state/function-stream/sql_history"));
        assert_eq!(place(None, Some("/h")), at_home);
        assert_eq!(place(Some("here"), Some("/h")), at_home);
        assert_eq!(place(None, None), None);
    }
}
