// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Shows on a terminal what takes long: what goes on, and for how many seconds.
//!
//! It is written to standard error, in one line that is gone when the work is done. Nothing is written while the work is short, or
//! if standard error is no terminal.

use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::progress;

/// What is done within this time is not worth a word; also the time from one word to the next.
const SHORT: Duration = Duration::from_millis(500);

/// Does work that waits for others. `what` says what goes on at the moment.
pub(crate) async fn during<T>(what: impl Fn() -> String, work: impl Future<Output = T>) -> T {
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    let mut shown = Shown::new();
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(SHORT, work.as_mut()).await {
            Ok(done) => return done,
            Err(_) => shown.show(&what()),
        }
    }
}

/// Does work of this process.
pub(crate) fn busy<T: Send>(what: &str, work: impl FnOnce() -> T + Send) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    std::thread::scope(|scope| {
        let (done, ended) = channel::<()>();
        let working = scope.spawn(move || {
            let _done = done;
            work()
        });
        let mut shown = Shown::new();
        // Nothing is ever sent: it is dropped.
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(SHORT) {
            shown.show(what);
        }
        drop(shown);
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The line that is shown; it goes away when this is dropped.
struct Shown {
    began: Instant,
    is_shown: bool,
}

impl Shown {
    fn new() -> Self {
        Shown { began: Instant::now(), is_shown: false }
    }

    fn show(&mut self, what: &str) {
        self.is_shown = true;
        progress(&format!("{what}, {} s", self.began.elapsed().as_secs()));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.is_shown {
            progress("");
        }
    }
}
