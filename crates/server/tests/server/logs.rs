// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The logs of functions over the interface.

use fnstream_api::{LogLine, LogOptions};
use fnstream_core::ErrorCode;

use crate::support::{Fixture, LONG, code, echo};

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_with_a_function_is_in_its_log() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    fixture.client.stop_function("f").await.unwrap();
    fixture.client.start_function("f").await.unwrap();
    let fixture = fixture.restart().await;
    let log = loop {
        let log = fixture.client.function_logs("f", &LogOptions::default()).await.unwrap();
        if log.lines.iter().filter(|line| line.text.starts_with("started")).count() == 2 {
            break log.lines;
        }
    };
    let own: Vec<_> = log.iter().filter(|line| line.task.is_none()).cloned().collect();
    assert_eq!(texts(&own), ["created and started", "stops", "started, revision 3", "started, revision 3"]);
    assert!(own.iter().all(|line| line.speaker == "host" && line.ms > 0));

    fixture.client.delete_function("f").await.unwrap();
    let error = fixture.client.function_logs("f", &LogOptions::default()).await.unwrap_err();
    assert!(error.is(ErrorCode::FunctionNotFound), "{error}");
    fixture.client.create_function("f", &function).await.unwrap();
    let log = fixture.client.function_logs("f", &LogOptions::default()).await.unwrap();
    assert_eq!(texts(&log.lines)[0], "created and started", "nothing of the deleted one");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_gets_the_next_line_and_nothing_twice() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    let seen = fixture.client.function_logs("f", &LogOptions::default()).await.unwrap();
    let client = fixture.client.clone();
    let waiting = tokio::spawn(async move {
        let mut options = LogOptions { after: Some(seen.next), wait: Some(LONG), ..LogOptions::default() };
        loop {
            let page = client.function_logs("f", &options).await.unwrap();
            assert!(page.lines.iter().all(|line| !line.text.starts_with("created")), "{page:?}");
            if page.lines.iter().any(|line| line.text == "stops") {
                return;
            }
            options.after = Some(page.next);
        }
    });
    fixture.client.stop_function("f").await.unwrap();
    waiting.await.unwrap();
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_a_log_are_checked() {
    let fixture = Fixture::new().await;
    for query in ["tail=x", "tail=1&after=0", "after=there", "wait=5", "follow=true"] {
        let response = reqwest::get(fixture.url(&format!("/api/v1/function/f/logs?{query}"))).await.unwrap();
        let body = response.bytes().await.unwrap();
        assert_eq!(code(std::str::from_utf8(&body).unwrap()), "FS-1001", "{query}");
    }
    fixture.server.shutdown().await.unwrap();
}
