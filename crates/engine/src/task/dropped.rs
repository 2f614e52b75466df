// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records that retention dropped before a task read them.
//!
//! They are gone, and waiting does not bring them back: the task goes on at the oldest record that is left. Its new place is
//! committed before anything is read there, like that of an input that was never read, so that what is missed is told and counted
//! once, whatever happens then.

use fnstream_core::broker::Assignment;
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::record::Positions;
use fnstream_core::runtime::CallFailure;
use parking_lot::Mutex;

use super::env::TaskEnv;
use super::view::View;

/// Moves the places `from` which a task is to read behind what was dropped, into those `unplaced` too, and says so: in the
/// function's log, in the task's status, in the metrics.
pub(super) fn pass_over(
    env: &TaskEnv,
    assignment: &Assignment,
    (from, unplaced): (&mut Positions, &mut Positions),
    view: &Mutex<View>,
) -> Result<()> {
    for at in assignment.inputs.iter().map(|input| &input.partition) {
        let Some(stood) = from.get(at).copied() else { continue };
        let oldest = env.backend.broker.earliest(at)?;
        if stood >= oldest {
            continue;
        }
        from.insert(at.clone(), oldest);
        unplaced.insert(at.clone(), oldest);
        let missed = oldest.0 - stood.0;
        env.meter.dropped_unread(u64::try_from(missed).unwrap_or(u64::MAX));
        let message = format!(
            "retention dropped records of {at} before they were read, from position {stood} on: it goes on at {oldest}, \
             {missed} further"
        );
        env.warn(assignment.task.index, format_args!("{message}"));
        let error = CallFailure::from(Error::new(ErrorCode::PositionDropped, message));
        view.lock().failed_in_place(&error, env.core.deps.clock.unix_ms());
    }
    Ok(())
}
