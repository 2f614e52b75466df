// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Many who each keep within their limits, and together do not.

use fnstream_api::{ConsumeOptions, ProduceOptions, ReadFrom};

use super::frames::NoRoom;
use super::{LARGE, ask, begin_to_send, closed, fixture, until};
use crate::support::{code, group};

fn raw_from_start(topic: &str) -> String {
    format!("/api/v1/consume/{topic}?from=earliest&format=raw")
}

#[tokio::test(flavor = "multi_thread")]
async fn held_bodies_stay_below_their_bound_and_small_requests_are_served_meanwhile() {
    let (fixture, budget) = fixture(|_| ()).await;
    let length = budget.bodies.limit() / 8;
    let mut held: Vec<_> = (0..12).map(|_| begin_to_send(&fixture, "t", length, 1000)).collect();
    // Each takes room for itself and what is made of it.
    until("others wait", || budget.bodies.waiting() == 10).await;
    for i in 0..20 {
        fixture.client.produce("small", format!("{i}"), &ProduceOptions::default()).await.unwrap();
    }
    assert!(fixture.client.consume("small", &group("g")).await.unwrap().is_some());
    let refused = closed(begin_to_send(&fixture, "t", length, 1)).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1\r\n"), "{refused}");
    assert_eq!(code(refused.split_once("\r\n\r\n").unwrap().1), "FS-1708");
    assert!(budget.bodies.peak() <= budget.bodies.limit());

    held.clear();
    until("their memory is free", || budget.bodies.used() == 0).await;
    let produced = fixture.client.produce("t", vec![b'x'; length], &ProduceOptions::default()).await.unwrap();
    assert_eq!(produced.runs[0].first, "0", "nothing of the held ones was stored");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_never_fit_is_refused_with_what_would() {
    let (fixture, budget) = fixture(|_| ()).await;
    let most = budget.bodies.limit() / 3;
    fixture.client.produce("t", vec![b'x'; most], &ProduceOptions::default()).await.unwrap();
    let refused = fixture.client.produce("t", vec![b'x'; most + 1], &ProduceOptions::default()).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1003", "{refused}");
    assert!(refused.to_string().contains(&most.to_string()), "{refused}");
    let artifact = vec![0; budget.bodies.limit() + 1];
    assert_eq!(fixture.client.upload_artifact(artifact).await.unwrap_err().code(), "FS-1003");
    assert!(budget.bodies.peak() <= budget.bodies.limit());
    // What is there is given, whatever room there is.
    let got = fixture.client.consume("t", &group("g")).await.unwrap().unwrap();
    assert_eq!(got.json.len(), most + 2);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_stay_below_their_bound_and_small_ones_are_given_meanwhile() {
    let (fixture, budget) = fixture(|_| ()).await;
    fixture.client.produce("t", vec![b'x'; LARGE], &ProduceOptions::default()).await.unwrap();
    fixture.client.produce("small", "x", &ProduceOptions::default()).await.unwrap();
    let mut unread: Vec<_> = (0..20).map(|_| ask(&fixture, &raw_from_start("t"))).collect();
    until("others wait", || budget.answers.waiting() > 10).await;
    for i in 0..20 {
        let got = fixture.client.consume("small", &group(&format!("g{i}"))).await.unwrap().unwrap();
        assert_eq!(got.json, "\"x\"");
    }
    // What a group is refused it has not lost.
    let refused = fixture.client.consume("t", &group("g")).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1708", "{refused}");
    assert!(budget.answers.peak() <= budget.answers.limit());

    unread.clear();
    until("their memory is free", || budget.answers.used() == 0).await;
    let got = fixture.client.consume("t", &group("g")).await.unwrap().unwrap();
    assert_eq!(got.json.len(), LARGE + 2);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_http_2_without_room_takes_no_more_than_others() {
    let (fixture, budget) = fixture(|_| ()).await;
    fixture.client.produce("t", vec![b'x'; LARGE], &ProduceOptions::default()).await.unwrap();
    let stream = fixture.connect();
    let mut client = NoRoom::new(stream);
    for number in 0..100 {
        client.get(2 * number + 1, "/api/v1/consume/t?from=earliest&format=raw");
    }
    until("others wait", || budget.answers.waiting() > 50).await;
    let options = ConsumeOptions { from: Some(ReadFrom::Earliest), ..ConsumeOptions::default() };
    fixture.client.produce("small", "x", &ProduceOptions::default()).await.unwrap();
    assert!(fixture.client.consume("small", &options).await.unwrap().is_some());
    assert!(budget.answers.peak() <= budget.answers.limit());
    drop(client);
    until("its memory is free", || budget.answers.used() == 0).await;
    fixture.server.shutdown().await.unwrap();
}
