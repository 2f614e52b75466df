// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Archives that are no functions. A create that fails leaves the name free and no file behind.

use anyhow::{Context, Result, ensure};
use fnstream_core::ErrorCode;
use fnstream_tests::binary;

use super::site::{Site, function, money};

/// An archive with what its refusal must say.
struct Bad {
    what: &'static str,
    bytes: Vec<u8>,
    code: ErrorCode,
    says: &'static str,
}

#[tokio::test]
async fn an_archive_that_is_no_function_is_refused_with_the_reason() -> Result<()> {
    let site = Site::new().await?;
    for Bad { what, bytes, code, says } in bad_archives()? {
        let (path, kept) = (site.file("bad.wasm", &bytes)?, site.artifacts()?);
        let body = serde_json::to_vec(&function(&path, "bad"))?;
        let answer = site.send("POST", "/api/v1/function/bad", &body).await?;
        if bytes.starts_with(b"\0asm") {
            let message = answer.refused(code).context(what)?;
            ensure!(message.contains(says), "{what}: '{message}' does not say '{says}'");
        } else {
            // Nothing is told of a file on the server that is none of ours.
            answer.refused(ErrorCode::ArtifactNotFound).context(what)?;
        }
        ensure!(site.artifacts()? == kept, "{what}: the refused archive was kept");

        let create = ["create", "-n", "bad", "-a", &path, "-i", "bad-input", "-o", "bad-output"];
        let message = site.cli.refuses(&create, code.as_str()).context(what)?;
        ensure!(message.contains(says), "{what}: '{message}' does not say '{says}'");
        site.is_free("bad").await.context(what)?;
    }
    site.still_processes().await
}

#[tokio::test]
async fn an_archive_that_is_not_there_is_refused() -> Result<()> {
    let site = Site::new().await?;
    let folder = site.node.folder().to_str().context("an odd folder")?.to_owned();
    let unknown = format!("sha256:{}", "0".repeat(64));
    for (archive, code) in [
        (format!("{folder}/missing.wasm").as_str(), ErrorCode::ArtifactNotFound),
        (&folder, ErrorCode::ArtifactNotFound),
        (&unknown, ErrorCode::ArtifactNotFound),
        ("", ErrorCode::ArtifactNotFound),
        ("sha256:", ErrorCode::InvalidRequest),
        ("sha256:../../etc/passwd", ErrorCode::InvalidRequest),
    ] {
        let body = serde_json::to_vec(&function(archive, "bad"))?;
        let answer = site.send("POST", "/api/v1/function/bad", &body).await?;
        answer.refused(code).context(archive.to_owned())?;
    }
    for archive in [&format!("{folder}/missing.wasm"), &folder, &unknown] {
        let create = ["create", "-n", "bad", "-a", archive, "-i", "bad-input", "-o", "bad-output"];
        site.cli.refuses(&create, "FS-1201").context(archive.to_owned())?;
    }
    let empty = site.file("empty.wasm", b"")?;
    site.cli.refuses(&["create", "-n", "bad", "-a", &empty, "-i", "i", "-o", "o"], "FS-1002")?;
    let body = serde_json::to_vec(&function(&empty, "bad"))?;
    site.send("POST", "/api/v1/function/bad", &body).await?.refused(ErrorCode::ArtifactNotFound)?;
    site.is_free("bad").await?;
    site.still_processes().await
}

/// What has nothing to run is told apart from what traps when it runs: that one is created, fails by itself, says why,
/// and can be deleted.
#[tokio::test]
async fn a_function_that_cannot_start_says_why_and_can_be_deleted() -> Result<()> {
    let site = Site::new().await?;
    let trap = wat::parse_str(r#"(module (func (export "_start") (unreachable)) (func (export "process")))"#)?;
    let path = site.file("trap.wasm", &trap)?;
    site.client.create_function("trap", &function(&path, "trap")).await?;
    site.node.server()?.logged(&["trap", "FS-1402"]).await?;
    let described = site.cli.prints(&["describe", "-n", "trap"])?;
    ensure!(described.contains("FS-1402"), "no reason: {described}");
    site.still_processes().await?;
    site.cli.prints(&["delete", "-n", "trap"])?;
    site.is_free("trap").await
}

fn bad_archives() -> Result<Vec<Bad>> {
    let go = std::fs::read(binary::example("basic")?)?;
    let packed = std::fs::read(binary::example("pass_through_rust")?)?;
    let small = money()?;
    let invalid =
        |what, bytes: &[u8], says| Bad { what, bytes: bytes.to_vec(), code: ErrorCode::ArtifactInvalid, says };
    let foreign = |what, text: &str, says| -> Result<Bad> {
        Ok(Bad { what, bytes: wat::parse_str(text).context(what)?, code: ErrorCode::ArtifactUnsupported, says })
    };
    Ok(vec![
        invalid("text", b"#!/bin/sh\necho not a function\n", "neither webassembly nor a zip archive"),
        invalid("zeros", &[0; 4096], "neither webassembly nor a zip archive"),
        invalid("half a magic number", b"\0as", "neither webassembly nor a zip archive"),
        invalid("a magic number alone", b"\0asm", "byte"),
        invalid("a version from the future", b"\0asm\x63\0\0\0", "byte"),
        invalid("half of a module", &small[..small.len() / 2], "byte"),
        invalid("a module without its last byte", &small[..small.len() - 1], "byte"),
        invalid("half of a Go module", &go[..go.len() / 2], "byte"),
        invalid("half of a component", &packed[..packed.len() / 2], "byte"),
        invalid("a module with bytes after its end", &[&small[..], b"more"].concat(), "byte"),
        foreign("an empty module", "(module)", "exports nothing, but neither 'process' nor '_start'")?,
        foreign(
            "a module of another host",
            r#"(module (import "env" "mystery" (func)) (func (export "process")))"#,
            "imports 'env.mystery', which no kind of function has",
        )?,
        foreign(
            "a module with a process of another type",
            r#"(module (func (export "process") (param i32)))"#,
            "exports 'process' as func(i32), not as func()",
        )?,
        foreign(
            "a module with something else named process",
            r#"(module (memory (export "process") 1))"#,
            "exports 'process', but not as a function",
        )?,
        foreign("an empty component", "(component)", "exports nothing, but neither")?,
        foreign(
            "a component of a foreign world",
            r#"(component (import "foo:bar/baz@1.0.0" (instance (export "go" (func)))))"#,
            "imports 'foo:bar/baz@1.0.0', which no kind of function has",
        )?,
        foreign(
            "a component that lacks an export",
            r#"(component
                 (core module $m (func (export "f")))
                 (core instance $i (instantiate $m))
                 (func (export "fs-process") (canon lift (core func $i "f"))))"#,
            "does not export 'fs-init: func(list<tuple<string, string>>)'",
        )?,
        foreign(
            "a component with an export of another type",
            r#"(component
                 (core module $m (func (export "f")))
                 (core instance $i (instantiate $m))
                 (func (export "fs-init") (canon lift (core func $i "f")))
                 (func (export "fs-process") (canon lift (core func $i "f"))))"#,
            "exports 'fs-init' as func(), not as func(list<tuple<string, string>>)",
        )?,
    ])
}
