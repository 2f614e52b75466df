// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics in JSON and in what is persisted.
//!
//! JSON and its like have the text form; an object `{name, cluster, options}` is read as well. Compact formats have the parts
//! one after the other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Cluster, Topic, TopicRef, text};
use crate::error::{Error, Result};

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { (&self.cluster, &self.name).serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        if from.is_human_readable() {
            return from.deserialize_any(Written)?.try_into().map_err(|e: Error| D::Error::custom(e.message));
        }
        let (cluster, name) = <(Cluster, Arc<str>)>::deserialize(from)?;
        Ok(Topic { cluster, name })
    }
}

/// The text form with secrets.
struct Whole<'a>(&'a TopicRef);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Whole(named) = self;
        text::write_topic(&named.topic, f)?;
        text::write_options(named.options.iter().map(|(name, value)| (name.as_str(), value.as_str())), f)
    }
}

impl Serialize for TopicRef {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(&Whole(self)) } else { (&self.topic, &self.options).serialize(to) }
    }
}

impl<'de> Deserialize<'de> for TopicRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        if from.is_human_readable() {
            return from.deserialize_any(Written);
        }
        let (topic, options) = <(Topic, BTreeMap<String, String>)>::deserialize(from)?;
        Ok(TopicRef { topic, options })
    }
}

/// A topic that somebody wrote: text or an object.
struct Written;

/// The object's form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    name: String,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

impl<'de> Visitor<'de> for Written {
    type Value = TopicRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a topic as text, or an object with its name and its cluster")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<TopicRef, E> {
        text.parse().map_err(|e: Error| E::custom(e.message))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<TopicRef, A::Error> {
        let Object { name, cluster, options } = Object::deserialize(MapAccessDeserializer::new(map))?;
        let cluster = cluster.parse::<Cluster>().map_err(|e| A::Error::custom(e.message))?;
        let topic = Topic { cluster, name: name.into() };
        Ok(TopicRef { topic, options })
    }
}

impl TryFrom<TopicRef> for Topic {
    type Error = Error;

    /// Refuses one that has options.
    fn try_from(reference: TopicRef) -> Result<Topic> {
        if reference.options.is_empty() { Ok(reference.topic) } else { reference.to_string().parse() }
    }
}
