// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Moving a function that does not run to other places in its inputs.
//!
//! Where a task stands is in its last commit, so a move is a commit that has nothing but other positions. A function that has never
//! committed begins where its subscriptions are: these are moved, too.

use std::time::{Duration, Instant};

use fnstream_core::delta::Delta;
use fnstream_core::epoch::{FrozenEpoch, FunctionId, TaskId};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::TopicRef;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_pulsar_client::{Error as Failure, InitialPosition, Message, SeekTo, SubscriptionType};

use crate::delta_log::{Commit, Outbox, entries};
use crate::place::{Function, Inputs, Pulsar, Shared};
use crate::position::{entry_id, entry_of};
use crate::{error, names, outputs, runtime};

/// How long a reader that ends is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const AGAIN: Duration = Duration::from_millis(50);

impl Pulsar {
    /// Has a function go on at these places, or begin there; [`FunctionId::NONE`] is one that is not there yet. None of its tasks runs.
    /// A subscription knows whole entries: one that is moved into a batch begins with the batch. Blocks.
    pub fn move_groups(
        &self,
        function: FunctionId,
        name: &str,
        inputs: &[Vec<TopicRef>],
        places: &[(TopicPartition, Position)],
    ) -> Result<()> {
        let shared = &self.shared;
        let inputs = Inputs::new(&shared.options, name, inputs);
        for (at, position) in places {
            shared.move_subscription(&inputs, at, *position)?;
        }
        if function == FunctionId::NONE {
            return Ok(());
        }
        let log = Function::internal(&shared.options, function, name, "log");
        let count = match runtime::wait(shared.count(&log)) {
            Err(error) if error.code == ErrorCode::TopicNotFound => 0,
            count => count?,
        };
        (0..count).try_for_each(|index| shared.move_task(&log, TaskId::new(function, index), places))
    }
}

impl Shared {
    fn move_subscription(&self, inputs: &Inputs, at: &TopicPartition, to: Position) -> Result<()> {
        let reading = inputs.reading(&self.options, &at.topic)?;
        let failed = |e: &Failure| error::of(format!("moving the subscription '{}' in {at}", reading.subscription), e);
        let until = Instant::now() + PATIENCE;
        runtime::wait(async {
            let name = self.partition(&at.topic, at.partition).await?;
            let (earliest, end) = self.bounds(&name).await?;
            let seek = match to {
                to if to >= end => SeekTo::Latest,
                to if to <= earliest => SeekTo::Earliest,
                to => SeekTo::MessageId(entry_id(entry_of(to))),
            };
            let consumer = loop {
                let subscribed = self
                    .client
                    .consumer(&name)
                    .subscription(&reading.subscription)
                    .subscription_type(SubscriptionType::Exclusive)
                    .name(&reading.name)
                    .initial_position(InitialPosition::Earliest)
                    .receiver_queue(0)
                    .force_topic_creation(false)
                    .subscribe()
                    .await;
                match subscribed {
                    // The reader of a task that has just ended.
                    Err(Failure::ConsumerBusy(_)) if Instant::now() < until => runtime::pause(AGAIN).await,
                    subscribed => break subscribed.map_err(|e| failed(&e))?,
                }
            };
            let moved = consumer.seek(seek).await;
            drop(consumer.close().await);
            moved.map_err(|e| failed(&e))
        })
    }

    /// Commits other positions for a task that has committed before.
    fn move_task(&self, log: &str, task: TaskId, places: &[(TopicPartition, Position)]) -> Result<()> {
        let topic = names::partition(log, task.index, 1);
        let (producer, generation, fence) = runtime::wait(self.fence(&topic, task))?;
        let moved = self.commit_before(&topic, fence).and_then(|last| {
            let Some(Commit { mut progress, published, .. }) = last else { return Ok(()) };
            let of_task = places.iter().filter(|(at, _)| progress.positions.contains_key(at));
            let of_task: Vec<_> = of_task.cloned().collect();
            if of_task.is_empty() {
                return Ok(());
            }
            progress.positions.extend(of_task);
            progress.epoch = progress.epoch.next();
            let (outbox, watermarks) = (Vec::new(), Vec::new());
            let epoch = FrozenEpoch { task, generation, progress, delta: Delta::new(), outbox, watermarks };
            let entries = entries(&epoch, &Outbox::of(&epoch), published)?;
            runtime::wait(async {
                for entry in entries {
                    producer.send(Message::new(entry)).await?;
                }
                Ok(())
            })
            .map_err(|e: Failure| -> Error { error::of(format!("moving task {task}"), &e) })
        });
        runtime::wait(outputs::end(&producer));
        moved
    }
}
