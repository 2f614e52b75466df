// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a start makes of the note of those before it, and leaves for the next.

use std::time::Duration;

use fnstream_api::FunctionStatus;

use crate::support::{Fixture, LONG, config, echo};

/// A server that has run these functions and was ended.
async fn with(names: &[&str]) -> Fixture {
    let fixture = Fixture::new().await;
    for name in names {
        let function = fixture.function(echo(), "in", "out").await;
        fixture.client.create_function(name, &function).await.unwrap();
    }
    fixture
}

impl Fixture {
    /// Ends the server, and starts another that finds this note and soon believes that all is well.
    async fn restart_noting(self, note: &[u8]) -> Fixture {
        self.server.shutdown().await.unwrap();
        std::fs::write(self.folder.path().join("data/RUN"), note).unwrap();
        let mut config = config(self.folder.path());
        config.stable_after = Duration::from_millis(1);
        let server = fnstream_server::Server::start(config).await.unwrap();
        let client = fnstream_api::Client::new(&format!("http://{}", server.local_addr())).unwrap();
        Fixture { server, client, folder: self.folder }
    }

    fn note(&self) -> Option<String> {
        let note = std::fs::read(self.folder.path().join("data/RUN")).ok()?;
        Some(String::from_utf8(note).unwrap())
    }

    async fn noted(&self, wanted: &str) {
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        let noted = async {
            while self.note().as_deref() != Some(wanted) {
                turns.tick().await;
            }
        };
        tokio::time::timeout(LONG, noted).await.unwrap_or_else(|_| panic!("{:?}, not {wanted:?}", self.note()));
    }

    async fn status(&self, name: &str) -> FunctionStatus {
        self.described(name, |f| f.status != FunctionStatus::Starting).await.status
    }
}

const NONE: &str = "\x02{\"deaths\":0,\"functions\":{},\"hold\":[]}";

/// A note of four deaths, each of which was to start `a` and one of which `b`.
fn noted(hold: &[&str]) -> String {
    format!("\x02{{\"deaths\":4,\"functions\":{{\"a\":4,\"b\":1}},\"hold\":{hold:?}}}").replace(", ", ",")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lives_on_notes_that_and_one_that_ends_leaves_nothing() {
    let fixture = with(&["a"]).await.restart_noting(b"\x01{\"deaths\":2,\"functions\":[\"a\"]}").await;
    fixture.noted(NONE).await;
    assert_eq!(fixture.status("a").await, FunctionStatus::Running);
    let Fixture { server, folder, .. } = fixture;
    server.shutdown().await.unwrap();
    assert!(!folder.path().join("data/RUN").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_back_is_noted_until_it_is_let_go() {
    let fixture = with(&["a", "b", "c"]).await.restart_noting(noted(&["a", "b"]).as_bytes()).await;
    assert_eq!(fixture.status("c").await, FunctionStatus::Running, "it is not to be held back");
    for (name, times) in [("a", "each of which was to start it"), ("b", "1 of which was to start it")] {
        let held = fixture.described(name, |f| f.error.is_some()).await;
        let error = held.error.unwrap();
        assert_eq!((held.status, error.code.as_str()), (FunctionStatus::Failed, "FS-1709"));
        let reason = format!("the server died soon after 4 starts, {times}: ");
        assert!(error.message.contains(&reason), "{}", error.message);
    }
    fixture.noted(&noted(&["a", "b"])).await;
    fixture.client.start_function("a").await.unwrap();
    assert_eq!(fixture.status("a").await, FunctionStatus::Running);
    fixture.noted(&noted(&["b"])).await;
    let update = fnstream_api::FunctionUpdate { replicas: Some(2), ..Default::default() };
    fixture.client.update_function("b", &update).await.unwrap();
    assert_eq!(fixture.status("b").await, FunctionStatus::Running);
    fixture.noted(NONE).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_is_damaged_holds_nothing_back() {
    for note in [&b""[..], b"\x02{", b"\x07{}"] {
        let fixture = with(&["a"]).await.restart_noting(note).await;
        assert_eq!(fixture.status("a").await, FunctionStatus::Running);
        fixture.noted(NONE).await;
        fixture.server.shutdown().await.unwrap();
    }
}
