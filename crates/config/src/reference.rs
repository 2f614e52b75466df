// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The reference of all keys as Markdown, made of the tables of keys: part of `docs/config.md`, where a test compares.

use std::fmt::Write;

use crate::function::keys::FUNCTION;
use crate::key::{Key, Kind, Others, Tagged, Word};
use crate::server::keys::{FLAGS, SERVER, VARIABLES};

/// All keys of a function's file.
pub fn function_reference() -> String {
    let mut out = String::new();
    table(&mut out, FUNCTION);
    for (path, key) in nested("", FUNCTION) {
        section(&mut out, &path, key.kind);
    }
    out
}

/// All keys of the server's file.
pub fn server_reference() -> String {
    let mut out = String::new();
    for section in SERVER {
        let Kind::Block(keys) = section.kind else { continue };
        let _ = writeln!(out, "\n### `{}`\n\n{}\n", section.name, section.doc);
        let idle: Vec<_> = keys.iter().filter(|key| key.idle.is_some()).collect();
        let used: Vec<_> = keys.iter().filter(|key| key.idle.is_none()).collect();
        if !used.is_empty() {
            out += "| key | value | default | flag, older variable | meaning |\n| --- | --- | --- | --- | --- |\n";
        }
        for key in used {
            let path = format!("{}.{}", section.name, key.name);
            let named = |list: &[(&str, &'static str)]| {
                list.iter().filter(|(of, _)| *of == path).map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>()
            };
            let others = [named(FLAGS), named(VARIABLES)].concat().join(", ");
            let (value, meaning) = (value(key.kind), meaning(key));
            let _ = writeln!(out, "| `{}` | {value} | {} | {others} | {meaning} |", key.name, code(key.default));
        }
        if !idle.is_empty() {
            out += "\nAccepted, without effect:\n\n";
        }
        for key in idle {
            let _ = writeln!(out, "- `{}`: {}", key.name, key.idle.unwrap_or_default());
        }
    }
    out
}

fn section(out: &mut String, path: &str, kind: &Kind) {
    match kind {
        Kind::Block(keys) if !keys.iter().all(|key| key.idle.is_some()) => {
            let _ = writeln!(out, "\n### `{path}`\n");
            table(out, keys);
        }
        Kind::List(of, ..) => section(out, path, of),
        Kind::Either(kinds) => kinds.iter().for_each(|kind| section(out, path, kind)),
        Kind::Tagged(tagged) => variants(out, path, tagged),
        _ => {}
    }
}

fn variants(out: &mut String, path: &str, tagged: &Tagged) {
    for variant in tagged.variants {
        let _ = writeln!(out, "\n### `{path}` with `{}: {}`\n\n{}\n", tagged.tag, variant.word, variant.doc);
        table(out, variant.keys);
        if let Others::Passed(refused, _) = &variant.others {
            out.push_str("\nOther keys with a dot in their name pass to the client, except these, which would break exactly-once or are given otherwise:\n\n");
            for (name, why) in *refused {
                let _ = writeln!(out, "- `{name}`: {why}");
            }
        }
    }
}

fn table(out: &mut String, keys: &[Key]) {
    out.push_str("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for key in keys.iter().filter(|key| key.idle.is_none()) {
        let alias = key.alias.map(|alias| format!(", `{alias}`")).unwrap_or_default();
        let default = if key.required { "required".to_owned() } else { code(key.default) };
        let _ = writeln!(out, "| `{}`{alias} | {} | {default} | {} |", key.name, value(key.kind), meaning(key));
    }
}

/// Keys that hold blocks, with their paths; each kind of block once.
fn nested(path: &str, keys: &'static [Key]) -> Vec<(String, &'static Key)> {
    let mut found = Vec::new();
    for key in keys.iter().filter(|key| key.idle.is_none()) {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        found.push((path.clone(), key));
        for keys in blocks(key.kind) {
            // Inputs of another kind have the same watermarks.
            for (path, key) in nested(&path, keys) {
                if !found.iter().any(|(_, seen)| std::ptr::eq(seen.kind, key.kind) || seen.name == key.name) {
                    found.push((path, key));
                }
            }
        }
    }
    found
}

fn blocks(kind: &'static Kind) -> Vec<&'static [Key]> {
    match kind {
        Kind::Block(keys) => vec![keys],
        Kind::List(of, ..) => blocks(of),
        Kind::Either(kinds) => kinds.iter().flat_map(blocks).collect(),
        Kind::Tagged(tagged) => tagged.variants.iter().map(|variant| variant.keys).collect(),
        _ => Vec::new(),
    }
}

fn meaning(key: &Key) -> String {
    let words = words(key.kind);
    let words = words.iter().filter(|word| !word.doc.is_empty());
    let told: Vec<_> = words.map(|word| format!("`{}`: {}", word.name, word.doc)).collect();
    [key.doc.to_owned(), told.join(" ")].join(" ").trim_end().to_owned()
}

fn words(kind: &Kind) -> &'static [Word] {
    match kind {
        Kind::Word(words) => words,
        Kind::Either(kinds) => kinds.iter().map(words).find(|words| !words.is_empty()).unwrap_or_default(),
        _ => &[],
    }
}

fn value(kind: &Kind) -> String {
    match kind {
        Kind::Word(_) => "a word".to_owned(),
        Kind::Number(least, u64::MAX) => format!("{least} or more"),
        Kind::Number(least, most) => format!("{least} to {most}"),
        Kind::Duration => "a duration".to_owned(),
        Kind::Size(_) => "a size".to_owned(),
        Kind::SizeFrom(_) => kind.expected(),
        Kind::List(_, least, most) if *most > 1024 => format!("a list of {least} or more"),
        Kind::List(_, least, most) => format!("a list of {least} to {most}"),
        Kind::Either(kinds) => kinds.iter().map(value).collect::<Vec<_>>().join(" or "),
        other => other.expected(),
    }
}

fn code(text: &str) -> String {
    match text {
        "" => String::new(),
        text if text.contains(' ') => text.to_owned(),
        text => format!("`{text}`"),
    }
}
