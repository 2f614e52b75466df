// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Connections that are cut between the client and the broker, at any byte.

use std::time::Duration;

use fnstream_pulsar_client::{Access, Client, Error, Event, InitialPosition, Message, MessageId, SubscriptionType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::{batch, with_broker};

/// A relay in front of the broker. A broker that stands alone has its clients stay with the address that they began with.
struct Relay {
    url: String,
    /// How many bytes of answers each connection may pass on before it is cut; 0 for no end.
    limit: watch::Sender<usize>,
}

impl Relay {
    async fn start() -> Relay {
        let broker = std::env::var("FNSTREAM_PULSAR").unwrap().replace("pulsar://", "");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("pulsar://{}", listener.local_addr().unwrap());
        let (limit, limits) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let broker = TcpStream::connect(&broker).await.unwrap();
                tokio::spawn(pass_on(client, broker, limits.clone()));
            }
        });
        Relay { url, limit }
    }

    fn client(&self) -> Client {
        Client::builder(&self.url).backoff(Duration::from_millis(1), Duration::from_millis(50)).build().unwrap()
    }
}

async fn pass_on(client: TcpStream, broker: TcpStream, limits: watch::Receiver<usize>) {
    let (client_reader, client_writer) = client.into_split();
    let (broker_reader, broker_writer) = broker.into_split();
    tokio::select! {
        () = pump(client_reader, broker_writer, None) => {}
        () = pump(broker_reader, client_writer, Some(limits)) => {}
    }
}

/// Passes bytes on up to the limit, and ends when the limit changes.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, limits: Option<watch::Receiver<usize>>) {
    let (_unlimited, unchanged) = watch::channel(0);
    let mut limits = limits.unwrap_or(unchanged);
    let limit = *limits.borrow_and_update();
    let mut left = if limit == 0 { usize::MAX } else { limit };
    let mut buffer = vec![0; 4096];
    while left > 0 {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = limits.changed() => 0,
        };
        let passed = read.min(left);
        left -= passed;
        if passed == 0 || to.write_all(&buffer[..passed]).await.is_err() {
            return;
        }
    }
}

#[test]
fn messages_are_stored_once_over_connections_that_are_cut() {
    for access in [Access::Shared, Access::Exclusive, Access::WaitForExclusive, Access::ExclusiveWithFencing] {
        stored_once(access);
    }
}

fn stored_once(access: Access) {
    with_broker(|ns| async move {
        ns.policy("deduplication", "true");
        let relay = Relay::start().await;
        let client = relay.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).name("p").access(access).create().await.unwrap();
        let mut pending = Vec::new();
        let mut number = 0u64;
        for limit in [1000, 1501, 1203, 1807, 999, 1611, 0] {
            relay.limit.send_replace(limit);
            for _ in 0..60 {
                let texts = [format!("{number}"), format!("{}", number + 1)];
                pending.push(producer.send_batch(number, batch(&[&texts[0], &texts[1]])));
                number += 2;
            }
            // So that a part of each lot is acknowledged, and a part is on its way.
            pending.drain(..1).next().unwrap().await.unwrap();
        }
        for receipt in pending {
            receipt.await.unwrap();
        }
        assert_eq!(producer.last_sequence_id(), Some(number - 1));
        let reader = ns.client().reader(&topic).open().await.unwrap();
        for told in 0..number {
            let message = reader.next().await.unwrap();
            assert_eq!((message.payload.unwrap(), message.sequence_id), (format!("{told}").into(), told));
        }
        assert!(!reader.has_more().await.unwrap());
    });
}

#[test]
fn nothing_is_left_out_over_connections_that_are_cut() {
    with_broker(|ns| async move {
        let relay = Relay::start().await;
        let topic = ns.topic("t");
        let direct = ns.client().producer(&topic).create().await.unwrap();
        let consumer = relay
            .client()
            .consumer(&topic)
            .subscription("s")
            .subscription_type(SubscriptionType::Failover)
            .initial_position(InitialPosition::Earliest)
            .receiver_queue(50)
            .subscribe()
            .await
            .unwrap();
        for number in 0..400u64 {
            // The last one tells that all are stored.
            let receipt = direct.send(Message::new(format!("{number:0200}")));
            if number == 399 {
                receipt.await.unwrap();
            }
        }
        // Large enough for a subscription and some messages, small enough for several connections.
        relay.limit.send_replace(20_000);
        let (mut next, mut acknowledged, mut reconnected) = (0, None::<MessageId>, 0);
        let mut last_number = 0;
        while last_number < 399 {
            match consumer.recv().await.unwrap() {
                Event::Reconnected => {
                    reconnected += 1;
                    next = u64::MAX;
                }
                Event::Messages(entry) => {
                    let id = entry.messages[0].id;
                    let number: u64 =
                        std::str::from_utf8(entry.messages[0].payload.as_ref().unwrap()).unwrap().parse().unwrap();
                    if next == u64::MAX {
                        // It goes on behind what was acknowledged: at the latest behind what is known to be.
                        assert!(number <= last_number + 1, "{number} after {last_number}");
                        assert!(acknowledged.is_none_or(|acknowledged| id > acknowledged), "{id} was acknowledged");
                        next = number;
                    }
                    assert_eq!(number, next);
                    next += 1;
                    last_number = last_number.max(number);
                    if number % 10 == 9 {
                        match consumer.ack_cumulative(&id).await {
                            Ok(()) => acknowledged = Some(id),
                            Err(error) => assert!(matches!(error, Error::Disconnected(_)), "{error:?}"),
                        }
                    }
                }
                Event::Active(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(reconnected > 2, "{reconnected}");
    });
}
