// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a server writes to its standard error, kept and waited for.

use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;

/// A log that a thread reads until its end.
#[derive(Debug)]
pub(super) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    seen: watch::Receiver<Seen>,
    _reader: JoinHandle<()>,
}

/// How far the reader has got.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    lines: usize,
    ended: bool,
}

impl Log {
    pub(super) fn read(stderr: ChildStderr) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (tell, seen) = watch::channel(Seen::default());
        let kept = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push(String::from_utf8_lossy(&line).into_owned());
                tell.send_modify(|seen| seen.lines = kept.len());
            }
            tell.send_modify(|seen| seen.ended = true);
        });
        Log { lines, seen, _reader: reader }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first line that is wanted; `None` when the log ends without.
    pub(super) async fn line(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut seen = self.seen.clone();
        let mut from = 0;
        loop {
            let now = *seen.borrow_and_update();
            let lines = self.lines();
            if let Some(found) = lines[from..].iter().find(|line| wanted(line)) {
                return Some(found.clone());
            }
            from = lines.len();
            if (now.ended && now.lines == from) || seen.changed().await.is_err() {
                return None;
            }
        }
    }

    /// The address of the line that says where the server listens; `None` when the log ends without.
    pub(super) async fn address(&self) -> Option<String> {
        let line = self.line(|line| address_in(line).is_some()).await?;
        address_in(&line).map(str::to_owned)
    }

    pub(super) async fn end(&self) {
        // An error means that the reader is gone, which is the end as well.
        let _ = self.seen.clone().wait_for(|seen| seen.ended).await;
    }
}

fn address_in(line: &str) -> Option<&str> {
    let (_, fields) = line.split_once(" listening ")?;
    fields.split(' ').find_map(|field| field.strip_prefix("address="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_its_line_only() {
        let line =
            "2024-01-01T00:00:00.000000Z  INFO fnstream_server::server: listening address=127.0.0.1:4711 data=/d";
        assert_eq!(address_in(line), Some("127.0.0.1:4711"));
        assert_eq!(address_in("INFO x: stopped address=1"), None);
    }
}
