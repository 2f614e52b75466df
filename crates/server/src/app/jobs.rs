// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Jobs: replaying, dropping and trying dead letters, which may take long. A request starts one and is answered with its id;
//! it goes on whoever listens, and can be asked for, waited for and cancelled.
//!
//! - **Exactly once**: a job gives orders to tasks, which carry them out as part of their commits. Whatever happens to the job,
//!   each letter is done or still waits.
//! - **Taking turns**: a replay goes through the letters in parts of about a tenth of a second ([`work`]), and between two parts
//!   the tasks take their input.
//! - **Bounded**: one job at a time for each function, since the letters "that wait now" are not known while another moves them,
//!   and [`MOST_UNDER_WAY`] in the process. Of those that are over the newest [`table::KEPT`] are kept.
//! - **A server that ends** does not go on with a job when it is started again, since the job may be what brought it down. A
//!   note ([`note`]), written before the job begins, lets the next start say that it was interrupted, and how far it was.
//!
//! A job belongs to the process that was asked for it; the tasks that it needs may run in any.

mod note;
mod table;
mod work;

use std::sync::Arc;
use std::time::Duration;

use fnstream_api::{ErrorBody, Job, JobKind, JobState, TriedDeadLetter};
use fnstream_core::clock::Clock;
use fnstream_core::error::internal;
use fnstream_core::notes::Notes;
use fnstream_core::spec::check_name;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::backups;
use super::caller;
use super::dead_letters::{Chosen, DeadLetters, Extent};
use super::group::Fellows;
use super::ops::{Ops, blocking};
use super::pages::{List, MOST_BYTES, Page, Wanted, stray};
use super::programs::Programs;
use super::shelf::{Archive, Shelf};
use note::Note;
use table::{Table, UnderWay};
use work::Work;

/// The most jobs under way at once.
pub(crate) const MOST_UNDER_WAY: usize = 16;

/// The most letters of a trial: all of them, and what became of them, are in memory.
const MOST_TRIED: u64 = 10_000;

/// See the module.
pub(crate) struct Jobs {
    pub(super) ops: Arc<Ops>,
    pub(super) dead_letters: Arc<DeadLetters>,
    pub(super) fellows: Arc<Fellows>,
    pub(super) programs: Arc<Programs>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) notes: Arc<dyn Notes>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) table: Mutex<Table>,
    /// Set when the jobs of former runs of the process are in the table.
    pub(super) recalled: OnceCell<()>,
}

impl Jobs {
    /// Begins to have a function process the oldest `count` of its dead letters again, all that wait now without a count.
    pub(crate) async fn replay(self: &Arc<Self>, name: String, count: Option<u64>) -> Result<Job> {
        self.start(name, count, Work::Replay).await
    }

    /// Begins to drop the oldest `count` dead letters, all that wait now without a count.
    pub(crate) async fn discard(self: &Arc<Self>, name: String, count: Option<u64>) -> Result<Job> {
        self.start(name, count, Work::Drop).await
    }

    /// Begins to drop these dead letters, all of which have to wait now.
    pub(crate) async fn discard_only(self: &Arc<Self>, name: String, chosen: Chosen) -> Result<Job> {
        self.dead_letters.check(&name, chosen.clone()).await?;
        self.start(name, None, Work::DropOnly(chosen)).await
    }

    /// Begins to try another artifact on dead letters; nothing of it is kept.
    pub(crate) async fn try_out(self: &Arc<Self>, name: String, count: Option<u64>, archive: Archive) -> Result<Job> {
        check_name("function", &name)?;
        let shelf = self.shelf.clone();
        let (pin, artifact) = blocking(move || shelf.obtain(&archive)).await?;
        self.start(name, Some(count.unwrap_or(MOST_TRIED).min(MOST_TRIED)), Work::Trial(pin, artifact)).await
    }

    /// A job as it is now; with `wait`, when it is over or that time has passed.
    pub(crate) async fn job(self: &Arc<Self>, id: &str, wait: Option<Duration>) -> Result<Job> {
        let job = self.find(id).await?;
        if let Some(wait) = wait {
            let mut changes = job.watch();
            let over = changes.wait_for(|job| job.state.is_over());
            tokio::select! {
                // Who waited long enough is told how far it is; so is everybody when the server ends.
                _ = tokio::time::timeout(wait, over) => {}
                () = self.ops.closing().cancelled() => {}
            }
        }
        Ok(job.now())
    }

    /// All jobs that are known, of one function or of all, the newest first.
    pub(crate) async fn list(self: &Arc<Self>, function: Option<&str>) -> Result<Vec<Job>> {
        self.recall().await?;
        let jobs = self.table.lock().all();
        let jobs = jobs.into_iter().map(|job| job.now());
        Ok(jobs.filter(|job| function.is_none_or(|name| job.function == name)).collect())
    }

    /// Has a job begin nothing more. It is over when what it has begun is finished.
    pub(crate) async fn cancel(self: &Arc<Self>, id: &str) -> Result<Job> {
        let job = self.find(id).await?;
        job.cancel();
        Ok(job.now())
    }

    /// Some of what a trial made of dead letters.
    pub(crate) async fn tried(self: &Arc<Self>, id: &str, wanted: Wanted) -> Result<Page<TriedDeadLetter>> {
        let job = self.find(id).await?;
        let now = job.now();
        if now.kind != JobKind::Trial {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                format!("job '{id}' is no trial, but a {}", now.kind.as_str()),
            ));
        }
        if !now.state.is_over() {
            let error = Error::new(ErrorCode::JobUnderWay, format!("trial '{id}' is under way"));
            return Err(error.advising(table::advice(id)));
        }
        let tried = job.tried().ok_or_else(|| {
            Error::new(
                ErrorCode::JobNotFound,
                format!("what trial '{id}' made of the dead letters is not kept any more"),
            )
        })?;
        let from = wanted.after.as_deref().map_or(Ok(0), number)?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for row in tried.iter().skip(from).take(wanted.rows()) {
            if bytes >= MOST_BYTES {
                break;
            }
            bytes += table::size_of(row);
            rows.push(row.clone());
        }
        let end = from + rows.len();
        let next = (end < tried.len() && !rows.is_empty()).then(|| List::Tried.cursor(&(end as u64).to_be_bytes()));
        Ok(Page { rows, next })
    }

    /// Registers a job, notes it, and lets it go on by itself.
    async fn start(self: &Arc<Self>, name: String, count: Option<u64>, work: Work) -> Result<Job> {
        let running = self.ops.begin().await?;
        self.recall().await?;
        let extent = self.dead_letters.extent(name.clone()).await?;
        let (kind, started_ms) = (work.kind(), self.clock.unix_ms());
        let letters = match work {
            // How many others have to move is not known yet.
            Work::DropOnly(_) => None,
            _ => extent.records.map(|records| count.map_or(records, |count| count.min(records))),
        };
        let job = self.table.lock().admit(&name, kind, letters, started_ms)?;
        let noted = Note { job: job.now(), from: extent.from.clone() };
        if let Err(error) = self.put(noted).await {
            self.table.lock().remove(job.id());
            return Err(error);
        }
        let (jobs, begun) = (self.clone(), job.clone());
        tokio::spawn(caller::scope(caller::current(), async move {
            let _running = running;
            jobs.see_through(&begun, extent, count, work).await;
        }));
        Ok(job.now())
    }

    /// Does the work of a job and keeps what came of it.
    async fn see_through(self: Arc<Self>, job: &Arc<UnderWay>, extent: Extent, count: Option<u64>, work: Work) {
        let (jobs, begun) = (self.clone(), job.clone());
        // A task of its own, so that a bug ends this job and not the knowledge of it.
        let doing =
            tokio::spawn(caller::scope(
                caller::current(),
                async move { jobs.carry_out(&begun, extent, count, work).await },
            ));
        let done = doing.await.unwrap_or_else(|e| Err(internal(format!("a job ended abnormally: {e}"))));
        if done.is_err() && self.ops.closing().is_cancelled() {
            // The note says that it is under way: the next start tells that it was interrupted.
            return job.end(JobState::Interrupted, None, None, self.clock.unix_ms());
        }
        let waiting = self.dead_letters.count(job.function()).await.map(|count| count.waiting).ok();
        let (state, error) = match done {
            Ok(()) if job.is_cancelled() => (JobState::Cancelled, None),
            Ok(()) => (JobState::Done, None),
            Err(error) => (JobState::Failed, Some(ErrorBody::from(&job.in_context(error, waiting)))),
        };
        let over = Job { state, error, waiting, ended_ms: Some(self.clock.unix_ms()), ..job.now() };
        let kept = self.put(Note { job: over.clone(), from: Default::default() }).await;
        if let Err(error) = kept {
            tracing::warn!(job = job.id(), code = %error.code, error = error.message, "the end of a job could not be noted");
        }
        job.end(over.state, over.error, over.waiting, over.ended_ms.unwrap_or_default());
        self.let_go().await;
    }

    async fn find(self: &Arc<Self>, id: &str) -> Result<Arc<UnderWay>> {
        self.recall().await?;
        let found = self.table.lock().get(id);
        found.ok_or_else(|| Error::new(ErrorCode::JobNotFound, format!("there is no job '{}'", id.escape_debug())))
    }

    /// Finds the jobs of former runs of the process. Those that were under way have been interrupted.
    async fn recall(self: &Arc<Self>) -> Result<()> {
        let recalling = || async {
            let notes = self.notes.clone();
            let noted = blocking(move || notes.list()).await?;
            // Others' notes have a point in their names, but for one.
            let noted = noted.into_iter().filter(|(name, _)| name != backups::NOTE && !name.contains('.'));
            for (name, note) in noted {
                let Note { mut job, from } = match Note::decode(&note) {
                    Ok(note) => note,
                    Err(error) => {
                        tracing::warn!(job = name, error = error.message, "a note of a job cannot be read");
                        continue;
                    }
                };
                if !job.state.is_over() {
                    job.state = JobState::Interrupted;
                    job.ended_ms = Some(self.clock.unix_ms());
                    if job.kind != JobKind::Trial {
                        // The places of the tasks know how far it was. A function that is gone has none.
                        job.processed = self
                            .dead_letters
                            .passed(job.function.clone(), from)
                            .await
                            .ok()
                            .flatten()
                            .unwrap_or_default();
                    }
                    self.put(Note { job: job.clone(), from: Default::default() }).await?;
                }
                self.table.lock().recall(job);
            }
            Ok::<_, Error>(())
        };
        self.recalled.get_or_try_init(recalling).await?;
        Ok(())
    }

    /// Forgets the oldest jobs that are over.
    async fn let_go(&self) {
        let forgotten = self.table.lock().let_go();
        let notes = self.notes.clone();
        let removed = blocking(move || forgotten.iter().try_for_each(|id| notes.remove(id))).await;
        if let Err(error) = removed {
            tracing::warn!(code = %error.code, error = error.message, "the note of an old job could not be removed");
        }
    }

    async fn put(&self, note: Note) -> Result<()> {
        let notes = self.notes.clone();
        blocking(move || notes.put(&note.job.id, &note.encode()?)).await
    }
}

/// The number in a cursor.
fn number(cursor: &str) -> Result<usize> {
    let bytes = List::Tried.place(cursor)?;
    let number = bytes.as_slice().try_into().map(u64::from_be_bytes).map_err(|_| stray())?;
    usize::try_from(number).map_err(|_| stray())
}
