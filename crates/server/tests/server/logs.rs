// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The logs of functions over the interface.

use fnstream_api::{FunctionUpdate, LogLine, LogOptions, RollbackRequest};
use fnstream_core::ErrorCode;

use crate::support::{Fixture, LONG, code, complain, echo, trap};

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
    assert_eq!(texts(&own), ["created and started", "stops", "started, revision 1", "started, revision 1"]);
    assert!(own.iter().all(|line| line.speaker == "host" && line.ms > 0));

    fixture.client.delete_function("f").await.unwrap();
    let error = fixture.client.function_logs("f", &LogOptions::default()).await.unwrap_err();
    assert!(error.is(ErrorCode::FunctionNotFound), "{error}");
    // Anew: an artifact that nobody uses is not kept.
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    let log = fixture.client.function_logs("f", &LogOptions::default()).await.unwrap();
    assert_eq!(texts(&log.lines)[0], "created and started", "nothing of the deleted one");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_function_are_in_its_log() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    let update = FunctionUpdate { output: Some("other".into()), ..FunctionUpdate::default() };
    fixture.client.update_function("f", &update).await.unwrap();
    fixture.client.restart_function("f").await.unwrap();
    let back = RollbackRequest { to: 1, with_state: true, reprocess: false };
    fixture.client.rollback_function("f", back).await.unwrap();
    let lines = fixture.client.function_logs("f", &LogOptions::default()).await.unwrap().lines;
    let own: Vec<_> = lines.into_iter().filter(|line| line.task.is_none()).collect();
    let expected = [
        "created and started",
        "updated to revision 2",
        "started, revision 2",
        "restarts",
        "started, revision 2",
        "rolled back to revision 1, as revision 3",
        "started, revision 3",
    ];
    assert_eq!(texts(&own), expected);
    fixture.server.shutdown().await.unwrap();
}

/// Follows a log until a line comes that is meant.
async fn until(fixture: &Fixture, function: &str, meant: impl Fn(&LogLine) -> bool) -> LogLine {
    let mut options = LogOptions { tail: None, after: Some("0".into()), wait: Some(LONG) };
    loop {
        let page = fixture.client.function_logs(function, &options).await.unwrap();
        assert!(!page.lines.is_empty(), "it does not come");
        if let Some(line) = page.lines.into_iter().find(|line| meant(line)) {
            return line;
        }
        options.after = Some(page.next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_prints_and_what_becomes_of_its_records_is_in_its_log() {
    let fixture = Fixture::new().await;
    let function = fixture.function(complain(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    fixture.client.produce("in", "oh dear\n", &Default::default()).await.unwrap();
    let line = until(&fixture, "f", |line| line.speaker == "stderr").await;
    assert_eq!((line.text.as_str(), line.task), ("oh dear", Some(0)));

    let function = fixture.function(trap(), "in", "out").await;
    fixture.client.create_function("g", &function).await.unwrap();
    let line = until(&fixture, "g", |line| line.text.starts_with("dead letter")).await;
    assert_eq!((line.speaker.as_str(), line.task), ("host", Some(0)));
    assert!(line.text.contains("FS-1402"), "{line:?}");
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
