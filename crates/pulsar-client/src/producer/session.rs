// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How a producer comes to its broker, again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::client::Inner;
use crate::connection::{Connection, ProducerAnswers, ProducerSink};
use crate::error::{Error, Result};
use crate::lookup;
use crate::producer::builder::{Access, ProducerOptions};
use crate::producer::core::{Core, Link};
use crate::proto::{Body, CommandCloseProducer, CommandProducer, CommandProducerSuccess, pairs};

impl Core {
    /// Creates a producer, and keeps it attached from then on.
    pub(super) async fn create(client: Arc<Inner>, topic: String, options: ProducerOptions) -> Result<Arc<Core>> {
        let core = Arc::new(Core::new(client.clone(), topic, options));
        client.retry(|| core.attempt()).await?;
        let task = core.clone();
        tokio::spawn(async move { task.keep_attached().await });
        Ok(core)
    }

    async fn keep_attached(self: &Arc<Self>) {
        let mut backoff = self.client.backoff();
        let mut closed = self.client.closed();
        // Until when a refusal is put down to this producer's own earlier connection.
        let mut patience = None;
        loop {
            let (detached, progressed) = {
                let mut state = self.state();
                if state.ended.is_some() {
                    return;
                }
                let detached = matches!(state.link, Link::Detached);
                (detached, detached && std::mem::take(&mut state.progressed))
            };
            if !detached {
                tokio::select! {
                    () = self.wake.notified() => {}
                    _client_closed = closed.wait_for(|closed| *closed) => self.end(Error::Closed),
                }
                continue;
            }
            if progressed {
                backoff.reset();
            } else if self.waits(backoff.next(), &mut closed).await {
                return;
            }
            let error = match self.attempt().await {
                Ok(()) => {
                    patience = None;
                    continue;
                }
                Err(error @ Error::ProducerFenced(_)) if self.may_be_its_own_obstacle() => {
                    let until = *patience.get_or_insert_with(|| Instant::now() + self.client.patience_for_oneself());
                    if Instant::now() >= until {
                        return self.end(error);
                    }
                    error
                }
                // The broker may still have the connection that was lost, with this producer on it.
                Err(error) if error.is_retriable() => error,
                Err(error) => return self.end(error),
            };
            tracing::debug!(topic = self.topic, %error, "the producer tries again");
            self.state().obstacle = Some(error);
        }
    }

    /// Waits before the next attempt, and reports whether the producer ended meanwhile.
    async fn waits(&self, delay: Duration, closed: &mut watch::Receiver<bool>) -> bool {
        let ended = async {
            tokio::select! {
                _ended = self.closed() => {}
                _client_closed = closed.wait_for(|closed| *closed) => self.end(Error::Closed),
            }
        };
        timeout(delay, ended).await.is_ok()
    }

    /// Reports whether the broker may call this producer fenced because it has not noticed yet that the producer's last
    /// connection is gone. It does not say by whom the topic is taken. With fencing, the earlier connection is fenced off.
    fn may_be_its_own_obstacle(&self) -> bool {
        matches!(self.options.access, Access::Exclusive | Access::WaitForExclusive)
    }

    /// The access to ask for. Who had the topic to itself does not wait for others when it comes back: the broker would let
    /// it in behind them, although its epoch is over.
    fn access(&self, attached: u64) -> Access {
        match self.options.access {
            Access::WaitForExclusive if attached > 0 => Access::Exclusive,
            access => access,
        }
    }

    /// Finds the broker, and asks it to accept the producer.
    async fn attempt(self: &Arc<Self>) -> Result<()> {
        let migrated = self.state().migrated.clone();
        let connection = lookup::broker_of(&self.client, &self.topic, migrated.as_ref()).await?;
        let attaching = Attaching::begin(self, &connection)?;
        let success = self.ask(&connection).await;
        let success = match success {
            Ok(success) => success,
            // What the broker refused need not be taken back.
            Err(error) => {
                let lost = matches!(error, Error::Timeout(_) | Error::Disconnected(_) | Error::Closed);
                attaching.fail(lost);
                return Err(error);
            }
        };
        let attached = self.attach(&connection, |state| {
            state.name = success.producer_name;
            let told = u64::try_from(success.last_sequence_id.unwrap_or(-1)).ok();
            state.last_sequence_id = state.last_sequence_id.max(told);
            state.topic_epoch = success.topic_epoch.or(state.topic_epoch);
            state.schema_version = success.schema_version.filter(|version| !version.is_empty());
        });
        if attached.is_ok() {
            attaching.succeed();
        }
        attached
    }

    /// Waits for the acceptance: for an answer as long as operations may take, and once the broker asks to wait, for
    /// however long it takes, unless the connection or the producer ends meanwhile.
    async fn ask(self: &Arc<Self>, connection: &Arc<Connection>) -> Result<CommandProducerSuccess> {
        let mut answers = connection.request_producer(|request_id| self.command(request_id))?;
        let mut success = timeout(connection.operation_timeout(), self.answer(&mut answers))
            .await
            .unwrap_or(Err(Error::Timeout("create a producer")))?;
        while !success.producer_ready() {
            success = self.answer(&mut answers).await?;
        }
        Ok(success)
    }

    async fn answer(&self, answers: &mut ProducerAnswers) -> Result<CommandProducerSuccess> {
        loop {
            tokio::select! {
                biased;
                answer = answers.next() => return answer,
                () = self.wake.notified() => {}
            }
            let state = self.state();
            if let Some(reason) = &state.ended {
                return Err(reason.clone());
            }
            if let Link::Attaching { broken: Some(reason), .. } = &state.link {
                return Err(reason.clone());
            }
        }
    }

    fn command(&self, request_id: u64) -> Body {
        let state = self.state();
        Body::Producer(CommandProducer {
            topic: self.topic.clone(),
            producer_id: self.id,
            request_id,
            // Once the broker has made up a name, it stays.
            producer_name: Some(state.name.clone()).filter(|name| !name.is_empty()),
            user_provided_producer_name: Some(self.options.name.is_some()),
            metadata: pairs(&self.options.properties),
            schema: self.options.schema.as_ref().map(|schema| schema.to_wire()),
            epoch: Some(state.attached),
            producer_access_mode: Some(self.access(state.attached).mode() as i32),
            topic_epoch: state.topic_epoch,
        })
    }

    /// Takes leave of the broker, and ends.
    pub(super) async fn close(self: &Arc<Self>) {
        let connection = match &self.state().link {
            Link::Attached(connection) => Some(connection.clone()),
            _ => None,
        };
        self.end(Error::Closed);
        if let Some(connection) = connection {
            let producer_id = self.id;
            let make = |request_id| Body::CloseProducer(CommandCloseProducer { producer_id, request_id });
            // A broker that cannot be told finds out by itself.
            if let Err(error) = connection.request("close a producer", make).await {
                tracing::debug!(topic = self.topic, %error, "the producer could not take leave");
            }
        }
    }

    /// Ends without waiting.
    pub(super) fn abandon(&self) {
        if let Link::Attached(connection) = &self.state().link {
            close(connection, self.id);
        }
        self.end(Error::Closed);
    }
}

fn close(connection: &Connection, producer_id: u64) {
    connection.tell(|request_id| Body::CloseProducer(CommandCloseProducer { producer_id, request_id }));
}

/// An attempt to attach. Unless it is brought to an end, as when its future is dropped, it is taken back.
struct Attaching<'a> {
    core: &'a Core,
    connection: &'a Arc<Connection>,
    open: bool,
}

impl<'a> Attaching<'a> {
    fn begin(core: &'a Arc<Core>, connection: &'a Arc<Connection>) -> Result<Attaching<'a>> {
        core.state().link = Link::Attaching { connection: connection.id, broken: None };
        let sink: Arc<dyn ProducerSink> = core.clone();
        let attaching = Attaching { core, connection, open: true };
        match connection.add_producer(core.id, sink) {
            Ok(()) => Ok(attaching),
            Err(error) => {
                attaching.fail(false);
                Err(error)
            }
        }
    }

    fn succeed(mut self) {
        self.open = false;
    }

    /// The attempt failed; the broker may have accepted the producer all the same if its answer was lost.
    fn fail(mut self, lost: bool) {
        self.open = lost;
        self.core.state().link = Link::Detached;
        self.connection.remove_producer(self.core.id);
    }
}

impl Drop for Attaching<'_> {
    fn drop(&mut self) {
        if self.open {
            self.core.state().link = Link::Detached;
            self.connection.remove_producer(self.core.id);
            close(self.connection, self.core.id);
        }
    }
}
