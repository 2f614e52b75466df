// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Tables of keys. One table drives the reading, the hints, the JSON schema and the reference, so that no
//! two of them can differ.

/// A key of a block.
#[derive(Debug)]
pub struct Key {
    /// Its name. One that ends with `*` stands for all that begin so.
    pub name: &'static str,
    /// Another name for it.
    pub alias: Option<&'static str>,
    /// The kind of its value.
    pub kind: &'static Kind,
    /// Set if it must be there.
    pub required: bool,
    /// Its value when it is not given, as documentation shows it; empty if it has none then.
    pub default: &'static str,
    /// Its effect: a sentence for its reader.
    pub doc: &'static str,
    /// The reason, if it has no effect: whoever gives it gets a note.
    pub idle: Option<&'static str>,
}

/// The kind of a value.
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
    /// A size in bytes that is at least so many.
    SizeFrom(usize),
    /// Names with texts; numbers and booleans are taken as they are written.
    Texts,
    /// A list of one kind, with the least and the most that there are of it.
    List(&'static Kind, usize, usize),
    /// A block of these keys.
    Block(&'static [Key]),
    /// A block whose other keys depend on a word in it.
    Tagged(&'static Tagged),
    /// One of several, distinguished by what stands there.
    Either(&'static [Kind]),
    /// Whatever it is, nobody looks at it.
    Any,
}

/// A word that may stand somewhere.
#[derive(Debug)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// Its meaning.
    pub doc: &'static str,
    /// The reason, if this build refuses it.
    pub refused: Option<&'static str>,
    /// The reason, if it has no effect: whoever gives it gets a note.
    pub idle: Option<&'static str>,
}

/// A block whose keys depend on a word in it.
#[derive(Debug)]
pub struct Tagged {
    /// The key of the word.
    pub tag: &'static str,
    /// The choice that the word makes.
    pub doc: &'static str,
    /// The words.
    pub variants: &'static [Variant],
}

/// One choice of a word in a block.
#[derive(Debug)]
pub struct Variant {
    /// The word.
    pub word: &'static str,
    /// Its meaning.
    pub doc: &'static str,
    /// The keys of the block, without that of the word.
    pub keys: &'static [Key],
    /// The treatment of other keys.
    pub others: Others,
}

/// The treatment of keys that a block does not name.
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

    /// Reports whether it is the one of a name.
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
