// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The state of a function in pages, by itself and as rows of a statement.

use std::sync::Arc;

use fnstream_api::{ConsumeOptions, Function, Place, ProduceOptions, ReadFrom, SeekRequest, TopicRequest};
use fnstream_core::ErrorCode;
use fnstream_core::record::Position;

use super::cluster::{Cluster, LONG, Process};
use crate::app::WantedEntry;
use crate::app::pages::Wanted;
use crate::gather::Asked;
use crate::sql;

const KEYS: usize = 500;

/// A server with a function of two tasks that has so many keys: `k0`, `k1` and so on.
async fn counted(cluster: &Cluster) -> Process {
    let server = cluster.start(1).await;
    let two = TopicRequest { partitions: Some(2), ..TopicRequest::default() };
    server.client.create_topic("in", &two).await.unwrap();
    let digest = server.client.upload_artifact("count").await.unwrap().digest;
    let function = Function { replicas: 2, ..Function::new(format!("sha256:{digest}"), vec!["in".into()], "out") };
    server.client.create_function("f", &function).await.unwrap();
    for partition in 0..2 {
        let lines: Vec<_> = (0..KEYS).filter(|key| key % 2 == partition).map(|key| format!("k{key}")).collect();
        let options = ProduceOptions { partition: Some(partition as u32), ..ProduceOptions::default() };
        server.client.produce_lines("in", lines.join("\n"), &options).await.unwrap();
    }
    let all = |f: &fnstream_api::FunctionDescription| f.tasks.iter().map(|task| task.records_in).sum::<u64>();
    server.described("f", "all keys", |f| all(f) == KEYS as u64).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_given_once_and_in_order_while_it_changes() {
    let cluster = Cluster::new();
    let server = counted(&cluster).await;
    let (mut seen, mut wanted) = (Vec::new(), Wanted { max: 70, after: None });
    let every: WantedEntry = Arc::new(|_| true);
    loop {
        let page = server.app.inspection.state("f".into(), every.clone(), wanted.clone()).await.unwrap();
        assert!(page.rows.len() <= 70);
        seen.extend(page.rows.iter().map(|entry| (entry.task, entry.key())));
        // A key before and one behind the place.
        for key in ["a", "z"] {
            let options = ProduceOptions { partition: Some(0), ..ProduceOptions::default() };
            server.client.produce("in", format!("{key}{}", seen.len()), &options).await.unwrap();
        }
        wanted.after = page.next;
        if wanted.after.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "in order and once");
    let keys = seen.iter().filter(|(_, key)| key.starts_with('k')).count();
    assert_eq!(keys, KEYS, "what is there all the while is given");
    server.end().await;
}

/// A server with a function of one task that has so many dead letters, `poison 0` and so on.
async fn poisoned(cluster: &Cluster, letters: u64) -> Process {
    let server = cluster.start(1).await;
    let digest = server.client.upload_artifact("count").await.unwrap().digest;
    let function = Function::new(format!("sha256:{digest}"), vec!["in".into()], "out");
    server.client.create_function("f", &function).await.unwrap();
    let lines: Vec<_> = (0..letters).map(|number| format!("poison {number}")).collect();
    server.client.produce_lines("in", lines.join("\n"), &ProduceOptions::default()).await.unwrap();
    let all = |f: &fnstream_api::FunctionDescription| f.tasks.iter().map(|task| task.records_in).sum::<u64>();
    server.described("f", "all dead letters", |f| all(f) == letters).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_dead_letters_goes_on_past_what_retention_drops_meanwhile_and_says_so() {
    let cluster = Cluster::new();
    let server = poisoned(&cluster, 8).await;
    let drops = |before: u128| {
        let broker = cluster.broker.clone();
        let drop = move || broker.drop_before("f.dlq", 0, Position(before));
        cluster.happens.before_reads.lock().push(Box::new(drop));
    };
    let page = async |max: usize, after: Option<String>| {
        let wanted = fnstream_api::PageOptions { max: Some(max), after };
        let page = server.client.dead_letters_page("f", &wanted).await.unwrap();
        let ids: Vec<_> = page.dead_letters.iter().map(|letter| letter.id.clone()).collect();
        (ids, page.dropped, page.next)
    };
    // While a page is read.
    drops(2);
    let (ids, dropped, next) = page(2, None).await;
    assert_eq!((ids, dropped), (vec!["0:2".to_owned(), "0:3".to_owned()], 2));
    // Between two pages, and while the second one is read.
    cluster.broker.drop_before("f.dlq", 0, Position(5));
    drops(6);
    let (ids, dropped, next) = page(1, next).await;
    assert_eq!((ids, dropped), (vec!["0:6".to_owned()], 2));
    // All that is left of them.
    drops(8);
    assert_eq!(page(9, next).await, (vec![], 1, None));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_drops_while_it_is_looked_for_is_not_there() {
    let cluster = Cluster::new();
    let server = poisoned(&cluster, 3).await;
    let drops = |topic: &'static str, before: u128| {
        let broker = cluster.broker.clone();
        let drop = move || broker.drop_before(topic, 0, Position(before));
        cluster.happens.before_reads.lock().push(Box::new(drop));
    };
    drops("f.dlq", 1);
    assert_eq!(server.client.show_dead_letter("f", "0:0").await.unwrap_err().code(), "FS-1308");
    // An order about the others is carried out.
    drops("f.dlq", 2);
    let done = server.client.replay_dead_letters("f", &Default::default()).await.unwrap();
    assert_eq!((done.failed_again, done.finished), (1, true));
    // Whoever reads from the earliest record gets the one that is it now; whoever names a position is told.
    let from = |from| ConsumeOptions { from: Some(from), timeout: Some(LONG), ..ConsumeOptions::default() };
    drops("in", 1);
    let event = server.client.consume("in", &from(ReadFrom::Earliest)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&event.json), "\"poison 1\"");
    drops("in", 2);
    let refused = server.client.consume("in", &from(ReadFrom::Position("1".into()))).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1304");
    // Who waits for what comes next goes on with what is left of it, and is told what it missed.
    let client = server.client.clone();
    let waiting = tokio::spawn(async move { client.consume("in", &from(ReadFrom::Latest)).await });
    while server.client.describe_topic("in").await.unwrap().waiting_consumers == 0 {}
    drops("in", 4);
    server.client.produce_lines("in", "x\ny\nz".to_owned(), &ProduceOptions::default()).await.unwrap();
    let event = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!((&event.json[..], event.skipped_from.as_deref()), (&b"\"y\""[..], Some("3")));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_found_past_what_retention_drops_while_it_is_looked_for() {
    let cluster = Cluster::new();
    let server = poisoned(&cluster, 3).await;
    for before in [3, 2] {
        let broker = cluster.broker.clone();
        let drop = move || broker.drop_before("in", 0, Position(before));
        cluster.happens.before_reads.lock().push(Box::new(drop));
    }
    let sought = SeekRequest { to: Place::Time(0), topic: None };
    let sought = server.client.seek_function("f", &sought).await.unwrap();
    assert_eq!(sought.moved.iter().map(|moved| moved.to.as_str()).collect::<Vec<_>>(), ["3"]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_answered_in_pages_up_to_its_limit() {
    let cluster = Cluster::new();
    let server = counted(&cluster).await;
    let counts = async |text: &str, max: Option<u32>| {
        let (mut counts, mut asked) = (Vec::new(), Asked { max, after: String::new() });
        loop {
            let answer = sql::execute(&server.app, text, asked.clone()).await.unwrap();
            counts.push(answer.message);
            asked.after = answer.next;
            if asked.after.is_empty() {
                return counts;
            }
        }
    };
    assert_eq!(counts("show state of f limit 250", Some(100)).await, ["100 entries", "100 entries", "50 entries"]);
    assert_eq!(counts("show state of f", None).await, ["500 entries"], "all at once, for who asks for no pages");
    assert_eq!(counts("show state of f like 'k49' limit 5", Some(100)).await, ["5 entries"]);
    let like = counts("show state of f like 'k49'", Some(100)).await;
    assert_eq!(like, ["11 entries"], "k49, and k490 to k499");
    assert_eq!(counts("show functions", Some(1)).await, ["1 function"]);
    assert_eq!(counts("show topics", Some(1)).await, ["1 topic"; 3]);
    let refused = async |text: &str, asked: Asked| sql::execute(&server.app, text, asked).await.unwrap_err();
    let page = |after: &str| Asked { max: Some(9), after: after.to_owned() };
    for (text, asked) in [
        ("show topics; show functions", page("")),
        ("show topics", page("x")),
        ("show topics", Asked { max: None, after: "x".into() }),
        ("show topics", Asked { max: Some(0), after: String::new() }),
    ] {
        assert_eq!(refused(text, asked).await.code, ErrorCode::InvalidRequest, "{text}");
    }
    server.end().await;
}
