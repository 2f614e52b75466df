// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts that are damaged, and a data folder that is moved away: told truly, and over when the cause is gone.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use fnstream_api::{FunctionStatus, FunctionUpdate};
use fnstream_core::ErrorCode;

use crate::support::{Fixture, LONG, echo, slow};

/// What `/readyz` answers when the functions have come up.
async fn ready(fixture: &Fixture) -> (u16, String) {
    loop {
        let answer = reqwest::get(fixture.url("/readyz")).await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
        if !body.contains(ErrorCode::NotReady.as_str()) {
            return (status, body);
        }
    }
}

async fn damages(fixture: &Fixture) -> String {
    let text = reqwest::get(fixture.url("/metrics")).await.unwrap().text().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix("fnstream_store_damages ")).unwrap().to_owned()
}

/// Damages the artifact of the function `f`, and starts the server anew.
async fn with_damage(fixture: Fixture, damage: impl FnOnce(&PathBuf)) -> (Fixture, String) {
    let digest = fixture.client.describe_function("f").await.unwrap().archive.split_off("sha256:".len());
    let name = format!("artifacts/{digest}.wasm");
    damage(&fixture.folder.path().join("data").join(&name));
    (fixture.restart().await, name)
}

async fn is_told(fixture: &Fixture, file: &str) {
    let (status, body) = ready(fixture).await;
    assert!(
        status == 500 && ["FS-1204", "function 'f'", file].iter().all(|word| body.contains(word)),
        "{status} {body}"
    );
    assert_eq!(damages(fixture).await, "1");
    let told = fixture.client.status(Some("f")).await.unwrap().remove(0);
    assert!(told.status == FunctionStatus::Failed && told.reason.as_ref().unwrap().contains(file), "{told:?}");
}

async fn is_over(fixture: &Fixture) {
    assert_eq!((ready(fixture).await, damages(fixture).await), ((200, "ready\n".to_owned()), "0".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_artifact_is_told_until_its_function_has_a_good_one_or_is_gone() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    is_over(&fixture).await;
    let with = async |fixture: &Fixture, artifact: Vec<u8>| {
        let archive = Some(fixture.function(artifact, "in", "out").await.archive);
        let update = FunctionUpdate { archive, ..FunctionUpdate::default() };
        let updated = fixture.client.update_function("f", &update).await.unwrap();
        assert!(updated.error.is_none(), "{updated:?}");
        fixture.described("f", |f| f.status == FunctionStatus::Running).await;
    };

    // Another artifact. The revision before is kept, and so is what is wrong with it, which is nobody's concern.
    let (fixture, file) = with_damage(fixture, |path| fs::write(path, "other").unwrap()).await;
    is_told(&fixture, &file).await;
    with(&fixture, slow()).await;
    is_over(&fixture).await;

    // The same artifact once more.
    let (fixture, file) = with_damage(fixture, |path| fs::remove_file(path).unwrap()).await;
    is_told(&fixture, &file).await;
    with(&fixture, slow()).await;
    is_over(&fixture).await;

    let (fixture, file) = with_damage(fixture, |path| fs::write(path, "").unwrap()).await;
    is_told(&fixture, &file).await;
    fixture.client.delete_function("f").await.unwrap();
    is_over(&fixture).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_is_moved_away_is_missed_without_traffic_and_nothing_is_made_in_its_place() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    assert_eq!(ready(&fixture).await.0, 200);
    let (here, away) = (fixture.folder.path().join("data"), fixture.folder.path().join("away"));
    fs::rename(&here, &away).unwrap();
    let (status, body) = ready(&fixture).await;
    let gone = format!("gone from its place '{}'", here.display());
    assert!(status == 503 && body.contains("FS-1507") && body.contains(&gone), "{status} {body}");
    let refused = fixture.client.create_function("f", &function).await.unwrap_err();
    assert!(refused.is(ErrorCode::StoreRecovering), "{refused}");
    // An artifact that is not there yet cannot be kept.
    let refused = fixture.client.upload_artifact(slow()).await.unwrap_err();
    assert!(refused.is(ErrorCode::StoreRecovering), "{refused}");
    let refused = reqwest::Client::new().put(fixture.url("/api/v1/produce/in")).body("a").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(!here.exists(), "a folder was made where the data folder was");

    fs::rename(&away, &here).unwrap();
    let until = Instant::now() + LONG;
    while ready(&fixture).await.0 != 200 {
        assert!(Instant::now() < until, "it does not come back: {:?}", ready(&fixture).await);
    }
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    assert!(here.join("cache").exists());
    fixture.server.shutdown().await.unwrap();
}
