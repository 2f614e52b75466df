// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Settings as they are shown: each with its value and where it came from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fnstream_core::units::{write_duration, write_size};
use serde_json::{Value as Json, json};

use crate::key::Key;
use crate::problem::Place;
use crate::tree::{Scalar, Shape};
use crate::value::Value;

/// All settings, in the order of the table.
#[derive(Debug, Clone)]
pub struct Effective {
    pub(super) settings: Vec<Setting>,
}

/// A setting with its value.
#[derive(Debug, Clone)]
pub struct Setting {
    pub(super) section: &'static str,
    pub(super) key: &'static Key,
    pub(super) value: Option<Value>,
    pub(super) origin: Origin,
    pub(super) bound: Option<Bound>,
}

/// What is in force of a setting that asks for more than there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// What is in force, as in a file.
    pub in_force: String,
    /// What bounds it: the name of another setting, or a limit of the system.
    pub by: &'static str,
}

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// A file, at that place.
    File(String, Place),
    /// The environment variable of that name.
    Variable(String),
    /// That flag.
    Flag(&'static str),
}

impl Origin {
    /// Returns the name that messages use for it.
    pub(super) fn name(&self) -> &str {
        match self {
            Origin::Default => "default",
            Origin::File(name, _) | Origin::Variable(name) => name,
            Origin::Flag(name) => name,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(name, place) => write!(f, "{name}:{}", place.line),
            Origin::Variable(name) => write!(f, "env {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

impl Setting {
    /// Its name, such as `service.port`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key.name)
    }

    /// Returns the origin of its value.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The value as in a file; nothing when there is none.
    pub fn text(&self) -> Option<String> {
        self.value.as_ref().map(text)
    }
}

impl Effective {
    /// Each of them.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// Notes that less of a setting is in force than it asks for.
    pub fn bind(&mut self, path: &str, bound: Bound) {
        if let Some(setting) = self.settings.iter_mut().find(|setting| setting.path() == path) {
            setting.bound = Some(bound);
        }
    }

    /// As a file that a server could be started with, with the origin of each value beside it, and what is in force of one that asks
    /// for more than there is.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for setting in &self.settings {
            if setting.section != section {
                section = setting.section;
                let gap = if out.is_empty() { "" } else { "\n" };
                out += &format!("{gap}{section}:\n");
            }
            let entry = match setting.text() {
                Some(text) => format!("  {}: {text}", setting.key.name),
                None => format!("  #{}:", setting.key.name),
            };
            let bound = setting.bound.as_ref();
            let bound = bound.map(|bound| format!("; {} bounds it to {}", bound.by, bound.in_force));
            out += &format!("{entry:<40} # {}{}\n", setting.origin, bound.unwrap_or_default());
        }
        out
    }

    /// As JSON: an object with an entry for each, which has the value and the origin.
    pub fn to_json(&self) -> Json {
        let entry = |setting: &Setting| {
            let value = setting.value.as_ref().map_or(Json::Null, as_json);
            let mut entry = json!({ "value": value, "origin": setting.origin.to_string() });
            if let Some(bound) = &setting.bound {
                entry["in_force"] = Json::from(bound.in_force.as_str());
                entry["bounded_by"] = Json::from(bound.by);
            }
            (setting.path(), entry)
        };
        Json::Object(self.settings.iter().map(entry).collect())
    }

    pub(super) fn find(&self, path: &str) -> &Setting {
        let found = self.settings.iter().find(|setting| setting.path() == path);
        // The paths that are asked for are written in this crate, and a test asks for all of them.
        found.unwrap_or_else(|| unreachable!("no setting {path}"))
    }

    pub(super) fn string(&self, path: &str) -> Option<&str> {
        match self.find(path).value.as_ref()? {
            Value::Text(text) => Some(text),
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn number(&self, path: &str) -> Option<u64> {
        match self.find(path).value {
            Some(Value::Number(number) | Value::Size(number)) => Some(number),
            _ => None,
        }
    }

    /// A number whose bounds in the table fit the type.
    pub(super) fn fitting<N: TryFrom<u64>>(&self, path: &str) -> Option<N> {
        self.number(path).and_then(|number| N::try_from(number).ok())
    }

    pub(super) fn is(&self, path: &str) -> bool {
        self.find(path).value == Some(Value::Bool(true))
    }

    pub(super) fn duration(&self, path: &str) -> Option<Duration> {
        match self.find(path).value {
            Some(Value::Duration(time)) => Some(time),
            _ => None,
        }
    }

    /// A path, under the home folder unless a flag gave it.
    pub(super) fn file(&self, path: &str, home: Option<&Path>) -> Option<PathBuf> {
        let text = self.string(path)?;
        Some(under(home.filter(|_| !matches!(self.find(path).origin, Origin::Flag(_))), text))
    }

    pub(super) fn files(&self, path: &str, home: Option<&Path>) -> Vec<PathBuf> {
        let setting = self.find(path);
        let home = home.filter(|_| !matches!(setting.origin, Origin::Flag(_)));
        self.texts(path).iter().map(|text| under(home, text)).collect()
    }

    pub(super) fn texts(&self, path: &str) -> Vec<String> {
        let Some(Value::List(list)) = &self.find(path).value else { return Vec::new() };
        let texts = list.iter().filter_map(|at| match &at.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        });
        texts.collect()
    }
}

fn under(home: Option<&Path>, path: &str) -> PathBuf {
    home.map_or_else(|| PathBuf::from(path), |home| home.join(path))
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Word(word) => (*word).to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Duration(time) => write_duration(*time),
        Value::Size(bytes) => write_size(*bytes),
        Value::List(list) => format!("[{}]", list.iter().map(|at| text(&at.value)).collect::<Vec<_>>().join(", ")),
        // No setting is one of these.
        Value::Texts(_) | Value::Block(_) | Value::Ignored => String::new(),
    }
}

/// In quotes unless it is text without them. What JSON writes, YAML reads.
fn quoted(text: &str) -> String {
    let simple = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    let port =
        |text: &str| text.rsplit_once(':').is_some_and(|(host, port)| host.chars().all(simple) && !port.is_empty());
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_'));
    // A colon is an end only before a space.
    let scheme = |text: &str| text.chars().all(|c| simple(c) || c == '+');
    let rest = text.split_once("://").filter(|(before, _)| scheme(before)).map_or(text, |(_, rest)| rest);
    let plain = begins && (rest.chars().all(simple) || port(rest) && rest.ends_with(|c: char| c.is_ascii_digit()));
    let scalar = Scalar { text: text.to_owned(), plain: true };
    if plain && scalar.shape() == Shape::Text { text.to_owned() } else { Json::from(text).to_string() }
}

fn as_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::from(*value),
        Value::Number(number) => Json::from(*number),
        Value::Text(text) => Json::from(text.as_str()),
        Value::List(list) => Json::Array(list.iter().map(|at| as_json(&at.value)).collect()),
        other => Json::from(text(other)),
    }
}
