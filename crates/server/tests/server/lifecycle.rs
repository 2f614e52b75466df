// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Starting and ending the server itself.

use std::io::Write;
use std::time::Instant;

use fnstream_api::FunctionStatus;
use fnstream_server::Server;

use crate::support::{Fixture, LONG, answer, code, config, echo, within_long};

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_the_waiting_and_says_why() {
    let fixture = Fixture::new().await;
    fixture.client.create_topic("t", &Default::default()).await.unwrap();
    let mut waiting = fixture.connect();
    waiting.write_all(b"GET /api/v1/consume/t HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    fixture.waiting("t", 1).await;
    fixture.server.shutdown().await.unwrap();
    let (status, body) = answer(&mut waiting);
    assert_eq!((status, code(&body).as_str()), (503, "FS-1701"));
}

#[tokio::test]
async fn a_folder_or_an_address_that_is_taken_is_refused() {
    let fixture = Fixture::new().await;
    let error = Server::start(config(fixture.folder.path())).await.err().unwrap();
    assert_eq!(error.code.as_str(), "FS-1503");

    let other = tempfile::tempdir().unwrap();
    let mut taken = config(other.path());
    taken.listen = fixture.server.local_addr().to_string();
    let error = Server::start(taken).await.err().unwrap();
    assert_eq!(error.code.as_str(), "FS-1702");
    assert!(!other.path().join("data").exists(), "refused before anything is made");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_folder_for_archives_or_grants_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let none = vec![folder.path().join("none")];
    let (mut archives, mut files) = (config(folder.path()), config(folder.path()));
    (archives.archive_dirs, files.files_dirs) = (none.clone(), none);
    for config in [archives, files] {
        let error = Server::start(config).await.err().unwrap();
        assert_eq!(error.code.as_str(), "FS-1703");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_functions_start_in_seconds() {
    let fixture = Fixture::new().await;
    let mut function = fixture.function(echo(), "in", "out").await;
    for i in 0..1000 {
        function.inputs = vec![format!("in-{i}").into()];
        fixture.client.create_function(&format!("f{i}"), &function).await.unwrap();
    }
    let began = Instant::now();
    let fixture = fixture.restart().await;
    fixture.client.produce("in-999", "x", &Default::default()).await.unwrap();
    assert_eq!(fixture.client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"x\"");
    for i in 0..1000 {
        let name = format!("f{i}");
        while fixture.client.describe_function(&name).await.unwrap().status != FunctionStatus::Running {
            assert!(began.elapsed() < LONG, "{name} does not run");
        }
    }
    fixture.server.shutdown().await.unwrap();
}
