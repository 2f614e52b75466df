// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is wrong with a source is told when the function is made, and what fails later with the user's own lines.

use anyhow::Result;
use fnstream_tests::scripts::{consumed, create, write};

use crate::{PYTHON, server};

const IMPORT: &str = "from functionstream import Function, function\n";

#[tokio::test]
async fn mistakes_of_the_source_are_told_when_the_function_is_made() -> Result<()> {
    let (node, _, cli) = server().await?;
    for (source, expected) in [
        ("def f(:\n    pass\n", "SyntaxError: invalid syntax\n  File \"app.py\", line 1\n    def f(:\n          ^"),
        (
            "x = 1\n",
            "'app.py' defines no function: mark one with @function, or derive a class from functionstream.Function",
        ),
        (
            "class A(Function): pass\nclass B(Function): pass\n",
            "'app.py' defines 2 functions, 'A' and 'B': name one by the setting 'class_name'",
        ),
        (
            "import numpy\n",
            "ModuleNotFoundError: No module named 'numpy': put its files beside the function's own; a package with native code \
             cannot be loaded in WebAssembly",
        ),
        (
            "import ssl\n",
            "ModuleNotFoundError: No module named 'ssl': this module of the standard library cannot work in WebAssembly",
        ),
        (
            "raise ValueError('at the top')\n",
            "ValueError: at the top\nTraceback (most recent call last):\n  File \"app.py\", line 2, in <module>",
        ),
    ] {
        let source = if source.starts_with("def") { source.to_owned() } else { format!("{IMPORT}{source}") };
        write(&node, &[("app.py", &source)])?;
        let told = cli.refuses(&["create", "-n", "f", "-a", "app.py", "-i", "in", "-o", "out"], "FS-1206")?;
        // The command indents all lines but the first.
        assert!(told.contains(&expected.replace('\n', "\n  ")), "{told}\nlacks\n{expected}");
    }
    write(&node, &[("native/app.py", "import core\n"), ("native/core.cpython-311-x86_64-linux-gnu.so", "x")])?;
    let told = cli.refuses(&["create", "-n", "f", "-a", "native", "-i", "in", "-o", "out"], "FS-1206")?;
    assert!(
        told.contains(
            "'core' is a native module (core.cpython-311-x86_64-linux-gnu.so): it cannot be loaded in WebAssembly"
        ),
        "{told}"
    );
    // The name is free, and the right source is taken. A setting says which of two is meant.
    write(
        &node,
        &[("app.py", &format!("{IMPORT}@function\ndef a(record): return 'a'\n@function\ndef b(record): return 'b'\n"))],
    )?;
    cli.prints(&["create", "-n", "f", "-a", "app.py", "-i", "in", "-o", "out", "-c", "class_name=b"])?;
    cli.prints(&["produce", "-n", "in", "-c", "x"])?;
    assert_eq!(consumed(&cli, "out", 1)?, ["b"]);
    Ok(())
}

/// An endless loop at the top of the module ends at the limit of a start.
#[tokio::test]
async fn a_source_that_never_ends_is_refused() -> Result<()> {
    PYTHON.refuses_an_endless_source("while True: pass\n").await
}

/// The record that fails is given up with the traceback, and all others are processed by the same instance.
#[tokio::test]
async fn a_record_that_raises_is_a_dead_letter_with_its_traceback() -> Result<()> {
    let (node, _, cli) = server().await?;
    let source = format!(
        "{IMPORT}class F(Function):\n    def init(self, ctx):\n        self.n = 0\n        self.seen = ctx.store('seen')\n    \
         def process(self, ctx, record):\n        self.n += 1\n        self.seen.put(record.value, b'1')\n        \
         return {{'n': self.n, 'x': record.json()['x'], 'seen': len(list(self.seen.keys()))}}\n"
    );
    write(&node, &[("app.py", &source)])?;
    create(&cli, "f", "app.py")?;
    for event in [r#"{"x":1}"#, "{}", r#"{"x":2}"#] {
        cli.prints(&["produce", "-n", "in", "-c", event])?;
    }
    let got = consumed(&cli, "out", 2)?;
    assert_eq!(got[0], r#"{"n":1,"x":1,"seen":1}"#);
    // How often it was tried is the policy's; it left nothing in state.
    assert!(got[1].contains(r#""x":2,"seen":2}"#), "{}", got[1]);
    let letter = cli.prints(&["dlq", "show", "-n", "f", "0:0"])?;
    assert!(letter.contains("KeyError: 'x'") && letter.contains("File \"app.py\", line 9, in process"), "{letter}");
    Ok(())
}

#[tokio::test]
async fn endless_loops_and_memory_bombs_end_at_their_limits() -> Result<()> {
    let [looped, bombed] = PYTHON.ends_greed_at_its_limits("memory=128MiB").await?;
    assert!(looped.contains("'call-time' of 500ms"), "{looped}");
    assert!(bombed.contains("MemoryError"), "{bombed}");
    Ok(())
}

#[tokio::test]
async fn a_server_without_the_engine_says_what_to_do() -> Result<()> {
    PYTHON.lacks_its_engine().await
}
