// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A program in memory that does what each record's value tells it to, and can be broken in one way.
//!
//! ```text
//! bad   returns an error          exit    ends itself            count   counts in its state
//! half  the same, after more
//! trap  traps                     target  emits to output 5      other   is passed through
//! loop  never ends                eat     asks for memory         timers  sets timers and deletes one
//! ```
//!
//! Its time is a count of steps and its memory a number, so what takes either without end takes none of the machine's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::batch::Batch;
use fnstream_core::delta::Write;
use fnstream_core::epoch::Epoch;
use fnstream_core::runtime::{CallFailure, CallResult, Instance, InstanceSpec, Program, SharedHost};
use fnstream_core::state_key::{put_simple, store_prefix};
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_core::{Error, ErrorCode, Result, error};
use fnstream_frame::{Headers, RecordRef};
use parking_lot::Mutex;

use crate::broken_programs::Fault;

const PAGE: usize = 64 << 10;

/// The program.
pub(crate) struct Obedient(Arc<Shared>);

/// What the program and its instances have in common.
struct Shared {
    fault: Option<Fault>,
    /// Some instance has failed.
    failed: AtomicBool,
    /// Tells when what never ends may end after all.
    end: Mutex<Option<Receiver<()>>>,
}

impl Obedient {
    /// The program, and what to keep as long as it is under test.
    pub(crate) fn new(fault: Option<Fault>) -> (Self, Sender<()>) {
        let (keep, end) = channel();
        (Obedient(Arc::new(Shared { fault, failed: AtomicBool::new(false), end: Mutex::new(Some(end)) })), keep)
    }
}

impl Program for Obedient {
    fn kind(&self) -> &'static str {
        "obedient"
    }

    fn instantiate(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        if PAGE > spec.limits.memory && self.0.fault != Some(Fault::StartsOverTheLimit) {
            return Err(failure(ErrorCode::GuestOutOfMemory, "there is no room to start"));
        }
        if self.0.fault == Some(Fault::AsksWhileItIsMade) {
            let _ = host.lock().get(b"");
        }
        Ok(Box::new(Obeying {
            shared: Arc::clone(&self.0),
            spec: spec.clone(),
            host,
            fault: self.0.fault,
            memory: PAGE,
            poisoned: false,
            own_count: 0,
        }))
    }
}

struct Obeying {
    shared: Arc<Shared>,
    spec: InstanceSpec,
    host: SharedHost,
    fault: Option<Fault>,
    memory: usize,
    poisoned: bool,
    /// For one that keeps its count to itself.
    own_count: u64,
}

fn failure(code: ErrorCode, message: &str) -> CallFailure {
    Error::new(code, message).into()
}

impl Obeying {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Runs a method unless the instance has failed; remembers when it fails.
    fn guarded<T>(&mut self, run: impl FnOnce(&mut Self) -> CallResult<T>) -> CallResult<T> {
        let others = self.is(Fault::PoisonsSiblings) && self.shared.failed.load(Ordering::SeqCst);
        if others || (self.poisoned && !self.is(Fault::WorksAfterAFailure)) {
            return Err(failure(ErrorCode::GuestPoisoned, "the instance failed before"));
        }
        let result = run(self);
        if let Err(failure) = &result
            && (!failure.undone || self.is(Fault::IsSpoiltByWhatItUndid))
        {
            self.poisoned = true;
            self.shared.failed.store(true, Ordering::SeqCst);
        }
        result
    }

    fn emit(&mut self, record: RecordRef<'_>) -> Result<()> {
        self.host.lock().emit(record)
    }

    fn obey(&mut self, record: RecordRef<'_>) -> CallResult {
        match record.bytes() {
            b"bad" => Err(failure(ErrorCode::GuestError, "bad record").at_record(Some(0)).undone()),
            b"half" => {
                if self.is(Fault::LeavesHalfOfARecord) {
                    self.count(record)?;
                }
                Err(failure(ErrorCode::GuestError, "half a record").at_record(Some(0)).undone())
            }
            b"trap" if self.is(Fault::TrapsAreErrors) => Err(failure(ErrorCode::GuestError, "unreachable")),
            b"trap" => Err(failure(ErrorCode::GuestTrap, "unreachable")),
            b"exit" if self.is(Fault::ExitsAreSuccesses) => Ok(()),
            b"exit" => Err(failure(ErrorCode::GuestExit, "exited with status 7")),
            b"target" => match self.emit(record.on(5)) {
                Err(_) if self.is(Fault::UnknownTargetsAreErrors) => Err(failure(ErrorCode::GuestError, "no output")),
                result => Ok(result?),
            },
            b"loop" => self.never_end(),
            b"eat" => self.eat(),
            b"count" => self.count(record),
            b"timers" => self
                .set_timers()
                .or_else(|failure| if self.is(Fault::SwallowsFaultsAtTimers) { Ok(()) } else { Err(failure) }),
            _ => Ok(self.emit(self.passed(record))?),
        }
    }

    fn passed<'a>(&self, record: RecordRef<'a>) -> RecordRef<'a> {
        let record = record.on(0);
        match self.fault {
            Some(Fault::DropsEmptyKeys) => record.with_key(record.key.filter(|key| !key.is_empty())),
            Some(Fault::DropsHeaders) => record.with_headers(Headers::EMPTY),
            Some(Fault::EmptiesNullValues) => RecordRef { value: Some(record.bytes()), ..record },
            Some(Fault::ForgetsTime) => record.at(0),
            _ => record,
        }
    }

    fn never_end(&mut self) -> CallResult {
        if self.is(Fault::IgnoresTime) {
            let end = self.shared.end.lock().take();
            // Nothing is ever sent: it returns when the harness is gone.
            let _ = end.map(|end| end.recv());
            return Ok(());
        }
        let mut ran = Duration::ZERO;
        while ran < self.spec.limits.call_time {
            ran += Duration::from_millis(1);
        }
        let code = if self.is(Fault::TimeoutsAreTraps) { ErrorCode::GuestTrap } else { ErrorCode::GuestTimeout };
        Err(failure(code, "the time is over"))
    }

    fn eat(&mut self) -> CallResult {
        let limit = if self.is(Fault::IgnoresMemory) { 1 << 30 } else { self.spec.limits.memory };
        while self.memory + PAGE <= limit {
            self.memory += PAGE;
        }
        Err(failure(ErrorCode::GuestOutOfMemory, "there is no more memory"))
    }

    fn set_timers(&mut self) -> CallResult {
        let timer = |domain, key: &'static str, at_ms| Timer { domain, key: key.into(), at_ms };
        let processing = if self.is(Fault::MixesDomains) { TimeDomain::Event } else { TimeDomain::Processing };
        if !self.is(Fault::SetsNoTimers) {
            self.host.lock().set_timer(timer(TimeDomain::Event, "a", 10))?;
            self.host.lock().set_timer(timer(processing, "b", -20))?;
        }
        if !self.is(Fault::DeletesNoTimers) {
            self.host.lock().delete_timer(TimeDomain::Event, b"old")?;
        }
        Ok(())
    }

    fn fire(&mut self, timers: &[Timer]) -> CallResult {
        let mut order: Vec<usize> = (0..timers.len()).collect();
        match self.fault {
            Some(Fault::LosesTheLastTimer) if order.len() > 1 => drop(order.pop()),
            Some(Fault::FiresBackwards) => order.reverse(),
            _ => {}
        }
        for index in order {
            let timer = &timers[index];
            if timer.key == "bad" {
                let named = index as u32 + u32::from(self.is(Fault::NamesTheTimerAfter));
                return Err(failure(ErrorCode::GuestError, "bad timer").at_record(Some(named)));
            }
            let value = if timer.domain == TimeDomain::Event { "event" } else { "processing" };
            self.emit(RecordRef::new(value.as_bytes()).with_key(Some(&timer.key)).at(timer.at_ms))?;
        }
        Ok(())
    }

    fn count(&mut self, record: RecordRef<'_>) -> CallResult {
        let mut key = if self.is(Fault::WritesBareKeys) { Vec::new() } else { store_prefix("s")? };
        put_simple(&mut key, b"count");
        let found = self.host.lock().get(&key)?;
        let stored = found.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse::<u64>().ok());
        let before = if self.is(Fault::KeepsStateToItself) { self.own_count } else { stored.unwrap_or(0) };
        self.own_count = before + 1;
        let text = self.own_count.to_string();
        self.host.lock().write(&key, Write::Put(Bytes::from(text.clone())))?;
        Ok(self.emit(RecordRef { value: Some(text.as_bytes()), ..record })?)
    }

    fn obey_all(&mut self, batch: &Batch) -> CallResult {
        let mut order: Vec<usize> = (0..batch.len()).collect();
        match self.fault {
            Some(Fault::LosesTheLastRecord) if order.len() > 1 => drop(order.pop()),
            Some(Fault::ProcessesBackwards) => order.reverse(),
            _ => {}
        }
        let is_undone = |index: usize| matches!(batch.frame().record(index).bytes(), b"bad" | b"half");
        let mut failed = Ok(());
        for index in order {
            if self.is(Fault::LosesWhatCameBefore) && !is_undone(index) && (index..batch.len()).any(is_undone) {
                continue;
            }
            let ended = self.obey(batch.frame().record(index)).or_else(|failure| self.report(failure, index));
            match ended {
                Err(failure) if failure.undone && self.is(Fault::GoesOnAfterARecord) => failed = Err(failure),
                ended => ended?,
            }
        }
        failed
    }

    /// Says at which record it failed. A fault of the host is no record's.
    fn report(&self, mut failure: CallFailure, index: usize) -> CallResult {
        let of_guest = failure.error.code.fault() == error::Fault::User;
        failure.record = of_guest.then_some(index as u32);
        match self.fault {
            Some(Fault::NamesTheRecordAfter) if of_guest => failure.record = Some(index as u32 + 1),
            Some(Fault::NamesNoRecord) => failure.record = None,
            Some(Fault::UndoesNothing) => failure.undone = false,
            Some(Fault::UndoesAnotherRecord) if failure.undone => failure.record = Some(index as u32 + 1),
            Some(Fault::BlamesTheRecordForTheHost) => failure.record = Some(index as u32),
            Some(Fault::SwallowsFaultsOfTheHost) if !of_guest => return Ok(()),
            Some(Fault::ReportsFaultsOfTheHostAsErrors) if !of_guest => failure.error.code = ErrorCode::GuestError,
            _ => {}
        }
        Err(failure)
    }
}

impl Instance for Obeying {
    fn init(&mut self) -> CallResult {
        let refuse = self.spec.config.contains_key("refuse");
        if refuse && self.is(Fault::WorksAfterARefusedInit) && !self.poisoned {
            return Err(failure(ErrorCode::GuestError, "refused"));
        }
        self.guarded(|_| if refuse { Err(failure(ErrorCode::GuestError, "refused")) } else { Ok(()) })
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        self.guarded(|this| this.obey_all(batch))
    }

    fn process_watermark(&mut self, source: u32, watermark: u64) -> CallResult {
        self.guarded(|this| {
            if this.is(Fault::ForgetsWatermarks) {
                return Ok(());
            }
            Ok(this.host.lock().emit_watermark(source, watermark + 1)?)
        })
    }

    fn on_timers(&mut self, timers: &[Timer]) -> CallResult {
        if self.poisoned && self.is(Fault::FiresAfterAFailure) {
            return Ok(());
        }
        self.guarded(|this| this.fire(timers))
    }

    fn take_checkpoint(&mut self, epoch: Epoch) -> CallResult {
        self.guarded(|this| {
            if this.is(Fault::SkipsCheckpoints) {
                return Ok(());
            }
            Ok(this.emit(RecordRef::new(epoch.0.to_string().as_bytes()))?)
        })
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        if self.poisoned && self.is(Fault::BeatsAfterAFailure) {
            return Ok(true);
        }
        self.guarded(|this| Ok(!this.is(Fault::IsNeverWell)))
    }

    fn close(&mut self) -> CallResult {
        self.guarded(|this| Ok(this.emit(RecordRef::new(b"closed"))?))
    }

    fn exec(&mut self, class_name: &str, _: &[(String, Vec<u8>)]) -> CallResult {
        self.guarded(|this| Ok(this.emit(RecordRef::new(class_name.as_bytes()))?))
    }

    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>> {
        self.guarded(|_| Ok(payload.iter().rev().copied().collect()))
    }

    fn memory_bytes(&self) -> usize {
        self.memory
    }
}

impl Drop for Obeying {
    fn drop(&mut self) {
        if self.is(Fault::AsksWhenItIsDropped) {
            // What it would have said in its last call.
            let _ = self.host.lock().emit(RecordRef::new(b"late"));
        }
    }
}
