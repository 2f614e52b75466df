// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From what a user asks for to the description that is registered. Everything that is wrong with it is told at once.

use std::collections::BTreeMap;

use fnstream_api::{FileGrant, Function, FunctionUpdate, Watermark};
use fnstream_core::spec::{self, Beginning, ErrorPolicy, FunctionSpec, InputSelector, Limits};
use fnstream_core::topic::{Cluster, TopicRef};
use fnstream_core::{Error, ErrorCode, Result};

use crate::app::places::joined;
use crate::clusters::home;

/// The description of a new function, which runs the artifact of that digest.
pub(super) fn new(name: &str, function: &Function, artifact: String) -> Result<FunctionSpec> {
    let mut problems = Vec::new();
    let spec = FunctionSpec {
        name: name.to_owned(),
        artifact,
        inputs: match (function.inputs.is_empty(), function.groups.is_empty()) {
            (false, false) => {
                problems.push("inputs and groups are both given: they say the same in two ways".to_owned());
                function.groups.clone()
            }
            (_, true) => function.inputs.iter().map(|named| vec![named.clone()]).collect(),
            (true, false) => function.groups.clone(),
        },
        selector: function.selector.map(InputSelector::from).unwrap_or_default(),
        from: function.from.unwrap_or_default(),
        watermarks: Watermark::read_all(&function.watermarks, &mut problems),
        outputs: outputs(function.output.as_ref(), Some(&function.outputs), &mut problems).unwrap_or_default(),
        replicas: function.replicas,
        no_join: function.no_join,
        config: function.config.clone(),
        limits: function.limits.over(Limits::default(), &mut problems),
        on_error: function.on_error.over(&ErrorPolicy::default(), &mut problems),
        env: function.env.clone(),
        files: function.files.iter().map(grant).collect(),
    };
    if spec.outputs.is_empty() {
        problems.push("a function needs an output: give 'output', or 'outputs' with one at least".to_owned());
    }
    checked(spec, problems)
}

/// A description with what is to change; its artifact stays.
pub(super) fn updated(spec: &FunctionSpec, update: &FunctionUpdate) -> Result<FunctionSpec> {
    let mut problems = Vec::new();
    let mut new = spec.clone();
    if let Some(inputs) = &update.inputs {
        let present: Vec<_> = spec.inputs.iter().flatten().cloned().collect();
        if same_places(&present, inputs) {
            let mut given = inputs.iter().cloned();
            new.inputs.iter_mut().for_each(|group| group.iter_mut().zip(&mut given).for_each(|(of, new)| *of = new));
        } else {
            problems.push(inputs_change(&joined(&present), &joined(inputs)));
        }
    }
    if let Some(groups) = &update.groups {
        if same_groups(&spec.inputs, groups) {
            new.inputs.clone_from(groups);
        } else {
            problems.push(inputs_change(&grouped(&spec.inputs), &grouped(groups)));
        }
    }
    if let Some(selector) = update.selector {
        new.selector = selector.into();
    }
    if let Some(watermarks) = &update.watermarks {
        new.watermarks = Watermark::read_all(watermarks, &mut problems);
    }
    check_selector(spec, &new, &mut problems);
    new.limits = update.limits.over(spec.limits, &mut problems);
    new.on_error = update.on_error.over(&spec.on_error, &mut problems);
    if let Some(outputs) = outputs(update.output.as_ref(), update.outputs.as_ref(), &mut problems) {
        new.outputs = outputs;
    }
    unmask(spec, &mut new);
    new.replicas = update.replicas.unwrap_or(spec.replicas);
    new.no_join = update.no_join.unwrap_or(spec.no_join);
    change_entries("config", &mut new.config, update.config.as_ref(), &update.config_changes, &mut problems);
    change_entries("env", &mut new.env, update.env.as_ref(), &update.env_changes, &mut problems);
    if let Some(files) = &update.files {
        new.files = files.iter().map(grant).collect();
    }
    checked(new, problems)
}

/// The outputs, which are said in one of two ways.
fn outputs(one: Option<&TopicRef>, all: Option<&Vec<TopicRef>>, problems: &mut Vec<String>) -> Option<Vec<TopicRef>> {
    match (one, all) {
        (Some(_), Some(all)) if !all.is_empty() => {
            problems.push("output and outputs are both given: they say the same in two ways".to_owned());
            Some(all.clone())
        }
        (Some(one), _) => Some(vec![one.clone()]),
        (None, all) => all.cloned(),
    }
}

/// Replaces all entries, or changes some of them: those without a value go.
fn change_entries(
    what: &str,
    entries: &mut BTreeMap<String, String>,
    all: Option<&BTreeMap<String, String>>,
    changes: &BTreeMap<String, Option<String>>,
    problems: &mut Vec<String>,
) {
    if let Some(all) = all {
        if !changes.is_empty() {
            problems.push(format!("{what} and {what}-changes are both given: the first replaces all entries"));
        }
        entries.clone_from(all);
    }
    for (name, value) in changes {
        match value {
            Some(value) => entries.insert(name.clone(), value.clone()),
            None => entries.remove(name),
        };
    }
}

/// A description that takes the place of another one; its artifact is not looked at.
pub(super) fn replaced(before: &FunctionSpec, after: FunctionSpec) -> Result<FunctionSpec> {
    let mut problems = Vec::new();
    let mut after = after;
    unmask(before, &mut after);
    if !same_groups(&before.inputs, &after.inputs) {
        problems.push(inputs_change(&grouped(&before.inputs), &grouped(&after.inputs)));
    }
    check_selector(before, &after, &mut problems);
    let from = match after.from {
        // What is not said stays.
        Beginning::Earliest => before.from,
        from if from == before.from => from,
        from => {
            problems.push(format!(
                "from is '{from}', but the function began at '{}': what is there is moved with 'client seek'",
                before.from
            ));
            before.from
        }
    };
    checked(FunctionSpec { from, ..after }, problems)
}

/// Whether these are the same partitions of the same topics. Their options may differ.
fn same_places(before: &[TopicRef], after: &[TopicRef]) -> bool {
    let place = |named: &TopicRef| (named.topic.clone(), named.partition());
    before.iter().map(place).eq(after.iter().map(place))
}

fn same_groups(before: &[Vec<TopicRef>], after: &[Vec<TopicRef>]) -> bool {
    before.len() == after.len() && before.iter().zip(after).all(|(before, after)| same_places(before, after))
}

/// What is shown instead of a secret stands for the secret, in a description that was read and is written again.
fn unmask(before: &FunctionSpec, after: &mut FunctionSpec) {
    let (inputs, outputs) = (|| before.inputs.iter().flatten(), || before.outputs.iter());
    after.inputs.iter_mut().flatten().for_each(|named| named.unmask(inputs().chain(outputs())));
    after.outputs.iter_mut().for_each(|named| named.unmask(outputs().chain(inputs())));
}

fn inputs_change(from: &str, to: &str) -> String {
    format!(
        "inputs cannot change from '{from}' to '{to}', since positions and state belong to them: create another function"
    )
}

/// Refuses to move a function's outputs to another cluster: where it commits is where its state is.
pub(super) fn check_home(before: &FunctionSpec, after: &FunctionSpec) -> Result<()> {
    let (was, is) = (home(before)?, home(after)?);
    if was == is {
        return Ok(());
    }
    let message = format!(
        "outputs cannot move from {} to {}, since the state stays where they were: create another function",
        place(&was),
        place(&is)
    );
    Err(Error::new(ErrorCode::InvalidSpec, message))
}

/// A cluster, in words.
fn place(cluster: &Cluster) -> String {
    if cluster.is_own() { "the server's own topics".to_owned() } else { format!("'{cluster}'") }
}

/// Inputs by group; a group of one without brackets.
fn grouped(inputs: &[Vec<TopicRef>]) -> String {
    let group = |topics: &Vec<TopicRef>| match topics.as_slice() {
        [topic] => topic.to_string(),
        topics => format!("[{}]", joined(topics)),
    };
    inputs.iter().map(group).collect::<Vec<_>>().join(", ")
}

/// Tasks of a group-parallel function are others than those of any other, and so is the state that belongs to them.
fn check_selector(before: &FunctionSpec, after: &FunctionSpec, problems: &mut Vec<String>) {
    let (was, is) = (before.selector, after.selector);
    if was != is && [was, is].contains(&InputSelector::GroupParallel) {
        problems.push(format!(
            "selector cannot change from '{}' to '{}', since the state belongs to other tasks then: create another function",
            was.name(),
            is.name()
        ));
    }
}

/// A grant as it is told.
pub(crate) fn told(grant: &spec::FileGrant) -> FileGrant {
    FileGrant { host: grant.host.clone(), guest: Some(grant.guest.clone()) }
}

fn grant(grant: &FileGrant) -> spec::FileGrant {
    let guest = grant.guest.as_ref().unwrap_or(&grant.host).clone();
    spec::FileGrant { host: grant.host.clone(), guest }
}

/// The description, unless there are problems, those included that it finds with itself.
fn checked(spec: FunctionSpec, mut problems: Vec<String>) -> Result<FunctionSpec> {
    match spec.validate() {
        Ok(()) if problems.is_empty() => Ok(spec),
        Err(error) if problems.is_empty() => Err(error),
        valid => {
            problems.extend(valid.err().map(|error| error.message));
            Err(Error::new(ErrorCode::InvalidSpec, problems.join("; ")))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_told_at_once() {
        let text = r#"{"archive":"a","inputs":["i"],"output":"i","limits":{"memory":"1KiB","call-time":"soon"},
            "on-error":{"action":"skip","dead-letter-topic":"t"},"env":{"":"x"},"files":[{"host":"lists"}],
            "watermarks":{"i":{"strategy":"bounded"},"x":{"strategy":"none"}}}"#;
        let error = new("f", &serde_json::from_str(text).unwrap(), String::new()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidSpec);
        for problem in [
            "limit call-time: 'soon' is not a duration",
            "dead-letter-topic 't' is given, but on-error is 'skip'",
            "'i' is both input and output",
            "limit memory is 1024 bytes",
            "cannot be the name of an environment variable",
            "'lists' is not an absolute path",
            "watermark of 'i': the strategy 'bounded' needs a delay",
            "a watermark is given for 'x', which is not an input",
        ] {
            assert!(error.message.contains(problem), "{problem}: {}", error.message);
        }
    }

    #[test]
    fn what_an_update_does_not_name_stays() {
        let text = r#"{"archive":"a","inputs":["i"],"output":"o","config":{"a":"1"},"limits":{"memory":"1MiB"},
            "env":{"E":"e"},"on-error":{"retries":7}}"#;
        let before = new("f", &serde_json::from_str(text).unwrap(), "aa".into()).unwrap();
        let after = |text: &str| updated(&before, &serde_json::from_str(text).unwrap());
        assert_eq!(after("{}").unwrap(), before);
        assert_eq!(after(r#"{"inputs":["i"],"output":"o"}"#).unwrap(), before);
        let changed = after(r#"{"config":{},"limits":{"call-time":"1s"},"on-error":{"action":"skip"}}"#).unwrap();
        assert_eq!((changed.config.len(), changed.env.len(), changed.limits.memory), (0, 1, 1 << 20));
        assert_eq!((changed.on_error.action.as_str(), changed.on_error.retries), ("skip", 7));
        let event_time = r#"{"selector":"priority","watermarks":{"i":{"strategy":"bounded","delay":"1s"}}}"#;
        let changed = after(event_time).unwrap();
        assert_eq!((changed.selector, changed.watermarks.len()), (InputSelector::Priority, 1));
        assert_eq!(updated(&changed, &FunctionUpdate::default()).unwrap(), changed);
        assert!(
            updated(&changed, &serde_json::from_str(r#"{"watermarks":{}}"#).unwrap()).unwrap().watermarks.is_empty()
        );
        let error = after(r#"{"inputs":["j"],"replicas":0}"#).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidSpec);
        assert!(error.message.starts_with("inputs cannot change from 'i' to 'j'"), "{}", error.message);
        assert!(error.message.contains("replicas is 0"), "{}", error.message);
    }

    #[test]
    fn options_of_inputs_change_and_secrets_stay_that_are_masked() {
        let text = r#"{"archive":"a","groups":[["i@k?sasl.password=one","j@k?partition=1"]],"output":"o@k?sasl.password=two"}"#;
        let before = new("f", &serde_json::from_str(text).unwrap(), "aa".into()).unwrap();
        let after = |text: &str| updated(&before, &serde_json::from_str(text).unwrap());
        let shown =
            r#"{"inputs":["i@k?sasl.password=********","j@k?partition=1"],"output":"o@k?sasl.password=********"}"#;
        assert_eq!(after(shown).unwrap(), before);
        assert_eq!(after(&shown.replace("\"inputs\":[", "\"groups\":[[").replace("],", "]],")).unwrap(), before);
        let changed = after(r#"{"inputs":["i@k?sasl.password=********&group_id=g","j@k?partition=1"]}"#).unwrap();
        let wanted = r#"[["i@k?group_id=g&sasl.password=one","j@k?partition=1"]]"#;
        assert_eq!(serde_json::to_string(&changed.inputs).unwrap(), wanted);
        assert_eq!(
            after(r#"{"output":"p@k?sasl.password=********"}"#).unwrap().outputs[0].options["sasl.password"],
            "two"
        );
        for others in ["i@k", "i@k\",\"j@k", "i@k\",\"j@k?partition=2", "i@l\",\"j@k?partition=1"] {
            let error = after(&format!(r#"{{"inputs":["{others}"]}}"#)).unwrap_err();
            assert!(
                error.message.contains("inputs cannot change") && !error.message.contains("one"),
                "{}",
                error.message
            );
        }
        assert!(
            after(r#"{"output":"o@elsewhere?sasl.password=********"}"#).unwrap_err().message.contains("is the mask")
        );
        let applied = |text: &str| replaced(&before, new("f", &serde_json::from_str(text).unwrap(), "aa".into())?);
        let unknown = applied(r#"{"archive":"a","inputs":["i@k?sasl.password=********"],"output":"o@k"}"#).unwrap_err();
        assert!(unknown.message.contains("is the mask"), "{}", unknown.message);
    }

    #[test]
    fn single_entries_change_and_all_others_stay() {
        let text = r#"{"archive":"a","inputs":["i"],"output":"o","config":{"a":"1","b":"2"},"env":{"E":"e","F":"f"}}"#;
        let before = new("f", &serde_json::from_str(text).unwrap(), "aa".into()).unwrap();
        let after = |text: &str| updated(&before, &serde_json::from_str(text).unwrap());
        let map = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
            entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let text = r#"{"config-changes":{"a":null,"c":"3","none":null},"env-changes":{"E":"x"}}"#;
        let changed = after(text).unwrap();
        assert_eq!(changed.config, map(&[("b", "2"), ("c", "3")]));
        assert_eq!(changed.env, map(&[("E", "x"), ("F", "f")]));
        assert_eq!(after(r#"{"config-changes":{"a":"1"},"env-changes":{"G":null}}"#).unwrap(), before);
        for what in ["config", "env"] {
            let error = after(&format!(r#"{{"{what}":{{"a":"1"}},"{what}-changes":{{"b":null}}}}"#)).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidSpec);
            assert!(error.message.contains(&format!("{what} and {what}-changes are both given")), "{error}");
        }
    }

    #[test]
    fn groups_and_outputs_are_said_in_one_of_two_ways() {
        let read = |text: &str| new("f", &serde_json::from_str(text).unwrap(), "aa".into());
        let spec = read(r#"{"archive":"a","groups":[["i","j"],["k"]],"outputs":["o","p"]}"#).unwrap();
        assert_eq!(spec.inputs, [vec!["i".into(), "j".into()], vec![TopicRef::from("k")]]);
        assert_eq!(spec.outputs, ["o".into(), TopicRef::from("p")]);
        let error =
            read(r#"{"archive":"a","inputs":["i"],"groups":[["i"]],"output":"o","outputs":["o"]}"#).unwrap_err();
        for problem in ["inputs and groups are both given", "output and outputs are both given"] {
            assert!(error.message.contains(problem), "{problem}: {error}");
        }
        assert!(read(r#"{"archive":"a","output":"o"}"#).is_err() && read(r#"{"archive":"a","inputs":["i"]}"#).is_err());
        let after = |text: &str| updated(&spec, &serde_json::from_str(text).unwrap());
        assert_eq!(after(r#"{"groups":[["i","j"],["k"]],"outputs":["p"]}"#).unwrap().outputs, [TopicRef::from("p")]);
        let error = after(r#"{"groups":[["i"],["j"],["k"]]}"#).unwrap_err();
        assert!(error.message.contains("inputs cannot change from '[i, j], k' to 'i, j, k'"), "{error}");
    }

    #[test]
    fn where_a_function_began_stays() {
        let read = |from: &str| {
            let text = format!(r#"{{"archive":"a","inputs":["i"],"output":"o"{from}}}"#);
            new("f", &serde_json::from_str(&text).unwrap(), "aa".into()).unwrap()
        };
        let latest = read(r#","from":"latest""#);
        assert_eq!(latest.from, Beginning::Latest);
        assert_eq!(replaced(&latest, read("")).unwrap(), latest, "what is not said");
        assert_eq!(replaced(&latest, latest.clone()).unwrap(), latest);
        assert_eq!(updated(&latest, &FunctionUpdate::default()).unwrap(), latest);
        let error = replaced(&read(""), latest).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidSpec);
        assert!(error.message.contains("from is 'latest', but the function began at 'earliest'"), "{error}");
    }

    #[test]
    fn tasks_of_their_own_for_each_group_cannot_come_or_go() {
        let text = r#"{"archive":"a","inputs":["i","j"],"output":"o","selector":"SELECTOR"}"#;
        for (was, is) in [("round-robin", "group-parallel"), ("group-parallel", "priority")] {
            let before = new("f", &serde_json::from_str(&text.replace("SELECTOR", was)).unwrap(), "aa".into()).unwrap();
            let update = format!(r#"{{"selector":"{is}"}}"#);
            let error = updated(&before, &serde_json::from_str(&update).unwrap()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidSpec);
            assert!(error.message.starts_with(&format!("selector cannot change from '{was}' to '{is}'")), "{error}");
        }
    }

    #[test]
    fn a_folder_is_granted_under_its_own_name_unless_another_is_given() {
        let text = r#"{"archive":"a","inputs":["i"],"output":"o","files":[{"host":"/a"},{"host":"/b","guest":"/c"}]}"#;
        let spec = new("f", &serde_json::from_str(text).unwrap(), String::new()).unwrap();
        let guests: Vec<_> = spec.files.iter().map(|grant| grant.guest.as_str()).collect();
        assert_eq!(guests, ["/a", "/c"]);
    }
}
