// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! No link of a page to a file or a heading of this repository is dead.

use std::path::Path;

use super::{assert_none, root, tracked_files};

#[test]
fn no_relative_link_is_dead() {
    let pages: Vec<_> = tracked_files().into_iter().filter(|path| path.ends_with(".md")).collect();
    assert!(pages.len() > 10, "only {} pages: is this the whole repository?", pages.len());
    let dead: Vec<_> = pages
        .iter()
        .flat_map(|page| {
            let text = std::fs::read_to_string(root().join(page)).unwrap();
            let dead = links(&text).into_iter().filter(|link| !leads_somewhere(&root(), page, &text, link));
            dead.map(|link| format!("{page}: {link}")).collect::<Vec<_>>()
        })
        .collect();
    assert_none("links to nothing", &dead);
}

#[test]
fn a_dead_link_is_found() {
    let text = "# Some Title\n[a](Cargo.toml) `[b](code)` [c](gone.md#x) [d](#some-title)\n```\n[e](fence)\n```\n";
    assert_eq!(links(text), ["Cargo.toml", "gone.md#x", "#some-title"]);
    let dead: Vec<_> = links(text).into_iter().filter(|l| !leads_somewhere(&root(), "README.md", text, l)).collect();
    assert_eq!(dead, ["gone.md#x"]);
    assert!(!leads_somewhere(&root(), "README.md", text, "#another-title"));
    assert!(leads_somewhere(&root(), "docs/x.md", text, "../Cargo.toml"));
}

/// The targets of a page's links and pictures, without those to other sites and those in code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        // Every second piece between backticks is code.
        for piece in line.split('`').step_by(2) {
            let targets = piece.split("](").skip(1).filter_map(|after| after.split(')').next());
            found.extend(targets.filter(|target| !target.contains("://")).map(str::to_owned));
        }
    }
    found
}

/// The lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

fn leads_somewhere(root: &Path, page: &str, text: &str, link: &str) -> bool {
    let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
    if path.is_empty() {
        return heading.is_none_or(|heading| has_heading(text, heading));
    }
    let target = root.join(page).parent().unwrap().join(path);
    match heading {
        Some(heading) if path.ends_with(".md") => {
            std::fs::read_to_string(target).is_ok_and(|text| has_heading(&text, heading))
        }
        _ => target.exists(),
    }
}

/// Whether one of the headings has that anchor: lowercase, blanks to dashes, without punctuation.
fn has_heading(text: &str, anchor: &str) -> bool {
    prose(text).filter(|line| line.starts_with('#')).any(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        title.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).eq(anchor.chars())
    })
}
