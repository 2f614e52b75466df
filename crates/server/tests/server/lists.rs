// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Lists in pages: complete and consistent, whatever comes and goes between two of them.

use std::collections::BTreeSet;

use fnstream_api::{Client, DeadLetterSelection, DeadLetters, Page, PageOptions, ProduceOptions, TopicRequest, header};
use fnstream_frame::{FrameBuilder, RecordRef};

use crate::support::{Fixture, code, dead_letter, echo};

fn page(max: usize, after: Option<String>) -> PageOptions {
    PageOptions { max: Some(max), after }
}

fn values(page: &DeadLetters) -> Vec<String> {
    page.dead_letters.iter().map(|letter| letter.value.clone().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_letter_that_waits_all_the_while_is_on_one_page() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", echo(), 5_000).await;
    let (mut seen, mut after, mut pages, mut more) = (Vec::new(), None, 0, 5_000);
    loop {
        let found = fixture.client.dead_letters_page("f", &page(300, after.take())).await.unwrap();
        assert!(found.dead_letters.len() <= 300);
        assert_eq!(found.waiting.is_some(), pages == 0, "the first page counts");
        seen.extend(values(&found));
        pages += 1;
        // Others come and go meanwhile: the oldest are replayed, which is behind where the list is, and new ones fail.
        if pages <= 10 {
            fixture.more_letters("f", more..more + 10).await;
            more += 10;
            let oldest = DeadLetterSelection { count: Some(100) };
            assert_eq!(fixture.client.replay_dead_letters("f", &oldest).await.unwrap().replayed, 100);
        }
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..more).map(|number| format!("l{number}")).collect::<Vec<_>>());
    // Those that were replayed ahead of a list are not on it.
    let first = fixture.client.dead_letters_page("f", &page(10, None)).await.unwrap();
    assert_eq!((first.waiting, values(&first)[0].as_str()), (Some(4_100), "l1000"));
    fixture.client.replay_dead_letters("f", &DeadLetterSelection { count: Some(500) }).await.unwrap();
    let second = fixture.client.dead_letters_page("f", &page(10, first.next)).await.unwrap();
    assert_eq!(values(&second)[0], "l1500");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_letters_is_bounded_in_bytes_and_in_what_is_read_for_it() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", echo(), 3).await;
    // Records of others in the topic, more than are read for a page.
    let mut frame = FrameBuilder::new();
    (0..25_000).for_each(|_| frame.push(RecordRef::new(b"of another")));
    fixture.client.produce_frame("f.dlq", frame.to_bytes()).await.unwrap();
    let large = "x".repeat(1 << 20);
    let headers = dead_letter("f", "large");
    for _ in 0..3 {
        let mut frame = FrameBuilder::new();
        (0..4).for_each(|_| frame.push(RecordRef::new(large.as_bytes()).with_headers(headers.as_headers())));
        fixture.client.produce_frame("f.dlq", frame.to_bytes()).await.unwrap();
    }
    let (mut sizes, mut after) = (Vec::new(), None);
    loop {
        let found = fixture.client.dead_letters_page("f", &page(1_000, after.take())).await.unwrap();
        if sizes.is_empty() {
            assert_eq!((found.waiting, found.estimated), (Some(25_015), true), "too many to be counted");
        }
        sizes.push(found.dead_letters.len());
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes.iter().sum::<usize>(), 15, "{sizes:?}");
    assert!(sizes.len() >= 5 && sizes.contains(&0) && sizes.iter().all(|size| *size <= 5), "{sizes:?}");
    fixture.server.shutdown().await.unwrap();
}

/// All rows of a list, in pages of that size; `between` happens after each page.
async fn all<T: Ord + Clone>(
    max: usize,
    mut fetch: impl AsyncFnMut(PageOptions) -> Page<T>,
    mut between: impl AsyncFnMut(usize),
) -> Vec<T> {
    let (mut rows, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let found = fetch(page(max, after.take())).await;
        assert!(found.rows.len() <= max);
        rows.extend(found.rows);
        pages += 1;
        between(pages).await;
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    assert!(rows.is_sorted() && rows.iter().collect::<BTreeSet<_>>().len() == rows.len(), "in order and once");
    rows
}

async fn delete(client: &Client, functions: &[&str]) {
    for name in functions {
        client.delete_function(name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_come_and_go_between_two_pages() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let names: Vec<_> = (0..12).map(|number| format!("f{number:02}")).collect();
    for name in &names {
        let function = fixture.function(echo(), "in", "out").await;
        client.create_function(name, &function).await.unwrap();
    }
    // Who asks for no pages is given all, as ever.
    let answer = reqwest::get(fixture.url("/api/v1/functions")).await.unwrap();
    assert!(answer.headers().get(header::NEXT).is_none());
    assert_eq!(answer.json::<Vec<String>>().await.unwrap(), names);

    let fetch = async |options| client.functions_page(&options).await.unwrap();
    let all_names = all(5, fetch, async |_| ()).await;
    assert_eq!(all_names, names);
    let statuses = all(
        5,
        async |options| {
            let Page { rows, next } = client.status_page(&options).await.unwrap();
            Page { rows: rows.into_iter().map(|function| function.name).collect(), next }
        },
        async |_| (),
    )
    .await;
    assert_eq!(statuses, names);
    assert_eq!(client.status(None).await.unwrap().len(), 12);

    // The one that the cursor names goes, and one behind it.
    let rest = all(5, fetch, async |pages| {
        if pages == 1 {
            delete(client, &["f04", "f06"]).await;
        }
    })
    .await;
    let expected: Vec<_> = names.iter().filter(|name| **name != "f06").cloned().collect();
    assert_eq!(rest, expected);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_come_and_go_between_two_pages() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let names: Vec<_> = (0..30).map(|number| format!("t{number:02}")).collect();
    for name in &names {
        client.create_topic(name, &TopicRequest::default()).await.unwrap();
    }
    let fetch = async |options| client.topics_page(&options).await.unwrap();
    assert_eq!(all(7, fetch, async |_| ()).await, names);
    let listed = all(7, fetch, async |pages| {
        if pages == 2 {
            client.delete_topic("t13").await.unwrap();
            client.create_topic("t00b", &TopicRequest::default()).await.unwrap();
            client.create_topic("t99", &TopicRequest::default()).await.unwrap();
        }
    })
    .await;
    let mut expected = names.clone();
    expected.push("t99".to_owned());
    assert_eq!(listed, expected, "t13 was given before it went, and t00b came behind");
    assert_eq!(client.list_topics().await.unwrap().len(), 31);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_pages_are_refused() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", echo(), 3).await;
    fixture.client.produce("other", "x".to_owned(), &ProduceOptions::default()).await.unwrap();
    let cursor = fixture.client.topics_page(&page(1, None)).await.unwrap().next.unwrap();
    for path in [
        "/api/v1/functions?max=0".to_owned(),
        "/api/v1/topics?max=x".to_owned(),
        "/api/v1/topics?after=x".to_owned(),
        format!("/api/v1/functions?after={cursor}"),
        format!("/api/v1/status?after={cursor}"),
        format!("/api/v1/function/f/dead-letters?after={cursor}"),
    ] {
        let answer = reqwest::get(fixture.url(&path)).await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
        assert_eq!(code(&answer.text().await.unwrap()), "FS-1001", "{path}");
    }
    fixture.server.shutdown().await.unwrap();
}
