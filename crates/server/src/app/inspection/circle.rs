// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that feed each other in a circle, so that an event may go round for ever.

use std::collections::{HashSet, VecDeque};

use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::topic::Topic;

use crate::clusters::{Clusters, reads};

/// The shortest way from an output of a function back to one of its inputs, through functions that are registered: topics and the
/// names of functions in turn.
pub(super) fn through(of: &FunctionSpec, all: &[FunctionEntry], clusters: &Clusters) -> Option<Vec<String>> {
    through_those(of, all, &|spec, topic| reads(clusters, spec, topic))
}

/// The same; the last says who reads a topic.
fn through_those(
    of: &FunctionSpec,
    all: &[FunctionEntry],
    reads: &dyn Fn(&FunctionSpec, &Topic) -> bool,
) -> Option<Vec<String>> {
    let mut seen: HashSet<&Topic> = HashSet::new();
    let mut ways: VecDeque<(&Topic, Vec<String>)> = VecDeque::new();
    let begin = |topic: &Topic| vec![of.name.clone(), topic.to_string()];
    ways.extend(of.outputs.iter().map(|output| (&output.topic, begin(&output.topic))));
    while let Some((topic, way)) = ways.pop_front() {
        if !seen.insert(topic) {
            continue;
        }
        for entry in all.iter().filter(|entry| reads(&entry.spec, topic)) {
            let mut way = way.clone();
            way.push(entry.spec.name.clone());
            if entry.spec.name == of.name {
                return Some(way);
            }
            ways.extend(entry.spec.outputs.iter().map(|output| {
                let further = [&way[..], &[output.topic.to_string()]].concat();
                (&output.topic, further)
            }));
        }
    }
    None
}

/// What it comes to.
pub(super) fn warning(way: &[String]) -> String {
    format!("functions feed each other in a circle, in which an event may go round for ever: {}", way.join(" -> "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_core::metadata::Metadata;
    use fnstream_core::spec::DesiredState;
    use fnstream_core::test_util::mem_metadata::MemMetadata;

    use super::*;

    fn function(name: &str, input: &str, outputs: &[&str]) -> FunctionSpec {
        let outputs = outputs.iter().map(|output| (*output).into()).collect();
        FunctionSpec { name: name.into(), inputs: vec![vec![input.into()]], outputs, ..FunctionSpec::default() }
    }

    #[test]
    fn the_shortest_circle_is_told() {
        let register = MemMetadata::default();
        for spec in [
            function("a", "one", &["two", "end"]),
            function("b", "two", &["three"]),
            function("c", "three", &["one", "two"]),
            function("d", "end", &["nothing"]),
        ] {
            register.create(spec, DesiredState::Running).unwrap();
        }
        let all = register.list().unwrap();
        let reads =
            |spec: &FunctionSpec, topic: &Topic| spec.inputs.iter().flatten().any(|input| input.topic == *topic);
        let told = |index: usize| through_those(&all[index].spec, &all, &reads).map(|way| way.join(" "));
        assert_eq!(told(0).unwrap(), "a two b three c one a");
        assert_eq!(told(1).unwrap(), "b three c two b");
        assert_eq!(told(3), None, "it is fed by a circle and in none");
    }
}
