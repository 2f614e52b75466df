// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The jobs that are known: those under way, and the newest of those that are over.

use std::sync::Arc;

use fnstream_api::{ErrorBody, Job, JobKind, JobState, TriedDeadLetter};
use fnstream_core::units::counted;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{DeadLetterReport, DeadLettersOrdered};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::MOST_UNDER_WAY;

/// How many jobs that are over are kept.
pub(super) const KEPT: usize = 100;

/// How many bytes of what trials made of dead letters are kept, of all trials together. The newest one's are kept in any case.
const TRIED_BYTES: usize = 32 << 20;

/// The longest message of an error that is kept for a tried letter.
const MESSAGE_BYTES: usize = 1 << 10;

/// What to do about a job that is under way.
pub(super) fn advice(id: &str) -> String {
    format!("wait for it with 'function-stream client dlq job {id}', or cancel it there")
}

/// All jobs, the oldest first.
#[derive(Default)]
pub(crate) struct Table {
    jobs: Vec<Arc<UnderWay>>,
}

/// A job, under way or over.
pub(super) struct UnderWay {
    id: String,
    state: watch::Sender<Job>,
    cancel: CancellationToken,
    /// The orders that tasks of this process are carrying out.
    orders: Mutex<Vec<DeadLettersOrdered>>,
    tried: Mutex<Option<Arc<Vec<TriedDeadLetter>>>>,
}

impl Table {
    /// Registers a job, unless there is no room for it now.
    pub(super) fn admit(
        &mut self,
        function: &str,
        kind: JobKind,
        letters: Option<u64>,
        started_ms: i64,
    ) -> Result<Arc<UnderWay>> {
        let under_way: Vec<_> = self.jobs.iter().map(|job| job.now()).filter(|job| !job.state.is_over()).collect();
        let refused = |what: String| Err(Error::new(ErrorCode::JobUnderWay, what));
        if let Some(job) = under_way.iter().find(|job| job.function == function) {
            let (kind, id) = (job.kind.as_str(), &job.id);
            return refused(format!("the {kind} '{id}' of dead letters of function '{function}' is under way"))
                .map_err(|error| error.advising(advice(id)));
        }
        if under_way.len() >= MOST_UNDER_WAY {
            return refused(format!(
                "{} jobs on dead letters are under way, and there are no more at once",
                under_way.len()
            ));
        }
        let ids = (0_u32..).map(|number| format!("{started_ms:x}-{number}"));
        let id = ids.skip(1).find(|id| self.get(id).is_none()).unwrap_or_default();
        let job = UnderWay::new(Job {
            id,
            function: function.to_owned(),
            kind,
            state: JobState::Running,
            started_ms,
            ended_ms: None,
            letters,
            processed: 0,
            replayed: 0,
            failed_again: 0,
            dropped: 0,
            moved: 0,
            would_succeed: None,
            waiting: None,
            error: None,
        });
        self.jobs.push(job.clone());
        Ok(job)
    }

    /// A job of a former run of the process.
    pub(super) fn recall(&mut self, job: Job) {
        let at = self.jobs.partition_point(|known| known.now().started_ms <= job.started_ms);
        self.jobs.insert(at, UnderWay::new(job));
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<UnderWay>> {
        self.jobs.iter().find(|job| job.id == id).cloned()
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.jobs.retain(|job| job.id != id);
    }

    /// All jobs, the newest first.
    pub(super) fn all(&self) -> Vec<Arc<UnderWay>> {
        self.jobs.iter().rev().cloned().collect()
    }

    /// Forgets the oldest of those that are over, and what old trials made of dead letters; the ids of those forgotten.
    pub(super) fn let_go(&mut self) -> Vec<String> {
        let is_over = |job: &Arc<UnderWay>| job.now().state.is_over();
        let mut too_many = self.jobs.iter().filter(|job| is_over(job)).count().saturating_sub(KEPT);
        let mut forgotten = Vec::new();
        self.jobs.retain(|job| {
            let forget = too_many > 0 && is_over(job);
            if forget {
                too_many -= 1;
                forgotten.push(job.id.clone());
            }
            !forget
        });
        let mut bytes = 0;
        for job in self.jobs.iter().rev() {
            let mut tried = job.tried.lock();
            let first = bytes == 0;
            bytes += tried.as_ref().map_or(0, |tried| tried.iter().map(size_of).sum());
            if bytes > TRIED_BYTES && !first {
                *tried = None;
            }
        }
        forgotten
    }
}

impl UnderWay {
    fn new(job: Job) -> Arc<Self> {
        Arc::new(UnderWay {
            id: job.id.clone(),
            state: watch::Sender::new(job),
            cancel: CancellationToken::new(),
            orders: Mutex::default(),
            tried: Mutex::default(),
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn function(&self) -> String {
        self.state.borrow().function.clone()
    }

    /// The job as it is now.
    pub(super) fn now(&self) -> Job {
        let mut job = self.state.borrow().clone();
        if job.kind == JobKind::Trial && !job.state.is_over() {
            job.processed = self.orders.lock().iter().map(DeadLettersOrdered::tried).sum();
        }
        job
    }

    pub(super) fn watch(&self) -> watch::Receiver<Job> {
        self.state.subscribe()
    }

    /// Has it begin nothing more.
    pub(super) fn cancel(&self) {
        self.state.send_if_modified(|job| {
            let runs = job.state == JobState::Running;
            if runs {
                job.state = JobState::Cancelling;
            }
            runs
        });
        self.cancel.cancel();
        self.orders.lock().iter().for_each(DeadLettersOrdered::cancel);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    pub(super) fn cancelled(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Tasks of this process have an order of it. One that is not known here any more is over.
    pub(super) fn ordered(&self, order: DeadLettersOrdered) {
        let mut orders = self.orders.lock();
        orders.retain(|known| !known.is_over());
        orders.push(order.clone());
        drop(orders);
        // Whoever cancelled before did not see it.
        if self.is_cancelled() {
            order.cancel();
        }
    }

    /// Adds what came of an order.
    pub(super) fn add(&self, report: &DeadLetterReport) {
        self.state.send_modify(|job| {
            job.replayed += report.replayed;
            job.failed_again += report.failed_again;
            job.dropped += report.dropped;
            job.moved += report.moved;
            job.processed += report.replayed + report.failed_again + report.dropped + report.moved;
        });
    }

    /// Keeps what a trial made of the letters.
    pub(super) fn keep(&self, report: DeadLetterReport) {
        let tried: Vec<_> = report.tried.into_iter().map(told).collect();
        self.state.send_modify(|job| {
            job.processed = tried.len() as u64;
            job.would_succeed = Some(tried.iter().filter(|letter| letter.emitted.is_some()).count() as u64);
        });
        *self.tried.lock() = Some(Arc::new(tried));
    }

    pub(super) fn tried(&self) -> Option<Arc<Vec<TriedDeadLetter>>> {
        self.tried.lock().clone()
    }

    /// It is over.
    pub(super) fn end(&self, state: JobState, error: Option<ErrorBody>, waiting: Option<u64>, at_ms: i64) {
        self.orders.lock().clear();
        self.state.send_modify(|job| {
            job.state = state;
            job.error = error;
            job.waiting = waiting;
            job.ended_ms = Some(at_ms);
        });
    }

    /// The error with what was done before it.
    pub(super) fn in_context(&self, error: Error, waiting: Option<u64>) -> Error {
        if error.code != ErrorCode::FunctionStopped {
            return error;
        }
        let job = self.now();
        let Job { function, replayed, failed_again, dropped, .. } = job;
        let waiting = waiting.map(|waiting| format!(", {waiting} waiting")).unwrap_or_default();
        let done = match job.kind {
            JobKind::Trial => "nothing was kept".to_owned(),
            _ => format!(
                "{} replayed, {failed_again} failed again, {dropped} dropped{waiting}; order it again for the rest",
                counted(replayed, "dead letter")
            ),
        };
        let what =
            format!("function '{function}' was stopped, changed or failed meanwhile: {done} ({})", error.message);
        Error::new(error.code, what)
    }
}

fn told(letter: fnstream_engine::TriedDeadLetter) -> TriedDeadLetter {
    let (emitted, failed) = match letter.outcome {
        Ok(emitted) => (Some(emitted), None),
        Err(failed) => (None, Some(failed)),
    };
    TriedDeadLetter {
        id: format!("{}:{}", letter.at.0.partition, letter.at.1),
        emitted,
        code: failed.as_ref().map(|(code, _)| code.as_str().to_owned()),
        message: failed.map(|(_, message)| bounded(message)),
    }
}

fn bounded(message: String) -> String {
    match message.char_indices().find(|(at, _)| *at >= MESSAGE_BYTES) {
        Some((at, _)) => format!("{} … (cut)", &message[..at]),
        None => message,
    }
}

/// About how much memory it takes.
pub(super) fn size_of(letter: &TriedDeadLetter) -> usize {
    std::mem::size_of::<TriedDeadLetter>() + letter.id.len() + letter.message.as_ref().map_or(0, String::len)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_core::record::{Position, TopicPartition};

    use super::*;

    fn admitted(table: &mut Table, function: &str) -> Arc<UnderWay> {
        table.admit(function, JobKind::Trial, None, 1).unwrap()
    }

    fn end(job: &UnderWay) {
        job.end(JobState::Done, None, None, 2);
    }

    #[test]
    fn a_function_has_one_job_at_a_time_and_the_process_a_few() {
        let mut table = Table::default();
        let first = admitted(&mut table, "0");
        let refused = table.admit("0", JobKind::Drop, None, 1).err().unwrap();
        assert_eq!(refused.code, ErrorCode::JobUnderWay);
        assert!(refused.message.contains(first.id()), "{}", refused.message);
        for function in 1..MOST_UNDER_WAY {
            admitted(&mut table, &function.to_string());
        }
        assert_eq!(table.admit("more", JobKind::Drop, None, 1).err().unwrap().code, ErrorCode::JobUnderWay);
        end(&first);
        let again = admitted(&mut table, "0");
        assert_ne!(again.id(), first.id(), "an id is given once");
    }

    #[test]
    fn the_newest_are_kept_and_those_under_way() {
        let mut table = Table::default();
        let under_way = admitted(&mut table, "under-way");
        let over: Vec<_> = (0..KEPT + 2)
            .map(|_| {
                let job = admitted(&mut table, "f");
                end(&job);
                job.id().to_owned()
            })
            .collect();
        assert_eq!(table.let_go(), over[..2]);
        assert!(table.get(under_way.id()).is_some() && table.get(&over[0]).is_none());
        assert_eq!(table.all().len(), KEPT + 1);
    }

    #[test]
    fn what_old_trials_made_of_letters_goes_before_they_do() {
        let mut table = Table::default();
        let outcome = Err((ErrorCode::GuestError, "x".repeat(10 << 10)));
        let letter = |position| fnstream_engine::TriedDeadLetter {
            at: (TopicPartition::new("f.dlq", 0), Position(position)),
            source: (TopicPartition::new("in", 0), Position(position)),
            outcome: outcome.clone(),
        };
        let mut trial = || {
            let job = admitted(&mut table, "f");
            job.keep(DeadLetterReport { tried: (0..20_000).map(letter).collect(), ..DeadLetterReport::default() });
            end(&job);
            job
        };
        let (old, new) = (trial(), trial());
        table.let_go();
        assert!(old.tried().is_none() && table.get(old.id()).is_some());
        let kept = new.tried().unwrap();
        assert_eq!(kept.len(), 20_000);
        assert!(kept[0].message.as_ref().unwrap().len() < 2 * MESSAGE_BYTES, "messages are cut");
        assert_eq!(new.now().would_succeed, Some(0));
    }
}
