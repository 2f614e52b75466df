// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The topics of a description: those that it names, and whether they go together.

use std::collections::HashMap;

use super::{DEAD_LETTER_SUFFIX, ErrorAction, Field, FunctionSpec, MAX_GROUPS, SpecProblem, check_name};
use crate::topic::{Cluster, GROUP_ID, ON_LOST_POSITION, OutputSchema, SCHEMA, TOPICS_PATTERN, Topic, TopicRef};

impl FunctionSpec {
    /// The topic to which records go that the function fails at, if that is its policy.
    ///
    /// Unless it is named it lives where the first output does.
    pub fn dead_letter_topic(&self) -> Option<Topic> {
        match &self.on_error.action {
            ErrorAction::DeadLetter { topic: Some(topic) } => Some(topic.clone()),
            ErrorAction::DeadLetter { topic: None } => {
                let cluster = self.outputs.first().map_or_else(Cluster::own, |output| output.topic.cluster.clone());
                Some(Topic { cluster, name: format!("{}{DEAD_LETTER_SUFFIX}", self.name).into() })
            }
            ErrorAction::Skip | ErrorAction::Stop => None,
        }
    }

    /// Every topic that must be there for the function to run.
    pub fn topics(&self) -> impl Iterator<Item = Topic> {
        let named = self.inputs.iter().flatten().chain(&self.outputs).filter(|named| !named.is_pattern());
        named.map(|named| named.topic.clone()).chain(self.dead_letter_topic())
    }

    /// The inputs that are patterns of topics.
    pub fn patterns(&self) -> impl Iterator<Item = &TopicRef> {
        self.inputs.iter().flatten().filter(|named| named.is_pattern())
    }

    /// Every place where topics of the function are, with a topic or a pattern that is there.
    pub fn places(&self) -> impl Iterator<Item = Topic> {
        self.topics().chain(self.patterns().map(|named| named.topic.clone()))
    }

    /// Every topic and pattern that it reads: its inputs, and its dead letters when they are processed again.
    pub fn reads(&self) -> impl Iterator<Item = TopicRef> {
        let dead_letters = self.dead_letter_topic().map(TopicRef::from);
        self.inputs.iter().flatten().cloned().chain(dead_letters)
    }

    pub(super) fn check_topics(&self, problems: &mut Vec<SpecProblem>) {
        let mut found = |field: Field, message: String| problems.push(SpecProblem::new(field, message));
        if self.inputs.is_empty() || self.inputs.iter().any(Vec::is_empty) {
            found(Field::Inputs, "a function needs at least one input, and no input group may be empty".to_owned());
        }
        if self.inputs.len() > MAX_GROUPS || self.inputs.iter().any(|g| g.len() > MAX_GROUPS) {
            found(Field::Inputs, format!("at most {MAX_GROUPS} input groups of {MAX_GROUPS} topics each"));
        }
        let mut inputs = Named::default();
        for (group, topics) in self.inputs.iter().enumerate() {
            for (index, named) in topics.iter().enumerate() {
                if !inputs.add(named) {
                    found(Field::Input { group, index }, format!("input '{}' is named twice", named.topic));
                }
                if let Err(e) = named.check("topic") {
                    found(Field::Input { group, index }, e.message);
                }
                if named.options.contains_key(SCHEMA) {
                    let topic = &named.topic;
                    let message = format!("input '{topic}' has the option '{SCHEMA}', which is for outputs");
                    found(Field::Input { group, index }, message);
                }
            }
        }
        let mut outputs = Named::default();
        for (index, named) in self.outputs.iter().enumerate() {
            if !outputs.add(named) {
                found(Field::Output(index), format!("output '{}' is named twice", named.topic));
            }
            if inputs.has(&named.topic) {
                let topic = &named.topic;
                let message = format!("'{topic}' is both input and output: the function would feed itself for ever");
                found(Field::Output(index), message);
            }
            if let Err(e) = named.check("topic") {
                found(Field::Output(index), e.message);
            }
            let abroad = self.inputs.iter().flatten().find(|input| input.topic.cluster != named.topic.cluster);
            if let Some(input) = abroad.filter(|_| named.schema() == OutputSchema::Input) {
                let message = format!(
                    "output '{}' keeps the schemas of the inputs, but input '{}' is in another cluster",
                    named.topic, input.topic
                );
                found(Field::Output(index), message);
            }
            for option in [GROUP_ID, ON_LOST_POSITION, TOPICS_PATTERN]
                .into_iter()
                .filter(|name| named.options.contains_key(*name))
            {
                let topic = &named.topic;
                found(Field::Output(index), format!("output '{topic}' has the option '{option}', which is for inputs"));
            }
        }
        // One that is named after the function shares the faults of its name.
        let own = matches!(&self.on_error.action, ErrorAction::DeadLetter { topic: Some(_) });
        if let Some(topic) = self.dead_letter_topic().filter(|_| own || check_name("function", &self.name).is_ok()) {
            if let Err(e) = topic.check("dead-letter topic") {
                let way = "; give the function a name of 251 bytes at most, or name another dead-letter topic";
                found(Field::DeadLetterTopic, e.message + if own { "" } else { way });
            }
            if inputs.has(&topic) || outputs.has(&topic) {
                let message = format!("dead-letter topic '{topic}' is also an input or an output of the function");
                found(Field::DeadLetterTopic, message);
            }
        }
        for topic in self.watermarks.keys().filter(|topic| !inputs.has(topic)) {
            let message = format!("a watermark is given for '{topic}', which is not an input");
            found(Field::Watermark(topic.clone()), message);
        }
    }
}

/// The topics that were named so far, each with the partitions that it was named for; `None` stands for all of them.
#[derive(Default)]
struct Named<'a>(HashMap<&'a Topic, Vec<Option<u32>>>);

impl<'a> Named<'a> {
    /// Adds one; answers whether none of its partitions was named before.
    fn add(&mut self, named: &'a TopicRef) -> bool {
        let before = self.0.entry(&named.topic).or_default();
        let partition = named.partition();
        let is_new = match partition {
            Some(_) => !before.contains(&None) && !before.contains(&partition),
            None => before.is_empty(),
        };
        before.push(partition);
        is_new
    }

    fn has(&self, topic: &Topic) -> bool {
        self.0.contains_key(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    fn spec(inputs: &[&str], outputs: &[&str]) -> FunctionSpec {
        let read = |list: &[&str]| list.iter().map(|text| text.parse()).collect::<Result<Vec<TopicRef>>>().unwrap();
        FunctionSpec {
            name: "f".into(),
            inputs: vec![read(inputs)],
            outputs: read(outputs),
            replicas: 1,
            ..FunctionSpec::default()
        }
    }

    fn problems(spec: &FunctionSpec) -> Vec<String> {
        spec.problems().into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn topics_are_told_apart_by_their_cluster() {
        assert!(problems(&spec(&["a", "a@prod", "a@kafka://h:1"], &["a@kafka://h:2"])).is_empty());
        let same = spec(&["a@kafka://x:1,y:2", "a@kafka://y:2,x:1"], &["a@kafka://x:1,y:2"]);
        let expected = [
            "input 'a@kafka://x:1,y:2' is named twice",
            "'a@kafka://x:1,y:2' is both input and output: the function would feed itself for ever",
        ];
        assert_eq!(problems(&same), expected);
    }

    #[test]
    fn a_topic_may_be_named_once_for_each_partition() {
        assert!(problems(&spec(&["a?partition=0", "a?partition=1"], &["b?partition=0", "b?partition=1"])).is_empty());
        for twice in [["a?partition=1", "a?partition=1"], ["a", "a?partition=1"], ["a?partition=1", "a?group_id=g"]] {
            assert_eq!(problems(&spec(&twice, &["b"])), ["input 'a' is named twice"], "{twice:?}");
        }
        assert_eq!(
            problems(&spec(&["a?partition=x"], &["b?partition=-1"])),
            [
                "partition 'x' of topic 'a' is not a number from 0 to 2147483647",
                "partition '-1' of topic 'b' is not a number from 0 to 2147483647"
            ]
        );
    }

    #[test]
    fn a_pattern_is_no_name_and_no_topic_that_has_to_be_there() {
        let spec_of = |input: &str| spec(&[input, "a"], &["b@pulsar://h"]);
        let read = spec_of("p/n/o-[0-9]+|%40@pulsar://h?topics_pattern=true");
        assert!(problems(&read).is_empty());
        let topics: Vec<_> = read.topics().map(|topic| topic.to_string()).collect();
        assert_eq!(topics, ["a", "b@pulsar://h:6650", "f.dlq@pulsar://h:6650"]);
        assert_eq!(read.places().last().map(|topic| topic.name), Some("p/n/o-[0-9]+|@".into()));
        for (input, problem) in [
            ("o.*@pulsar://h", "topic name 'o.*' holds '*'"),
            ("o.*@pulsar://h?topics_pattern=false", "topic name 'o.*' holds '*'"),
            ("o@pulsar://h?topics_pattern=yes", "'topics_pattern' is 'yes', not 'true' or 'false'"),
            (
                "o.*@pulsar://h?topics_pattern=true&partition=1",
                "topic 'o.*@pulsar://h:6650' is a pattern, of whose topics all partitions are meant",
            ),
            ("%0A@pulsar://h?topics_pattern=true", "the pattern of topic '\\n' holds '\\n'"),
        ] {
            assert_eq!(problems(&spec_of(input)), [problem], "{input}");
        }
        let output = spec(&["a"], &["b@pulsar://h?topics_pattern=true"]);
        assert_eq!(
            problems(&output),
            ["output 'b@pulsar://h:6650' has the option 'topics_pattern', which is for inputs"]
        );
    }

    #[test]
    fn the_schema_of_an_input_is_kept_within_its_cluster() {
        assert!(
            problems(&spec(&["a@pulsar://h"], &["b@pulsar://h?schema=input", "c@pulsar://h?schema=none"])).is_empty()
        );
        assert!(problems(&spec(&["a"], &["b@pulsar://h?schema=topic"])).is_empty());
        for (input, output, problem) in [
            (
                "a",
                "b@pulsar://h?schema=input",
                "output 'b@pulsar://h:6650' keeps the schemas of the inputs, but input 'a' is in another cluster",
            ),
            ("a", "b@pulsar://h?schema=avro", "'schema' is 'avro', not one of topic, input, none"),
            (
                "a@pulsar://h?schema=input",
                "b@pulsar://h",
                "input 'a@pulsar://h:6650' has the option 'schema', which is for outputs",
            ),
        ] {
            assert_eq!(problems(&spec(&[input], &[output])), [problem]);
        }
    }

    #[test]
    fn options_of_inputs_are_looked_at_and_are_none_of_outputs() {
        assert!(problems(&spec(&["a@kafka://h:1?group_id=g&on-lost-position=latest"], &["b@kafka://h:1"])).is_empty());
        assert_eq!(
            problems(&spec(
                &["a@kafka://h:1?on-lost-position=newest"],
                &["b@kafka://h:1?group_id=g&on-lost-position=stop"]
            )),
            [
                "'on-lost-position' is 'newest', not one of stop, earliest, latest",
                "output 'b@kafka://h:1' has the option 'group_id', which is for inputs",
                "output 'b@kafka://h:1' has the option 'on-lost-position', which is for inputs",
            ]
        );
    }

    #[test]
    fn dead_letters_live_where_the_output_does_unless_they_are_named() {
        let mut spec = spec(&["a"], &["b@prod"]);
        assert_eq!(spec.dead_letter_topic().unwrap().to_string(), "f.dlq@prod");
        spec.on_error.action = ErrorAction::DeadLetter { topic: Some(Topic::own("bad")) };
        assert_eq!(spec.dead_letter_topic(), Some(Topic::own("bad")));
        spec.on_error.action = ErrorAction::DeadLetter { topic: Some("b@prod".parse().unwrap()) };
        assert_eq!(problems(&spec), ["dead-letter topic 'b@prod' is also an input or an output of the function"]);
    }

    #[test]
    fn a_function_that_names_one_partition_has_the_task_of_that_partition() {
        let spec = spec(&["a?partition=2", "b"], &["c"]);
        let counts = |topic: &Topic| Ok(if &*topic.name == "a" { 8 } else { 2 });
        assert_eq!(spec.task_indexes(counts).unwrap().into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
