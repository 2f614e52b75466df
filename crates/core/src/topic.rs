// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics by name: of the server's own cluster or of another one.
//!
//! A [`Topic`] is an identity: positions, watermarks and wake-ups are kept by it. A [`TopicRef`] is what a user writes where a
//! function reads or writes a topic: the topic, and options for the client that does so. Both have a text form:
//!
//! ```text
//! orders                                       a topic of the server's own cluster
//! persistent://shop/eu/orders                  a name of Apache Pulsar's form is a name like any other
//! orders@prod                                  of the cluster that the server's configuration calls `prod`
//! orders@kafka://b1:9092,b2:9092               of the cluster at these addresses, in whatever order they are given
//! orders@prod?group_id=billing&partition=3     with options
//! ```
//!
//! `%` and two hexadecimal digits stand for a byte, so that each part may hold what separates the parts.
//!
//! ```
//! use fnstream_core::topic::{Topic, TopicRef};
//!
//! let input: TopicRef = "orders@kafka://b2:9092,b1:9092?group_id=billing".parse().unwrap();
//! assert_eq!(input.topic.cluster.as_str(), "kafka://b1:9092,b2:9092");
//! assert_eq!(input.options["group_id"], "billing");
//! assert_eq!("orders".parse::<TopicRef>().unwrap().topic, Topic::own("orders"));
//! ```

mod cluster;
mod lost;
mod name;
mod schema;
mod secret;
mod serial;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorCode, Result};

pub use cluster::Cluster;
pub use lost::LostPosition;
pub use name::check_topic_name;
pub use schema::OutputSchema;
pub use secret::{MASK, is_secret, masked};

/// The option that names the only partition that is read or written.
pub const PARTITION: &str = "partition";
/// The option that names the group of consumers whose positions are moved.
pub const GROUP_ID: &str = "group_id";
/// The option of an input that says what becomes of a function whose place in it is gone; see [`LostPosition`].
pub const ON_LOST_POSITION: &str = "on-lost-position";
/// The option of an input that says whether its name is a pattern, for which the topics stand whose names match it: `true`, or `false` of a
/// topic that was found by one.
pub const TOPICS_PATTERN: &str = "topics_pattern";
/// The option of an output that says which schema its records are written with; see [`OutputSchema`].
pub const SCHEMA: &str = "schema";
/// The options that are the engine's: all others are properties of the client.
pub const OWN_OPTIONS: [&str; 5] = [GROUP_ID, PARTITION, ON_LOST_POSITION, TOPICS_PATTERN, SCHEMA];
/// The highest number of a partition, which is that of Kafka.
const MAX_PARTITION: u32 = i32::MAX as u32;

/// A topic: its name and the cluster where it lives.
///
/// Its persisted form is cluster and name, each as a string; of a topic of the server's own cluster the first is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// The place where it lives.
    pub cluster: Cluster,
    /// Its name there.
    pub name: Arc<str>,
}

impl Topic {
    /// The topic of that name in the server's own cluster. The name is taken as it is, see [`Topic::check`].
    pub fn own(name: impl Into<Arc<str>>) -> Topic {
        Topic { cluster: Cluster::own(), name: name.into() }
    }

    /// Checks that the name is one that a topic may have. `what` says what the topic is, for the message.
    pub fn check(&self, what: &str) -> Result<()> {
        check_topic_name(what, &self.name)
    }

    /// Its name, if it is a topic of the server's own cluster; else [`ErrorCode::ClusterUnknown`]. For a place that has only
    /// that cluster.
    pub fn own_name(&self) -> Result<&str> {
        if self.cluster.is_own() {
            return Ok(&self.name);
        }
        let message = format!("topic '{self}' is of the cluster '{}', which this server does not know", self.cluster);
        Err(Error::new(ErrorCode::ClusterUnknown, message))
    }
}

/// A topic as a function names it.
///
/// Shown, it has [`MASK`] for the values of its secret options ([`is_secret`]). What is stored or sent is its serialized form, which has
/// them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicRef {
    /// The topic.
    pub topic: Topic,
    /// Options by name: those of [`OWN_OPTIONS`], and properties for the client of the topic's cluster.
    pub options: BTreeMap<String, String>,
}

impl TopicRef {
    /// Checks the topic's name, the names of the options, and the values of its own ones. `what` says what the topic is, for the message.
    pub fn check(&self, what: &str) -> Result<()> {
        match self.is_pattern() {
            true => name::check_pattern(what, &self.topic.name)?,
            false => self.topic.check(what)?,
        }
        self.options.keys().try_for_each(|name| name::check_option(name))?;
        if let Some(name) = self.masked_secret() {
            let message = format!(
                "'{name}' of {what} '{}' is the mask that is shown instead of a value: give the value",
                self.topic
            );
            return Err(Error::new(ErrorCode::InvalidSpec, message));
        }
        self.options.get(ON_LOST_POSITION).map(|word| word.parse::<LostPosition>()).transpose()?;
        self.options.get(SCHEMA).map(|word| word.parse::<OutputSchema>()).transpose()?;
        if let Some(word) = self.options.get(TOPICS_PATTERN).filter(|word| !matches!(word.as_str(), "true" | "false")) {
            let message = format!("'{TOPICS_PATTERN}' is '{}', not 'true' or 'false'", word.escape_debug());
            return Err(Error::new(ErrorCode::InvalidSpec, message));
        }
        if self.is_pattern() && self.options.contains_key(PARTITION) {
            let message = format!("{what} '{}' is a pattern, of whose topics all partitions are meant", self.topic);
            return Err(Error::new(ErrorCode::InvalidSpec, message));
        }
        match self.options.get(PARTITION) {
            Some(text) if self.partition().is_none() => {
                let message = format!(
                    "partition '{}' of {what} '{}' is not a number from 0 to {MAX_PARTITION}",
                    text.escape_debug(),
                    self.topic
                );
                Err(Error::new(ErrorCode::InvalidName, message))
            }
            _ => Ok(()),
        }
    }

    /// The only partition that is meant; `None` when all are.
    pub fn partition(&self) -> Option<u32> {
        self.options.get(PARTITION)?.parse().ok().filter(|number| *number <= MAX_PARTITION)
    }

    /// What becomes of a function that reads it, if its place is gone. `None` for a topic of the server's own cluster: there it goes on
    /// at the oldest record that retention has left.
    pub fn on_lost_position(&self) -> Option<LostPosition> {
        let given = self.options.get(ON_LOST_POSITION).and_then(|word| word.parse().ok());
        given.or_else(|| (!self.topic.cluster.is_own()).then(LostPosition::default))
    }

    /// Whether its name is a pattern: it stands for the topics whose names match it, at any time.
    pub fn is_pattern(&self) -> bool {
        self.options.get(TOPICS_PATTERN).is_some_and(|word| word == "true")
    }

    /// The schema that records are written with, if it is an output.
    pub fn schema(&self) -> OutputSchema {
        self.options.get(SCHEMA).and_then(|word| word.parse().ok()).unwrap_or_default()
    }

    /// Whether a partition of the topic is meant.
    pub fn covers(&self, partition: u32) -> bool {
        self.partition().is_none_or(|only| only == partition)
    }
}

impl FromStr for Topic {
    type Err = Error;

    fn from_str(text: &str) -> Result<Topic> {
        let TopicRef { topic, options } = text::parse(text)?;
        match options.first_key_value() {
            None => Ok(topic),
            Some((name, _)) => Err(text::malformed(
                text,
                format_args!(
                    "has the option '{name}': options are given where a function names its inputs and outputs"
                ),
            )),
        }
    }
}

impl FromStr for TopicRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<TopicRef> {
        text::parse(text)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_topic(self, f)
    }
}

impl fmt::Display for TopicRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_topic(&self.topic, f)?;
        text::write_options(masked(&self.options), f)
    }
}

impl fmt::Debug for TopicRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = masked(&self.options);
        f.debug_struct("TopicRef").field("topic", &self.topic).field("options", &options).finish()
    }
}

/// Of the server's own cluster.
impl From<&str> for Topic {
    fn from(name: &str) -> Topic {
        Topic::own(name)
    }
}

/// Of the server's own cluster.
impl From<String> for Topic {
    fn from(name: String) -> Topic {
        Topic::own(name)
    }
}

impl From<Topic> for TopicRef {
    fn from(topic: Topic) -> TopicRef {
        TopicRef { topic, options: BTreeMap::new() }
    }
}

/// Of the server's own cluster, without options.
impl From<&str> for TopicRef {
    fn from(name: &str) -> TopicRef {
        Topic::own(name).into()
    }
}

/// Of the server's own cluster, without options.
impl From<String> for TopicRef {
    fn from(name: String) -> TopicRef {
        Topic::own(name).into()
    }
}

#[cfg(test)]
mod tests;
