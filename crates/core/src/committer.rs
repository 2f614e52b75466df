// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam that makes an epoch durable and visible.

use std::sync::Arc;

use crate::broker::Assignment;
use crate::delta::Delta;
use crate::epoch::{Epoch, FrozenEpoch, Generation, Progress, TaskId};
use crate::error::{Error, Result};
use crate::state::Marker;

/// What a task finds when it takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired {
    /// The generation to commit under: higher than any before.
    pub generation: Generation,
    /// Where the task stands; the default when nothing was ever committed.
    pub progress: Progress,
    /// The delta log's end at `progress.epoch`, for [`Marker::log_end`].
    pub log_end: bytes::Bytes,
}

/// How a commit ended. The sort decides what the engine does next.
#[derive(Debug, Clone)]
pub enum CommitFailure {
    /// Nothing happened; the same epoch may be handed in again.
    Retriable(Error),
    /// Nothing happened, and this epoch cannot be committed any more: replay from the last commit.
    Abortable(Error),
    /// Nothing happened, and nothing ever will: the broker refuses what is in this epoch for good, such as a record above
    /// its limit. The same input leads to the same refusal, so whoever made it has to be found.
    Rejected {
        /// Why; its code is a fault of the user.
        error: Error,
        /// The index in [`FrozenEpoch::outbox`] of the batch that was refused; `None` when it is not known, or when it is
        /// the state delta or the progress that was refused.
        output: Option<u32>,
    },
    /// Another generation owns the task: stop, this owner never commits again. The broker calls
    /// [`crate::broker::AssignmentListener::lost`], and `assigned` anew when the task is still this process's.
    Fenced(Error),
    /// It is not known whether the epoch was committed, or the connection is beyond repair: take over anew and see.
    Fatal(Error),
}

impl CommitFailure {
    /// The cause.
    pub fn error(&self) -> &Error {
        match self {
            CommitFailure::Retriable(e)
            | CommitFailure::Abortable(e)
            | CommitFailure::Rejected { error: e, .. }
            | CommitFailure::Fenced(e)
            | CommitFailure::Fatal(e) => e,
        }
    }
}

/// The answer to a commit: the end of the delta log after it, for [`Marker::log_end`].
pub type CommitResult = std::result::Result<bytes::Bytes, CommitFailure>;

/// Called exactly once, from any thread, also while `commit` still runs. It does not block.
pub type CommitDone = Box<dyn FnOnce(CommitResult) + Send>;

/// Takes a delta that the state store does not have yet, with the marker of a store that has it. An error ends the replay;
/// [`crate::ErrorCode::Cancelled`] says that the task is to end and does not need its state any more.
pub type Replay<'a> = dyn FnMut(Marker, Delta) -> Result<()> + 'a;

/// Makes frozen epochs durable and visible: positions, state delta, outbox and progress of an epoch together or not at
/// all. Epochs of several tasks may be merged into one write or transaction; then they stand or fall together.
///
/// Contract:
/// - **Order**: epochs of one task and generation commit in the order in which they were handed in; when one fails, later
///   ones of that task that were already handed in fail too, and nothing of them is visible.
/// - **Again**: after a failure that is neither fenced nor fatal the same generation may hand in another epoch of the failed
///   one's number, with other content, without acquiring anew.
/// - **Once**: handing in an epoch whose number is already committed under the same generation answers `Ok` and changes
///   nothing.
/// - **Visibility**: when `done` is called with `Ok` the outbox is readable, the positions and the delta are durable to
///   the degree that was configured, and the committer keeps no reference to the epoch.
/// - **No trace**: of an epoch that failed as anything but fatal nothing is ever visible, and of a fatal one either all
///   or nothing.
/// - **Companions**: an epoch that was merged with one that fails for its own sake ([`CommitFailure::Rejected`]) is not to
///   blame; it is committed all the same or answered [`CommitFailure::Retriable`].
/// - **Fencing**: after `acquire` answered, no commit of a lower generation succeeds, and none that was under way becomes
///   visible later.
pub trait Committer: Send + Sync {
    /// Takes a task over: fences all owners before, answers where it stands, and replays in order the deltas that come
    /// after `applied` (all that are known, when it is `None`).
    ///
    /// A committer that has dropped deltas behind a copy of the state of its own may give a store that is behind that copy
    /// everything anew, in pieces of which the first deletes whatever the store has. The markers of the pieces have epoch 0
    /// and the place that was reached, so that a store that has only some of them is given the rest.
    ///
    /// May be called again at any time, also by the present owner, which then fences itself. An assignment that is not the
    /// task's latest is refused as [`crate::ErrorCode::Fenced`] and fences nobody.
    ///
    /// May take long, as long as there are deltas. An error of `replay` ends it at once and is passed on as it is; the task
    /// is taken over all the same, and acquiring it again replays again. No lock of the committer is held while `replay`
    /// runs: other tasks commit and acquire meanwhile.
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired>;

    /// Hands in an epoch and returns at once; `done` is called with how it ended.
    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone);

    /// Says that the state store durably has everything up to `through`, so that deltas up to it may be dropped.
    ///
    /// A hint: a committer may drop them later or never.
    fn trim(&self, task: TaskId, through: Epoch);

    /// Why epochs of the task cannot be committed at present, such as a broker that cannot be reached or a disk that is
    /// full; `None` when all is well. The committer goes on by itself when it can: this is shown to people and changes
    /// nothing.
    fn trouble(&self, task: TaskId) -> Option<Error>;
}
