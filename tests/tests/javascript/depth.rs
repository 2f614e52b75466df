// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is nested or recurses too deep is an error of its record, with its stack, and the instance goes on: whatever QuickJS does in
//! calls of its own, such as to read and write JSON and to parse.

use anyhow::{Context, Result, ensure};
use fnstream_tests::scripts::{consumed, create, write};

use crate::server;

/// Each by its name: what is done, and what it is. All of it is deeper than any stack.
const DEEP: &[(&str, &str, &str)] = &[
    ("parse an array", "JSON.parse('['.repeat(N) + ']'.repeat(N))", "RangeError"),
    ("parse an object", "JSON.parse('{\"a\":'.repeat(N) + '1' + '}'.repeat(N))", "RangeError"),
    ("parse what does not end", "JSON.parse('['.repeat(N))", "RangeError"),
    ("write arrays", "JSON.stringify(arrays())", "RangeError"),
    ("write objects", "JSON.stringify(objects())", "RangeError"),
    ("toJSON without end", "JSON.stringify(endless)", "RangeError"),
    ("text of arrays", "String(arrays())", "RangeError"),
    ("flat", "arrays().flat(Infinity)", "RangeError"),
    ("clone", "structuredClone(arrays())", "RangeError"),
    ("proxies", "proxies().a", "RangeError"),
    ("look ahead", "new RegExp('(?='.repeat(N) + ')'.repeat(N))", "SyntaxError"),
    ("class of characters", "new RegExp('['.repeat(N) + ']'.repeat(N), 'v')", "SyntaxError"),
    ("parentheses", "eval('('.repeat(N) + '1' + ')'.repeat(N))", "RangeError"),
    ("array literal", "eval('['.repeat(N) + ']'.repeat(N))", "RangeError"),
    ("negations", "eval('!'.repeat(N) + '1')", "RangeError"),
    ("powers", "eval('1' + '**1'.repeat(N))", "RangeError"),
    ("conditions", "eval('1?'.repeat(N) + '1' + ':1'.repeat(N))", "RangeError"),
    ("templates", "eval('`${'.repeat(N) + '1' + '}`'.repeat(N))", "RangeError"),
    ("blocks", "eval('{'.repeat(N) + '}'.repeat(N))", "RangeError"),
    ("recursion", "recurse(0)", "RangeError"),
    ("recursion by map", "[1].map(mapped)", "RangeError"),
    ("recursion by sort", "[2, 1].sort(sorted)", "RangeError"),
    ("recursion by replace", "'a'.replace(/a/, replaced)", "RangeError"),
    ("recursion by a getter", "own.a", "RangeError"),
    ("recursion to a primitive", "`${primitive}`", "RangeError"),
    ("recursion by generators", "[...generate()]", "RangeError"),
];

/// Not errors: the first is bounded by what is shown, the second is freed.
const WELL: &[(&str, &str)] =
    &[("print", "console.log(arrays(), objects())"), ("forget", "void [arrays(), objects()].length")];

fn source() -> String {
    let entries: Vec<_> = DEEP
        .iter()
        .map(|(name, code, _)| (name, code))
        .chain(WELL.iter().map(|(name, code)| (name, code)))
        .map(|(name, code)| format!("  {name:?}: () => {code},\n"))
        .collect();
    let before = "const N = 100_000;
const nested = (a, wrap) => {
  for (let i = 0; i < N; i++) {
    a = wrap(a);
  }
  return a;
};
const arrays = () => nested([], (a) => [a]);
const objects = () => nested({}, (a) => ({ a }));
const proxies = () => nested({}, (a) => new Proxy(a, {}));
const endless = { toJSON: () => ({ endless }) };
const recurse = (i) => 1 + recurse(i + 1);
const mapped = () => [1].map(mapped);
const sorted = () => [2, 1].sort(sorted);
const replaced = () => 'a'.replace(/a/, replaced);
const own = { get a() { return this.a; } };
const primitive = { [Symbol.toPrimitive]() { return `${primitive}`; } };
function* generate() { yield* generate(); }
let seen = 0;
const all = {
";
    let after = "};
export default (record) => {
  seen++;
  if (record.text === 'seen') {
    return String(seen);
  }
  if (record.text === 'emit') {
    return arrays();
  }
  if (record.text.startsWith('[')) {
    return record.json();
  }
  all[record.text]();
};
";
    format!("{before}{}{after}", entries.concat())
}

#[tokio::test]
async fn what_is_too_deep_fails_its_record_and_not_its_instance() -> Result<()> {
    let (node, _, cli) = server().await?;
    write(&node, &[("app.js", &source())])?;
    create(&cli, "f", "app.js")?;
    let produce = |event: &str| cli.prints(&["produce", "-n", "in", "-c", event]);
    for (name, _, _) in DEEP {
        produce(name)?;
    }
    for (name, _) in WELL {
        produce(name)?;
    }
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    for event in ["emit", &deep, "seen"] {
        produce(event)?;
    }
    // One that was replaced would have seen fewer. How often each that fails was tried is the policy's.
    let seen: usize = consumed(&cli, "out", 1)?[0].parse()?;
    ensure!(seen >= DEEP.len() + WELL.len() + 3, "the instance has seen {seen} records");
    let failed = DEEP.iter().map(|(name, _, error)| (*name, *error));
    for (number, (name, error)) in failed.chain([("emit", "RangeError"), ("record", "RangeError")]).enumerate() {
        let letter = cli.prints(&["dlq", "show", "-n", "f", &format!("0:{number}")])?;
        let told = letter.contains(error) && !letter.contains("FS-1402");
        ensure!(told, "'{name}' fails otherwise:\n{}", letter.chars().take(2_000).collect::<String>());
    }
    let recursion = DEEP.iter().position(|(name, ..)| *name == "recursion").context("there is a recursion")?;
    let letter = cli.prints(&["dlq", "show", "-n", "f", &format!("0:{recursion}")])?;
    ensure!(letter.contains("at recurse (app.js:"), "{letter}");
    Ok(())
}
