// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that mean harm, on a real server: each fails with its code in the log, and the function beside them answers
//! all the while. What they can do to the runtime alone is tested in `crates/runtime/tests/hostile`.

use anyhow::{Context, Result, ensure};
use fnstream_api::units::Quantity;
use fnstream_api::{Client, ConsumeOptions, ProduceOptions};
use fnstream_core::ErrorCode;
use fnstream_tests::chain::function;
use fnstream_tests::guests::{self, Input, Life};
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, usage};

/// What all of them together may add to the server's memory at its peak: one that fills all of its own, and some.
const MEMORY: u64 = 512 << 20;

/// Functions that are taken and then fail at their first record, or before.
const HARMFUL: [(&str, &str, &str); 8] = [
    ("recursion", r#"(func $f (export "process") (call $f))"#, "FS-1402"),
    ("loop-at-start", r#"(func $f (loop (br 0))) (start $f) (func (export "_start"))"#, "FS-1403"),
    ("loop", r#"(func (export "process") (loop (br 0)))"#, "FS-1403"),
    (
        "filling",
        r#"(memory (export "memory") 1) (func (export "process") (local $pages i32) (loop $more
            (local.set $pages (memory.size))
            (if (i32.eq (memory.grow (i32.const 256)) (i32.const -1)) (then unreachable))
            (memory.fill (i32.shl (local.get $pages) (i32.const 16)) (i32.const 1) (i32.const 16777216))
            (br $more)))"#,
        "FS-1404",
    ),
    (
        "huge-table",
        r#"(table 10000000 funcref) (table 10000000 funcref) (table 10000000 funcref) (table 10000000 funcref)
        (func (export "process"))"#,
        "FS-1404",
    ),
    (
        "flood",
        r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2) (data (i32.const 4) "\00\00\01\00")
        (func (export "process")
            (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12))) (br 0)))"#,
        "FS-1410",
    ),
    (
        "exit",
        r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
        (func (export "process") (call $exit (i32.const 9)))"#,
        "FS-1405",
    ),
    ("data-outside", r#"(memory 1) (data (i32.const 70000) "x") (func (export "process"))"#, "FS-1402"),
];

/// Functions that are not taken.
const REFUSED: [(&str, &str, ErrorCode); 3] = [
    ("locals", "locals", ErrorCode::ArtifactUnsupported),
    ("import", r#"(import "env" "system" (func)) (func (export "process"))"#, ErrorCode::ArtifactUnsupported),
    ("shared", r#"(memory 1 1 shared) (func (export "process"))"#, ErrorCode::ArtifactInvalid),
];

struct Site {
    node: Node,
    client: Client,
}

impl Site {
    async fn create(&self, name: &str, artifact: &[u8]) -> Result<Result<(), fnstream_api::ClientError>> {
        let path = self.node.folder().join(format!("{name}.wasm"));
        std::fs::write(&path, artifact)?;
        let path = path.to_str().context("a temporary folder with an odd name")?;
        let mut described = function(path, &format!("{name}-in"), &format!("{name}-out"), 1);
        // Processor time, which those that waste it are given last.
        described.limits.call_time = Some(Quantity::Number(2_000));
        Ok(self.client.create_function(name, &described).await.map(drop))
    }

    async fn produce(&self, name: &str, event: &str) -> Result<()> {
        self.client.produce(&format!("{name}-in"), event.to_owned(), &ProduceOptions::default()).await?;
        Ok(())
    }

    /// The witness processes a record.
    async fn witness(&self, name: &str) -> Result<()> {
        self.produce("witness", &format!(r#"{{"name":"{name}","money":1}}"#)).await?;
        let options = ConsumeOptions { timeout: Some(PATIENCE), ..Default::default() };
        let answer = self.client.consume("witness-out", &options).await?.context("the witness is silent")?;
        let wanted = format!(r#""{{\"name\":\"{name}\",\"money\":2,\"expected\":0}}""#);
        ensure!(answer.json == wanted, "the witness answers {:?}, not {wanted}", answer.json);
        Ok(())
    }
}

#[tokio::test]
async fn functions_that_mean_harm_disturb_nobody() -> Result<()> {
    // What a function does wrong is nothing unexpected: the server tells it to those who look closely.
    let options = ServerOptions::new(binary::server()?).arg("--log-level", "info,fnstream_engine=debug");
    let mut node = Node::new(options)?;
    let client = node.start().await?;
    let site = Site { node, client };
    site.create("witness", &guests::money(Life::StartThenProcess, Input::Stdin)?).await??;
    site.witness("before").await?;
    let pid = site.node.server()?.pid();
    let before = usage::memory(pid)?.resident;

    for (name, text, code) in HARMFUL {
        site.create(name, &wat::parse_str(format!("(module {text})"))?).await?.context(name)?;
        site.produce(name, "x").await?;
        site.witness(name).await.context(name)?;
        site.node.server()?.logged(&[name, code]).await?;
        site.witness(code).await.context(name)?;
        site.client.delete_function(name).await.context(name)?;
    }
    for (name, text, code) in REFUSED {
        let many = format!("(func {}) ", "(local i64)".repeat(50_000)).repeat(201);
        let text = if text == "locals" { format!(r#"{many} (func (export "process"))"#) } else { text.to_owned() };
        let refused = site.create(name, &wat::parse_str(format!("(module {text})"))?).await?;
        ensure!(refused.as_ref().is_err_and(|e| e.is(code)), "{name}: {refused:?}, not {code}");
    }
    site.witness("after").await?;

    let peak = usage::memory(pid)?.peak;
    ensure!(peak < before + MEMORY, "memory grew from {:.0} to {:.0} MiB", usage::mib(before), usage::mib(peak));
    Ok(())
}
