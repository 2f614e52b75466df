// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Requests that are not well formed.

use anyhow::{Context, Result, ensure};
use fnstream_core::ErrorCode::{
    EmptyBody, InvalidRequest, InvalidSpec, MethodNotAllowed, NotFound, PartitionNotFound, PositionUnknown,
};
use tokio::io::AsyncWriteExt;

use super::http;
use super::site::{Site, function, money};

#[tokio::test]
async fn an_empty_body_is_refused() -> Result<()> {
    let site = Site::new().await?;
    for (method, path) in
        [("PUT", "/api/v1/produce/x-input"), ("POST", "/api/v1/function/x"), ("POST", "/api/v1/artifacts")]
    {
        site.send(method, path, b"").await?.refused(EmptyBody).context(path)?;
    }
    // On the command line it is an event.
    site.cli.prints(&["topic", "create", "-n", "x-input"])?;
    site.cli.prints(&["produce", "-n", "x-input", "-c", ""])?;
    let empty = site.cli.prints(&["consume", "-n", "x-input", "--from", "earliest"])?;
    ensure!(empty.trim_end() == r#""""#, "{empty}");
    site.still_processes().await
}

#[tokio::test]
async fn a_description_that_is_not_json_is_refused_with_the_place() -> Result<()> {
    let site = Site::new().await?;
    let deep = "[".repeat(100_000);
    for (body, says) in [
        ("{", "line 1, column 1: the text ends too early"),
        ("{\n\"archive\": }", "line 2, column"),
        ("[]", "line 1"),
        ("null", "line 1"),
        ("\u{fe}", "line 1"),
        (r#"{"inputs":["i"],"output":"o"}"#, "the field 'archive' is missing"),
        (r#"{"archive":"a","inputs":"i","output":"o"}"#, "an array is expected, not the text"),
        (r#"{"archive":"a","inputs":["i"],"output":"o","replicas":-1}"#, "a whole number of 0 or more is expected"),
        (r#"{"archive":"a","inputs":["i"],"output":"o","replica":1}"#, "there is no field 'replica'"),
        (r#"{"archive":"a","inputs":["i"],"output":"o"} and more"#, "more follows"),
        (&deep, "line 1, column 1"),
    ] {
        let answer = site.send("POST", "/api/v1/function/bad", body.as_bytes()).await?;
        let shown = &body[..body.len().min(60)];
        let message = answer.refused(InvalidRequest).context(shown.to_owned())?;
        ensure!(message.contains(says), "{shown}: '{message}' does not say '{says}'");
    }
    let answer = site.send("POST", "/api/v1/function/bad", b"{\"archive\":\"\xff\xfe\"}").await?;
    answer.refused(InvalidRequest)?;
    site.is_free("bad").await?;
    site.still_processes().await
}

#[tokio::test]
async fn a_description_that_makes_no_sense_is_refused_with_all_its_faults() -> Result<()> {
    let site = Site::new().await?;
    let good = function(&site.file("good.wasm", &money()?)?, "bad");
    let mut loops = good.clone();
    loops.output = Some("bad-input".into());
    let mut none = good.clone();
    none.inputs.clear();
    let mut twice = good.clone();
    twice.inputs = vec!["i".into(), "i".into()];
    let (mut no_replicas, mut many_replicas) = (good.clone(), good);
    no_replicas.replicas = 0;
    many_replicas.replicas = 1_000_000;
    many_replicas.output = Some("../out".into());
    for (function, says) in [
        (loops, vec!["both input and output"]),
        (none, vec!["at least one input"]),
        (twice, vec!["'i' is named twice"]),
        (no_replicas, vec!["replicas is 0"]),
        (many_replicas, vec!["replicas is 1000000", "'../out'"]),
    ] {
        let answer = site.send("POST", "/api/v1/function/bad", &serde_json::to_vec(&function)?).await?;
        let message = answer.refused(InvalidSpec)?;
        ensure!(says.iter().all(|said| message.contains(said)), "'{message}' does not say {says:?}");
    }
    site.is_free("bad").await?;
    site.still_processes().await
}

#[tokio::test]
async fn what_is_asked_for_in_a_wrong_way_is_refused() -> Result<()> {
    let site = Site::new().await?;
    for (method, path, code) in [
        ("GET", "/nowhere", NotFound),
        ("GET", "/api/v1/function", NotFound),
        ("PATCH", "/api/v1/functions", MethodNotAllowed),
        ("POST", "/api/v1/produce/witness-input", MethodNotAllowed),
        ("GET", "/api/v1/functions?verbose=1", InvalidRequest),
        ("GET", "/api/v1/consume/witness-output?timeout=soon", InvalidRequest),
        ("GET", "/api/v1/consume/witness-output?from=somewhere", InvalidRequest),
        ("GET", "/api/v1/consume/witness-output?from=0&group=g", InvalidRequest),
        ("GET", "/api/v1/consume/witness-output?format=xml", InvalidRequest),
        ("GET", "/api/v1/consume/witness-output?from=99999", PositionUnknown),
        ("GET", "/api/v1/consume/witness-output?partition=7", PartitionNotFound),
        ("GET", "/api/v1/consume/witness-output?partition=-1", InvalidRequest),
    ] {
        site.send(method, path, b"x").await?.refused(code).with_context(|| format!("{method} {path}"))?;
    }
    site.cli.refuses(&["consume", "-n", "witness-output", "--from", "99999"], "FS-1305")?;
    site.cli.refuses(&["produce", "-n", "witness-input", "-c", "x", "--partition", "7"], "FS-1307")?;
    site.still_processes().await
}

#[tokio::test]
async fn events_in_a_form_that_is_none_are_refused_whole() -> Result<()> {
    let site = Site::new().await?;
    let url = site.client.url();
    let frame = "content-type: application/vnd.function-stream.frame";
    let lines = "content-type: application/x-ndjson";
    for (header, body) in [(frame, &b"FSF\x01 and nonsense"[..]), (frame, b"x"), (lines, b"a\n\nb\n"), (lines, b"\n")] {
        let answer = http::send(url, "PUT", "/api/v1/produce/forms", &[header], body).await?;
        answer.refused(InvalidRequest).with_context(|| format!("{header}: {body:?}"))?;
    }
    let answer = http::send(url, "PUT", "/api/v1/produce/forms", &["fs-key: %zz"], b"x").await?;
    answer.refused(InvalidRequest)?;
    let topic = site.client.list_topics().await?.contains(&"forms".to_owned());
    ensure!(!topic || site.client.describe_topic("forms").await?.partitions[0].end == "0", "a part was appended");
    site.still_processes().await
}

/// What is not even HTTP ends its own connection.
#[tokio::test]
async fn noise_on_the_wire_harms_nobody() -> Result<()> {
    let site = Site::new().await?;
    for noise in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET", b"GET / HTTP/1.1\r\n: \r\n\r\n", &[0xff; 65_536]]
    {
        let mut stream = http::connect(site.client.url()).await?;
        stream.write_all(noise).await?;
        stream.shutdown().await?;
    }
    // Half a body, then gone.
    let mut stream = http::connect(site.client.url()).await?;
    stream
        .write_all(b"PUT /api/v1/produce/half HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf")
        .await?;
    drop(stream);
    site.still_processes().await?;
    let topics = site.client.list_topics().await?;
    ensure!(!topics.contains(&"half".to_owned()), "half an event was taken: {topics:?}");
    Ok(())
}
