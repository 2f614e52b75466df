// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The logs of functions: what they print and what happens to them, kept for whoever looks.
//!
//! ```text
//! task or app ── write ──► limit of the function ──► queue (bounded) ──► one thread ──► logs/<function>/*.jsonl
//!                              │ too fast               │ full               │ disk full      ▲
//!                              └────────────────────────┴──── counted ◄──────┘             read ── REST
//! ```
//!
//! A log belongs to the name, so it outlives stops, updates and roll-backs; it is removed with the function, and whatever
//! a deleted function still says is not heard, also when the name is taken again. Each has two segments of 1 MiB at most.
//!
//! Whoever writes never waits for the disk and never fails. Lines that come too fast or find no room are counted, and one
//! line says how many are missing where they are missing. Lines are for people: nothing is synced, and a process that is
//! killed loses those that were queued.

pub(crate) mod aside;
mod limit;
mod segments;
mod writer;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fnstream_api::LogPage;
use fnstream_core::clock::Clock;
use fnstream_core::dir::{Dir, strange_file};
use fnstream_core::epoch::FunctionId;
use fnstream_core::error::internal;
use fnstream_core::function_log::{FunctionLog, LogLine, Speaker};
use fnstream_core::units::counted;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use self::limit::{Admission, Limit};
pub(crate) use self::segments::Reading;
use self::writer::{Queue, Work, Writer};

/// The logs of all functions.
pub(crate) struct FunctionLogs {
    /// The data folder, which the logs' is in.
    data: Arc<Dir>,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
    lost: Arc<AtomicU64>,
}

#[derive(Default)]
struct Table {
    logs: HashMap<String, Arc<Log>>,
    /// Functions that were deleted, whose tasks may not have noticed yet.
    deleted: HashSet<FunctionId>,
}

/// The log of one function.
struct Log {
    name: String,
    limit: Mutex<Limit>,
    /// Where it ends on disk; those who wait for lines watch it.
    end: watch::Sender<u64>,
    /// The function was deleted.
    gone: AtomicBool,
    lost: Arc<AtomicU64>,
}

impl Log {
    fn new(name: &str, now: Duration, lost: Arc<AtomicU64>) -> Self {
        let limit = Mutex::new(Limit::new(now));
        Log { name: name.to_owned(), limit, end: watch::Sender::new(0), gone: AtomicBool::new(false), lost }
    }

    /// So many lines are missing in the log.
    fn lost(&self, lines: u64) {
        self.limit.lock().add_missing(lines);
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }
}

/// A line as it is written: the same as [`fnstream_api::LogLine`], borrowed.
#[derive(Serialize)]
struct Written<'a> {
    ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<u32>,
    speaker: &'a str,
    text: &'a str,
}

impl FunctionLogs {
    /// Keeps the logs in the folder `logs` of the data folder, which is made with the first line. Logs of other functions than those are removed: their
    /// deletion was cut off.
    pub(crate) fn open(data: Arc<Dir>, clock: Arc<dyn Clock>, functions: HashSet<String>) -> Result<Arc<Self>> {
        let queue = Arc::new(Queue::default());
        queue.push(Work::Retain(functions));
        let (taken, writer) =
            (queue.clone(), Writer { data: data.clone(), segments: HashMap::new(), last: None, failing: false });
        let thread = std::thread::Builder::new()
            .name("function-logs".to_owned())
            .spawn(move || writer.run(&taken))
            .map_err(|e| internal(format!("cannot start a thread: {e}")))?;
        Ok(Arc::new(FunctionLogs {
            data,
            clock,
            table: Mutex::default(),
            queue,
            thread: Mutex::new(Some(thread)),
            lost: Arc::default(),
        }))
    }

    /// Writes a line of the host about a function as a whole.
    pub(crate) fn note(&self, function: FunctionId, name: &str, text: &str) {
        self.write(LogLine { function, name, task: None, speaker: Speaker::Host, text });
    }

    /// Reads a log, with all that was written to it before.
    pub(crate) async fn read(&self, name: &str, reading: Reading) -> Result<LogPage> {
        let log = self.log(name);
        let missing = log.limit.lock().take_missing();
        self.tell_missing(&log, missing);
        let (done, flushed) = oneshot::channel();
        self.queue.push(Work::Flush(done));
        // When the thread has ended there is nothing left to wait for.
        let _ = flushed.await;
        let (data, function) = (self.data.clone(), name.to_owned());
        let page = tokio::task::spawn_blocking(move || segments::read(&data, &function, reading)).await;
        let page = page.map_err(|e| internal(format!("reading a log ended abnormally: {e}")))?;
        page.map_err(|e| {
            let code = strange_file(&e).map_or(ErrorCode::Storage, |strange| strange.code);
            Error::new(code, format!("the log of '{name}' cannot be read: {e}"))
        })
    }

    /// Looks for the files anew before the next lines: somebody may have moved them.
    pub(crate) fn reopen(&self) {
        self.queue.push(Work::Reopen);
    }

    /// Lets somebody wait for lines that are not written yet; it ends when the function is deleted.
    pub(crate) fn watch(&self, name: &str) -> watch::Receiver<u64> {
        self.log(name).end.subscribe()
    }

    /// Removes the log of a deleted function; nothing that this function still says is kept.
    pub(crate) fn remove(&self, function: FunctionId, name: &str) {
        let mut table = self.table.lock();
        table.deleted.insert(function);
        let log = table.logs.remove(name).unwrap_or_else(|| self.new_log(name));
        log.gone.store(true, Ordering::Relaxed);
        // Under the lock: lines of a new function of the name come after it.
        self.queue.push(Work::Remove(log));
    }

    /// Lines that were dropped, of all functions.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes what is queued, and ends.
    pub(crate) fn close(&self) {
        let logs: Vec<_> = self.table.lock().logs.values().cloned().collect();
        for log in logs {
            let missing = log.limit.lock().take_missing();
            self.tell_missing(&log, missing);
        }
        self.queue.close();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the logs of functions panicked");
        }
    }

    fn log(&self, name: &str) -> Arc<Log> {
        self.log_in(&mut self.table.lock(), name)
    }

    fn log_in(&self, table: &mut Table, name: &str) -> Arc<Log> {
        if let Some(log) = table.logs.get(name) {
            return log.clone();
        }
        let log = self.new_log(name);
        table.logs.insert(name.to_owned(), log.clone());
        log
    }

    fn new_log(&self, name: &str) -> Arc<Log> {
        Arc::new(Log::new(name, self.clock.now(), self.lost.clone()))
    }

    fn tell_missing(&self, log: &Arc<Log>, missing: u64) {
        let text = format!("{} dropped", counted(missing, "line"));
        if missing > 0 && !self.enqueue(log, None, (Speaker::Host, &text), missing) {
            log.limit.lock().add_missing(missing);
        }
    }

    /// Has a line written that tells of so many missing ones, or of none.
    fn enqueue(&self, log: &Arc<Log>, task: Option<u32>, (speaker, text): (Speaker, &str), tells_of: u64) -> bool {
        let line = Written { ms: self.clock.unix_ms(), task, speaker: speaker.as_str(), text };
        let Ok(mut line) = serde_json::to_vec(&line) else { return false };
        line.push(b'\n');
        self.queue.push(Work::Line(log.clone(), line, tells_of))
    }
}

impl FunctionLog for FunctionLogs {
    fn write(&self, line: LogLine<'_>) {
        let LogLine { function, name, task, speaker, text } = line;
        let log = {
            let mut table = self.table.lock();
            if table.deleted.contains(&function) {
                return;
            }
            self.log_in(&mut table, name)
        };
        let admission = log.limit.lock().admit(self.clock.now(), text.len());
        let Admission::Kept { missing } = admission else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        tracing::debug!(target: "guest", function = name, task, speaker = speaker.as_str(), "{text}");
        self.tell_missing(&log, missing);
        if !self.enqueue(&log, task, (speaker, text), 0) {
            log.lost(1);
        }
    }
}

impl Drop for FunctionLogs {
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests;
