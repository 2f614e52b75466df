// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From the parser's events to the tree. A stack of our own stands for recursion, so that no text can exhaust the thread's.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{Content, Key, MOST_DEPTH, MOST_NODES, Node, Scalar, small};
use crate::problem::{Place, Problem};

/// The tree, if there is one, unless something is wrong with the text. A text that stops being YAML ends there; what was wrong before is
/// reported too.
pub(super) fn build(text: &str) -> Result<Option<Node>, Vec<Problem>> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let done = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => Err(malformed(text, &error)),
        };
        match done {
            Ok(Step::On) => {}
            Ok(Step::Done) => break,
            Err(problem) => {
                builder.problems.push(problem);
                return Err(builder.problems);
            }
        }
    }
    if builder.problems.is_empty() { Ok(builder.root.filter(|root| !root.is_null())) } else { Err(builder.problems) }
}

enum Step {
    On,
    Done,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    /// The nodes that aliases may stand for, each with its size.
    anchors: HashMap<usize, (Node, Size)>,
    nodes: usize,
    documents: usize,
    problems: Vec<Problem>,
}

/// A list or block whose end was not reached.
struct Open {
    place: Place,
    anchor: usize,
    size: Size,
    held: Held,
}

enum Held {
    List(Vec<Node>),
    Block { entries: Vec<(Key, Node)>, seen: HashMap<String, Place>, key: Option<Key> },
}

/// The number of values in a node, itself included, and the depth at which they lie.
#[derive(Debug, Clone, Copy)]
struct Size {
    nodes: usize,
    depth: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<Step, Problem> {
        let place = Place { line: small(span.start.line()), column: small(span.start.col() + 1) };
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Problem::error(place, "a second document begins here: a file holds one"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_text(tag.as_deref(), place)?;
                let content = Content::Scalar(Scalar { text: text.into_owned(), plain });
                self.put(Node { place, content }, Size { nodes: 1, depth: 0 }, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                is_text(tag.as_deref(), place)?;
                self.open(place, anchor, Held::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                is_text(tag.as_deref(), place)?;
                self.open(place, anchor, Held::Block { entries: Vec::new(), seen: HashMap::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id) else {
                    return Err(Problem::error(place, "an alias cannot stand for what it is part of"));
                };
                // Counted before it is copied: an alias of aliases would be more than memory holds.
                if self.nodes + size.nodes > MOST_NODES {
                    return Err(too_many(place));
                }
                let (node, size) = (Node { place, content: node.content.clone() }, *size);
                self.put(node, size, 0)?;
            }
            Event::StreamEnd => return Ok(Step::Done),
            _ => {}
        }
        Ok(Step::On)
    }

    fn open(&mut self, place: Place, anchor: usize, held: Held) -> Result<(), Problem> {
        if self.open.len() >= MOST_DEPTH {
            return Err(too_deep(place));
        }
        self.open.push(Open { place, anchor, size: Size { nodes: 1, depth: 0 }, held });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(Open { place, anchor, size, held }) = self.open.pop() else { return Ok(()) };
        let content = match held {
            Held::List(nodes) => Content::List(nodes),
            Held::Block { entries, .. } => Content::Block(entries),
        };
        // What is in it has been counted.
        self.nodes -= size.nodes - 1;
        self.put(Node { place, content }, size, anchor)
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, node: Node, size: Size, anchor: usize) -> Result<(), Problem> {
        self.nodes += size.nodes;
        if self.nodes > MOST_NODES {
            return Err(too_many(node.place));
        }
        if self.open.len() + size.depth > MOST_DEPTH {
            return Err(too_deep(node.place));
        }
        if anchor != 0 {
            // What anchors keep is memory too.
            self.nodes += size.nodes;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        parent.size.nodes += size.nodes;
        parent.size.depth = parent.size.depth.max(size.depth + 1);
        match &mut parent.held {
            Held::List(nodes) => nodes.push(node),
            Held::Block { entries, seen, key } => match key.take() {
                None => *key = Some(key_of(node, &mut self.problems)),
                Some(name) => match seen.get(&name.name) {
                    None => {
                        seen.insert(name.name.clone(), name.place);
                        entries.push((name, node));
                    }
                    Some(first) => {
                        let message = format!("key '{}' is given twice", name.name.escape_debug());
                        self.problems
                            .push(Problem::error(name.place, message).hint(format!("the first is at {first}")));
                    }
                },
            },
        }
        Ok(())
    }
}

fn key_of(node: Node, problems: &mut Vec<Problem>) -> Key {
    let shape = node.shape();
    match node.content {
        Content::Scalar(scalar) => {
            if scalar.text == "<<" && scalar.plain {
                let problem = Problem::error(node.place, "merge keys ('<<') are not taken");
                problems.push(problem.hint("write the keys out"));
            }
            Key { place: node.place, name: scalar.text }
        }
        _ => {
            problems.push(Problem::error(node.place, format!("a key is text, not {shape}")));
            // Unlike any other, so that it is not found twice.
            Key { place: node.place, name: format!("\0{}", node.place) }
        }
    }
}

/// Reports whether a tag makes a value text whatever it looks like.
fn is_text(tag: Option<&Tag>, place: Place) -> Result<bool, Problem> {
    match tag {
        None => Ok(false),
        Some(tag) => match tag.core_suffix() {
            Some(suffix) => Ok(suffix == "str"),
            None if tag.handle().is_empty() && tag.suffix() == "!" || tag.original() == "!" => Ok(true),
            None => Err(Problem::error(place, format!("the tag '{}' is not taken", tag.original().escape_debug()))),
        },
    }
}

fn too_many(place: Place) -> Problem {
    Problem::error(place, format!("the text makes more than {MOST_NODES} values"))
}

fn too_deep(place: Place) -> Problem {
    Problem::error(place, format!("lists and blocks lie more than {MOST_DEPTH} deep in each other"))
}

fn malformed(text: &str, error: &ScanError) -> Problem {
    let marker = error.marker();
    let place = Place { line: small(marker.line()), column: small(marker.col() + 1) };
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return too_deep(place);
    }
    let line = text.lines().nth(marker.line().saturating_sub(1)).unwrap_or_default();
    let indentation = &line[..line.len() - line.trim_start().len()];
    if let Some(tab) = indentation.find('\t') {
        let place = Place { column: small(tab + 1), ..place };
        return Problem::error(place, "a tab is used for indentation: YAML takes spaces only");
    }
    // The parser's own words, in one line.
    let info = error.info();
    let info = info.lines().next().unwrap_or_default().trim_end_matches('.');
    Problem::error(place, format!("not valid YAML: {info}"))
}
