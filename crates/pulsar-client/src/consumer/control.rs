// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a consumer asks of the broker: to take note of acknowledgements, to deliver again, to move.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::acks::outstanding_from;
use crate::connection::Connection;
use crate::consumer::builder::SubscriptionType;
use crate::consumer::core::{Core, Link};
use crate::consumer::{LastMessageId, SeekTo};
use crate::entry::Start;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::lookup::unexpected;
use crate::message_id::MessageId;
use crate::proto::command_ack::AckType;
use crate::proto::{
    Body, CommandAck, CommandGetLastMessageId, CommandRedeliverUnacknowledgedMessages, CommandSeek, CommandUnsubscribe,
    MessageIdData,
};

impl Core {
    /// The present connection.
    fn connection(&self) -> Result<Arc<Connection>> {
        let state = self.state();
        if let Some(reason) = &state.ended {
            return Err(reason.clone());
        }
        match &state.link {
            Link::Attached(connection) => Ok(connection.clone()),
            _ => Err(Error::Disconnected("the consumer is not connected".into())),
        }
    }

    pub(super) async fn ack(&self, ids: &[MessageId], cumulative: bool) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let connection = self.connection()?;
        let message_id = self.told(ids, cumulative);
        let ack_type = if cumulative { AckType::Cumulative } else { AckType::Individual };
        let make = |request_id| {
            Body::Ack(CommandAck {
                consumer_id: self.id,
                ack_type: ack_type as i32,
                message_id,
                request_id: Some(request_id),
            })
        };
        match connection.request("acknowledge", make).await? {
            Body::AckResponse(_) => {}
            _ => return Err(unexpected()),
        }
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chunked = self.chunked.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            partial.settled(id, cumulative);
            if cumulative {
                chunked.retain(|other, _| other > id);
            } else {
                chunked.remove(id);
            }
        }
        Ok(())
    }

    /// Acknowledges without a receipt, for readers: their subscription ends with them.
    pub(crate) fn tell_read(&self, id: &MessageId) {
        if let Ok(connection) = self.connection() {
            connection.write(Frame::plain(Body::Ack(CommandAck {
                consumer_id: self.id,
                ack_type: AckType::Cumulative as i32,
                message_id: vec![id.entry_data()],
                request_id: None,
            })));
        }
    }

    /// What to tell the broker of what was acknowledged.
    fn told(&self, ids: &[MessageId], cumulative: bool) -> Vec<MessageIdData> {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        if cumulative {
            return ids.iter().map(|id| partial.cumulative(id)).collect();
        }
        let chunked = self.chunked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = Vec::with_capacity(ids.len());
        for id in ids {
            match chunked.get(id).filter(|_| id.first_chunk.is_some()) {
                Some(places) => told.extend(places.iter().map(MessageId::entry_data)),
                None => told.push(partial.individual(id)),
            }
        }
        told
    }

    pub(super) fn negative_ack(self: &Arc<Self>, ids: &[MessageId], delay: Duration) {
        let (core, ids) = (self.clone(), ids.to_vec());
        tokio::spawn(async move {
            if timeout(delay, core.closed()).await.is_ok() {
                return;
            }
            // A consumer that lost its connection meanwhile is delivered everything again anyway.
            if let Err(error) = core.redeliver(&ids) {
                tracing::debug!(topic = core.topic, %error, "nothing to be asked for again");
            }
        });
    }

    fn redeliver(&self, ids: &[MessageId]) -> Result<()> {
        if self.counts_epochs() {
            return self.redeliver_unacknowledged();
        }
        let connection = self.connection()?;
        connection.write(Frame::plain(Body::RedeliverUnacknowledgedMessages(CommandRedeliverUnacknowledgedMessages {
            consumer_id: self.id,
            message_ids: ids.iter().map(MessageId::entry_data).collect(),
            consumer_epoch: None,
        })));
        Ok(())
    }

    pub(super) fn redeliver_unacknowledged(&self) -> Result<()> {
        let connection = self.connection()?;
        let mut state = self.state();
        let consumer_epoch = self.counts_epochs().then(|| {
            state.epoch += 1;
            state.epoch
        });
        connection.write(Frame::plain(Body::RedeliverUnacknowledgedMessages(CommandRedeliverUnacknowledgedMessages {
            consumer_id: self.id,
            message_ids: Vec::new(),
            consumer_epoch,
        })));
        self.drop_to_come_again(&mut state);
        Ok(())
    }

    fn counts_epochs(&self) -> bool {
        matches!(self.options.subscription_type, SubscriptionType::Exclusive | SubscriptionType::Failover)
    }

    pub(super) async fn seek(&self, to: SeekTo) -> Result<()> {
        let to = match to {
            // The end of a subscription that is not durable must be a place, for it to be found again.
            SeekTo::Latest if !self.options.durable => match self.last_message_id().await?.last {
                Some(last) => SeekTo::After(last.whole_entry()),
                None => SeekTo::Earliest,
            },
            to => to,
        };
        let connection = self.connection()?;
        let seeking = Seeking::begin(self)?;
        let (message_id, message_publish_time) = match to {
            SeekTo::Earliest => (Some(MessageId::EARLIEST.data()), None),
            SeekTo::Latest => (Some(MessageId::LATEST.data()), None),
            SeekTo::MessageId(id) => (Some(place(&id, true)), None),
            SeekTo::After(id) => (Some(place(&id, false)), None),
            SeekTo::Timestamp(unix_ms) => (None, Some(unix_ms)),
        };
        let make =
            |request_id| Body::Seek(CommandSeek { consumer_id: self.id, request_id, message_id, message_publish_time });
        match connection.request("seek", make).await? {
            Body::Success(_) => {}
            _ => return Err(unexpected()),
        }
        self.partial.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.chunked.lock().unwrap_or_else(PoisonError::into_inner).clear();
        {
            let mut state = self.state();
            state.handed_out = None;
            state.progressed = true;
            state.start = match to {
                SeekTo::MessageId(id) => Some(Start::new(id, true)),
                SeekTo::After(id) => Some(Start::new(id, false)),
                SeekTo::Earliest | SeekTo::Timestamp(_) => Some(Start::new(MessageId::EARLIEST, true)),
                SeekTo::Latest => None,
            };
            Core::drop_queued(&mut state);
        }
        // The broker has closed the consumer by now; if it has not, what it sends is not of the new place for certain.
        self.detach();
        drop(seeking);
        // So that what is asked next finds a broker; if it takes longer, the subscription was moved all the same.
        let _not_yet = timeout(self.client.options.operation_timeout, self.until_attached()).await;
        Ok(())
    }

    pub(super) async fn last_message_id(&self) -> Result<LastMessageId> {
        let connection = self.connection()?;
        let make = |request_id| Body::GetLastMessageId(CommandGetLastMessageId { consumer_id: self.id, request_id });
        let Body::GetLastMessageIdResponse(answer) = connection.request("ask for the last message", make).await? else {
            return Err(unexpected());
        };
        let here = |id: MessageId| MessageId { partition: self.partition, ..id };
        Ok(LastMessageId {
            last: MessageId::of_data(&answer.last_message_id).map(here),
            mark_delete: answer.consumer_mark_delete_position.as_ref().and_then(MessageId::of_data).map(here),
        })
    }

    pub(super) async fn unsubscribe(self: &Arc<Self>, force: bool) -> Result<()> {
        let connection = self.connection()?;
        let make = |request_id| {
            Body::Unsubscribe(CommandUnsubscribe { consumer_id: self.id, request_id, force: force.then_some(true) })
        };
        connection.request("unsubscribe", make).await?;
        self.close().await;
        Ok(())
    }
}

/// The place to move to: the entry, and which of its messages are still wanted.
fn place(id: &MessageId, inclusive: bool) -> MessageIdData {
    if let Some((ledger, entry)) = id.first_chunk.filter(|_| inclusive) {
        return MessageId::of_entry(ledger, entry).entry_data();
    }
    let from = id.batch_index.map(|index| if inclusive { index } else { index + 1 });
    let ack_set = match from {
        Some(from) if from > 0 && from < id.batch_size => outstanding_from(from, id.batch_size),
        _ => Vec::new(),
    };
    MessageIdData { ack_set, ..id.entry_data() }
}

/// Keeps the consumer from subscribing again while the subscription is moved.
struct Seeking<'a>(&'a Core);

impl<'a> Seeking<'a> {
    fn begin(core: &'a Core) -> Result<Seeking<'a>> {
        let mut state = core.state();
        if std::mem::replace(&mut state.seeking, true) {
            return Err(Error::NotAllowed("the subscription is being moved already".into()));
        }
        Ok(Seeking(core))
    }
}

impl Drop for Seeking<'_> {
    fn drop(&mut self) {
        self.0.state().seeking = false;
        self.0.wake.notify_one();
    }
}
