// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Applying a description: what would change, field by field, and then the change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fnstream_api::{Applied, ApplyOutcome, FieldChange};
use fnstream_core::Result;
use fnstream_core::error::internal;
use fnstream_core::spec::FunctionSpec;
use fnstream_core::topic::{MASK, TopicRef, is_secret};
use serde_json::Value;

use super::coming_up::Wait;
use super::{CreateMode, Functions, spec};
use crate::app::grants;
use crate::app::inspection::described;
use crate::app::ops::blocking;
use crate::app::shelf::Archive;

/// A description that is to be applied.
pub(crate) struct Apply {
    /// What the function is to be, but for its artifact.
    pub(crate) spec: FunctionSpec,
    /// What it is to run.
    pub(crate) archive: Archive,
    /// What in the description has no effect.
    pub(crate) notes: Vec<String>,
}

impl Functions {
    /// Makes a function what a description says, or only says what that would change. All that can be refused is refused in both
    /// cases.
    pub(crate) async fn apply(self: &Arc<Self>, apply: Apply, dry_run: bool, wait: Option<Wait>) -> Result<Applied> {
        let Apply { spec, archive, notes } = apply;
        let name = spec.name.clone();
        let (functions, asked) = (self.clone(), (spec.clone(), archive.clone()));
        let planned = blocking(move || functions.plan(asked.0, &asked.1)).await;
        let planned = match planned {
            Ok((outcome, changes, digest, artifact)) => {
                self.programs.compile(&digest, artifact).await.map(|program| (outcome, changes, program))
            }
            Err(error) => Err(error),
        };
        if dry_run || planned.is_err() {
            self.shelf.sweep_after_refusal().await;
        }
        // Kept until the function runs, so that it need not be loaded again.
        let (outcome, changes, _program) = planned?;
        let function = match dry_run {
            true => None,
            false => Some(self.make(spec, archive, CreateMode::OrReplace, wait).await?.1?),
        };
        Ok(Applied { name, outcome, changes, notes, function })
    }

    /// What would change, and the artifact with its digest. Blocks.
    fn plan(
        &self,
        mut spec: FunctionSpec,
        archive: &Archive,
    ) -> Result<(ApplyOutcome, Vec<FieldChange>, String, Vec<u8>)> {
        spec.validate()?;
        self.clusters.adopt_all(&mut spec);
        self.clusters.check(&spec)?;
        let before = self.register.get(&spec.name)?;
        let (pin, artifact) = self.shelf.obtain(archive)?;
        pin.digest().clone_into(&mut spec.artifact);
        if let Some(before) = &before {
            spec = spec::replaced(&before.spec, spec)?;
            spec::check_home(&before.spec, &spec)?;
        }
        grants::check(&self.files_dirs, &spec)?;
        let mut changes = changes(before.as_ref().map(|before| &before.spec), &spec)?;
        if let Some(before) = &before {
            changes.extend(changed_secrets(&before.spec, &spec));
        }
        let outcome = match (&before, changes.is_empty()) {
            (None, _) => ApplyOutcome::Created,
            (Some(_), true) => ApplyOutcome::Unchanged,
            (Some(_), false) => ApplyOutcome::Changed,
        };
        Ok((outcome, changes, spec.artifact, artifact))
    }
}

/// The fields in which two descriptions differ, in the order of their names.
fn changes(before: Option<&FunctionSpec>, after: &FunctionSpec) -> Result<Vec<FieldChange>> {
    let before = before.map(fields).transpose()?.unwrap_or_default();
    let after = fields(after)?;
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differing = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let change = |name: &String| FieldChange {
        field: name.clone(),
        before: before.get(name).cloned(),
        after: after.get(name).cloned(),
    };
    Ok(differing.map(change).collect())
}

/// Secrets that differ, which are not shown: those of topics whose text is the same otherwise, each with its option.
fn changed_secrets(before: &FunctionSpec, after: &FunctionSpec) -> Vec<FieldChange> {
    let topics = |spec: &FunctionSpec| spec.inputs.iter().flatten().chain(&spec.outputs).cloned().collect::<Vec<_>>();
    let pairs = topics(before).into_iter().zip(topics(after)).filter(|(was, is)| was.topic == is.topic);
    let differ = pairs.flat_map(|(was, is)| {
        let same = move |(name, value): &(String, String)| was.options.get(name).is_some_and(|had| had != value);
        let TopicRef { topic, options } = is;
        options.into_iter().filter(|(name, _)| is_secret(name)).filter(same).map(move |(name, _)| FieldChange {
            field: format!("{name} of {topic}"),
            before: Some(MASK.to_owned()),
            after: Some(format!("{MASK} (another one)")),
        })
    });
    differ.collect()
}

/// A description as flat fields, named and written as `describe` shows them.
fn fields(spec: &FunctionSpec) -> Result<BTreeMap<String, String>> {
    let described = serde_json::to_value(described(spec)).map_err(|e| internal(e.to_string()))?;
    let mut fields = BTreeMap::new();
    flatten("", &described, &mut fields);
    Ok(fields)
}

fn flatten(at: &str, value: &Value, fields: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                flatten(&at, value, fields);
            }
        }
        // As if it were not there: so are blocks without entries.
        Value::Array(values) if values.is_empty() => {}
        Value::Array(values) => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fields.insert(at.to_owned(), values.iter().map(text).collect::<Vec<_>>().join(", "));
        }
        Value::String(text) => drop(fields.insert(at.to_owned(), text.clone())),
        other => drop(fields.insert(at.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(config: &[(&str, &str)], replicas: u32) -> FunctionSpec {
        FunctionSpec {
            name: "f".into(),
            artifact: "aa".into(),
            inputs: vec![vec!["in".into()]],
            outputs: vec!["out".into()],
            replicas,
            config: config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..FunctionSpec::default()
        }
    }

    #[test]
    fn a_secret_that_changes_is_a_change_and_is_not_told() {
        let with = |secret: &str| FunctionSpec {
            inputs: vec![vec![format!("in@k?sasl.password={secret}").parse().expect("a topic")]],
            ..spec(&[], 1)
        };
        assert!(changes(Some(&with("one")), &with("two")).expect("two descriptions").is_empty());
        let told = changed_secrets(&with("one"), &with("two"));
        let told: Vec<_> = told.iter().map(|change| (change.field.as_str(), change.after.as_deref())).collect();
        assert_eq!(told, [("sasl.password of in@k", Some("******** (another one)"))]);
        assert!(changed_secrets(&with("one"), &with("one")).is_empty());
    }

    #[test]
    fn what_differs_is_told_field_by_field() {
        let (before, after) = (spec(&[("a", "1"), ("b", "2")], 1), spec(&[("b", "3"), ("c", "4")], 2));
        let told = changes(Some(&before), &after).expect("two descriptions");
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let told: Vec<_> = told.iter().map(|c| format!("{} {} {}", c.field, text(&c.before), text(&c.after))).collect();
        assert_eq!(told, ["config.a 1 -", "config.b 2 3", "config.c - 4", "replicas 1 2"]);
        assert!(changes(Some(&after), &after).expect("one description").is_empty());
        let new = changes(None, &after).expect("a description");
        assert!(new.iter().any(|change| change.field == "inputs" && change.after.as_deref() == Some("in")), "{new:?}");
        assert!(new.iter().all(|change| change.before.is_none() && change.field != "tasks"), "{new:?}");
        assert!(new.iter().all(|change| change.after.as_deref() != Some("")), "{new:?}");
    }
}
