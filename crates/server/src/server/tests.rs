// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

#![allow(clippy::unwrap_used)]

use fnstream_api::{Client, ClientError};

use super::*;

async fn ready(server: &Server) -> (u16, String) {
    ready_at(server.local_addr().port()).await
}

async fn ready_at(port: u16) -> (u16, String) {
    let response = reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await.unwrap();
    let status = response.status().as_u16();
    (status, String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap())
}

async fn start(folder: &tempfile::TempDir) -> Server {
    let mut config = ServerConfig::new(folder.path().join("data"));
    config.listen = "127.0.0.1:0".into();
    config.grpc_listen = Some("127.0.0.1:0".into());
    Server::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_disk_and_the_start_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder).await;
    server.app.inspection.booted().wait_for(|booted| *booted).await.unwrap();
    assert_eq!(ready(&server).await, (200, "ready\n".to_owned()), "what should run was started");

    // Produced in between, so that it is the disk and not the question that is broken.
    let client = Client::new(&format!("http://{}", server.local_addr())).unwrap();
    server.kept.store.inject_fault(Some(ErrorCode::StorageFull));
    let refused = client.produce("t", "x", &Default::default()).await.unwrap_err();
    assert!(matches!(refused, ClientError::Server { .. }), "{refused}");
    let (status, body) = ready(&server).await;
    assert_eq!(status, 507);
    assert!(body.contains("FS-1502"), "{body}");
    server.kept.store.inject_fault(None);
    assert_eq!(ready(&server).await.0, 200, "by itself");

    let error = {
        let app = server.app.clone();
        app.close();
        app.inspection.ready().await.unwrap_err()
    };
    assert_eq!(error.code, ErrorCode::ShuttingDown);
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_still_starts_its_functions_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let config = ServerConfig::new(folder.path().join("data"));
    let handle = Handle::current();
    let (app, kept, _) =
        tokio::task::spawn_blocking(move || open(config, ([127, 0, 0, 1], 0).into(), &handle)).await.unwrap().unwrap();
    assert_eq!(app.inspection.ready().await.unwrap_err().code, ErrorCode::NotReady);
    let background = app.background();
    app.inspection.booted().wait_for(|booted| *booted).await.unwrap();
    app.inspection.ready().await.unwrap();
    app.close();
    for task in background {
        task.await.unwrap();
    }
    tokio::task::spawn_blocking(move || kept.close(Duration::from_secs(60))).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_other_machines_reach_says_so_and_one_that_they_do_not_does_not() {
    for (listen, grpc_listen, is_told) in [
        ("127.0.0.1:0", Some("127.0.0.1:0"), false),
        ("127.0.0.1:0", None, false),
        ("127.0.0.1:0", Some("0.0.0.0:0"), true),
        ("0.0.0.0:0", None, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(folder.path().join("data"));
        (config.listen, config.grpc_listen) = (listen.into(), grpc_listen.map(Into::into));
        let server = Server::start(config).await.unwrap();
        server.app.inspection.booted().wait_for(|booted| *booted).await.unwrap();
        let told = "ready; reachable from other machines, without authentication (FS-1710)\n";
        let expected = if is_told { told } else { "ready\n" };
        let (status, text) = ready_at(server.local_addr().port()).await;
        assert_eq!((status, text.as_str()), (200, expected), "{listen} {grpc_listen:?}");
        server.shutdown().await.unwrap();
    }
}
