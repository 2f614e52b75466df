// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records that a function fails at: found, given up, seen, tried, replayed, dropped.

use fnstream_api::{
    ConsumeOptions, DeadLetter, DeadLetterDrop, DeadLetterSelection, DeadLetterTrial, FunctionStatus, FunctionUpdate,
    OnError, ProduceOptions, ReadFrom,
};

use crate::support::{Fixture, LONG, echo, poison, trap};

/// The bad records of a batch of a thousand.
const BAD: [usize; 5] = [0, 1, 499, 998, 999];

fn line(index: usize) -> String {
    format!("{}{index}", if BAD.contains(&index) { "x" } else { "r" })
}

/// A function whose input has a thousand records, five of them bad, before it is created.
async fn thousand(fixture: &Fixture) {
    let lines: Vec<String> = (0..1000).map(line).collect();
    let client = &fixture.client;
    client.produce_lines("in", lines.join("\n"), &ProduceOptions::default()).await.unwrap();
    let function = fixture.function(poison(), "in", "out").await;
    client.create_function("f", &function).await.unwrap();
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.records_in == 1000)).await;
}

/// All records of a topic, as text, from a position on.
async fn all(fixture: &Fixture, topic: &str, from: usize, count: usize) -> Vec<String> {
    let mut options = ConsumeOptions {
        timeout: Some(LONG),
        from: Some(ReadFrom::Position(from.to_string())),
        ..ConsumeOptions::default()
    };
    let mut values = Vec::new();
    for _ in 0..count {
        let event = fixture.client.consume(topic, &options).await.unwrap().expect("an event");
        values.push(serde_json::from_slice(&event.json).unwrap());
        options.from = Some(ReadFrom::Position(event.next_position));
    }
    options.timeout = Some(std::time::Duration::ZERO);
    assert!(fixture.client.consume(topic, &options).await.unwrap().is_none(), "{topic} has more");
    values
}

fn brief(dead_letter: &DeadLetter) -> (String, String, String, u64) {
    (dead_letter.value.clone().unwrap(), dead_letter.position.clone(), dead_letter.code.clone(), dead_letter.attempts)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_with_bad_records_the_good_ones_come_out_in_order_and_the_bad_ones_are_dead_letters() {
    let fixture = Fixture::new().await;
    thousand(&fixture).await;
    let good: Vec<String> = (0..1000).filter(|i| !BAD.contains(i)).map(line).collect();
    assert_eq!(all(&fixture, "out", 0, 995).await, good);

    let dead_letters = fixture.client.list_dead_letters("f", 100).await.unwrap();
    assert_eq!((dead_letters.topic.as_str(), dead_letters.waiting), ("f.dlq", Some(5)));
    let expected: Vec<_> = BAD.iter().map(|i| (line(*i), i.to_string(), "FS-1402".to_owned(), 2)).collect();
    assert_eq!(dead_letters.dead_letters.iter().map(brief).collect::<Vec<_>>(), expected);
    let shown = fixture.client.show_dead_letter("f", "0:2").await.unwrap();
    assert_eq!(shown, dead_letters.dead_letters[2]);
    assert!(shown.backtrace.is_some() && shown.message.contains("unreachable"), "{shown:?}");
    assert_eq!((shown.topic.as_str(), shown.partition, shown.revision), ("in", 0, 1));

    // The function is well, and its topic of letters is an ordinary topic.
    assert_eq!(fixture.client.describe_function("f").await.unwrap().status, FunctionStatus::Running);
    assert_eq!(all(&fixture, "f.dlq", 0, 5).await, BAD.map(line));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_fail_again_wait_again_behind_the_others() {
    let fixture = Fixture::new().await;
    thousand(&fixture).await;
    let done = fixture.client.replay_dead_letters("f", &DeadLetterSelection { count: Some(2) }).await.unwrap();
    assert_eq!((done.replayed, done.failed_again, done.waiting, done.finished), (0, 2, 5, true));
    let dead_letters = fixture.client.list_dead_letters("f", 100).await.unwrap().dead_letters;
    let order = [499, 998, 999, 0, 1];
    let expected: Vec<_> = order
        .iter()
        .enumerate()
        // Each keeps where it came from, and its attempts go on counting.
        .map(|(n, i)| (line(*i), i.to_string(), "FS-1402".to_owned(), if n < 3 { 2 } else { 4 }))
        .collect();
    assert_eq!(dead_letters.iter().map(brief).collect::<Vec<_>>(), expected);
    assert_eq!(all(&fixture, "out", 995, 0).await.len(), 0);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_is_tried_leaves_no_trace() {
    let fixture = Fixture::new().await;
    thousand(&fixture).await;
    let before = fixture.client.describe_function("f").await.unwrap().tasks;
    for (artifact, good) in [(echo(), true), (trap(), false)] {
        let digest = fixture.client.upload_artifact(artifact).await.unwrap().digest;
        let trial = DeadLetterTrial { archive: format!("sha256:{digest}"), count: None };
        let tried = fixture.client.try_dead_letters("f", &trial).await.unwrap();
        assert_eq!(tried.len(), 5);
        for dead_letter in tried {
            assert_eq!(dead_letter.emitted, good.then_some(1), "{dead_letter:?}");
            assert_eq!(dead_letter.code.as_deref(), (!good).then_some("FS-1402"));
        }
    }
    let after = fixture.client.describe_function("f").await.unwrap().tasks;
    assert_eq!((before[0].epoch, before[0].records_out), (after[0].epoch, after[0].records_out));
    assert_eq!(fixture.client.list_dead_letters("f", 0).await.unwrap().waiting, Some(5));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_dead_letters_are_gone_also_after_a_restart() {
    let fixture = Fixture::new().await;
    thousand(&fixture).await;
    let done = fixture
        .client
        .drop_dead_letters("f", &DeadLetterDrop { count: Some(3), ..DeadLetterDrop::default() })
        .await
        .unwrap();
    assert_eq!((done.dropped, done.waiting, done.finished), (3, 2, true));
    let fixture = fixture.restart().await;
    let dead_letters = fixture.client.list_dead_letters("f", 100).await.unwrap();
    assert_eq!(
        dead_letters.dead_letters.iter().map(|l| l.value.as_deref()).collect::<Vec<_>>(),
        [Some("x998"), Some("x999")]
    );
    assert_eq!(fixture.client.show_dead_letter("f", "0:0").await.unwrap_err().code(), "FS-1308");
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.epoch > 0)).await;
    let done = fixture
        .client
        .drop_dead_letters("f", &DeadLetterDrop { all: true, ..DeadLetterDrop::default() })
        .await
        .unwrap();
    assert_eq!((done.dropped, done.waiting), (2, 0));
    let done = fixture.client.replay_dead_letters("f", &DeadLetterSelection::default()).await.unwrap();
    assert_eq!((done.replayed, done.waiting, done.finished), (0, 0, true));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_dropped_by_their_ids_and_the_others_stay_in_order() {
    let fixture = Fixture::new().await;
    thousand(&fixture).await;
    let client = &fixture.client;
    let values = async || -> Vec<String> {
        let letters = client.list_dead_letters("f", 100).await.unwrap().dead_letters;
        letters.into_iter().filter_map(|letter| letter.value).collect()
    };
    let drop = async |ids: &[&str]| {
        let ids = ids.iter().map(|&id| id.to_owned()).collect();
        client.drop_dead_letters("f", &DeadLetterDrop { ids, ..DeadLetterDrop::default() }).await
    };
    // The oldest ones go by themselves.
    let done = drop(&["0:1", "0:0"]).await.unwrap();
    assert_eq!((done.dropped, done.moved, done.waiting, done.finished), (2, 0, 3, true));
    assert_eq!(client.list_dead_letters("f", 1).await.unwrap().dead_letters[0].id, "0:2");
    // Nothing is dropped when one of them does not wait.
    for gone in ["0:0", "0:5", "9:0"] {
        let refused = drop(&["0:3", gone]).await.unwrap_err();
        assert_eq!(refused.code(), "FS-1308");
        assert!(refused.to_string().contains(gone), "{refused}");
    }
    assert_eq!(values().await, ["x499", "x998", "x999"]);
    let done = drop(&["0:3", "0:3"]).await.unwrap();
    assert_eq!((done.dropped, done.moved, done.waiting, done.finished), (1, 2, 2, true));
    assert_eq!(values().await, ["x499", "x999"]);
    let fixture = fixture.restart().await;
    let kept = fixture.client.list_dead_letters("f", 100).await.unwrap().dead_letters;
    assert_eq!(kept.iter().map(|letter| &*letter.id).collect::<Vec<_>>(), ["0:5", "0:6"]);
    assert_eq!(
        kept.iter().map(brief).collect::<Vec<_>>(),
        [499, 999].map(|i| (line(i), i.to_string(), "FS-1402".to_owned(), 2)),
        "they are as they were"
    );
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_in_a_former_topic_wait_until_it_is_named_again() {
    let fixture = Fixture::new().await;
    thousand(&fixture).await;
    for (topic, waiting) in [("other", 0), ("f.dlq", 5)] {
        let on_error = OnError { dead_letter_topic: Some(topic.into()), ..OnError::default() };
        let update = FunctionUpdate { on_error, ..FunctionUpdate::default() };
        fixture.client.update_function("f", &update).await.unwrap();
        let listed = fixture.client.list_dead_letters("f", 9).await.unwrap();
        assert_eq!((&*listed.topic, listed.waiting), (topic, Some(waiting)));
    }
    let done = fixture.client.replay_dead_letters("f", &DeadLetterSelection::default()).await.unwrap();
    assert_eq!((done.failed_again, done.waiting), (5, 5));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_function_of_a_former_name_has_none_of_its_dead_letters() {
    let fixture = Fixture::new().await;
    thousand(&fixture).await;
    fixture.client.delete_function("f").await.unwrap();
    let function = fixture.function(echo(), "in", "other").await;
    fixture.client.create_function("f", &function).await.unwrap();
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.records_in == 1000)).await;
    assert_eq!(fixture.client.list_dead_letters("f", 100).await.unwrap().waiting, Some(0));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_about_dead_letters_are_refused() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    assert_eq!(client.list_dead_letters("none", 1).await.unwrap_err().code(), "FS-1102");
    thousand(&fixture).await;
    assert_eq!(client.show_dead_letter("f", "7").await.unwrap_err().code(), "FS-1001");
    assert_eq!(client.show_dead_letter("f", "9:0").await.unwrap_err().code(), "FS-1308");
    let none = DeadLetterSelection { count: Some(0) };
    assert_eq!(client.replay_dead_letters("f", &none).await.unwrap_err().code(), "FS-1001");
    let unclear = [
        DeadLetterDrop::default(),
        DeadLetterDrop { count: Some(1), all: true, ..DeadLetterDrop::default() },
        DeadLetterDrop { count: Some(0), ..DeadLetterDrop::default() },
        DeadLetterDrop { ids: vec!["0:0".to_owned()], all: true, ..DeadLetterDrop::default() },
        DeadLetterDrop { ids: vec!["0".to_owned()], ..DeadLetterDrop::default() },
        DeadLetterDrop { ids: vec!["0:0".to_owned(); 1_001], ..DeadLetterDrop::default() },
    ];
    for unclear in unclear {
        assert_eq!(client.drop_dead_letters("f", &unclear).await.unwrap_err().code(), "FS-1001");
    }
    let digest = client.upload_artifact(&b"no wasm"[..]).await.unwrap().digest;
    let trial = DeadLetterTrial { archive: format!("sha256:{digest}"), count: None };
    assert_eq!(client.try_dead_letters("f", &trial).await.unwrap_err().code(), "FS-1202");
    client.stop_function("f").await.unwrap();
    // What waits can be seen while the function rests, but nothing can be done with it.
    assert_eq!(client.list_dead_letters("f", 1).await.unwrap().waiting, Some(5));
    assert_eq!(client.replay_dead_letters("f", &DeadLetterSelection::default()).await.unwrap_err().code(), "FS-1105");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_letter_of_a_null_value_shows_null() {
    let fixture = Fixture::new().await;
    let function = fixture.function(trap(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    let key = fnstream_api::ProduceOptions { key: Some(b"k".to_vec()), ..Default::default() };
    fixture.client.produce_null("in", &key).await.unwrap();
    fixture.client.produce("in", "null", &key).await.unwrap();
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.records_in == 2)).await;
    let dead_letters = fixture.client.list_dead_letters("f", 10).await.unwrap().dead_letters;
    let shown: Vec<_> =
        dead_letters.iter().map(|dead_letter| (dead_letter.key.as_deref(), dead_letter.value.as_deref())).collect();
    assert_eq!(shown, [(Some("k"), None), (Some("k"), Some("null"))]);
    let body = reqwest::get(fixture.url("/api/v1/function/f/dead-letters/0:0")).await.unwrap().text().await.unwrap();
    assert!(body.contains(r#""value":null"#), "{body}");
    fixture.server.shutdown().await.unwrap();
}
