// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The client against a broker that follows a script: it answers, cuts, reorders and refuses where a test says so.
//!
//! The script waits for what the client sends, and the client for what the script answers: nothing depends on time.

mod chaos;
mod connections;
mod consumers;
mod lookups;
mod producers;
mod secured;
mod watches;

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, ClientBuilder};
use crate::frame::{Frame, Received, parse};
use crate::message_id::MessageId;
use crate::proto::command_lookup_topic_response::LookupType;
use crate::proto::{
    Body, CommandConnect, CommandConnected, CommandError, CommandLookupTopic, CommandLookupTopicResponse,
    CommandMessage, CommandProducer, CommandProducerSuccess, CommandSend, CommandSendReceipt, CommandSubscribe,
    CommandSuccess, MessageIdData, MessageMetadata, ServerError,
};

/// Longer than anything takes on a busy machine; only so that a fault ends the test.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("the test takes too long") });
}

/// A broker that is told what to do.
pub(crate) struct Fake {
    listener: TcpListener,
    pub(crate) url: String,
}

impl Fake {
    pub(crate) async fn start() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("pulsar://{}", listener.local_addr().unwrap());
        Fake { listener, url }
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(&self.url).backoff(Duration::from_millis(1), Duration::from_millis(5)).clock(|| 1)
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// A connection that nothing was said on.
    pub(crate) async fn accept_silently(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer { stream, buffer: BytesMut::new(), url: self.url.clone() }
    }

    /// A connection after the greeting.
    pub(crate) async fn accept(&self) -> Peer {
        self.accept_with_greeting().await.0
    }

    pub(crate) async fn accept_with_greeting(&self) -> (Peer, CommandConnect) {
        let mut peer = self.accept_silently().await;
        let greeting = peer.greeting().await;
        peer.say(connected()).await;
        (peer, greeting)
    }

    /// A connection on which the topic was looked up.
    pub(crate) async fn accept_lookup(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.lookup().await;
        peer
    }

    /// A connection on which a producer was accepted.
    pub(crate) async fn accept_producer(&self) -> (Peer, CommandProducer) {
        let mut peer = self.accept_lookup().await;
        let producer = peer.producer().await;
        (peer, producer)
    }

    /// A connection on which a consumer was accepted.
    pub(crate) async fn accept_consumer(&self) -> (Peer, CommandSubscribe) {
        let mut peer = self.accept_lookup().await;
        let subscribe = peer.subscribe().await;
        (peer, subscribe)
    }
}

pub(crate) fn connected() -> Body {
    Body::Connected(CommandConnected {
        server_version: "fake".into(),
        protocol_version: Some(20),
        max_message_size: Some(100_000),
        feature_flags: None,
    })
}

pub(crate) fn error(request_id: u64, error: ServerError) -> Body {
    Body::Error(CommandError { request_id, error: error as i32, message: "refused".into() })
}

pub(crate) fn success(request_id: u64) -> Body {
    Body::Success(CommandSuccess { request_id })
}

pub(crate) fn producer_success(request_id: u64) -> CommandProducerSuccess {
    CommandProducerSuccess { request_id, producer_name: "p".into(), ..CommandProducerSuccess::default() }
}

pub(crate) fn receipt(send: &CommandSend, entry: u64) -> Body {
    Body::SendReceipt(CommandSendReceipt {
        producer_id: send.producer_id,
        sequence_id: send.sequence_id,
        message_id: Some(MessageIdData { ledger_id: 1, entry_id: entry, ..MessageIdData::default() }),
        highest_sequence_id: send.highest_sequence_id,
    })
}

pub(crate) fn duplicate(send: &CommandSend) -> Body {
    receipt_of(send, MessageId::EARLIEST)
}

fn receipt_of(send: &CommandSend, id: MessageId) -> Body {
    Body::SendReceipt(CommandSendReceipt {
        producer_id: send.producer_id,
        sequence_id: send.sequence_id,
        message_id: Some(id.data()),
        highest_sequence_id: send.highest_sequence_id,
    })
}

/// One connection with the client.
pub(crate) struct Peer {
    stream: TcpStream,
    buffer: BytesMut,
    url: String,
}

impl Peer {
    /// The next frame as it came; none when the client ended the connection.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(size) = self.buffer.first_chunk::<4>() {
                let size = u32::from_be_bytes(*size) as usize + 4;
                if self.buffer.len() >= size {
                    return Some(self.buffer.split_to(size).freeze());
                }
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn received(&mut self) -> Option<Received> {
        let frame = self.frame().await?;
        Some(parse(frame.slice(4..)).unwrap())
    }

    /// The next command; those that keep the connection alive are passed over.
    pub(crate) async fn command(&mut self) -> Body {
        loop {
            match self.received().await.expect("the client ended the connection").body {
                Body::Ping(_) | Body::Pong(_) => {}
                body => return body,
            }
        }
    }

    /// Waits until the client ends the connection.
    pub(crate) async fn until_ended(&mut self) {
        while self.frame().await.is_some() {}
    }

    pub(crate) async fn say(&mut self, body: Body) {
        self.write(&Frame::plain(body).to_bytes()).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // The client may have ended the connection for a reason that the test checks.
        let _ = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn greeting(&mut self) -> CommandConnect {
        match self.command().await {
            Body::Connect(connect) => connect,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn asked_for_lookup(&mut self) -> CommandLookupTopic {
        match self.command().await {
            Body::LookupTopic(lookup) => lookup,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn lookup(&mut self) {
        let lookup = self.asked_for_lookup().await;
        let url = self.url.clone();
        self.answer_lookup(lookup.request_id, LookupType::Connect, &url).await;
    }

    pub(crate) async fn answer_lookup(&mut self, request_id: u64, response: LookupType, url: &str) {
        self.say(Body::LookupTopicResponse(CommandLookupTopicResponse {
            request_id,
            response: Some(response as i32),
            broker_service_url: Some(url.to_owned()),
            authoritative: Some(true),
            ..CommandLookupTopicResponse::default()
        }))
        .await;
    }

    pub(crate) async fn asked_for_producer(&mut self) -> CommandProducer {
        match self.command().await {
            Body::Producer(producer) => producer,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn producer(&mut self) -> CommandProducer {
        let producer = self.asked_for_producer().await;
        self.say(Body::ProducerSuccess(producer_success(producer.request_id))).await;
        producer
    }

    /// The next frame, which must be a message, as it came and as what it says.
    pub(crate) async fn sent(&mut self) -> (Bytes, CommandSend) {
        let frame = self.frame().await.expect("the client ended the connection");
        match parse(frame.slice(4..)).unwrap().body {
            Body::Send(send) => (frame, send),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn asked_to_subscribe(&mut self) -> CommandSubscribe {
        match self.command().await {
            Body::Subscribe(subscribe) => subscribe,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn subscribe(&mut self) -> CommandSubscribe {
        let subscribe = self.asked_to_subscribe().await;
        self.say(success(subscribe.request_id)).await;
        subscribe
    }

    /// What the client grants next.
    pub(crate) async fn flow(&mut self) -> u32 {
        match self.command().await {
            Body::Flow(flow) => flow.message_permits,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn deliver(&mut self, consumer_id: u64, entry: u64, text: &str) {
        let metadata = MessageMetadata { producer_name: "p".into(), ..MessageMetadata::default() };
        self.deliver_as(message(consumer_id, entry), &metadata, text.to_owned().into()).await;
    }

    pub(crate) async fn deliver_as(&mut self, command: CommandMessage, metadata: &MessageMetadata, payload: Bytes) {
        self.write(&Frame::message(Body::Message(command), metadata, payload).to_bytes()).await;
    }
}

pub(crate) fn message(consumer_id: u64, entry: u64) -> CommandMessage {
    let message_id = MessageIdData { ledger_id: 1, entry_id: entry, ..MessageIdData::default() };
    CommandMessage { consumer_id, message_id, ..CommandMessage::default() }
}
