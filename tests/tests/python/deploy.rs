// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A file, a folder and a zip become functions, change, and outlive the server.

use std::time::Instant;

use anyhow::Result;

use crate::{consumed, create, server, write};

const ADD: &str = r#"
from functionstream import function

@function
def add(record):
    event = record.json()
    event["money"] += 1
    return event
"#;

#[tokio::test]
async fn a_file_is_a_function_and_its_change_goes_on_where_it_stood() -> Result<()> {
    let (mut node, _, cli) = server().await?;
    write(&node, &[("app.py", ADD)])?;
    assert_eq!(create(&cli, "add", "app.py")?, "Function created: add\nFunction add is running\n");
    cli.prints(&["produce", "-n", "in", "-c", r#"{"name":"rbt","money":2}"#])?;
    assert_eq!(consumed(&cli, "out", 1)?, [r#"{"name":"rbt","money":3}"#]);
    write(&node, &[("app.py", &ADD.replace("+= 1", "+= 10"))])?;
    cli.prints(&["update", "-n", "add", "-a", "app.py"])?;
    cli.prints(&["produce", "-n", "in", "-c", r#"{"money":2}"#])?;
    assert_eq!(consumed(&cli, "out", 1)?, [r#"{"money":12}"#]);
    assert!(cli.prints(&["describe", "-n", "add"])?.contains("python"));
    // The server has the source; the file is not needed any more.
    std::fs::remove_file(node.folder().join("app.py"))?;
    node.kill()?;
    let client = node.start().await?;
    let cli = fnstream_tests::cli::Cli::new(client.url(), node.folder())?;
    cli.prints(&["produce", "-n", "in", "-c", r#"{"money":3}"#])?;
    assert_eq!(consumed(&cli, "out", 1)?, [r#"{"money":13}"#]);
    Ok(())
}

/// With an engine that is loaded: from the file to the first result in a moment, and many functions share it.
#[tokio::test]
async fn with_a_warm_engine_a_function_takes_a_moment() -> Result<()> {
    let (node, _, cli) = server().await?;
    write(&node, &[("app.py", ADD)])?;
    create(&cli, "first", "app.py")?;
    let mut fastest = u128::MAX;
    for i in 0..5 {
        write(&node, &[("app.py", &ADD.replace("+= 1", &format!("+= {i}")))])?;
        let (name, topic) = (format!("add-{i}"), format!("out-{i}"));
        let input = format!("in-{i}");
        let began = Instant::now();
        cli.prints(&["create", "-n", &name, "-a", "app.py", "-i", &input, "-o", &topic])?;
        cli.prints(&["produce", "-n", &input, "-c", r#"{"money":1}"#])?;
        assert_eq!(consumed(&cli, &topic, 1)?, [format!(r#"{{"money":{}}}"#, 1 + i)]);
        fastest = fastest.min(began.elapsed().as_millis());
    }
    // Three commands of a client among them. Far above what it takes, far below what compiling takes.
    assert!(fastest < 2000, "{fastest} ms");
    Ok(())
}

#[tokio::test]
async fn a_folder_is_a_function_with_its_modules_and_data() -> Result<()> {
    let (node, _, cli) = server().await?;
    write(
        &node,
        &[
            (
                "words/app.py",
                "import json, pkgutil\nfrom functionstream import Function\nfrom functionstream.states import MapState\n\
                 from text.split import words\nSTOP = json.loads(pkgutil.get_data('text', 'stop.json'))\n\
                 class Count(Function):\n    def init(self, ctx):\n        self.counts = MapState(ctx, 'counts', str, int)\n\
                 \x20   def process(self, ctx, record):\n        for word in words(record.text):\n            if word in STOP:\n\
                 \x20               continue\n            self.counts[word] = self.counts.get(word, 0) + 1\n\
                 \x20           print('counted', word)\n            ctx.emit(f'{word} {self.counts[word]}', key=word)\n",
            ),
            ("words/text/__init__.py", ""),
            ("words/text/split.py", "def words(text):\n    return text.split()\n"),
            ("words/text/stop.json", "[\"the\"]"),
        ],
    )?;
    create(&cli, "words", "words")?;
    cli.prints(&["produce", "-n", "in", "-c", "the cat the dog cat"])?;
    assert_eq!(consumed(&cli, "out", 3)?, ["cat 1", "dog 1", "cat 2"]);
    let log = cli.prints(&["logs", "-n", "words"])?;
    assert!(log.contains("counted dog"), "{log}");
    Ok(())
}

/// What an ordinary zip program makes.
#[tokio::test]
async fn a_zip_is_a_function() -> Result<()> {
    let (node, _, cli) = server().await?;
    let archive = fnstream_runtime::source::pack(
        vec![
            (
                "main.py".into(),
                b"from functionstream import function\nimport helper\n@function\ndef f(record): return helper.x\n"
                    .to_vec(),
            ),
            ("helper.py".into(), b"x = 'from the zip'\n".to_vec()),
        ],
        None,
    )?;
    std::fs::write(node.folder().join("f.zip"), archive)?;
    create(&cli, "zipped", "f.zip")?;
    cli.prints(&["produce", "-n", "in", "-c", "x"])?;
    assert_eq!(consumed(&cli, "out", 1)?, ["from the zip"]);
    Ok(())
}
