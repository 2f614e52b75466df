// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What one call of user code may emit, and how much state a task may keep.

use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::runtime::Limits;
use fnstream_core::units::counted;

/// The account of what a call emits.
#[derive(Debug)]
pub(crate) struct Quota {
    limits: Limits,
    records_left: u64,
    bytes_left: usize,
}

impl Quota {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut quota = Quota { limits, records_left: 0, bytes_left: 0 };
        quota.begin(1);
        quota
    }

    /// A call begins that is given so many records.
    pub(crate) fn begin(&mut self, inputs: usize) {
        self.records_left = self.limits.records_per_input.saturating_mul(inputs.max(1) as u64);
        // What waits to be committed is the host's memory, but the function's doing.
        self.bytes_left = self.limits.memory;
    }

    /// Reports whether records of so many bytes together may hold one that is too large.
    pub(crate) fn could_be_too_large(&self, bytes: usize) -> bool {
        bytes > self.limits.record_bytes
    }

    /// Takes emitted records, all or none: their number, their bytes together, and those of the largest.
    pub(crate) fn take(&mut self, records: u64, bytes: usize, largest: usize) -> Result<()> {
        let limits = &self.limits;
        if largest > limits.record_bytes {
            let message = format!("emitted a record of {largest} bytes, the limit is {}", limits.record_bytes);
            return Err(Error::new(ErrorCode::OutputTooLarge, message));
        }
        if records > self.records_left {
            let message = format!("emitted more than {} for each input", counted(limits.records_per_input, "record"));
            return Err(Error::new(ErrorCode::TooManyOutputs, message));
        }
        if bytes > self.bytes_left {
            let message = format!("emitted more than {} bytes in one call", limits.memory);
            return Err(Error::new(ErrorCode::TooManyOutputs, message));
        }
        self.records_left -= records;
        self.bytes_left -= bytes;
        Ok(())
    }
}

/// The account of the bytes of a task's state, kept only when they are limited: knowing what a write adds takes a read.
#[derive(Debug)]
pub(crate) struct StateAccount {
    limit: u64,
    /// With the writes of the open epoch.
    used: u64,
    /// With those of the epoch in flight, or of the last commit when there is none.
    frozen: u64,
    /// As committed.
    committed: u64,
}

impl StateAccount {
    /// An account of state that has so many bytes now.
    pub(crate) fn new(limit: u64, used: u64) -> Self {
        StateAccount { limit, used, frozen: used, committed: used }
    }

    /// The open epoch ends.
    pub(crate) fn freeze(&mut self) {
        self.frozen = self.used;
    }

    /// The epoch in flight is committed.
    pub(crate) fn commit(&mut self) {
        self.committed = self.frozen;
    }

    /// Everything that is not committed is dropped.
    pub(crate) fn abandon(&mut self) {
        self.used = self.committed;
        self.frozen = self.committed;
    }

    /// The open epoch is emptied.
    pub(crate) fn clear(&mut self) {
        self.used = self.frozen;
    }

    /// The bytes that the open epoch has added.
    pub(crate) fn growth(&self) -> i64 {
        self.used as i64 - self.frozen as i64
    }

    /// The open epoch, which is empty, gets writes that add so many bytes.
    pub(crate) fn grow(&mut self, bytes: i64) {
        self.used = self.frozen.saturating_add_signed(bytes);
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// The open epoch's writes were put back to what they were when that much was used.
    pub(crate) fn put_back(&mut self, used: u64) {
        self.used = used;
    }

    /// `before` bytes are replaced by `after`. What makes less is always allowed, also above the limit, which may have been
    /// lowered.
    pub(crate) fn replace(&mut self, before: u64, after: u64) -> Result<()> {
        let used = self.used.saturating_sub(before).saturating_add(after);
        if after > before && used > self.limit {
            let message = format!("the state would have {used} bytes, the limit is {}", self.limit);
            return Err(Error::new(ErrorCode::StateLimit, message));
        }
        self.used = used;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota() -> Quota {
        Quota::new(Limits { record_bytes: 10, records_per_input: 2, memory: 30, ..Limits::default() })
    }

    #[test]
    fn each_bound_has_its_own_code_and_refused_records_count_for_nothing() {
        let mut quota = quota();
        quota.begin(2);
        assert_eq!(quota.take(1, 11, 11).expect_err("large").code, ErrorCode::OutputTooLarge);
        assert_eq!(quota.take(5, 5, 1).expect_err("many").code, ErrorCode::TooManyOutputs);
        assert_eq!(quota.take(4, 31, 10).expect_err("much").code, ErrorCode::TooManyOutputs);
        assert!(quota.take(4, 30, 10).is_ok());
        assert_eq!(quota.take(1, 0, 0).expect_err("spent").code, ErrorCode::TooManyOutputs);
        quota.begin(1);
        assert!(quota.take(2, 30, 10).is_ok());
    }

    #[test]
    fn what_is_not_committed_is_taken_off_the_account_when_it_is_dropped() {
        let mut account = StateAccount::new(100, 10);
        account.replace(0, 5).expect("within the limit");
        account.freeze();
        account.replace(0, 7).expect("within the limit");
        account.clear();
        assert_eq!(account.used, 15);
        account.commit();
        account.replace(0, 7).expect("within the limit");
        account.freeze();
        account.replace(0, 1).expect("within the limit");
        account.abandon();
        assert_eq!((account.used, account.frozen), (15, 15));
    }

    #[test]
    fn state_may_shrink_above_its_limit_but_not_grow() {
        let mut account = StateAccount::new(10, 20);
        assert!(account.replace(5, 4).is_ok());
        assert_eq!(account.replace(0, 1).expect_err("full").code, ErrorCode::StateLimit);
        assert!(account.replace(15, 0).is_ok());
        assert!(account.replace(0, 6).is_ok());
        assert!(account.replace(0, 1).is_err());
    }
}
