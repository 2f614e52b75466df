// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A file, a folder and a zip become functions, change, and outlive the server.

use std::time::Duration;

use anyhow::Result;
use fnstream_tests::scripts::{consumed, create, write};

use crate::{PYTHON, server};

#[tokio::test]
async fn a_file_is_a_function_and_its_change_goes_on_where_it_stood() -> Result<()> {
    PYTHON.goes_on_where_it_stood().await
}

#[tokio::test]
async fn a_component_brings_its_engine_along() -> Result<()> {
    PYTHON.brings_its_engine().await
}

/// With an engine that is loaded: from the file to the first result in a moment, and many functions share it.
#[tokio::test]
async fn with_a_warm_engine_a_function_takes_a_moment() -> Result<()> {
    // Three commands of a client among them. Far above what it takes, far below what compiling takes.
    PYTHON.takes_a_moment(Duration::from_millis(2000)).await
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
