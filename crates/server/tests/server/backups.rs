// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Who may have backups made where, how far one is, and how it ends.

use fnstream_api::{BackupEvent, BackupRequest, ProduceOptions};
use fnstream_core::backups::Patient;
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Fixture, code, echo};

/// So slow that it does not end within a test.
const SLOW: Option<u64> = Some(64 << 10);

fn asked(to: &std::path::Path, rate: Option<u64>) -> BackupRequest {
    BackupRequest { to: to.to_str().unwrap().to_owned(), rate }
}

/// Asks as that caller; answers status and body.
async fn ask(fixture: &Fixture, body: &str, header: Option<(&str, &str)>) -> (u16, String) {
    let mut request = reqwest::Client::new().post(fixture.url("/api/v1/backups")).body(body.to_owned());
    request = request.header("content-type", "application/json");
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn with_data(fixture: &Fixture) {
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    let mut state = 1_u64;
    for _ in 0..64 {
        // What compresses to nothing takes no time to copy.
        let bytes: Vec<u8> = (0..32 << 10)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        fixture.client.produce("bulk", bytes, &ProduceOptions::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_told_of_line_by_line_and_can_be_restored() {
    let fixture = Fixture::new().await;
    with_data(&fixture).await;
    let to = fixture.folder.path().join("backup");
    let body = serde_json::to_string(&asked(&to, None)).unwrap();
    let (status, text) = ask(&fixture, &body, None).await;
    assert_eq!(status, 200, "{text}");
    let events: Vec<BackupEvent> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let Some((BackupEvent::Done(made), before)) = events.split_last() else { panic!("{text}") };
    assert!(!before.is_empty() && before.iter().all(|event| matches!(event, BackupEvent::Progress(_))), "{text}");
    assert!(made.bytes > 2 << 20 && made.functions == 1, "{made:?}");
    let target = fixture.folder.path().join("restored");
    let restored = fnstream_store::restore(&to, &target, false, &Patient).unwrap();
    assert_eq!((restored.manifest.topics, restored.manifest.bytes()), (made.topics, made.bytes));

    let (status, text) = ask(&fixture, &body, None).await;
    assert_eq!((status, code(&text).as_str()), (400, "FS-1521"), "{text}");
    for odd in [r#"{"to":"/tmp/x","rate":0}"#, r#"{"to":"/tmp/x","speed":1}"#, r#"{"rate":1}"#] {
        let (status, text) = ask(&fixture, odd, None).await;
        assert_eq!((status, code(&text).as_str()), (400, "FS-1001"), "{text}");
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_proxy_speaks_for_has_backups_made_in_allowed_folders_alone() {
    let place = tempfile::tempdir().unwrap();
    let allowed = place.path().join("allowed");
    std::fs::create_dir(&allowed).unwrap();
    let dirs = vec![allowed.clone()];
    let fixture = Fixture::with(|config| config.backup_dirs = dirs).await;
    let forwarded = Some(("x-forwarded-for", "192.0.2.43"));
    let mut answers = Vec::new();
    // One that would do, one that exists, one without a folder above it.
    for name in ["new", "allowed", "missing/new"] {
        let path = place.path().join(name);
        let (status, text) = ask(&fixture, &serde_json::to_string(&asked(&path, None)).unwrap(), forwarded).await;
        assert_eq!((status, code(&text).as_str()), (403, "FS-1522"), "{text}");
        answers.push(text.replace(path.to_str().unwrap(), "PATH"));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let body = serde_json::to_string(&asked(&allowed.join("new"), None)).unwrap();
    let (status, text) = ask(&fixture, &body, forwarded).await;
    assert!(status == 200 && text.contains(r#"{"done":"#), "{text}");
    fnstream_store::verify(&allowed.join("new"), &Patient).unwrap();
    fixture.server.shutdown().await.unwrap();

    let fixture = Fixture::with(|config| config.local_paths = false).await;
    let (status, text) =
        ask(&fixture, &serde_json::to_string(&asked(&place.path().join("new"), None)).unwrap(), None).await;
    assert_eq!((status, code(&text).as_str()), (403, "FS-1522"), "{text}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_backup_and_another_may_begin() {
    let fixture = Fixture::new().await;
    with_data(&fixture).await;
    let (to, client) = (fixture.folder.path().join("backup"), fixture.client.clone());
    let (tell, mut told) = unbounded_channel();
    let first = asked(&to, SLOW);
    let making = tokio::spawn(async move { client.backup(&first, |progress| tell.send(progress).unwrap()).await });
    told.recv().await.unwrap();
    let second = fixture.client.backup(&asked(&fixture.folder.path().join("second"), None), |_| ()).await.unwrap_err();
    assert_eq!(second.code(), "FS-1520", "{second}");
    assert!(fixture.folder.path().join("backup.partial").exists());
    making.abort();
    // It takes its time until the server sees that.
    let until = std::time::Instant::now() + crate::support::LONG;
    while let Err(error) = fixture.client.backup(&asked(&to, None), |_| ()).await {
        assert!(error.code() == "FS-1520" && std::time::Instant::now() < until, "{error}");
    }
    fnstream_store::verify(&to, &Patient).unwrap();
    assert!(!fixture.folder.path().join("backup.partial").exists());
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_ends_a_backup_and_says_so() {
    let fixture = Fixture::new().await;
    with_data(&fixture).await;
    let (to, client) = (fixture.folder.path().join("backup"), fixture.client.clone());
    let (tell, mut told) = unbounded_channel();
    let slow = asked(&to, SLOW);
    let making = tokio::spawn(async move { client.backup(&slow, |progress| tell.send(progress).unwrap()).await });
    told.recv().await.unwrap();
    fixture.server.shutdown().await.unwrap();
    let ended = making.await.unwrap().unwrap_err();
    assert_eq!(ended.code(), "FS-1701", "{ended}");
    let left: Vec<_> = std::fs::read_dir(fixture.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["data"]);
    assert!(!fixture.folder.path().join("data/checkpoint.tmp").exists());
}

/// The moment of the last backup, as monitoring reads it.
async fn last_backup(url: String) -> f64 {
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("fnstream_backup_last_success_timestamp_seconds "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_moment_of_the_last_backup_is_exposed_and_outlasts_a_restart() {
    let fixture = Fixture::new().await;
    assert_eq!(last_backup(fixture.url("/metrics")).await, 0.0, "there is none");
    let refused = fixture.client.backup(&asked(std::path::Path::new("/dev/null/x"), None), |_| {}).await;
    assert!(refused.is_err());
    assert_eq!(last_backup(fixture.url("/metrics")).await, 0.0, "what was not made is none");
    let to = fixture.folder.path().join("backup");
    let made = fixture.client.backup(&asked(&to, None), |_| {}).await.unwrap();
    let moment = made.at_unix_ms as f64 / 1_000.0;
    assert_eq!(last_backup(fixture.url("/metrics")).await, moment);
    let fixture = fixture.restart().await;
    assert_eq!(last_backup(fixture.url("/metrics")).await, moment);
    assert_eq!(fixture.client.jobs(None).await.unwrap(), [], "the note of it is no job");
    fixture.server.shutdown().await.unwrap();
}
