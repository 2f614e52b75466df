// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The topics that a function reads of each pattern that its description names.

use std::collections::BTreeSet;
use std::fmt;

use fnstream_core::spec::FunctionSpec;
use fnstream_core::topic::Topic;
use fnstream_core::units::counted;

use crate::app::group::Part;
use crate::clusters::Clusters;

/// So many topics are told by their names.
const MOST_NAMES: usize = 20;

/// A pattern, and its topics that are read.
pub(super) struct Matched {
    pattern: Topic,
    pub(super) topics: BTreeSet<Topic>,
}

impl Matched {
    /// The patterns of a function that runs, with what its tasks read. A topic that is named as well is told with the pattern, too.
    pub(super) fn all(clusters: &Clusters, spec: &FunctionSpec, part: &Part) -> Vec<Matched> {
        let read: BTreeSet<&str> =
            part.tasks.iter().flat_map(|task| &task.partitions).map(|partition| &*partition.topic).collect();
        let read: Vec<Topic> = read.into_iter().filter_map(|name| name.parse().ok()).collect();
        let matched = spec.patterns().filter_map(|named| {
            let matches = clusters.matcher(spec, named).ok()?;
            let topics = read.iter().filter(|topic| topic.cluster == named.topic.cluster && matches(topic));
            Some(Matched { pattern: named.topic.clone(), topics: topics.cloned().collect() })
        });
        matched.collect()
    }
}

impl fmt::Display for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pattern, count) = (&self.pattern, self.topics.len());
        if count == 0 {
            return write!(f, "no topic matches '{pattern}' yet: the function waits for one");
        }
        let names: Vec<_> = self.topics.iter().take(MOST_NAMES).map(|topic| format!("'{}'", topic.name)).collect();
        let more = if count > MOST_NAMES { ", …" } else { "" };
        let verb = if count == 1 { "matches" } else { "match" };
        write!(f, "{} {verb} '{pattern}': {}{more}", counted(count, "topic"), names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_is_named_and_of_many_the_first() {
        let matched = |count: u32| {
            let topics = (0..count).map(|number| Topic::own(format!("t{number:02}"))).collect();
            Matched { pattern: Topic::own("t.*"), topics }.to_string()
        };
        assert_eq!(matched(0), "no topic matches 't.*' yet: the function waits for one");
        assert_eq!(matched(1), "1 topic matches 't.*': 't00'");
        assert_eq!(matched(2), "2 topics match 't.*': 't00', 't01'");
        assert!(matched(21).ends_with("'t19', …"), "{}", matched(21));
    }
}
