// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producers that number their events, over REST.

use fnstream_api::{Events, ProduceOptions, Produced, Producer, TopicRequest};
use serde_json::{Value, json};

use crate::support::{Fixture, code};

async fn put(fixture: &Fixture, query: &str, lines: &str) -> (u16, String) {
    let url = fixture.url(&format!("/api/v1/produce/t?{query}"));
    let request = reqwest::Client::new().put(url).header("content-type", "application/x-ndjson");
    let answer = request.body(lines.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn produced(fixture: &Fixture, query: &str, lines: &str) -> Value {
    let (status, body) = put(fixture, query, lines).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn place(fixture: &Fixture, topic: &str, producer: &str) -> (u16, Value) {
    let url = fixture.url(&format!("/api/v1/topic/{topic}/producer/{producer}"));
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_request_that_is_repeated_says_so_and_appends_nothing() {
    let fixture = Fixture::new().await;
    let runs = json!([{"partition": 0, "first": "0", "count": 3}]);
    let first = produced(&fixture, "producer=p&sequence=0", "a\nb\nc").await;
    assert_eq!(first, json!({"count": 3, "runs": runs, "next_sequence": 3}));
    let again = produced(&fixture, "producer=p&sequence=0", "a\nb\nc").await;
    assert_eq!(again, json!({"count": 0, "runs": runs, "duplicates": 3, "next_sequence": 3}));
    let more = produced(&fixture, "producer=p&sequence=2", "c\nd").await;
    let runs = json!([{"partition": 0, "first": "3", "count": 1}]);
    assert_eq!(more, json!({"count": 1, "runs": runs, "duplicates": 1, "next_sequence": 4}));
    let url = fixture.url("/api/v1/produce/t?producer=p&sequence=4&null=true");
    let single = reqwest::Client::new().put(url).send().await.unwrap().text().await.unwrap();
    let single: Value = serde_json::from_str(&single).unwrap();
    assert_eq!((&single["count"], &single["next_sequence"]), (&json!(1), &json!(5)));
    // Without a producer nothing is said of numbers.
    assert_eq!(
        produced(&fixture, "key=k", "x").await,
        json!({"count": 1, "runs": [{"partition": 0, "first": "5", "count": 1}]})
    );
    assert_eq!(fixture.values("t").await, ["a", "b", "c", "d", "", "x"]);

    let fixture = fixture.restart().await;
    let again = produced(&fixture, "producer=p&sequence=3", "d\n?\ne").await;
    assert_eq!((&again["duplicates"], &again["count"]), (&json!(2), &json!(1)));
    assert_eq!(fixture.values("t").await, ["a", "b", "c", "d", "", "x", "e"]);
    let (status, place) = place(&fixture, "t", "p").await;
    assert_eq!((status, &place["producer"], &place["next_sequence"]), (200, &json!("p"), &json!(6)));
    assert!(place["last_ms"].as_i64().unwrap() > 1_700_000_000_000);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_gap_and_an_unknown_producer_are_told_apart() {
    let fixture = Fixture::new().await;
    let refused = async |query: &str| {
        let (status, body) = put(&fixture, query, "x\ny").await;
        (status, code(&body))
    };
    assert_eq!(refused("producer=p&sequence=1").await, (404, "FS-1331".to_owned()));
    assert_eq!(fixture.client.list_topics().await.unwrap(), Vec::<String>::new(), "no topic is made for it");
    produced(&fixture, "producer=p&sequence=0", "x").await;
    assert_eq!(refused("producer=p&sequence=2").await, (409, "FS-1330".to_owned()));
    assert_eq!(refused("producer=q&sequence=1").await, (404, "FS-1331".to_owned()));
    for query in ["producer=p", "sequence=1", "producer=p&sequence=-1", "producer=p&sequence=18446744073709551615"] {
        assert_eq!(refused(query).await, (400, "FS-1001".to_owned()), "{query}");
    }
    assert_eq!(refused("producer=a%20b&sequence=0").await, (400, "FS-1004".to_owned()));
    for (topic, producer, expected) in [("t", "q", "FS-1331"), ("none", "p", "FS-1301"), ("t", "a%20b", "FS-1004")] {
        let (_, body) = place(&fixture, topic, producer).await;
        assert_eq!(body["code"], expected, "{topic} {producer}");
    }
    assert_eq!(fixture.values("t").await, ["x"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_producer_of_the_client_goes_on_where_it_stands() {
    let fixture = Fixture::new().await;
    let topic = TopicRequest { partitions: Some(4), ..TopicRequest::default() };
    fixture.client.create_topic("t", &topic).await.unwrap();
    let options = ProduceOptions::default();
    for (from, to) in [(0, 3), (3, 5)] {
        let mut producer = Producer::resume(&fixture.client, "t", "importer").await.unwrap();
        assert_eq!(producer.next(), from);
        for number in from..to {
            let Produced { count, duplicates, .. } =
                producer.send(Events::One(number.to_string().into()), &options).await.unwrap();
            assert_eq!((count, duplicates, producer.next()), (1, 0, number + 1));
        }
    }
    let mut late = Producer::resume(&fixture.client, "t", "importer").await.unwrap();
    late.go_on_at(4);
    let produced = late.send(Events::Lines("4\n5".into()), &options).await.unwrap();
    assert_eq!((produced.count, produced.duplicates, late.next()), (1, 1, 6));
    late.go_on_at(8);
    assert_eq!(late.send(Events::One("8".into()), &options).await.unwrap_err().code(), "FS-1330");
    let mut anonymous = Producer::new(&fixture.client, "t").unwrap();
    assert_eq!(anonymous.send(Events::Null, &options).await.unwrap().count, 1);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_server_that_never_answered_is_not_waited_for() {
    let fixture = Fixture::new().await;
    let client = fixture.client.clone();
    fixture.server.shutdown().await.unwrap();
    let mut producer = Producer::new(&client, "t").unwrap();
    let error = producer.send(Events::One("x".into()), &ProduceOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "FS-1704");
}
