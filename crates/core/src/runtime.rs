// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to user code.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_frame::RecordRef;
use parking_lot::Mutex;

use crate::batch::Batch;
use crate::budget::guests::Account;
use crate::delta::Write;
use crate::epoch::{Epoch, FunctionId};
use crate::error::{Error, Fault, Result, internal};
use crate::interrupt::Interrupt;
use crate::spec::FileGrant;
use crate::state::Visit;
use crate::timer::{TimeDomain, Timer};

pub use crate::spec::Limits;

/// What a program is told about itself when an instance starts.
#[derive(Debug, Clone, Default)]
pub struct InstanceSpec {
    /// The function's id, for its log.
    pub id: FunctionId,
    /// The function's name.
    pub function: String,
    /// The function's revision.
    pub revision: u64,
    /// Which of the function's tasks this is.
    pub task_index: u32,
    /// The names of the outputs, in the order of their target ids.
    pub outputs: Vec<String>,
    /// The function's own configuration.
    pub config: BTreeMap<String, String>,
    /// What the instance may use.
    pub limits: Limits,
    /// The environment variables that it sees: these and no others.
    pub env: BTreeMap<String, String>,
    /// The folders that it may read: these and no others.
    pub files: Vec<FileGrant>,
    /// Ends its calls when the task is to end.
    pub interrupt: Interrupt,
    /// Where its memory comes from.
    pub memory: Account,
}

impl InstanceSpec {
    /// The limit of its memory in force here: its function's, as far as there is so much for all.
    pub fn memory_limit(&self) -> usize {
        self.limits.memory_within(self.memory.most())
    }
}

/// What a call of user code reaches. It is the task's side of the boundary: the engine implements it, the runtime calls
/// it while one of the instance's methods runs, and at no other time.
///
/// Keys are complete (see [`crate::state_key`]): the runtime puts the store's prefix before them.
pub trait Host: Send {
    /// Takes a whole frame of emitted records; the channel of each is its target id.
    ///
    /// All or nothing: when one is refused, none is taken.
    fn emit_frame(&mut self, frame: &[u8]) -> Result<()>;

    /// Takes one emitted record; its channel is the target id.
    fn emit(&mut self, record: RecordRef<'_>) -> Result<()>;

    /// Takes a watermark for an output.
    fn emit_watermark(&mut self, target: u32, watermark: u64) -> Result<()>;

    /// Sets the timer of that domain and key; one that is set already is moved.
    fn set_timer(&mut self, timer: Timer) -> Result<()>;

    /// Deletes a timer; one that is not set is none.
    fn delete_timer(&mut self, domain: TimeDomain, key: &[u8]) -> Result<()>;

    /// Reads a key: the instance's own writes included.
    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Writes a key.
    fn write(&mut self, key: &[u8], write: Write) -> Result<()>;

    /// Removes a range of keys, `end` exclusive.
    fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) -> Result<()>;

    /// Visits a range of keys in order, `end` exclusive, own writes included.
    fn scan(&mut self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()>;
}

/// A host that an instance and its task share. Only one of them runs at a time, so the lock is never waited for.
pub type SharedHost = Arc<Mutex<dyn Host>>;

/// Why a call of user code failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct CallFailure {
    /// The code tells apart what the guest returned, a trap, a limit, an exit, and a fault of the host, which is nobody's
    /// record's fault.
    pub error: Error,
    /// The index in the batch of the record that failed, if it is known: the guest says so, or shows which record it has at hand.
    pub record: Option<u32>,
    /// The wasm backtrace, where there is one.
    pub backtrace: Option<String>,
    /// The failed record of a batch has left nothing with the host, all that the records before it did is there, and none after it
    /// was processed. So the instance is well and may be called again. Set only if `record` is.
    pub undone: bool,
}

impl CallFailure {
    /// The same failure, of the record at that index; unless it is the host's, which is nobody's record's fault.
    pub fn at_record(self, index: Option<u32>) -> Self {
        let blamed = self.error.code.fault() == Fault::User;
        CallFailure { record: index.filter(|_| blamed), ..self }
    }

    /// The same failure, whose record was undone; unless no record is to blame.
    pub fn undone(self) -> Self {
        CallFailure { undone: self.record.is_some(), ..self }
    }
}

impl From<Error> for CallFailure {
    fn from(error: Error) -> Self {
        CallFailure { error, record: None, backtrace: None, undone: false }
    }
}

/// The result of a call of user code.
pub type CallResult<T = ()> = std::result::Result<T, CallFailure>;

/// Loads artifacts.
pub trait Runtime: Send + Sync {
    /// Inspects and compiles an artifact, or takes it from the cache. Takes seconds for a large artifact the first time:
    /// never call it on a thread that serves others.
    ///
    /// `Err` when it is not WebAssembly, or fits none of the kinds; the message names the import or export.
    fn load(&self, artifact: &[u8]) -> Result<Arc<dyn Program>>;

    /// The memory that loading an artifact probably takes while it lasts, in bytes; none if nothing has to be compiled, or can be.
    /// Takes far less time than loading, and blocks.
    fn memory_to_load(&self, _artifact: &[u8]) -> usize {
        0
    }

    /// Loads an artifact with at most so many bytes of memory while it lasts, as far as the runtime can see to that. Refused with
    /// [`crate::ErrorCode::CompileMemory`] if they are not enough.
    fn load_within(&self, artifact: &[u8], _memory: usize) -> Result<Arc<dyn Program>> {
        self.load(artifact)
    }
}

/// A loaded artifact, shared by all instances made of it.
pub trait Program: Send + Sync {
    /// A short word for what kind of artifact it is.
    fn kind(&self) -> &'static str;

    /// Whether its instances can be given timers that are due, see [`Instance::on_timers`]: not, unless it says so.
    fn takes_timers(&self) -> bool {
        false
    }

    /// Finds what is wrong with the program and can be told only by running a part of it: source that cannot be loaded. Called
    /// before a function is made of it, with what its instances would be given. It reaches nothing outside.
    fn check(&self, _spec: &InstanceSpec) -> Result<()> {
        Ok(())
    }

    /// Makes an instance. `init` is not called yet.
    fn instantiate(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>>;
}

/// One live copy of user code, serving one task. Its methods are called one at a time.
///
/// Contract:
/// - **Errors**: what the guest returned, a trap, a limit and a host fault have different codes.
/// - **Poison**: after a failure of any sort but one the instance is not called again except to be dropped; a call all the same
///   answers [`crate::ErrorCode::GuestPoisoned`]. No other instance is touched.
/// - **Undone**: the one is a failure of [`Instance::process`] that is [`CallFailure::undone`]. The instance goes on with any call,
///   and the epoch with what the records before the failed one did.
/// - **Limits** hold in every method and in [`Program::instantiate`].
/// - **Interrupt**: once [`InstanceSpec::interrupt`] is set, the call that runs ends soon, wherever it computes or waits, and one
///   that has not begun is not made. Both fail with [`crate::ErrorCode::Interrupted`], which is nobody's record's fault.
/// - **Memory**: what it has in memories and tables is in [`InstanceSpec::memory`] until it is dropped. If that refuses more, or the
///   instance has to give way, the call that runs ends with [`crate::ErrorCode::GuestMemoryShort`], which is nobody's record's fault.
pub trait Instance: Send {
    /// Called once, before anything else.
    fn init(&mut self) -> CallResult;

    /// Processes the records of a batch in order, up to one that fails.
    fn process(&mut self, batch: &Batch) -> CallResult;

    /// Tells that no record older than `watermark` (ms) is expected from any input; `source` is the group that held it back until
    /// now. Timers that it made due come before.
    fn process_watermark(&mut self, source: u32, watermark: u64) -> CallResult;

    /// Tells that these timers are due, in the order of their times. They are not set any more; they may be set again.
    ///
    /// Never called where the function has no means to set timers. [`CallFailure::record`] is the index of the timer.
    fn on_timers(&mut self, _timers: &[Timer]) -> CallResult {
        Err(internal("a timer is due for a function that cannot set one").into())
    }

    /// Called at the end of each epoch; what it writes and emits belongs to that epoch. In the last epoch of a well-behaved life it
    /// comes before [`Instance::close`], if the epoch has anything in it by then.
    fn take_checkpoint(&mut self, epoch: Epoch) -> CallResult;

    /// Asks whether the instance is well; `false` makes the engine replace it. An instance that was not called since the last time is not
    /// asked.
    fn check_heartbeat(&mut self) -> CallResult<bool>;

    /// Called once at the end of a well-behaved life, before the last commit. No call of any kind comes after it.
    fn close(&mut self) -> CallResult;

    /// Hands code or modules to the function, where it takes them.
    fn exec(&mut self, class_name: &str, modules: &[(String, Vec<u8>)]) -> CallResult;

    /// A request of the user's own form.
    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>>;

    /// Bytes of linear memory in use, for status and for recycling.
    fn memory_bytes(&self) -> usize;
}
