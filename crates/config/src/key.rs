// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a table of keys is made of. One table drives the reading, the hints, the JSON schema and the reference, so that no
//! two of them can differ.

/// A key of a block.
#[derive(Debug)]
pub struct Key {
    /// What it is called. One that ends with `*` stands for all that begin so.
    pub name: &'static str,
    /// Another name for it.
    pub alias: Option<&'static str>,
    /// What its value is.
    pub kind: &'static Kind,
    /// Whether it must be there.
    pub required: bool,
    /// What it is when it is not there, as a reader is told; empty when nothing is.
    pub default: &'static str,
    /// What it does: a sentence for its reader.
    pub doc: &'static str,
    /// Why it does nothing, should that be so: whoever gives it gets a note.
    pub idle: Option<&'static str>,
}

/// What a value is.
#[derive(Debug)]
pub enum Kind {
    /// Text that says something.
    Text,
    /// Text that may be empty.
    AnyText,
    /// The path of a file or folder.
    Path,
    /// Which log lines are written: a level, or directives as in `RUST_LOG` with commas between them.
    LogFilter,
    /// `host:port`, with or without the host.
    Address,
    /// One of several words.
    Word(&'static [Word]),
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Number(u64, u64),
    /// A number with its unit, such as `5s`.
    Duration,
    /// A size such as `64MiB`; a number alone counts what is given here.
    Size(u64),
    /// Names with texts; numbers and booleans are taken as they are written.
    Texts,
    /// A list of one kind, with the least and the most that there are of it.
    List(&'static Kind, usize, usize),
    /// A block of these keys.
    Block(&'static [Key]),
    /// A block whose other keys are told by a word of it.
    Tagged(&'static Tagged),
    /// One of several, told apart by what stands there.
    Either(&'static [Kind]),
    /// Whatever it is, nobody looks at it.
    Any,
}

/// A word that may stand somewhere.
#[derive(Debug)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Why it cannot be had, if it cannot.
    pub refused: Option<&'static str>,
    /// Why it does nothing, should that be so: whoever gives it gets a note.
    pub idle: Option<&'static str>,
}

/// A block whose keys depend on a word in it.
#[derive(Debug)]
pub struct Tagged {
    /// The key of the word.
    pub tag: &'static str,
    /// What the word chooses.
    pub doc: &'static str,
    /// The words.
    pub variants: &'static [Variant],
}

/// What a word in a block chooses.
#[derive(Debug)]
pub struct Variant {
    /// The word.
    pub word: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// The keys of the block, without that of the word.
    pub keys: &'static [Key],
    /// What becomes of others.
    pub others: Others,
}

/// What becomes of keys that a block does not name.
#[derive(Debug)]
pub enum Others {
    /// They are mistakes.
    Refused,
    /// They pass to the client of a broker, if their names could be settings of it: except these, for the reasons beside
    /// them. Names without a dot are settings when they are in the second list.
    Passed(&'static [(&'static str, &'static str)], &'static [&'static str]),
}

impl Key {
    /// A key that need not be there.
    pub(crate) const fn new(name: &'static str, kind: &'static Kind, default: &'static str, doc: &'static str) -> Self {
        Key { name, alias: None, kind, required: false, default, doc, idle: None }
    }

    /// A key that must be there.
    pub(crate) const fn required(name: &'static str, kind: &'static Kind, doc: &'static str) -> Self {
        Key { required: true, ..Key::new(name, kind, "", doc) }
    }

    /// A key that does nothing, and why.
    pub(crate) const fn idle(name: &'static str, kind: &'static Kind, why: &'static str) -> Self {
        Key { idle: Some(why), ..Key::new(name, kind, "", "Accepted, without effect.") }
    }

    /// The same key under another name too.
    pub(crate) const fn or(self, alias: &'static str) -> Self {
        Key { alias: Some(alias), ..self }
    }

    /// Whether it is the one of a name.
    pub(crate) fn is(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => self.name == name || self.alias == Some(name),
        }
    }
}

impl Word {
    pub(crate) const fn new(name: &'static str, doc: &'static str) -> Self {
        Word { name, doc, refused: None, idle: None }
    }

    pub(crate) const fn refused(name: &'static str, why: &'static str) -> Self {
        Word { refused: Some(why), ..Word::new(name, "") }
    }

    pub(crate) const fn idle(name: &'static str, why: &'static str) -> Self {
        Word { idle: Some(why), ..Word::new(name, "Accepted, without effect.") }
    }
}
