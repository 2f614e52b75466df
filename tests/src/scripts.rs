// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions given as source, on the real server: what the tests of each such language share.
//!
//! Compiled code is kept in one folder for all servers of a language, as it is on a machine that has run such a function before.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fnstream_api::Client;
use tempfile::TempDir;

use crate::binary;
use crate::cli::Cli;
use crate::node::Node;
use crate::server::ServerOptions;

/// A language whose functions are given as source.
#[derive(Debug, Clone, Copy)]
pub struct Language {
    /// Its name, as `client describe` has it.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The file that a function is in.
    pub file: &'static str,
    /// A function that adds 1 to `money`, where `+= 1` says so.
    pub add: &'static str,
    /// A function that ends with one of an endless loop or takes memory without end, or returns the value.
    pub greedy: &'static str,
    /// `CARGO_TARGET_TMPDIR` of the test, where code is kept.
    pub folder: &'static str,
}

impl Language {
    /// How its server is run.
    pub fn options(&self) -> Result<ServerOptions> {
        let engines = binary::engines(self.name)?;
        Ok(ServerOptions::new(binary::server()?)
            .env("FUNCTION_STREAM_WASM_ENGINES_DIR", engines.display().to_string())
            .env("FUNCTION_STREAM_WASM_CACHE_DIR", self.code().display().to_string()))
    }

    /// A server that runs, and the command line of its clients.
    pub async fn server(&self) -> Result<(Node, Client, Cli)> {
        let mut node = Node::new(self.options()?)?;
        let client = node.start().await?;
        let cli = Cli::new(client.url(), node.folder())?;
        Ok((node, client, cli))
    }

    /// A file becomes a function, changes, and outlives the server.
    pub async fn goes_on_where_it_stood(&self) -> Result<()> {
        let (mut node, _, cli) = self.server().await?;
        write(&node, &[(self.file, self.add)])?;
        let created = create(&cli, "add", self.file)?;
        ensure!(created == "Function created: add\nFunction add is running\n", "{created}");
        let answers = |cli: &Cli, event: &str, answer: &str| {
            cli.prints(&["produce", "-n", "in", "-c", event])?;
            let got = consumed(cli, "out", 1)?;
            ensure!(got == [answer], "{got:?} is not {answer}");
            Ok(())
        };
        answers(&cli, r#"{"name":"rbt","money":2}"#, r#"{"name":"rbt","money":3}"#)?;
        write(&node, &[(self.file, &self.add.replace("+= 1", "+= 10"))])?;
        cli.prints(&["update", "-n", "add", "-a", self.file])?;
        answers(&cli, r#"{"money":2}"#, r#"{"money":12}"#)?;
        let described = cli.prints(&["describe", "-n", "add"])?;
        ensure!(described.contains(self.name), "{described}");
        // The server has the source; the file is not needed any more.
        std::fs::remove_file(node.folder().join(self.file))?;
        node.kill()?;
        let client = node.start().await?;
        let cli = Cli::new(client.url(), node.folder())?;
        answers(&cli, r#"{"money":3}"#, r#"{"money":13}"#)
    }

    /// With an engine that is loaded: from the file to the first result within that time, and many functions share it.
    pub async fn takes_a_moment(&self, most: Duration) -> Result<()> {
        let (node, _, cli) = self.server().await?;
        write(&node, &[(self.file, self.add)])?;
        create(&cli, "first", self.file)?;
        let mut fastest = Duration::MAX;
        for i in 0..5 {
            write(&node, &[(self.file, &self.add.replace("+= 1", &format!("+= {i}")))])?;
            let (name, input, topic) = (format!("add-{i}"), format!("in-{i}"), format!("out-{i}"));
            let began = Instant::now();
            cli.prints(&["create", "-n", &name, "-a", self.file, "-i", &input, "-o", &topic])?;
            cli.prints(&["produce", "-n", &input, "-c", r#"{"money":1}"#])?;
            let got = consumed(&cli, &topic, 1)?;
            ensure!(got == [format!(r#"{{"money":{}}}"#, 1 + i)], "{got:?}");
            fastest = fastest.min(began.elapsed());
        }
        ensure!(fastest < most, "{fastest:?}");
        Ok(())
    }

    /// A source that never ends is refused at the limit of a start.
    pub async fn refuses_an_endless_source(&self, source: &str) -> Result<()> {
        let (node, _, cli) = self.server().await?;
        write(&node, &[(self.file, source)])?;
        let create = ["create", "-n", "f", "-a", self.file, "-i", "in", "-o", "out", "--limit", "start-time=300ms"];
        let told = cli.refuses(&create, "FS-1206")?;
        ensure!(told.contains("the source cannot be loaded"), "{told}");
        Ok(())
    }

    /// Endless loops and memory bombs end at their limits, and the other records do not notice. Returns the two dead letters.
    pub async fn ends_greed_at_its_limits(&self, memory: &str) -> Result<[String; 2]> {
        let (node, _, cli) = self.server().await?;
        write(&node, &[(self.file, self.greedy)])?;
        let limits = ["--limit", "call-time=500ms", "--limit", memory];
        cli.prints(&[&["create", "-n", "f", "-a", self.file, "-i", "in", "-o", "out"][..], &limits].concat())?;
        for event in ["a", "loop", "b", "bomb", "c"] {
            cli.prints(&["produce", "-n", "in", "-c", event])?;
        }
        let got = consumed(&cli, "out", 3)?;
        ensure!(got == ["a", "b", "c"], "{got:?}");
        let letter = |number| cli.prints(&["dlq", "show", "-n", "f", number]);
        Ok([letter("0:0")?, letter("0:1")?])
    }

    /// A server without the engine says what to do.
    pub async fn lacks_its_engine(&self) -> Result<()> {
        let (_program, node, cli) = self.server_without_engine().await?;
        write(&node, &[(self.file, self.add)])?;
        let told = cli.refuses(&["create", "-n", "f", "-a", self.file, "-i", "in", "-o", "out"], "FS-1111")?;
        let expected = format!("there is no engine for functions in {}; looked for it at '", self.title);
        ensure!(told.contains(&expected), "{told}");
        Ok(())
    }

    /// A component of source and engine needs none: it runs, fails with file and line, changes, and outlives the server.
    pub async fn brings_its_engine(&self) -> Result<()> {
        let (_program, mut node, cli) = self.server_without_engine().await?;
        let component = node.folder().join("f.wasm");
        self.build_component(&node, self.add)?;
        create(&cli, "add", "f.wasm")?;
        for event in [r#"{"money":2}"#, "none", r#"{"money":3}"#] {
            cli.prints(&["produce", "-n", "in", "-c", event])?;
        }
        let got = consumed(&cli, "out", 2)?;
        ensure!(got == [r#"{"money":3}"#, r#"{"money":4}"#], "{got:?}");
        let letter = cli.prints(&["dlq", "show", "-n", "add", "0:0"])?;
        ensure!(letter.contains(self.file), "{letter}");
        let described = cli.prints(&["describe", "-n", "add"])?;
        ensure!(described.contains(self.name), "{described}");
        // What was damaged on its way is refused, and the function runs on.
        let whole = std::fs::read(&component)?;
        let mut changed = whole.clone();
        let inside = changed.len() - 130;
        changed[inside] ^= 1;
        for (damaged, code) in
            [(&whole[..whole.len() - 1], "FS-1202"), (&whole[..1 << 20], "FS-1202"), (&changed, "FS-1206")]
        {
            std::fs::write(&component, damaged)?;
            cli.refuses(&["update", "-n", "add", "-a", "f.wasm"], code)?;
        }
        self.build_component(&node, &self.add.replace("+= 1", "+= 10"))?;
        cli.prints(&["update", "-n", "add", "-a", "f.wasm"])?;
        node.kill()?;
        let client = node.start().await?;
        let cli = Cli::new(client.url(), node.folder())?;
        cli.prints(&["produce", "-n", "in", "-c", r#"{"money":2}"#])?;
        let got = consumed(&cli, "out", 1)?;
        ensure!(got == [r#"{"money":12}"#], "{got:?}");
        Ok(())
    }

    /// `f.wasm` of this source, in the node's folder.
    fn build_component(&self, node: &Node, source: &str) -> Result<()> {
        let project = tempfile::tempdir()?;
        std::fs::write(project.path().join(self.file), source)?;
        let mut build = Command::new(binary::server()?);
        build.args(["build", "--component", "-o"]).arg(node.folder().join("f.wasm")).arg(project.path());
        build.env("FUNCTION_STREAM_WASM_ENGINES_DIR", binary::engines(self.name)?);
        build.env("XDG_CACHE_HOME", PathBuf::from(self.folder).join("caches"));
        let built = build.output()?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Ok(())
    }

    /// A server of a program without engines beside it, the folder of that program, and the command line of the server's clients.
    /// Compiled code is that of the others.
    async fn server_without_engine(&self) -> Result<(TempDir, Node, Cli)> {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join("function-stream");
        let built = binary::server()?.canonicalize()?;
        std::fs::hard_link(&built, &program).or_else(|_| std::fs::copy(&built, &program).map(drop))?;
        let options =
            ServerOptions::new(program).env("FUNCTION_STREAM_WASM_CACHE_DIR", self.code().display().to_string());
        let mut node = Node::new(options)?;
        let client = node.start().await?;
        let cli = Cli::new(client.url(), node.folder())?;
        Ok((folder, node, cli))
    }

    /// Where compiled code is kept.
    fn code(&self) -> PathBuf {
        PathBuf::from(self.folder).join(format!("{}-code", self.name))
    }
}

/// Writes files below the node's folder.
pub fn write(node: &Node, files: &[(&str, &str)]) -> Result<()> {
    for (path, content) in files {
        let path = node.folder().join(path);
        std::fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        std::fs::write(path, content)?;
    }
    Ok(())
}

/// The next values of a topic, as the command prints them.
pub fn consumed(cli: &Cli, topic: &str, count: usize) -> Result<Vec<String>> {
    (0..count).map(|_| Ok(serde_json::from_str(cli.prints(&["consume", "-n", topic])?.trim_end())?)).collect()
}

/// Creates a function from `in` to `out` with one task.
pub fn create(cli: &Cli, name: &str, archive: &str) -> Result<String> {
    cli.prints(&["create", "-n", name, "-a", archive, "-i", "in", "-o", "out", "-r", "1"])
}
