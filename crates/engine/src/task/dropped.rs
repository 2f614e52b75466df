// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Places of a task that are gone: retention dropped records before the task read them, or a topic ends before the place, since it was
//! made anew.
//!
//! Waiting does not bring them back. What becomes of the task is said by its input ([`LostPosition`]): it stops, or goes on at the oldest
//! record that is left, or at the end. Its new place is committed before anything is read there, like that of an input that was never
//! read, so that what is missed is told and counted once, whatever happens then.

use fnstream_core::broker::{Assignment, Broker};
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::runtime::CallFailure;
use fnstream_core::spec::FunctionSpec;
use fnstream_core::topic::LostPosition;
use parking_lot::Mutex;

use super::env::TaskEnv;
use super::view::View;

/// A place that is gone.
struct Lost {
    stood: Position,
    oldest: Position,
    /// The partition's end, if it is before the place.
    end: Option<Position>,
}

/// Moves those of the places `from` which a task is to read that are gone, into those `unplaced` too, and says so: in the function's
/// log, in the task's status, in the metrics. [`ErrorCode::PositionLost`] where the input says that the function stops.
pub(super) fn go_on(
    env: &TaskEnv,
    assignment: &Assignment,
    (from, unplaced): (&mut Positions, &mut Positions),
    view: &Mutex<View>,
) -> Result<()> {
    let broker = &*env.backend.broker;
    for at in assignment.inputs.iter().map(|input| &input.partition) {
        let Some(stood) = from.get(at).copied() else { continue };
        let way = way_on(env.spec(), at);
        let Some(lost) = look(broker, at, stood, way.is_some())? else { continue };
        let to = match way.unwrap_or(LostPosition::Earliest) {
            LostPosition::Stop => {
                let oldest = lost.oldest;
                let message = format!(
                    "{}; the oldest left is at {oldest}, and 'on-lost-position' of the input is 'stop'",
                    lost.told(at)
                );
                return Err(Error::new(ErrorCode::PositionLost, message));
            }
            LostPosition::Earliest => lost.oldest,
            LostPosition::Latest => broker.latest(at)?,
        };
        from.insert(at.clone(), to);
        unplaced.insert(at.clone(), to);
        let missed = to.0.saturating_sub(stood.0);
        env.meter.dropped_unread(u64::try_from(missed).unwrap_or(u64::MAX));
        let further = if missed > 0 { format!(", {missed} further") } else { String::new() };
        let message = format!("{}: it goes on at {to}{further}", lost.told(at));
        env.warn(assignment.task.index, format_args!("{message}"));
        let error = CallFailure::from(Error::new(lost.code(), message));
        view.lock().failed_in_place(&error, env.core.deps.clock.unix_ms());
    }
    Ok(())
}

/// What the input says that a partition is of.
fn way_on(spec: &FunctionSpec, at: &TopicPartition) -> Option<LostPosition> {
    let mut inputs = spec.inputs.iter().flatten();
    inputs.find(|named| named.topic == at.topic && named.covers(at.partition))?.on_lost_position()
}

/// Looks whether a place is gone; whether it is past the end only if somebody has said what to do then.
fn look(broker: &dyn Broker, at: &TopicPartition, stood: Position, past_end: bool) -> Result<Option<Lost>> {
    let oldest = broker.earliest(at)?;
    if stood < oldest {
        return Ok(Some(Lost { stood, oldest, end: None }));
    }
    if !past_end {
        return Ok(None);
    }
    let end = broker.latest(at)?;
    Ok((stood > end).then_some(Lost { stood, oldest, end: Some(end) }))
}

impl Lost {
    fn told(&self, at: &TopicPartition) -> String {
        let Lost { stood, end, .. } = self;
        match end {
            None => format!("retention dropped records of {at} before they were read, from position {stood} on"),
            Some(end) => {
                format!("{at} ends at {end}, before position {stood}: the topic was made anew, or has lost records")
            }
        }
    }

    fn code(&self) -> ErrorCode {
        self.end.map_or(ErrorCode::PositionDropped, |_| ErrorCode::PositionUnknown)
    }
}
