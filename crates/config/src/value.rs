// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Values that a table of keys let pass, each with its place.

use std::time::Duration;

use crate::problem::Place;

/// Something with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub place: Place,
    pub value: T,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Word(&'static str),
    Bool(bool),
    Number(u64),
    Duration(Duration),
    Size(u64),
    Texts(Vec<(At<String>, String)>),
    List(Vec<At<Value>>),
    Block(Block),
    /// There, and of no effect.
    Ignored,
}

/// The values of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub place: Place,
    /// The word that chose its keys.
    pub word: Option<&'static str>,
    /// The keys of the table that were there and right.
    pub entries: Vec<(&'static str, At<Value>)>,
    /// Keys that pass to a client.
    pub passed: Vec<(String, String)>,
}

impl Block {
    pub(crate) fn empty(place: Place) -> Self {
        Block { place, word: None, entries: Vec::new(), passed: Vec::new() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&At<Value>> {
        self.entries.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Returns the place of a key's value, or of the block when it is not there.
    pub(crate) fn place_of(&self, name: &str) -> Place {
        self.get(name).map_or(self.place, |at| at.place)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match &self.get(name)?.value {
            Value::Text(text) => Some(text),
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self.get(name), Some(At { value: Value::Bool(true), .. }))
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)?.value {
            Value::Number(number) | Value::Size(number) => Some(number),
            _ => None,
        }
    }

    /// A number whose bounds in the table fit the type.
    pub(crate) fn fitting<N: TryFrom<u64>>(&self, name: &str) -> Option<N> {
        self.number(name).and_then(|number| N::try_from(number).ok())
    }

    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        match self.get(name)?.value {
            Value::Duration(time) => Some(time),
            _ => None,
        }
    }

    pub(crate) fn list(&self, name: &str) -> &[At<Value>] {
        match self.get(name).map(|at| &at.value) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    pub(crate) fn texts(&self, name: &str) -> &[(At<String>, String)] {
        match self.get(name).map(|at| &at.value) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    pub(crate) fn block(&self, name: &str) -> Option<&Block> {
        match &self.get(name)?.value {
            Value::Block(block) => Some(block),
            _ => None,
        }
    }
}
