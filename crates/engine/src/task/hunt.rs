// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Looking for the record at which a function fails, and what is known of it.
//!
//! ```text
//! a call fails ──► epochs shrink: halved, or to what is good before the culprit ──► the culprit is alone
//! alone, fails again ──► retries left: wait, try again        none left: doomed
//! doomed ──► in the next life of the task it is given up without a call, in an epoch like any other
//! each commit ──► epochs grow again, twice as large each time, until they are as large as ever; at once, if a call had named the
//!                 culprit: the next one is found as quickly
//! ```
//!
//! A failed call that left nothing of its record needs no search: the record is tried again and given up where it is, and its
//! tries are counted here. Neither does one in whose epoch no other record was processed, see `replace`. A trap names its record,
//! but an earlier record may be the cause of it. So it counts as a try, but never as the last one: that is alone.
//!
//! What is known here outlives the instance and the opening of the task, but not the process: after a crash the culprit
//! is looked for anew, and what was given up is committed, so nothing is given up twice.

use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::runtime::CallFailure;
use fnstream_core::spec::ErrorPolicy;

use super::decide::{Recovery, Verdict, after_lone_failure, after_time_failure};

/// The search for a culprit.
#[derive(Default)]
pub(crate) struct Hunt {
    /// The most records of an epoch; as many as usual when it is not set.
    limit: Option<usize>,
    /// The culprit is known: it comes after so many records that are good, which are still to be handed in.
    ahead: Option<usize>,
    /// The failure that began the search has named the culprit.
    is_named: bool,
    suspect: Option<Suspect>,
    time: Option<TimeTrouble>,
}

/// A call that tells of time has failed.
struct TimeTrouble {
    /// The most timers that it is given.
    limit: usize,
    /// The times that it failed when it was alone in its epoch and could not be smaller.
    attempts: u32,
    /// Which kind of call it was, where that is known.
    kind: Option<usize>,
}

/// The record that failed alone.
pub(crate) struct Suspect {
    from: TopicPartition,
    position: Position,
    /// The times that it failed.
    pub(crate) attempts: u32,
    /// The last failure.
    pub(crate) failure: CallFailure,
    doomed: bool,
}

impl Hunt {
    /// The most records of the next batch, while a culprit is looked for and the open epoch has so many.
    pub(crate) fn limit(&self, open: u64) -> Option<usize> {
        match self.ahead {
            Some(good @ 1..) => Some(good.saturating_sub(open as usize).max(1)),
            _ => self.limit,
        }
    }

    /// Reports whether the open epoch of so many records ends, so that a culprit is found: with each batch, or before the
    /// culprit where it is known.
    pub(crate) fn ends_epoch(&self, open: u64) -> bool {
        self.limit.is_some() && self.ahead.is_none_or(|good| open as usize >= good)
    }

    /// The most timers of a call, while one that fails is looked for.
    pub(crate) fn timers_limit(&self) -> Option<usize> {
        self.time.as_ref().map(|trouble| trouble.limit)
    }

    /// Reports whether calls because of time get epochs of their own.
    pub(crate) fn time_apart(&self) -> bool {
        self.time.is_some()
    }

    /// The kind of call that failed: it is tried first, so that none of another kind comes between two attempts.
    pub(crate) fn time_kind(&self) -> Option<usize> {
        self.time.as_ref().and_then(|trouble| trouble.kind)
    }

    /// Says of which kind the call was that has just failed.
    pub(crate) fn note_time_kind(&mut self, kind: usize) {
        if let Some(trouble) = &mut self.time {
            trouble.kind = Some(kind);
        }
    }

    /// A call with so many timers, or that of a watermark, failed; `alone` in its epoch.
    pub(crate) fn time_failed(&mut self, size: usize, alone: bool, policy: &ErrorPolicy) -> Recovery {
        let trouble = self.time.get_or_insert(TimeTrouble { limit: size, attempts: 0, kind: None });
        if !alone {
            return Recovery::RestartNow;
        }
        trouble.limit = (size / 2).max(1);
        if size > 1 {
            return Recovery::RestartNow;
        }
        trouble.attempts = trouble.attempts.saturating_add(1);
        after_time_failure(policy, trouble.attempts)
    }

    /// Such a call succeeded; `usual` is how many timers it has at most.
    pub(crate) fn time_succeeded(&mut self, usual: usize) {
        if let Some(trouble) = &mut self.time {
            trouble.attempts = 0;
            trouble.limit = trouble.limit.saturating_mul(2);
        }
        self.time.take_if(|trouble| trouble.limit >= usual);
    }

    /// An epoch of `size` records failed; where it is known at which, the records before it are `good`.
    pub(crate) fn failed_among(&mut self, size: usize, good: Option<usize>) {
        self.limit = Some(good.map_or(size / 2, |_| 1).max(1));
        self.ahead = good;
        self.is_named = good.is_some();
    }

    /// An epoch of so many records is handed in.
    pub(crate) fn handed_in(&mut self, records: u64) {
        self.ahead = match self.ahead {
            Some(good @ 1..) => Some(good.saturating_sub(records as usize)),
            // It was the culprit's, and nothing failed.
            Some(0) if records > 0 => None,
            same => same,
        };
    }

    /// A record failed that was alone in its epoch.
    pub(crate) fn failed_alone(
        &mut self,
        from: &TopicPartition,
        position: Position,
        failure: &CallFailure,
        policy: &ErrorPolicy,
    ) -> Verdict {
        self.is_alone();
        self.failed_at(from, position, failure, policy).0
    }

    /// The record that fails is alone in its epoch.
    pub(crate) fn is_alone(&mut self) {
        self.limit = Some(1);
        self.ahead = None;
    }

    /// A record failed, which is known to be the culprit; also answers how often it has failed.
    pub(crate) fn failed_at(
        &mut self,
        from: &TopicPartition,
        position: Position,
        failure: &CallFailure,
        policy: &ErrorPolicy,
    ) -> (Verdict, u32) {
        let attempts = self.attempts(from, position).saturating_add(1);
        let verdict = after_lone_failure(policy, attempts);
        let doomed = verdict == Verdict::GiveUpRecord;
        self.suspect = Some(Suspect { from: from.clone(), position, attempts, failure: failure.clone(), doomed });
        (verdict, attempts)
    }

    /// A record failed among others, which may have been the cause. If it is tried again this counts, and the wait before that is
    /// answered.
    pub(crate) fn named_among(
        &mut self,
        from: &TopicPartition,
        position: Position,
        failure: &CallFailure,
        policy: &ErrorPolicy,
    ) -> Option<Duration> {
        let attempts = self.attempts(from, position).saturating_add(1);
        match after_lone_failure(policy, attempts) {
            Verdict::Retry(wait) => {
                let (from, failure) = (from.clone(), failure.clone());
                self.suspect = Some(Suspect { from, position, attempts, failure, doomed: false });
                Some(wait)
            }
            Verdict::GiveUpRecord | Verdict::StopTask => None,
        }
    }

    /// What is to become of a record if it fails once more, alone.
    pub(crate) fn next_verdict(&self, from: &TopicPartition, position: Position, policy: &ErrorPolicy) -> Verdict {
        after_lone_failure(policy, self.attempts(from, position).saturating_add(1))
    }

    fn attempts(&self, from: &TopicPartition, position: Position) -> u32 {
        let known = self.suspect.as_ref().filter(|s| s.from == *from && s.position == position);
        known.map_or(0, |suspect| suspect.attempts)
    }

    /// The suspect, when it is doomed and this batch is it, alone.
    pub(crate) fn doomed(&self, batch: &Batch) -> Option<&Suspect> {
        let suspect = self.suspect.as_ref()?;
        let is_it = batch.len() == 1 && *batch.from() == suspect.from && batch.position(0) == suspect.position;
        (suspect.doomed && is_it).then_some(suspect)
    }

    /// An epoch was committed that ends at these positions; `usual` is how large epochs of one batch are.
    pub(crate) fn committed(&mut self, positions: &Positions, usual: usize) {
        let passed = |s: &mut Suspect| positions.get(&s.from).is_some_and(|next| *next > s.position);
        if self.suspect.take_if(passed).is_some_and(|suspect| suspect.doomed) && self.is_named {
            self.limit = None;
        }
        // The culprit is still alone: it is to come, or what was committed was another input's.
        if self.ahead.is_none() && self.suspect.is_none() {
            self.limit = self.limit.map(|limit| limit.saturating_mul(2)).filter(|limit| *limit < usual);
        }
    }
}

#[cfg(test)]
mod tests {
    use fnstream_core::batch::BatchPositions;
    use fnstream_core::spec::ErrorAction;
    use fnstream_core::{Error, ErrorCode};
    use fnstream_frame::{FrameBuilder, RecordRef};

    use super::*;

    fn at() -> TopicPartition {
        TopicPartition::new("in", 0)
    }

    fn trap() -> CallFailure {
        Error::new(ErrorCode::GuestTrap, "unreachable").into()
    }

    fn policy(retries: u32) -> ErrorPolicy {
        ErrorPolicy { retries, backoff: Duration::from_millis(20), ..ErrorPolicy::default() }
    }

    fn batch(position: u128) -> Batch {
        let mut frame = FrameBuilder::new();
        frame.push(RecordRef::new(b"x"));
        Batch::new(at(), BatchPositions::Contiguous(Position(position)), frame.to_bytes().into()).unwrap()
    }

    #[test]
    fn an_unknown_culprit_is_alone_after_halving() {
        let mut hunt = Hunt::default();
        let mut size = 1_000;
        for _ in 0..10 {
            hunt.failed_among(size, None);
            size = hunt.limit(0).unwrap();
            assert!(hunt.ends_epoch(size as u64));
        }
        assert_eq!(size, 1);
    }

    #[test]
    fn a_known_culprit_is_alone_after_what_is_good_before_it() {
        let mut hunt = Hunt::default();
        hunt.failed_among(1000, Some(7));
        assert_eq!((hunt.limit(0), hunt.ends_epoch(0)), (Some(7), false));
        // The source gives less than it may, and an epoch ends early.
        assert_eq!((hunt.limit(4), hunt.ends_epoch(4)), (Some(3), false));
        hunt.handed_in(4);
        assert_eq!((hunt.limit(0), hunt.ends_epoch(3)), (Some(3), true));
        hunt.committed(&Positions::new(), 1024);
        assert_eq!(hunt.limit(0), Some(3));
        // The rest is in flight, and the culprit is alone all the same; also after an epoch without records.
        hunt.handed_in(3);
        assert_eq!((hunt.limit(0), hunt.ends_epoch(1)), (Some(1), true));
        hunt.committed(&Positions::new(), 1024);
        hunt.handed_in(0);
        hunt.committed(&Positions::new(), 1024);
        assert_eq!(hunt.limit(0), Some(1));
        // It was none: epochs grow.
        hunt.handed_in(1);
        hunt.committed(&Positions::new(), 1024);
        assert_eq!(hunt.limit(0), Some(2));
    }

    #[test]
    fn a_known_culprit_that_comes_first_is_alone_at_once() {
        let mut hunt = Hunt::default();
        hunt.failed_among(7, Some(0));
        assert_eq!((hunt.limit(0), hunt.ends_epoch(1)), (Some(1), true));
    }

    #[test]
    fn a_record_is_doomed_after_its_retries_and_no_other_is() {
        let mut hunt = Hunt::default();
        assert_eq!(
            hunt.failed_alone(&at(), Position(5), &trap(), &policy(2)),
            Verdict::Retry(Duration::from_millis(20))
        );
        assert_eq!(
            hunt.failed_alone(&at(), Position(5), &trap(), &policy(2)),
            Verdict::Retry(Duration::from_millis(40))
        );
        assert!(hunt.doomed(&batch(5)).is_none());
        assert_eq!(hunt.failed_alone(&at(), Position(5), &trap(), &policy(2)), Verdict::GiveUpRecord);
        assert_eq!(hunt.doomed(&batch(5)).unwrap().attempts, 3);
        assert!(hunt.doomed(&batch(6)).is_none());
    }

    #[test]
    fn a_failure_among_others_counts_as_a_try_but_never_as_the_last_one() {
        let mut hunt = Hunt::default();
        assert_eq!(hunt.named_among(&at(), Position(5), &trap(), &policy(0)), None);
        assert_eq!(hunt.failed_alone(&at(), Position(5), &trap(), &policy(0)), Verdict::GiveUpRecord);
        assert_eq!(hunt.doomed(&batch(5)).unwrap().attempts, 1);
        let mut hunt = Hunt::default();
        hunt.failed_among(10, Some(3));
        assert_eq!(hunt.named_among(&at(), Position(5), &trap(), &policy(1)), Some(Duration::from_millis(20)));
        assert!(hunt.doomed(&batch(5)).is_none());
        assert_eq!((hunt.limit(0), hunt.ends_epoch(2)), (Some(3), false), "the search goes on as without a name");
        assert_eq!(hunt.named_among(&at(), Position(5), &trap(), &policy(1)), None);
        assert_eq!(hunt.failed_alone(&at(), Position(5), &trap(), &policy(1)), Verdict::GiveUpRecord);
        assert_eq!(hunt.doomed(&batch(5)).unwrap().attempts, 2);
    }

    #[test]
    fn a_record_that_is_known_to_fail_is_given_up_without_a_search() {
        let mut hunt = Hunt::default();
        let wait = Duration::from_millis(20);
        assert_eq!(hunt.failed_at(&at(), Position(5), &trap(), &policy(1)), (Verdict::Retry(wait), 1));
        assert_eq!(hunt.failed_at(&at(), Position(5), &trap(), &policy(1)), (Verdict::GiveUpRecord, 2));
        assert_eq!((hunt.limit(0), hunt.ends_epoch(1)), (None, false));
        hunt.committed(&Positions::from([(at(), Position(6))]), 8);
        assert_eq!(
            hunt.failed_at(&at(), Position(5), &trap(), &policy(1)),
            (Verdict::Retry(wait), 1),
            "it is another one"
        );
    }

    #[test]
    fn attempts_are_counted_for_each_record() {
        let mut hunt = Hunt::default();
        hunt.failed_alone(&at(), Position(5), &trap(), &policy(1));
        assert_eq!(
            hunt.failed_alone(&at(), Position(6), &trap(), &policy(1)),
            Verdict::Retry(Duration::from_millis(20))
        );
    }

    #[test]
    fn the_suspect_stays_alone_until_it_is_passed_then_epochs_grow() {
        let mut hunt = Hunt::default();
        hunt.failed_alone(&at(), Position(5), &trap(), &policy(0));
        hunt.committed(&Positions::from([(TopicPartition::new("other", 0), Position(9))]), 8);
        assert_eq!(hunt.limit(0), Some(1));
        hunt.committed(&Positions::from([(at(), Position(6))]), 8);
        assert!(hunt.doomed(&batch(5)).is_none());
        assert_eq!(hunt.limit(0), Some(2));
        hunt.committed(&Positions::new(), 8);
        hunt.committed(&Positions::new(), 8);
        assert_eq!(hunt.limit(0), None);
    }

    #[test]
    fn epochs_are_as_large_as_ever_behind_a_culprit_that_was_named() {
        let mut hunt = Hunt::default();
        hunt.failed_among(1_000, Some(7));
        hunt.handed_in(7);
        hunt.committed(&Positions::new(), 1024);
        assert_eq!(hunt.failed_alone(&at(), Position(7), &trap(), &policy(0)), Verdict::GiveUpRecord);
        assert_eq!(hunt.limit(0), Some(1));
        hunt.handed_in(1);
        hunt.committed(&Positions::from([(at(), Position(8))]), 1024);
        assert_eq!((hunt.limit(0), hunt.ends_epoch(1)), (None, false));
        // Alone, the record that was named is processed: another one may be the cause, and has to be looked for.
        hunt.failed_among(1_000, Some(7));
        hunt.handed_in(7);
        hunt.handed_in(1);
        hunt.committed(&Positions::from([(at(), Position(16))]), 1024);
        assert_eq!(hunt.limit(0), Some(2));
    }

    #[test]
    fn what_is_told_of_time_is_tried_apart_then_smaller_then_for_ever() {
        let mut hunt = Hunt::default();
        assert_eq!(hunt.time_failed(5, false, &policy(1)), Recovery::RestartNow);
        assert!(hunt.time_apart());
        assert_eq!(hunt.timers_limit(), Some(5));
        assert_eq!(hunt.time_failed(5, true, &policy(1)), Recovery::RestartNow);
        assert_eq!(hunt.timers_limit(), Some(2));
        assert_eq!(hunt.time_failed(2, true, &policy(1)), Recovery::RestartNow);
        assert_eq!(hunt.time_failed(1, true, &policy(1)), Recovery::RestartAfter(Duration::from_millis(20)));
        assert_eq!(hunt.time_failed(1, true, &policy(1)), Recovery::RestartLater);
        hunt.time_succeeded(4);
        assert_eq!(hunt.timers_limit(), Some(2));
        hunt.time_succeeded(4);
        assert!(!hunt.time_apart());
        let stop = ErrorPolicy { action: ErrorAction::Stop, retries: 0, ..ErrorPolicy::default() };
        assert_eq!(hunt.time_failed(1, true, &stop), Recovery::Fail);
    }

    #[test]
    fn a_policy_to_stop_dooms_nothing() {
        let mut hunt = Hunt::default();
        let stop = ErrorPolicy { action: ErrorAction::Stop, retries: 0, ..ErrorPolicy::default() };
        assert_eq!(hunt.failed_alone(&at(), Position(5), &trap(), &stop), Verdict::StopTask);
        assert!(hunt.doomed(&batch(5)).is_none());
    }
}
