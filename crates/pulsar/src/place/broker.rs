// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Who runs which task, and what it reads.

use std::sync::Arc;

use fnstream_core::broker::{Assignment, AssignmentListener, Broker, Membership, Source, Subscription};
use fnstream_core::epoch::TaskId;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, Result};
use fnstream_frame::RecordRef;
use fnstream_pulsar_client::{Consumer, Event, InitialPosition, SubscriptionType};
use tokio::task::JoinHandle;

use super::{Function, Inputs, Pulsar, Shared};
use crate::lane::{Lane, unknown};
use crate::reader::{self, Reading};
use crate::ring::Ring;
use crate::schemas::Modes;
use crate::source::PulsarSource;
use crate::{error, messages, names, position, runtime};

impl Broker for Pulsar {
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>> {
        let shared = &self.shared;
        let options = &shared.options;
        let id = subscription.function;
        // Whoever joins may do so because a topic has more partitions now.
        for topic in subscription.groups.iter().flatten().filter_map(|named| options.name(&named.topic).ok()) {
            shared.forget_count(&topic);
        }
        let tasks: Vec<_> = subscription
            .tasks(|topic| self.partitions(topic))?
            .into_iter()
            .map(|(index, inputs)| (TaskId::new(id, index), inputs))
            .collect();
        let width = tasks.iter().map(|(task, _)| task.index + 1).max().unwrap_or(1);
        let function = Arc::new(Function {
            id,
            log: Function::internal(options, id, &subscription.name, "log"),
            state: Function::internal(options, id, &subscription.name, "state"),
            inputs: Arc::new(Inputs::of(options, &subscription)),
            modes: Modes::of(options, &subscription),
            name: subscription.name,
            tasks,
            listener,
            member: shared.next_member(),
        });
        shared.have_topic(&function.log, width)?;
        shared.have_topic(&function.state, width)?;
        let before = shared.functions.lock().insert(id, function.clone());
        drop(before);
        // What is written to a log is kept from the time on at which somebody holds it.
        let holders: Vec<_> = function
            .tasks
            .iter()
            .map(|(task, _)| runtime::spawn(Holder::start(shared.clone(), function.clone(), *task)))
            .collect();
        let held: Result<Vec<_>> = runtime::wait(async {
            let mut held = Vec::new();
            for holder in holders {
                let started =
                    holder.await.map_err(|e| fnstream_core::error::internal(format!("holding a task: {e}")))?;
                held.push(started?);
            }
            Ok(held)
        });
        let member = Member { shared: shared.clone(), function: function.clone(), holders: held? };
        if !options.is_shared {
            function.tasks.iter().for_each(|(task, _)| shared.assign(&function, *task));
        }
        Ok(Box::new(member))
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        let shared = &self.shared;
        let id = assignment.task.function;
        let inputs = shared.inputs(id);
        let mut rings = Vec::new();
        for input in &assignment.inputs {
            let at = &input.partition;
            let name = runtime::wait(shared.partition(&at.topic, at.partition))?;
            let begin = from.get(at).copied().unwrap_or(Position::START);
            let reading = shared.reading(inputs.as_deref(), &at.topic)?;
            let ring = Ring::new(name, at.clone(), input.group, begin, waker.clone());
            rings.push((Arc::new(ring.telling_schemas_of(reading.schemas_of.clone())), reading));
        }
        let marks = shared.marks()?;
        for (ring, reading) in &rings {
            runtime::spawn(reader::read(ring.clone(), shared.client.clone(), reading.clone()));
        }
        let rings: Vec<_> = rings.into_iter().map(|(ring, _)| ring).collect();
        shared.rings.lock().entry(id).or_default().extend(rings.iter().map(Arc::downgrade));
        Ok(Box::new(PulsarSource::new(rings, marks, waker)))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32> {
        let name = self.shared.options.writable(topic)?;
        Ok(runtime::wait(self.shared.count(&name))?.max(1))
    }

    fn max_record_bytes(&self, _topic: &Topic) -> Option<usize> {
        let most = self.shared.max_message_size.get()?;
        Some(most.saturating_sub(messages::weight(&RecordRef::new(b""))) + RecordRef::new(b"").packed_len())
    }

    fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
        Ok(self.bounds(partition)?.0)
    }

    fn latest(&self, partition: &TopicPartition) -> Result<Position> {
        Ok(self.bounds(partition)?.1)
    }

    fn begin(&self, assignment: &Assignment, known: &Positions) -> Result<Positions> {
        let shared = &self.shared;
        let inputs = shared.inputs(assignment.task.function);
        let mut begun = Positions::new();
        for at in assignment.inputs.iter().map(|input| &input.partition) {
            let reading = shared.reading(inputs.as_deref(), &at.topic)?;
            let name = || runtime::wait(shared.partition(&at.topic, at.partition));
            let is_known = match known.get(at) {
                None => false,
                Some(position) if reading.is_matched => {
                    !runtime::wait(shared.is_made_anew(&name()?, *position, &reading.subscription))
                }
                Some(_) => true,
            };
            if !is_known {
                begun.insert(at.clone(), runtime::wait(shared.begin(&name()?, &reading))?);
            }
        }
        Ok(begun)
    }
}

impl Pulsar {
    /// The oldest position of a partition and its end.
    fn bounds(&self, at: &TopicPartition) -> Result<(Position, Position)> {
        runtime::wait(async {
            let name = self.shared.partition(&at.topic, at.partition).await?;
            self.shared.bounds(&name).await
        })
    }
}

impl Shared {
    /// How a topic is read for a function. Dead letters are read under a name that follows from the topic's.
    fn reading(&self, inputs: Option<&Inputs>, topic: &Topic) -> Result<Reading> {
        match inputs {
            Some(inputs) => inputs.reading(&self.options, topic),
            None => Inputs::new(&self.options, "unknown", &[]).reading(&self.options, topic),
        }
    }

    /// Whether a topic that a pattern stands for went away since a function stood there, and is another one now under its name. Then the
    /// function begins there as in any topic that is new.
    async fn is_made_anew(&self, name: &str, stood: Position, subscription: &str) -> bool {
        if stood == Position::START {
            return false;
        }
        let (ledger, _) = position::entry_of(stood);
        match self.admin.is_made_anew(name, subscription, ledger).await {
            Ok(is_anew) => {
                if is_anew {
                    tracing::warn!(
                        topic = name,
                        ledger,
                        "a topic is another one than before: it is read from its beginning"
                    );
                }
                is_anew
            }
            Err(error) => {
                tracing::debug!(topic = name, %error, "it is not known whether a topic was made anew");
                false
            }
        }
    }

    /// Where a function begins in a partition that it stands nowhere in: where its subscription is, which is made if it is not there.
    async fn begin(&self, name: &str, reading: &Reading) -> Result<Position> {
        let failed = |e| error::of(format!("looking at the subscription '{}' of '{name}'", reading.subscription), &e);
        let initial = if reading.begins_at_end { InitialPosition::Latest } else { InitialPosition::Earliest };
        let consumer = self
            .client
            .consumer(name)
            .subscription(&reading.subscription)
            .subscription_type(SubscriptionType::Exclusive)
            .name(&reading.name)
            .initial_position(initial)
            .receiver_queue(0)
            .force_topic_creation(false)
            .subscribe()
            .await
            .map_err(failed)?;
        let told = consumer.last_message_id().await;
        drop(consumer.close().await);
        let mark = told.map_err(failed)?.mark_delete;
        Ok(mark.map_or(Position::START, |mark| position::behind((mark.ledger, mark.entry))))
    }
}

/// Stays in the group of a function.
struct Member {
    shared: Arc<Shared>,
    function: Arc<Function>,
    holders: Vec<Holder>,
}

impl Membership for Member {}

impl Drop for Member {
    fn drop(&mut self) {
        let id = self.function.id;
        let mut functions = self.shared.functions.lock();
        let is_latest = functions.get(&id).is_some_and(|function| function.member == self.function.member);
        if is_latest {
            functions.remove(&id);
        }
        drop(functions);
        for holder in self.holders.drain(..) {
            // At once: whoever joins next has the tasks then.
            let lane = is_latest.then(|| holder.let_go()).flatten();
            runtime::spawn(holder.end(lane));
        }
    }
}

/// Holds the log of a task: keeps what is needed of it, and learns whether the task is this process's.
pub(crate) struct Holder {
    shared: Arc<Shared>,
    task: TaskId,
    consumer: Arc<Consumer>,
    thread: JoinHandle<()>,
}

impl Holder {
    async fn start(shared: Arc<Shared>, function: Arc<Function>, task: TaskId) -> Result<Holder> {
        let topic = names::partition(&function.log, task.index, 1);
        let consumer = Arc::new(shared.keep(&topic).await?);
        shared.owners.lock().entry(task).or_default().keeper = Some(consumer.clone());
        let thread = runtime::spawn(hold(shared.clone(), function, task, consumer.clone()));
        Ok(Holder { shared, task, consumer, thread })
    }

    /// Lets go of the task; gives what still commits.
    fn let_go(&self) -> Option<Arc<Lane>> {
        let mut owners = self.shared.owners.lock();
        let owner = owners.entry(self.task).or_default();
        (owner.keeper, owner.is_assigned) = (None, false);
        owner.lease = self.shared.next_lease();
        owner.lane.take()
    }

    /// Ends it.
    async fn end(self, lane: Option<Arc<Lane>>) {
        self.thread.abort();
        if let Some(lane) = lane {
            lane.stop().await.into_iter().for_each(|(_, done)| unknown(done));
        }
        drop(self.consumer.close().await);
    }
}

impl Shared {
    /// Hears whether the broker has chosen this process for a task.
    pub(super) fn hear(&self, function: &Function, task: TaskId, is_active: bool) {
        let is_assigned = self.owners.lock().entry(task).or_default().is_assigned;
        if !self.options.is_shared || is_assigned == is_active {
            return;
        }
        tracing::info!(%task, function = function.name, is_active, "whose a task is has changed");
        match is_active {
            true => self.assign(function, task),
            false => self.disown(function, task),
        }
    }
}

/// Hears whose the task is, for as long as it is held.
async fn hold(shared: Arc<Shared>, function: Arc<Function>, task: TaskId, consumer: Arc<Consumer>) {
    loop {
        match consumer.recv().await {
            Ok(Event::Active(is_active)) => shared.hear(&function, task, is_active),
            Ok(Event::Closed(failure)) | Err(failure) => {
                let error: Error = error::of("holding a delta log", &failure);
                tracing::error!(%task, %error, "a task is held no more");
                if shared.options.is_shared {
                    shared.disown(&function, task);
                }
                return;
            }
            // When it has reconnected, somebody else may have been chosen. Who is, is told; until then the task runs on, and who has it has
            // fenced this one.
            Ok(_) => {}
        }
    }
}
