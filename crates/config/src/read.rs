// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From a tree to values, as a table of keys says. All that does not fit is reported; what does is returned, so that whoever
//! looks further can report more.

use fnstream_core::units::counted;
use fnstream_core::units::{parse_duration, parse_size, parse_size_in, write_size};

use crate::hint::{self, quoted};
use crate::key::{Key, Kind, Others, Tagged, Word};
use crate::problem::{Place, Problem};
use crate::tree::{Content, Node, Scalar, Shape};
use crate::value::{At, Block, Value};

/// Reads by a table and gathers what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub problems: Vec<Problem>,
}

impl Reader {
    /// The block that a whole text is.
    pub(crate) fn root(&mut self, node: &Node, keys: &'static [Key]) -> Block {
        match &node.content {
            Content::Block(entries) => self.block("", node.place, entries, keys),
            _ => {
                self.refuse(node.place, format!("the file holds {}, not keys with values", node.shape()));
                Block::empty(node.place)
            }
        }
    }

    /// A value of a kind, under the path by which messages call it.
    pub(crate) fn value(&mut self, path: &str, node: &Node, kind: &'static Kind) -> Option<At<Value>> {
        let value = match (kind, &node.content) {
            (Kind::Any, _) => Some(Value::Ignored),
            (Kind::Either(kinds), _) => return self.value(path, node, chosen(kinds, node)),
            // A key with nothing behind it is a block without keys.
            (Kind::Block(keys), Content::Scalar(_)) if node.is_null() => {
                Some(Value::Block(self.block(path, node.place, &[], keys)))
            }
            (Kind::Texts, Content::Scalar(_)) if node.is_null() => Some(Value::Texts(Vec::new())),
            (Kind::Block(keys), Content::Block(entries)) => {
                Some(Value::Block(self.block(path, node.place, entries, keys)))
            }
            (Kind::Tagged(tagged), Content::Block(entries)) => {
                self.tagged(path, node.place, entries, tagged).map(Value::Block)
            }
            (Kind::Texts, Content::Block(entries)) => Some(Value::Texts(self.texts(path, entries))),
            (Kind::List(of, least, most), Content::List(nodes)) => {
                self.list(path, node.place, nodes, of, *least, *most).map(Value::List)
            }
            (Kind::Block(_) | Kind::Tagged(_) | Kind::Texts | Kind::List(..), _)
            | (_, Content::List(_) | Content::Block(_)) => {
                self.mistaken(path, node, kind);
                None
            }
            (_, Content::Scalar(scalar)) => self.scalar(path, node, scalar, kind),
        };
        value.map(|value| At { place: node.place, value })
    }

    fn block(&mut self, path: &str, place: Place, entries: &[(crate::tree::Key, Node)], keys: &'static [Key]) -> Block {
        let mut block = Block::empty(place);
        for (name, node) in entries {
            match keys.iter().find(|key| key.is(&name.name)) {
                Some(key) => self.entry(&mut block, path, name, node, key),
                None => self.unknown(path, name, keys, &[]),
            }
        }
        self.missing(path, place, entries, keys);
        block
    }

    fn tagged(
        &mut self,
        path: &str,
        place: Place,
        entries: &[(crate::tree::Key, Node)],
        tagged: &'static Tagged,
    ) -> Option<Block> {
        let words = || tagged.variants.iter().map(|variant| variant.word).collect::<Vec<_>>();
        let Some((_, tag)) = entries.iter().find(|(name, _)| name.name == tagged.tag) else {
            let all: Vec<_> = tagged.variants.iter().flat_map(|variant| variant.keys).map(|key| key.name).collect();
            let near = entries.iter().find(|(name, _)| {
                !all.contains(&name.name.as_str()) && hint::nearest(&name.name, [tagged.tag]).is_some()
            });
            let problem = match near {
                Some((name, _)) => {
                    Problem::error(name.place, format!("unknown key {} in '{path}'", quoted(&name.name)))
                        .hint(format!("did you mean '{}'?", tagged.tag))
                }
                None => Problem::error(place, format!("'{path}' has no '{}'", tagged.tag))
                    .hint(format!("it is one of {}", words().join(", "))),
            };
            self.problems.push(problem);
            return None;
        };
        let tag_path = join(path, tagged.tag);
        let Content::Scalar(scalar) = &tag.content else {
            self.refuse(tag.place, format!("'{tag_path}' is {}, not a word", tag.shape()));
            return None;
        };
        let Some(variant) = tagged.variants.iter().find(|variant| variant.word == scalar.text) else {
            self.not_a_word(&tag_path, tag.place, &scalar.text, &words());
            return None;
        };
        let mut block = Block { word: Some(variant.word), ..Block::empty(place) };
        for (name, node) in entries.iter().filter(|(name, _)| name.name != tagged.tag) {
            match (variant.keys.iter().find(|key| key.is(&name.name)), &variant.others) {
                (Some(key), _) => self.entry(&mut block, path, name, node, key),
                (None, Others::Refused) => self.unknown(path, name, variant.keys, &[tagged.tag]),
                (None, Others::Passed(refused, plain)) => match refused.iter().find(|(key, _)| *key == name.name) {
                    Some((key, why)) => self.refuse(name.place, format!("'{}' cannot be set: {why}", join(path, key))),
                    None if name.name.contains('.') || plain.contains(&name.name.as_str()) => {
                        let text = self.text_of(&join(path, &name.name), node);
                        block.passed.extend(text.map(|text| (name.name.clone(), text)));
                    }
                    None => self.unknown(path, name, variant.keys, &[tagged.tag]),
                },
            }
        }
        self.missing(path, place, entries, variant.keys);
        Some(block)
    }

    fn entry(&mut self, block: &mut Block, path: &str, name: &crate::tree::Key, node: &Node, key: &'static Key) {
        let path = join(path, &name.name);
        if let Some((_, first)) = block.entries.iter().find(|(seen, _)| *seen == key.name && !key.name.ends_with('*')) {
            let other = if name.name == key.name { key.alias.unwrap_or(key.name) } else { key.name };
            let problem = Problem::error(name.place, format!("'{path}' is the same as '{other}', which is given too"));
            self.problems.push(problem.hint(format!("its value is at {}", first.place)));
            return;
        }
        if let Some(why) = key.idle {
            self.problems.push(Problem::note(name.place, format!("'{path}' has no effect: {why}")));
        }
        if let Some(value) = self.value(&path, node, key.kind) {
            block.entries.push((key.name, value));
        }
    }

    fn missing(&mut self, path: &str, place: Place, entries: &[(crate::tree::Key, Node)], keys: &'static [Key]) {
        for key in keys.iter().filter(|key| key.required) {
            if !entries.iter().any(|(name, _)| key.is(&name.name)) {
                let message = match path {
                    "" => format!("key '{}' is missing", key.name),
                    path => format!("'{path}' has no '{}'", key.name),
                };
                self.refuse(place, message);
            }
        }
    }

    fn unknown(&mut self, path: &str, name: &crate::tree::Key, keys: &'static [Key], more: &[&'static str]) {
        let within = if path.is_empty() { String::new() } else { format!(" in '{path}'") };
        let mut known: Vec<&str> = more.to_vec();
        known.extend(keys.iter().map(|key| key.name).filter(|name| !name.ends_with('*')));
        // What does something is nearer than what does nothing, and only that is worth a list.
        let useful = |name: &&str| !keys.iter().any(|key| key.name == *name && key.idle.is_some());
        let hint = match hint::nearest(&name.name, known.iter().copied()) {
            Some(nearest) => Some(format!("did you mean '{nearest}'?")),
            None => hint::of(&name.name, &known.iter().copied().filter(useful).collect::<Vec<_>>()),
        };
        let problem = Problem::error(name.place, format!("unknown key {}{within}", quoted(&name.name)));
        self.problems.push(Problem { hint, ..problem });
    }

    fn list(
        &mut self,
        path: &str,
        place: Place,
        nodes: &[Node],
        of: &'static Kind,
        least: usize,
        most: usize,
    ) -> Option<Vec<At<Value>>> {
        if !(least..=most).contains(&nodes.len()) {
            let bounds = if most == usize::MAX { format!("{least} or more") } else { format!("{least} to {most}") };
            self.refuse(place, format!("'{path}' holds {}, not {bounds}", counted(nodes.len(), "entry")));
            // What is in a list that is too long would only be reported a thousand times.
            return None;
        }
        let read = |(index, node)| self.value(&format!("{path}[{index}]"), node, of);
        Some(nodes.iter().enumerate().filter_map(read).collect())
    }

    fn texts(&mut self, path: &str, entries: &[(crate::tree::Key, Node)]) -> Vec<(At<String>, String)> {
        let read = |(name, node): &(crate::tree::Key, Node)| {
            let text = self.text_of(&join(path, &name.name), node)?;
            Some((At { place: name.place, value: name.name.clone() }, text))
        };
        entries.iter().filter_map(read).collect()
    }

    /// A text, or a number or boolean as it is written.
    fn text_of(&mut self, path: &str, node: &Node) -> Option<String> {
        match &node.content {
            Content::Scalar(scalar) if scalar.shape() != Shape::Null => Some(scalar.text.clone()),
            Content::Scalar(_) => {
                let problem = Problem::error(node.place, format!("'{path}' has no value"));
                self.problems.push(problem.hint("write \"\" for empty text"));
                None
            }
            _ => {
                self.refuse(node.place, format!("'{path}' is {}, not text, a number or a boolean", node.shape()));
                None
            }
        }
    }

    fn scalar(&mut self, path: &str, node: &Node, scalar: &Scalar, kind: &'static Kind) -> Option<Value> {
        let (place, text) = (node.place, &scalar.text);
        match (kind, scalar.shape()) {
            (_, Shape::Null) => {
                self.refuse(place, format!("'{path}' has no value"));
                None
            }
            (Kind::Bool, Shape::Bool(value)) => Some(Value::Bool(value)),
            (Kind::Number(..), Shape::Whole)
            | (Kind::Size(_) | Kind::SizeFrom(_), Shape::Whole)
            | (Kind::Duration | Kind::Size(_) | Kind::SizeFrom(_), Shape::Text) => self.parsed(path, place, text, kind),
            (Kind::Duration, Shape::Whole) => {
                let problem = Problem::error(place, format!("'{path}' is a number without a unit"));
                self.problems.push(problem.hint(format!("write {text}ms, {text}s, {text}m, {text}h or {text}d")));
                None
            }
            (Kind::Word(_), _) => self.parsed(path, place, text, kind),
            (Kind::Text | Kind::AnyText | Kind::Path | Kind::LogFilter | Kind::Address, Shape::Text) => {
                self.parsed(path, place, text, kind)
            }
            (Kind::Text | Kind::AnyText | Kind::Path | Kind::LogFilter, shape) => {
                let problem = Problem::error(place, format!("'{path}' is {}, not text", shape.name()));
                self.problems.push(problem.hint(format!("put it in quotes: \"{text}\"")));
                None
            }
            _ => {
                self.mistaken(path, node, kind);
                None
            }
        }
    }

    /// A value that was given as text, as on a command line or in an environment variable.
    pub(crate) fn parsed(&mut self, path: &str, place: Place, text: &str, kind: &'static Kind) -> Option<Value> {
        match parsed(path, text, kind) {
            Ok(value) => {
                if let Some(why) = idle_word(kind, text) {
                    self.problems.push(Problem::note(place, format!("'{path}: {text}' has no effect: {why}")));
                }
                Some(value)
            }
            Err((message, hint)) => {
                self.problems.push(Problem { hint, ..Problem::error(place, message) });
                None
            }
        }
    }

    fn mistaken(&mut self, path: &str, node: &Node, kind: &'static Kind) {
        if node.is_null() {
            return self.refuse(node.place, format!("'{path}' has no value"));
        }
        let what = match &node.content {
            Content::Scalar(scalar) => format!("{} ({})", node.shape(), quoted(&scalar.text)),
            _ => node.shape().to_owned(),
        };
        self.refuse(node.place, format!("'{path}' is {what}, not {}", kind.expected()));
    }

    fn not_a_word(&mut self, path: &str, place: Place, text: &str, words: &[&str]) {
        let (message, hint) = not_a_word(path, text, words);
        self.problems.push(Problem { hint, ..Problem::error(place, message) });
    }

    fn refuse(&mut self, place: Place, message: String) {
        self.problems.push(Problem::error(place, message));
    }
}

/// Which of several kinds is meant by what stands there; the last when none fits better.
fn chosen(kinds: &'static [Kind], node: &Node) -> &'static Kind {
    let fits = |kind: &&Kind| match (kind, &node.content) {
        (Kind::Word(words), Content::Scalar(scalar)) => words.iter().any(|word| word.name == scalar.text),
        (Kind::Block(_) | Kind::Tagged(_) | Kind::Texts, Content::Block(_)) | (Kind::List(..), Content::List(_)) => {
            true
        }
        _ => false,
    };
    let scalar = |kind: &&Kind| {
        matches!(node.content, Content::Scalar(_))
            && !matches!(kind, Kind::Block(_) | Kind::Tagged(_) | Kind::Texts | Kind::List(..))
    };
    kinds.iter().find(fits).or_else(|| kinds.iter().rev().find(scalar)).unwrap_or(&kinds[kinds.len() - 1])
}

type Refusal = (String, Option<String>);

/// A single value from its text.
pub(crate) fn parsed(path: &str, text: &str, kind: &'static Kind) -> Result<Value, Refusal> {
    let plain = |message: String| Err((message, None));
    match kind {
        Kind::LogFilter => log_filter(path, text),
        Kind::Text | Kind::Path if text.is_empty() => plain(format!("'{path}' is empty")),
        Kind::Text | Kind::Path if text.contains('\0') => plain(format!("'{path}' holds a zero byte")),
        Kind::Text | Kind::AnyText | Kind::Path => Ok(Value::Text(text.to_owned())),
        Kind::Address => match text.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(_)) => Ok(Value::Text(text.to_owned())),
            _ => plain(format!("'{path}' is {}, not host:port", quoted(text))),
        },
        Kind::Word(words) => word(path, text, words),
        Kind::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => plain(format!("'{path}' is {}, not true or false", quoted(text))),
        },
        Kind::Number(least, most) => match text.strip_prefix('+').unwrap_or(text).parse::<u64>() {
            Ok(number) if (*least..=*most).contains(&number) => Ok(Value::Number(number)),
            _ => plain(format!("'{path}' is {}, not {}", quoted(text).trim_matches('\''), kind.expected())),
        },
        Kind::Duration => match parse_duration(text) {
            Ok(time) => Ok(Value::Duration(time)),
            Err(why) => plain(format!("'{path}': {why}")),
        },
        Kind::Size(unit) => match parse_size_in(text, *unit) {
            Ok(0) => plain(format!("'{path}' is 0: nothing would fit")),
            Ok(bytes) => Ok(Value::Size(bytes)),
            Err(why) => plain(format!("'{path}': {why}")),
        },
        Kind::SizeFrom(least) => match parse_size(text) {
            Ok(bytes) if bytes < *least as u64 => {
                plain(format!("'{path}' is {}, not {}", write_size(bytes), kind.expected()))
            }
            Ok(bytes) => Ok(Value::Size(bytes)),
            Err(why) => plain(format!("'{path}': {why}")),
        },
        Kind::Any => Ok(Value::Ignored),
        Kind::Texts | Kind::List(..) | Kind::Block(_) | Kind::Tagged(_) | Kind::Either(_) => {
            plain(format!("'{path}' is {}, not {}", quoted(text), kind.expected()))
        }
    }
}

/// A directive without a level turns one target on and everything else off: nobody who writes one word means that.
fn log_filter(path: &str, text: &str) -> Result<Value, Refusal> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    for directive in text.split(',').map(str::trim) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) && !matches!(level.as_bytes(), [b'0'..=b'5']) {
            return Err(not_a_word(path, level, &LEVELS));
        }
    }
    Ok(Value::Text(text.to_owned()))
}

fn word(path: &str, text: &str, words: &'static [Word]) -> Result<Value, Refusal> {
    match words.iter().find(|word| word.name == text) {
        Some(Word { refused: Some(why), .. }) => Err((format!("'{path}' cannot be '{text}': {why}"), None)),
        Some(word) => Ok(Value::Word(word.name)),
        None => {
            let known: Vec<_> = words.iter().filter(|word| word.refused.is_none()).map(|word| word.name).collect();
            Err(not_a_word(path, text, &known))
        }
    }
}

/// Why a word does nothing that may stand there.
fn idle_word(kind: &'static Kind, text: &str) -> Option<&'static str> {
    match kind {
        Kind::Word(words) => words.iter().find(|word| word.name == text)?.idle,
        _ => None,
    }
}

fn not_a_word(path: &str, text: &str, words: &[&str]) -> Refusal {
    let message = format!("'{path}' is {}, not one of {}", quoted(text), words.join(", "));
    (message, hint::nearest(text, words.iter().copied()).map(|near| format!("did you mean '{near}'?")))
}

impl Kind {
    /// Describes what has to stand there.
    pub(crate) fn expected(&self) -> String {
        match self {
            Kind::Text | Kind::AnyText => "text".to_owned(),
            Kind::Path => "a path".to_owned(),
            Kind::LogFilter => "a level".to_owned(),
            Kind::Address => "host:port".to_owned(),
            Kind::Word(_) => "a word".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Number(least, u64::MAX) => format!("a whole number of {least} or more"),
            Kind::Number(least, most) => format!("a whole number of {least} to {most}"),
            Kind::Duration => "a duration such as 5s".to_owned(),
            Kind::Size(_) => "a size such as 16MiB".to_owned(),
            Kind::SizeFrom(least) => format!("a size of {} or more", write_size(*least as u64)),
            Kind::Texts => "names with values".to_owned(),
            Kind::List(..) => "a list".to_owned(),
            Kind::Block(_) | Kind::Tagged(_) => "a block".to_owned(),
            Kind::Either(kinds) => kinds.iter().map(Kind::expected).collect::<Vec<_>>().join(" or "),
            Kind::Any => "anything".to_owned(),
        }
    }
}

fn join(path: &str, name: &str) -> String {
    let name = quoted(name);
    let name = &name[1..name.len() - 1];
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
