// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts that are named by a path on the server: who may name which, and that nobody learns which files there are.

use std::path::PathBuf;

use fnstream_server::ServerConfig;
use reqwest::header::{HeaderMap, HeaderName};

use crate::support::{Fixture, code, echo};

/// A folder with an artifact, and with what is none.
struct Files {
    folder: tempfile::TempDir,
}

const ARTIFACT: &str = "good.wasm";

/// What a caller is told nothing about: it is there or not, and may be read or not.
const OTHERS: [&str; 6] = ["missing.wasm", "secret.txt", "short", "folder", "socket", "none/further"];

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files { folder };
        std::fs::write(files.path(ARTIFACT), echo()).unwrap();
        std::fs::write(files.path("secret.txt"), "a password").unwrap();
        std::fs::write(files.path("short"), "\0as").unwrap();
        std::fs::create_dir(files.path("folder")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(files.path("socket")).unwrap());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is answered when a request names one of them. Paths are left out of the words.
    async fn named(&self, fixture: &Fixture, target: &str, name: &str, headers: &HeaderMap) -> (u16, String, String) {
        let path = self.path(name);
        let path = path.to_str().unwrap();
        let body = match target.starts_with("POST") && !target.ends_with("try") {
            true => format!(r#"{{"archive":"{path}","inputs":["in"],"output":"out"}}"#),
            false => format!(r#"{{"archive":"{path}"}}"#),
        };
        let (method, target) = target.split_once(' ').unwrap();
        let request = reqwest::Client::new().request(method.parse().unwrap(), fixture.url(target));
        let answer = request.headers(headers.clone()).body(body).send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
        let code = if status < 400 { String::new() } else { code(&body) };
        (status, code, body.replace(path, "PATH"))
    }

    /// Checks that a caller is told the same of all of these.
    async fn are_alike(&self, fixture: &Fixture, target: &str, names: &[&str], headers: &HeaderMap) {
        let mut answers = Vec::new();
        for name in names {
            let answer = self.named(fixture, target, name, headers).await;
            assert_eq!((answer.0, answer.1.as_str()), (400, "FS-1201"), "{target} {name} {headers:?}: {}", answer.2);
            answers.push(answer.2);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
}

async fn server(change: impl FnOnce(&mut ServerConfig)) -> Fixture {
    let fixture = Fixture::with(change).await;
    let function = fixture.function(echo(), "in-f", "out-f").await;
    fixture.client.create_function("f", &function).await.unwrap();
    fixture
}

/// Everything that takes a path.
const TARGETS: [&str; 3] =
    ["POST /api/v1/function/g", "PATCH /api/v1/function/f", "POST /api/v1/function/f/dead-letters/try"];

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_on_this_machine_names_artifacts_and_explores_nothing() {
    let (files, fixture) = (Files::new(), server(|_| ()).await);
    for target in TARGETS {
        files.are_alike(&fixture, target, &OTHERS, &HeaderMap::new()).await;
    }
    assert_eq!(files.named(&fixture, TARGETS[0], ARTIFACT, &HeaderMap::new()).await.0, 200);
    // What begins as an artifact is told apart: it may be named.
    std::fs::write(files.path("broken.wasm"), &echo()[..40]).unwrap();
    let broken = files.named(&fixture, "POST /api/v1/function/h", "broken.wasm", &HeaderMap::new()).await;
    assert_eq!((broken.0, broken.1.as_str()), (400, "FS-1202"));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_proxy_or_a_browser_speaks_for_is_not_on_this_machine() {
    let (files, fixture) = (Files::new(), server(|_| ()).await);
    let own = format!("http://{}", fixture.server.local_addr());
    let all: Vec<_> = OTHERS.into_iter().chain([ARTIFACT]).collect();
    for (name, value) in [
        ("forwarded", "for=192.0.2.43"),
        ("x-forwarded-for", "192.0.2.43"),
        ("x-forwarded-proto", "https"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "127.0.0.1"),
        ("origin", own.as_str()),
        ("sec-fetch-site", "same-origin"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        headers.insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        for target in TARGETS {
            files.are_alike(&fixture, target, &all, &headers).await;
        }
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_leaves_the_allowed_folders_alone() {
    let (files, allowed) = (Files::new(), Files::new());
    let dirs = vec![allowed.folder.path().to_owned()];
    let fixture = server(|config| (config.local_paths, config.archive_dirs) = (false, dirs)).await;
    let all: Vec<_> = OTHERS.into_iter().chain([ARTIFACT]).collect();
    for target in TARGETS {
        files.are_alike(&fixture, target, &all, &HeaderMap::new()).await;
    }
    // There everybody may see what there is.
    let text = allowed.named(&fixture, TARGETS[0], "secret.txt", &HeaderMap::new()).await;
    assert_eq!((text.0, text.1.as_str()), (400, "FS-1202"));
    let folder = allowed.named(&fixture, TARGETS[0], "folder", &HeaderMap::new()).await;
    assert!(folder.1 == "FS-1201" && folder.2.contains("not a file"), "{folder:?}");
    assert_eq!(allowed.named(&fixture, TARGETS[0], ARTIFACT, &HeaderMap::new()).await.0, 200);
    fixture.server.shutdown().await.unwrap();
}
