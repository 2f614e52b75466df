// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is wrong with a source is told when the function is made, and what fails later with the user's own lines.

use anyhow::{Result, ensure};
use fnstream_tests::cli::Cli;
use fnstream_tests::scripts::{consumed, create, write};

use crate::{JAVASCRIPT, server};

const CREATE: [&str; 9] = ["create", "-n", "f", "-a", "app.js", "-i", "in", "-o", "out"];

/// What a command that fails says.
fn fails(cli: &Cli, args: &[&str]) -> Result<String> {
    let done = cli.run(args)?;
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(!done.status.success(), "{args:?} does not fail:\n{said}");
    Ok(said)
}

#[tokio::test]
async fn mistakes_of_the_source_are_told_when_the_function_is_made() -> Result<()> {
    let (node, _, cli) = server().await?;
    for (source, expected) in [
        (
            "export default (r) => {\n  let a = ;\n}\n",
            "SyntaxError: unexpected token in expression: ';'\n  at app.js:2\n      let a = ;\n              ^",
        ),
        (
            "const a = 1;\nconst a = 2;\n",
            "SyntaxError: invalid redefinition of global identifier\n  at app.js:2\n    const a = 2;",
        ),
        (
            "const x = 1;\n",
            "'app.js' exports no function: write 'export default function (record, ctx) { … }', or export a class with 'process'",
        ),
        (
            "export class A { process() {} }\nexport class B { process() {} }\n",
            "'app.js' exports 2 classes, 'A' and 'B': name one by the setting 'class_name', or export it by default",
        ),
        ("export default class A { run() {} }\n", "the default export of 'app.js' is a class without 'process'"),
        (
            "export default 5\n",
            "the default export of 'app.js' is no function: export a function, a class with 'process'",
        ),
        (
            "import fs from 'node:fs';\n",
            "Error: cannot import 'node:fs', as 'app.js' does: it is a module of Node.js, which a function does not have",
        ),
        ("import 'path';\n", "Error: cannot import 'path', as 'app.js' does: it is a module of Node.js"),
        (
            "import 'https://example.com/a.js';\n",
            "Error: cannot import 'https://example.com/a.js', as 'app.js' does: a function imports its own files and packages",
        ),
        (
            "import 'lodash';\n",
            "Error: cannot find the package 'lodash', imported by 'app.js': 'npx esbuild app.js --bundle --format=esm \
             --external:functionstream --outfile=bundle.js' makes one file of all that it needs",
        ),
        ("import './no.js';\n", "Error: cannot find './no.js', imported by 'app.js': the function has no file 'no.js'"),
        ("import 'functionstream/testing';\n", "Error: cannot import 'functionstream/testing': it is for tests"),
        ("module.exports = (r) => r;\n", "Error: 'app.js' is a CommonJS module, which is not run as it is"),
        (
            "export default (r) => r;\nsetTimeout(() => {}, 1);\n",
            "ReferenceError: setTimeout is not defined: a function has no timers of its own: ctx.setTimer sets one that is kept, \
             and onTimer handles it\n  at <anonymous> (app.js:2:1)",
        ),
        (
            "const fs = require('fs'); export default fs;\n",
            "ReferenceError: require is not defined: a function is an ES module",
        ),
        ("await new Promise(() => {});\n", "Error: 'app.js' waits for something that nobody does"),
        ("\nthrow new TypeError('at the top');\n", "TypeError: at the top\n  at <anonymous> (app.js:2:"),
    ] {
        write(&node, &[("app.js", source)])?;
        let told = cli.refuses(&CREATE, "FS-1206")?;
        // The command indents all lines but the first.
        assert!(told.contains(&expected.replace('\n', "\n  ")), "{told}\nlacks\n{expected}");
    }
    write(&node, &[("native/app.js", "import './core.node';\n"), ("native/core.node", "x")])?;
    let told = cli.refuses(&["create", "-n", "f", "-a", "native", "-i", "in", "-o", "out"], "FS-1206")?;
    assert!(told.contains("Error: 'core.node' is a native module: it cannot be loaded in WebAssembly"), "{told}");
    write(&node, &[("app.ts", "export default (r: any) => r;\n")])?;
    let told = cli.refuses(&["create", "-n", "f", "-a", "app.ts", "-i", "in", "-o", "out"], "FS-1201")?;
    assert!(
        told.contains("'app.ts' is not run as it is; make JavaScript of it first, such as by 'npx esbuild app.ts"),
        "{told}"
    );
    // The name is free, and the right source is taken. A setting says which of two is meant.
    let two = "export class A { process() { return 'a'; } }\nexport class B { process() { return 'b'; } }\n";
    write(&node, &[("app.js", two)])?;
    cli.prints(&[&CREATE[..], &["-c", "class_name=B"]].concat())?;
    cli.prints(&["produce", "-n", "in", "-c", "x"])?;
    assert_eq!(consumed(&cli, "out", 1)?, ["b"]);
    Ok(())
}

/// An endless loop at the top of the module ends at the limit of a start.
#[tokio::test]
async fn a_source_that_never_ends_is_refused() -> Result<()> {
    JAVASCRIPT.refuses_an_endless_source("for (;;) {}\n").await
}

#[tokio::test]
async fn an_init_that_throws_is_told_with_its_stack() -> Result<()> {
    let (node, _, cli) = server().await?;
    let source = "export default class F {\n  init(ctx) {\n    throw new Error(`no ${ctx.config.place}`);\n  }\n  process() {}\n}\n";
    write(&node, &[("app.js", source)])?;
    let told = fails(&cli, &[&CREATE[..], &["-c", "place=door"]].concat())?;
    assert!(told.contains("Error: no door"), "{told}");
    Ok(())
}

/// The record that fails is given up with the stack, and all others are processed by the same instance. What fails without a trap leaves
/// nothing in state.
#[tokio::test]
async fn a_record_that_throws_is_a_dead_letter_with_its_stack() -> Result<()> {
    let (node, _, cli) = server().await?;
    let source = "export default class F {\n  n = 0;\n  init(ctx) {\n    this.seen = ctx.store('seen');\n  }\n  async process(record) {\n    \
                  this.n++;\n    this.seen.put(record.value, '1');\n    await null;\n    const { x } = record.json();\n    \
                  if (x === undefined) {\n      throw new RangeError('no x');\n    }\n    \
                  return { n: this.n, x, seen: [...this.seen.keys()].length };\n  }\n}\n";
    write(&node, &[("app.js", source)])?;
    create(&cli, "f", "app.js")?;
    for event in [r#"{"x":1}"#, "{}", r#"{"x":2}"#] {
        cli.prints(&["produce", "-n", "in", "-c", event])?;
    }
    let got = consumed(&cli, "out", 2)?;
    assert_eq!(got[0], r#"{"n":1,"x":1,"seen":1}"#);
    // How often it was tried is the policy's; it left nothing in state.
    assert!(got[1].contains(r#""x":2,"seen":2}"#), "{}", got[1]);
    let letter = cli.prints(&["dlq", "show", "-n", "f", "0:0"])?;
    assert!(letter.contains("RangeError: no x") && letter.contains("at process (app.js:12:"), "{letter}");
    assert!(!letter.contains("engine.js") && !letter.contains("driver.js"), "{letter}");
    Ok(())
}

#[tokio::test]
async fn what_a_function_may_not_return_is_named() -> Result<()> {
    let (node, _, cli) = server().await?;
    let source = "const all = {\n  map: () => new Map(),\n  big: () => 5n,\n  fn: () => () => {},\n  wait: () => new Promise(() => {}),\n  \
                  floating: () => {\n    Promise.reject(new RangeError('nobody waits'));\n  },\n};\n\
                  export default (record) => all[record.text]();\n";
    write(&node, &[("app.js", source)])?;
    create(&cli, "f", "app.js")?;
    for (event, expected) in [
        (
            "map",
            "TypeError: a value cannot be emitted that is an object of the type 'Map': emit text, bytes, null, an Output, or what JSON has",
        ),
        ("big", "TypeError: a value cannot be emitted that is bigint: emit text,"),
        ("fn", "TypeError: a value cannot be emitted that is function: emit text,"),
        ("wait", "Error: the function waits for something that nobody does"),
        ("floating", "RangeError: nobody waits\n"),
    ] {
        let told = fails(&cli, &["trigger", "-n", "f", "-c", event])?;
        assert!(told.contains(expected), "{told}\nlacks\n{expected}");
    }
    Ok(())
}

/// A recursion without end is an error that the function can catch; what its instance knows stays.
#[tokio::test]
async fn a_recursion_without_end_is_an_error() -> Result<()> {
    let (node, _, cli) = server().await?;
    let source = "let n = 0;\nconst deep = (i) => 1 + deep(i + 1);\nexport default (record) => {\n  n++;\n  if (record.text === 'caught') {\n    \
                  try {\n      deep(0);\n    } catch (error) {\n      return `${error.name} ${n}`;\n    }\n  }\n  \
                  return deep(0);\n};\n";
    write(&node, &[("app.js", source)])?;
    create(&cli, "f", "app.js")?;
    for event in ["caught", "thrown", "caught"] {
        cli.prints(&["produce", "-n", "in", "-c", event])?;
    }
    let got = consumed(&cli, "out", 2)?;
    assert_eq!(got[0], "RangeError 1");
    // The same instance, which has seen each try.
    assert!(got[1].starts_with("RangeError ") && got[1] != "RangeError 1", "{got:?}");
    let letter = cli.prints(&["dlq", "show", "-n", "f", "0:0"])?;
    assert!(letter.contains("RangeError: Maximum call stack size exceeded"), "{letter}");
    Ok(())
}

#[tokio::test]
async fn endless_loops_and_memory_bombs_end_at_their_limits() -> Result<()> {
    let [looped, bombed] = JAVASCRIPT.ends_greed_at_its_limits("memory=64MiB").await?;
    assert!(looped.contains("'call-time' of 500ms"), "{looped}");
    assert!(bombed.contains("InternalError: out of memory"), "{bombed}");
    Ok(())
}

#[tokio::test]
async fn a_server_without_the_engine_says_what_to_do() -> Result<()> {
    JAVASCRIPT.lacks_its_engine().await
}
