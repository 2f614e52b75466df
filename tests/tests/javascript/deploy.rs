// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A file, a folder and a zip become functions, change, and outlive the server.

use std::time::Duration;

use anyhow::Result;
use fnstream_runtime::source::pack;
use fnstream_tests::scripts::{consumed, create, write};

use crate::{JAVASCRIPT, server};

#[tokio::test]
async fn a_file_is_a_function_and_its_change_goes_on_where_it_stood() -> Result<()> {
    JAVASCRIPT.goes_on_where_it_stood().await
}

#[tokio::test]
async fn a_component_brings_its_engine_along() -> Result<()> {
    JAVASCRIPT.brings_its_engine().await
}

/// With an engine that is loaded: from the file to the first result in a moment, and many functions share it.
#[tokio::test]
async fn with_a_warm_engine_a_function_takes_a_moment() -> Result<()> {
    // Three commands of a client among them. Far above what it takes, far below what compiling takes.
    JAVASCRIPT.takes_a_moment(Duration::from_millis(1500)).await
}

/// Relative imports, with and without the end of the name, data as JSON and as text, and packages that a zip has with it.
#[tokio::test]
async fn a_folder_is_a_function_with_its_modules_and_data() -> Result<()> {
    let (node, _, cli) = server().await?;
    write(
        &node,
        &[
            (
                "words/app.js",
                "import { MapState } from 'functionstream/states';\nimport { words } from './text/split.js';\n\
                 import stop from './stop.json' with { type: 'json' };\nimport mark from './mark.txt' with { type: 'text' };\n\
                 export default class Count {\n  init(ctx) { this.counts = new MapState(ctx, 'counts', 'string', 'int64'); }\n\
                 \x20 *process(record) {\n    for (const word of words(record.text).filter((word) => !stop.includes(word))) {\n\
                 \x20     const count = (this.counts.get(word) ?? 0) + 1;\n      this.counts.put(word, count);\n\
                 \x20     console.log('counted', word);\n      console.error({ seen: [word] });\n      yield `${word}${mark}${count}`;\n    }\n  }\n}\n",
            ),
            ("words/text/split.js", "import { at } from '../at';\nexport const words = (text) => text.split(at);\n"),
            ("words/at.mjs", "export const at = ' ';\n"),
            ("words/stop.json", "[\"the\"]"),
            ("words/mark.txt", " "),
            ("words/node_modules/unused/index.js", "not JavaScript, and not sent"),
        ],
    )?;
    create(&cli, "words", "words")?;
    cli.prints(&["produce", "-n", "in", "-c", "the cat the dog cat"])?;
    assert_eq!(consumed(&cli, "out", 3)?, ["cat 1", "dog 1", "cat 2"]);
    let log = cli.prints(&["logs", "-n", "words"])?;
    assert!(log.contains("counted dog") && log.contains("{ seen: [ 'dog' ] }"), "{log}");
    // Its state stays when it changes.
    write(&node, &[("words/mark.txt", "=")])?;
    cli.prints(&["update", "-n", "words", "-a", "words"])?;
    cli.prints(&["produce", "-n", "in", "-c", "cat"])?;
    assert_eq!(consumed(&cli, "out", 1)?, ["cat=3"]);
    Ok(())
}

#[tokio::test]
async fn a_zip_is_a_function_with_its_packages() -> Result<()> {
    let (node, _, cli) = server().await?;
    let file = |path: &str, content: &str| (path.to_owned(), content.as_bytes().to_vec());
    let archive = pack(
        vec![
            file(
                "main.js",
                "import { shout } from 'shout';\nimport low from '@scope/low/part';\nexport default (r) => shout(low(r.text));\n",
            ),
            file(
                "node_modules/shout/package.json",
                r#"{"exports":{".":{"require":"./x.cjs","import":"./lib/main.mjs"}}}"#,
            ),
            file("node_modules/shout/lib/main.mjs", "export { shout } from './shout.mjs';\n"),
            file("node_modules/shout/lib/shout.mjs", "export const shout = (text) => `${text}!`;\n"),
            file("node_modules/@scope/low/package.json", r#"{"exports":{"./*":"./src/*.js"}}"#),
            file("node_modules/@scope/low/src/part.js", "export default (text) => text.toLowerCase();\n"),
        ],
        None,
    )?;
    std::fs::write(node.folder().join("f.zip"), archive)?;
    create(&cli, "zipped", "f.zip")?;
    cli.prints(&["produce", "-n", "in", "-c", "LOUD"])?;
    assert_eq!(consumed(&cli, "out", 1)?, ["loud!"]);
    // An entry may say the name alone.
    let archive = pack(
        vec![
            file("a.js", "class Shout {}\nexport class Other { process() {} }\n"),
            file("lib/b.js", "export class Shout {\n  process(record) { return `${record.text}!!`; }\n}\n"),
        ],
        Some(":Shout"),
    )?;
    std::fs::write(node.folder().join("f.zip"), archive)?;
    let told = cli.refuses(&["update", "-n", "zipped", "-a", "f.zip"], "FS-1206")?;
    assert!(told.contains("2 files define 'Shout': 'a.js', 'lib/b.js'"), "{told}");
    let archive = pack(
        vec![file("lib/b.js", "export class Shout { process(record) { return `${record.text}!!`; } }\n")],
        Some(":Shout"),
    )?;
    std::fs::write(node.folder().join("f.zip"), archive)?;
    cli.prints(&["update", "-n", "zipped", "-a", "f.zip"])?;
    cli.prints(&["produce", "-n", "in", "-c", "LOUD"])?;
    assert_eq!(consumed(&cli, "out", 1)?, ["LOUD!!"]);
    Ok(())
}
