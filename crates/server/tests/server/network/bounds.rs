// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! As many connections and waiting consumers as there may be.

use fnstream_api::ProduceOptions;

use super::{ask, begin_to_send, closed, fixture, metric, until};
use crate::support::{code, group};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_idle_makes_room_and_none_that_is_busy_does() {
    let (fixture, _) = fixture(|config| config.network.max_connections = Some(20)).await;
    let first = fixture.connect();
    let silent: Vec<_> = (0..40).map(|_| fixture.connect()).collect();
    // Many more than there may be were there, and those that said nothing for longest have gone.
    assert_eq!(closed(first).await, "");
    fixture.client.produce("t", "x", &ProduceOptions::default()).await.unwrap();
    assert!(metric(&fixture, "fnstream_connections").await <= 20);
    drop(silent);

    // Two are left for those who don't wait: one is the client's.
    fixture.client.create_topic("none", &Default::default()).await.unwrap();
    let waiting: Vec<_> = (0..18).map(|_| ask(&fixture, "/api/v1/consume/none?group=g")).collect();
    fixture.waiting("none", 18).await;
    let refused = fixture.client.consume("none", &group("g")).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1722", "{refused}");
    fixture.client.produce("t", "x", &ProduceOptions::default()).await.unwrap();
    assert_eq!(metric(&fixture, "fnstream_waiting_clients").await, 18);
    drop(waiting);
    fixture.waiting("none", 0).await;
    assert!(fixture.client.consume("t", &group("g")).await.unwrap().is_some());
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_busy_a_new_one_is_refused_with_a_code() {
    let (fixture, budget) = fixture(|config| config.network.max_connections = Some(20)).await;
    let held: Vec<_> = (0..20).map(|_| begin_to_send(&fixture, "t", 100, 1)).collect();
    until("all of them are busy", || budget.small.used() == 20 * 3 * 100).await;
    let said = closed(ask(&fixture, "/healthz")).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: 1\r\n"), "{said}");
    assert_eq!(code(said.split_once("\r\n\r\n").unwrap().1), "FS-1721");
    let refused = fixture.client.produce("t", "x", &ProduceOptions::default()).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1721", "{refused}");
    drop(held);
    while let Err(refused) = fixture.client.produce("t", "x", &ProduceOptions::default()).await {
        assert_eq!(refused.code(), "FS-1721", "{refused}");
    }
    assert!(metric(&fixture, "fnstream_connections_refused_total").await >= 1);
    fixture.server.shutdown().await.unwrap();
}
