// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The one thread that writes the logs of all functions, and the queue before it.
//!
//! Lines that come fast are written together: after each write the thread pauses, and nobody has to wake it for the lines that come
//! meanwhile. Whoever reads a log, or changes which there are, ends the pause.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fnstream_core::dir::Dir;
use fnstream_core::{ErrorCode, panics};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::Log;
use super::segments::{Segments, make_folder, root};

/// The most bytes that wait to be written, of all functions together.
const MAX_QUEUED: usize = 4 << 20;

/// The pause after a write: so late a line may be in its file.
const PAUSE: Duration = Duration::from_millis(5);

/// What the thread is asked to do, in order.
pub(super) enum Work {
    /// A line with its end, and how many missing ones it tells of; none when it is one that was said.
    Line(Arc<Log>, Vec<u8>, u64),
    /// Say when everything before this was written, or could not be.
    Flush(oneshot::Sender<()>),
    /// Remove the log of that function.
    Remove(Arc<Log>),
    /// Find the files anew.
    Reopen,
    /// Remove all logs but those of these functions.
    Retain(HashSet<String>),
}

/// What waits to be written.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    ready: Condvar,
    pause: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { inner: Mutex::default(), ready: Condvar::new(), pause: PAUSE }
    }
}

#[derive(Default)]
struct Inner {
    work: VecDeque<Work>,
    bytes: usize,
    /// The thread pauses: lines need not wake it.
    pausing: bool,
    /// There is work that is not to wait for the end of a pause.
    urgent: bool,
    closed: bool,
}

impl Queue {
    /// Adds work; false when it is a line and there is no room for it.
    pub(super) fn push(&self, work: Work) -> bool {
        let mut inner = self.inner.lock();
        if let Work::Line(_, line, _) = &work {
            if inner.closed || inner.bytes + line.len() > MAX_QUEUED {
                return false;
            }
            inner.bytes += line.len();
            inner.urgent |= inner.bytes > MAX_QUEUED / 2;
        } else {
            inner.urgent = true;
        }
        inner.work.push_back(work);
        if !inner.pausing || inner.urgent {
            self.ready.notify_one();
        }
        true
    }

    /// Lets the thread end when it has done what is queued.
    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.ready.notify_one();
    }

    /// All that waits, after a pause; `None` at the end.
    fn take(&self) -> Option<VecDeque<Work>> {
        let mut inner = self.inner.lock();
        inner.pausing = true;
        self.ready.wait_while_for(&mut inner, |inner| !inner.urgent && !inner.closed, self.pause);
        inner.pausing = false;
        while inner.work.is_empty() {
            if inner.closed {
                return None;
            }
            self.ready.wait(&mut inner);
        }
        (inner.bytes, inner.urgent) = (0, false);
        Some(mem::take(&mut inner.work))
    }
}

/// The thread's side.
pub(super) struct Writer {
    /// The data folder.
    pub(super) data: Arc<Dir>,
    pub(super) segments: HashMap<String, Segments>,
    /// The folder that was written last, with its function: one that says much is not looked for with each line. Only one, since
    /// each takes a descriptor.
    pub(super) last: Option<(String, Dir)>,
    /// The disk takes nothing at the moment.
    pub(super) failing: bool,
}

/// Lines of one function that are written together.
struct Pending {
    log: Arc<Log>,
    bytes: Vec<u8>,
    /// Lines that were said.
    lines: u64,
    /// Missing lines that others tell of.
    tells_of: u64,
}

impl Writer {
    /// Until the queue is closed. Work at which it panics is lost, and it goes on with what comes after it.
    pub(super) fn run(mut self, queue: &Queue) {
        while let Err(panicked) = panics::catch(|| self.work(queue)) {
            let message = panicked.to_error().message;
            tracing::error!(code = %ErrorCode::Panicked, "writing the logs of functions {message}, it goes on");
            // What is known of the files may not be true any more.
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.segments.clear();
        self.last = None;
    }

    fn work(&mut self, queue: &Queue) {
        while let Some(work) = queue.take() {
            let mut pending: HashMap<String, Pending> = HashMap::new();
            for work in work {
                match work {
                    // Said between the deletion and the moment when its task noticed.
                    Work::Line(log, ..) if log.gone.load(Ordering::Relaxed) => {}
                    Work::Line(log, line, tells_of) => {
                        let entry = pending.entry(log.name.clone());
                        let pending =
                            entry.or_insert_with(|| Pending { log, bytes: Vec::new(), lines: 0, tells_of: 0 });
                        pending.bytes.extend_from_slice(&line);
                        pending.lines += u64::from(tells_of == 0);
                        pending.tells_of += tells_of;
                    }
                    Work::Flush(done) => {
                        self.write(&mut pending);
                        // Nobody waits any more when the request was given up.
                        let _ = done.send(());
                    }
                    Work::Remove(log) => {
                        pending.remove(&log.name);
                        self.segments.remove(&log.name);
                        self.last.take_if(|(function, _)| *function == log.name);
                        self.remove(&log.name);
                    }
                    Work::Reopen => {
                        self.write(&mut pending);
                        self.forget();
                    }
                    Work::Retain(names) => self.retain(&names),
                }
            }
            self.write(&mut pending);
        }
    }

    fn write(&mut self, pending: &mut HashMap<String, Pending>) {
        for (name, Pending { log, bytes, lines, tells_of }) in pending.drain() {
            match self.append(name, &bytes) {
                Ok(end) => {
                    self.failing = false;
                    log.end.send_replace(end);
                }
                Err(error) => {
                    // It is tried again with the next line, and then told how many are missing.
                    log.lost(lines);
                    log.limit.lock().add_missing(tells_of);
                    if !mem::replace(&mut self.failing, true) {
                        tracing::warn!(%error, function = log.name, "the logs of functions cannot be written, lines are dropped");
                    }
                }
            }
        }
    }

    /// Adds whole lines to a function's log; answers the offset behind them.
    fn append(&mut self, name: String, lines: &[u8]) -> io::Result<u64> {
        let segments = self.segments.entry(name.clone()).or_default();
        let known = self.last.take().filter(|(function, _)| *function == name);
        let appended = known.map(|(_, folder)| segments.append(&folder, lines).map(|end| (end, folder)));
        let (end, folder) = match appended {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Some(Ok(appended)) => appended,
            // Unknown, or removed meanwhile: then nothing was written.
            None | Some(Err(_)) => {
                let folder = make_folder(&self.data, &name)?;
                (segments.append(&folder, lines)?, folder)
            }
        };
        self.last = Some((name, folder));
        Ok(end)
    }

    fn retain(&self, names: &HashSet<String>) {
        let kept = match root(&self.data).and_then(|root| root.map_or(Ok(Vec::new()), |root| root.names())) {
            Err(error) => return tracing::warn!(%error, "the logs of functions cannot be listed"),
            Ok(kept) => kept,
        };
        for name in kept.iter().filter(|name| !names.contains(*name)) {
            self.remove(name);
        }
    }

    /// Removes a log that may not be there.
    fn remove(&self, name: &str) {
        match root(&self.data).and_then(|root| root.map_or(Ok(()), |root| root.remove_all(name))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, function = name, "the log of a deleted function could not be removed, it goes at the next start");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Arc<Log> {
        Arc::new(Log::new("f", std::time::Duration::ZERO, Arc::default()))
    }

    #[test]
    fn a_full_queue_takes_no_line_but_everything_else() {
        let (queue, log) = (Queue::default(), log());
        let line = || Work::Line(log.clone(), vec![b'x'; MAX_QUEUED / 4], 0);
        for _ in 0..4 {
            assert!(queue.push(line()));
        }
        assert!(!queue.push(line()));
        assert!(queue.push(Work::Remove(log.clone())));
        assert_eq!(queue.take().map(|work| work.len()), Some(5));
        assert!(queue.push(line()), "there is room again");
    }

    #[test]
    fn readers_and_the_end_do_not_wait_for_a_pause() {
        let (queue, log) = (Queue { pause: Duration::from_secs(3600), ..Queue::default() }, log());
        let (done, _flushed) = oneshot::channel();
        queue.push(Work::Line(log.clone(), b"a".to_vec(), 0));
        queue.push(Work::Flush(done));
        assert_eq!(queue.take().map(|work| work.len()), Some(2));
        queue.push(Work::Line(log, b"b".to_vec(), 0));
        queue.close();
        assert_eq!(queue.take().map(|work| work.len()), Some(1));
    }

    #[test]
    fn what_was_queued_is_done_before_the_end() {
        let (queue, log) = (Queue::default(), log());
        queue.push(Work::Line(log.clone(), b"a".to_vec(), 0));
        queue.close();
        assert!(!queue.push(Work::Line(log.clone(), b"b".to_vec(), 0)));
        assert_eq!(queue.take().map(|work| work.len()), Some(1));
        assert!(queue.take().is_none());
    }
}
