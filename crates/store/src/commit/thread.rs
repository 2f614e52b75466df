// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The queue and its thread.
//!
//! The thread sleeps until there is a job, takes along what else waits, and writes it as one group. While it waits for
//! the disk the queue grows, so groups are as large as the load makes them, and at low rates a job is written at once.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use fnstream_core::{ErrorCode, Result, panics};
use parking_lot::{Mutex, RwLock};

use super::group::{self, Group, Job};
use crate::error::closed;
use crate::inner::Inner;
use crate::options::Durability;

/// The bounds of a group, so that the first job in it does not wait for ever and memory stays bounded.
const GROUP_BYTES: usize = 8 << 20;
const GROUP_JOBS: usize = 4096;

/// The way to the thread. What was sent before `close` is done and answered; later jobs are refused.
#[derive(Debug)]
pub(crate) struct Queue {
    jobs: RwLock<Option<Sender<Job>>>,
}

impl Queue {
    pub(crate) fn new() -> (Self, Receiver<Job>) {
        let (sender, receiver) = unbounded();
        (Queue { jobs: RwLock::new(Some(sender)) }, receiver)
    }

    pub(crate) fn send(&self, job: Job) {
        let refused = {
            // Held while sending: a job is either before the end of the queue or refused, never forgotten.
            let jobs = self.jobs.read();
            match jobs.as_ref() {
                Some(jobs) => match jobs.send(job) {
                    Ok(()) => return,
                    Err(unsent) => unsent.0,
                },
                None => job,
            }
        };
        refused.refuse(&closed());
    }

    fn close(&self) {
        *self.jobs.write() = None;
    }
}

/// The running thread. Dropping it answers everything that was handed in, then ends the thread.
#[derive(Debug)]
pub(crate) struct Committing {
    store: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committing {
    pub(crate) fn start(store: Arc<Inner>, jobs: Receiver<Job>) -> Result<Self> {
        let theirs = store.clone();
        let thread = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || run(&theirs, &jobs))
            .map_err(|e| fnstream_core::error::internal(format!("cannot start the committer thread: {e}")))?;
        Ok(Committing { store, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn store(&self) -> &Arc<Inner> {
        &self.store
    }

    /// Ends the thread after all that was handed in is answered. The second call does nothing.
    pub(crate) fn end(&self) {
        self.store.queue.close();
        let Some(thread) = self.thread.lock().take() else {
            return;
        };
        // The last handle may be dropped by an answer: the thread cannot wait for itself, and ends by itself.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the committer thread panicked");
        }
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        self.end();
    }
}

/// A panic of this thread ends the process. It may have come between a write and what is known of it in memory, so what this
/// process would write next cannot be trusted, while what is on the disk can: the next start goes on from there. Without the
/// thread, every producer and every function would wait for ever.
fn run(store: &Inner, jobs: &Receiver<Job>) {
    if let Err(panicked) = panics::catch(|| commit(store, jobs)) {
        let message = panicked.to_error().message;
        tracing::error!(code = %ErrorCode::Panicked, "the thread that commits {message}, the process ends");
        std::process::abort();
    }
}

fn commit(store: &Inner, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        if store.options.durability != Durability::Sync {
            gather(&mut group, jobs);
        }
        match store.db() {
            Ok(db) => Group::new(store, db).run(group.into_iter()),
            Err(closed) => group::put_off(store, group, &closed),
        }
    }
}

/// Takes along what waits.
fn gather(group: &mut Vec<Job>, jobs: &Receiver<Job>) {
    let mut bytes: usize = group.iter().map(Job::bytes).sum();
    while bytes < GROUP_BYTES
        && group.len() < GROUP_JOBS
        && let Ok(job) = jobs.try_recv()
    {
        bytes += job.bytes();
        group.push(job);
    }
}
