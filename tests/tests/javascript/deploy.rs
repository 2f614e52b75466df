// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A file, a folder and a zip become functions, change, and outlive the server.

use std::time::Instant;

use anyhow::Result;
use fnstream_runtime::source::pack;

use crate::{consumed, create, server, write};

const ADD: &str = "export default function add(record) {
  const event = record.json();
  event.money += 1;
  return event;
}
";

#[tokio::test]
async fn a_file_is_a_function_and_its_change_goes_on_where_it_stood() -> Result<()> {
    let (mut node, _, cli) = server().await?;
    write(&node, &[("app.js", ADD)])?;
    assert_eq!(create(&cli, "add", "app.js")?, "Function created: add\nFunction add is running\n");
    cli.prints(&["produce", "-n", "in", "-c", r#"{"name":"rbt","money":2}"#])?;
    assert_eq!(consumed(&cli, "out", 1)?, [r#"{"name":"rbt","money":3}"#]);
    write(&node, &[("app.js", &ADD.replace("+= 1", "+= 10"))])?;
    cli.prints(&["update", "-n", "add", "-a", "app.js"])?;
    cli.prints(&["produce", "-n", "in", "-c", r#"{"money":2}"#])?;
    assert_eq!(consumed(&cli, "out", 1)?, [r#"{"money":12}"#]);
    assert!(cli.prints(&["describe", "-n", "add"])?.contains("javascript"));
    // The server has the source; the file is not needed any more.
    std::fs::remove_file(node.folder().join("app.js"))?;
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
    write(&node, &[("app.js", ADD)])?;
    create(&cli, "first", "app.js")?;
    let mut fastest = u128::MAX;
    for i in 0..5 {
        write(&node, &[("app.js", &ADD.replace("+= 1", &format!("+= {i}")))])?;
        let (name, input, topic) = (format!("add-{i}"), format!("in-{i}"), format!("out-{i}"));
        let began = Instant::now();
        cli.prints(&["create", "-n", &name, "-a", "app.js", "-i", &input, "-o", &topic])?;
        cli.prints(&["produce", "-n", &input, "-c", r#"{"money":1}"#])?;
        assert_eq!(consumed(&cli, &topic, 1)?, [format!(r#"{{"money":{}}}"#, 1 + i)]);
        fastest = fastest.min(began.elapsed().as_millis());
    }
    // Three commands of a client among them. Far above what it takes, far below what compiling takes.
    assert!(fastest < 1500, "{fastest} ms");
    Ok(())
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
