// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Names that could leave their place, or that nobody knows.

use anyhow::{Context, Result, ensure};
use fnstream_core::ErrorCode;

use super::site::{Site, WITNESS, function, money};

#[tokio::test]
async fn a_name_that_is_none_is_refused_wherever_it_stands() -> Result<()> {
    let site = Site::new().await?;
    let archive = site.file("good.wasm", &money()?)?;
    let body = serde_json::to_vec(&function(&archive, "fine"))?;
    let long = "x".repeat(300);
    for name in
        ["..", "../evil", "../../etc/passwd", "a/b", "a\\b", ".hidden", "-n", "a b", "ä", "名", "a\0b", "a\nb", &long]
    {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for (method, path) in [
            ("POST", format!("/api/v1/function/{encoded}")),
            ("GET", format!("/api/v1/function/{encoded}")),
            ("DELETE", format!("/api/v1/function/{encoded}")),
            ("POST", format!("/api/v1/function/{encoded}/start")),
            ("POST", format!("/api/v1/function/{encoded}/stop")),
            ("PUT", format!("/api/v1/produce/{encoded}")),
            ("GET", format!("/api/v1/consume/{encoded}?timeout=1ms")),
            ("GET", format!("/api/v1/consume/fine-input?timeout=1ms&group={encoded}")),
            ("GET", format!("/api/v1/topic/{encoded}")),
            ("DELETE", format!("/api/v1/topic/{encoded}")),
        ] {
            let sent: &[u8] = if method == "GET" { b"" } else { &body };
            let answer = site.send(method, &path, sent).await?;
            answer.refused(ErrorCode::InvalidName).with_context(|| format!("{method} {path}"))?;
        }
        let answer = site.send("POST", &format!("/api/v1/topic/{encoded}"), b"{}").await?;
        answer.refused(ErrorCode::InvalidName).with_context(|| format!("topic {name:?}"))?;
        let mut odd = function(&archive, "odd");
        odd.inputs = vec![name.into()];
        let answer = site.send("POST", "/api/v1/function/odd", &serde_json::to_vec(&odd)?).await?;
        answer.refused(ErrorCode::InvalidSpec).with_context(|| format!("input {name:?}"))?;
    }
    ensure!(site.client.list_functions().await? == [WITNESS], "a refused function is listed");
    site.still_processes().await
}

/// The same on the command line, which must not turn a name into another path before it is checked.
#[tokio::test]
async fn the_command_line_refuses_the_same_names() -> Result<()> {
    let site = Site::new().await?;
    let archive = site.file("good.wasm", &money()?)?;
    let long = "x".repeat(300);
    for name in ["..", ".", "../evil", "a/b", "ä", "", &long] {
        let create = ["create", "-n", name, "-a", &archive, "-i", "odd-input", "-o", "odd-output"];
        site.cli.refuses(&create, "FS-1004").with_context(|| format!("create {name:?}"))?;
        for verb in ["describe", "delete", "start", "stop"] {
            site.cli.refuses(&[verb, "-n", name], "FS-1004").with_context(|| format!("{verb} {name:?}"))?;
        }
        site.cli
            .refuses(&["produce", "-n", name, "-c", "x"], "FS-1004")
            .with_context(|| format!("produce {name:?}"))?;
        site.cli
            .refuses(&["consume", "-n", name, "--timeout", "1ms"], "FS-1004")
            .with_context(|| format!("{name:?}"))?;
        site.cli.refuses(&["topic", "create", "-n", name], "FS-1004").with_context(|| format!("topic {name:?}"))?;
    }
    site.still_processes().await
}

#[tokio::test]
async fn a_path_that_climbs_is_served_by_nobody() -> Result<()> {
    let site = Site::new().await?;
    for path in ["/../../etc/passwd", "/api/v1/function/../../../etc/passwd", "/api/v1/function/..", "//", "/%2e%2e/"] {
        let answer = site.send("GET", path, b"").await?;
        let refused = [ErrorCode::NotFound, ErrorCode::InvalidName].iter().any(|code| answer.refused(*code).is_ok());
        ensure!(refused, "{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    site.still_processes().await
}

#[tokio::test]
async fn what_nobody_knows_is_not_found() -> Result<()> {
    let site = Site::new().await?;
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/start"), ("POST", "/stop")] {
        let answer = site.send(method, &format!("/api/v1/function/nobody{path}"), b"").await?;
        answer.refused(ErrorCode::FunctionNotFound).with_context(|| format!("{method} {path}"))?;
    }
    for verb in ["describe", "delete", "start", "stop"] {
        let message = site.cli.refuses(&[verb, "-n", "nobody"], "FS-1102")?;
        ensure!(message.contains("'nobody'"), "{message}");
    }
    for method in ["GET", "DELETE"] {
        site.send(method, "/api/v1/topic/nobody", b"").await?.refused(ErrorCode::TopicNotFound)?;
    }
    site.cli.refuses(&["topic", "describe", "-n", "nobody"], "FS-1301")?;
    site.still_processes().await
}

/// The second of two creates is refused, and the first function does not notice.
#[tokio::test]
async fn a_name_that_is_taken_stays_with_its_owner() -> Result<()> {
    let site = Site::new().await?;
    let archive = site.file("good.wasm", &money()?)?;
    let before = site.client.describe_function(WITNESS).await?;
    let body = serde_json::to_vec(&function(&archive, "other"))?;
    let answer = site.send("POST", &format!("/api/v1/function/{WITNESS}"), &body).await?;
    answer.refused(ErrorCode::FunctionExists)?;
    site.cli.refuses(&["create", "-n", WITNESS, "-a", &archive, "-i", "i", "-o", "o"], "FS-1101")?;
    let after = site.client.describe_function(WITNESS).await?;
    ensure!((before.revision, before.inputs) == (after.revision, after.inputs), "the function was changed");
    ensure!(!site.client.list_topics().await?.contains(&"other-input".to_owned()), "a refused create made a topic");
    site.still_processes().await
}
