// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An instance that fails at the first record of an epoch: another one goes on from there, and the epoch stays open.
//!
//! ```text
//! epoch: given up, given up, … │ a record traps ──► what the calls wrote is dropped, and the instance; dead letters stay
//!                              │                ──► another instance, the same record alone ──► good, or given up here
//! ```
//!
//! Given up records left nothing but their dead letters, so in front of the record that fails the epoch is what it would be after
//! the way back to the last commit and the same records given up once more: only that way, with a commit for each bad record, is
//! saved. Each try has an instance of its own as ever, and the last one is the record's alone. As soon as a record is good the
//! epoch ends: a later one that fails takes it back, and what was given up before would have to be tried anew.

use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::error::{ErrorCode, Fault};
use fnstream_core::runtime::CallFailure;

use super::blame::{located, named};
use super::rest::Rest;
use super::{Cx, Running};
use crate::task::decide::Verdict;
use crate::task::failure::Failure;

impl Running {
    /// Deals with a failure at the first record of a part where it is; gives it back if that cannot be.
    pub(super) fn replace_if_first(
        &mut self,
        cx: &mut Cx<'_>,
        rest: &mut Rest,
        part: &Batch,
        failure: CallFailure,
        now: Duration,
    ) -> Result<Option<CallFailure>, Failure> {
        let (from, position) = (part.from(), part.position(0));
        let policy = &cx.env.spec().on_error;
        let verdict = cx.hunt.next_verdict(from, position, policy);
        // Waits and stops are the machine's.
        let can_stay = matches!(verdict, Verdict::Retry(Duration::ZERO) | Verdict::GiveUpRecord);
        if !can_stay || !self.is_first(part, &failure) {
            return Ok(Some(failure));
        }
        cx.env.meter.failed();
        cx.env.meter.restarted();
        self.own.host.lock().clear_calls();
        self.guest.discard();
        self.epoch.replaced = true;
        self.replaced += 1;
        let is_named = named(&failure, part).is_some();
        let failure = located(failure, part);
        if part.len() > 1 {
            // It counts as a try, but never as the last one.
            if is_named {
                cx.hunt.named_among(from, position, &failure, policy);
            }
            rest.one();
        } else {
            match cx.hunt.failed_at(from, position, &failure, policy) {
                (Verdict::GiveUpRecord, attempts) => {
                    self.give_up(cx, rest, attempts, &failure, now)?;
                    rest.gave_up_after(0);
                }
                _ => rest.one(),
            }
        }
        self.note_failure(cx, failure);
        Ok(None)
    }

    /// Reports whether a failure is the first record's of a part, and the first call's of the epoch.
    fn is_first(&self, part: &Batch, failure: &CallFailure) -> bool {
        let code = failure.error.code;
        let is_users = code.fault() == Fault::User && code != ErrorCode::GuestMemoryShort;
        let is_first_of_part = failure.record == Some(0) || part.len() == 1;
        is_users && is_first_of_part && self.epoch.is_at_first_call()
    }
}
