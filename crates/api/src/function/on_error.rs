// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Error policies as a user writes them.

use fnstream_core::Error;
use fnstream_core::spec::{ErrorAction, ErrorPolicy};
use fnstream_core::topic::Topic;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::units::Quantity;

/// What becomes of a record that a function fails at. What is not given is the default, or stays as it is in an update.
/// Times are milliseconds or have a unit (`100ms`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OnError {
    /// What is done in the end; `dead-letter` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<OnErrorAction>,
    /// How often the record is tried again before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The wait before the first retry; it doubles with each further one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "100ms")]
    pub backoff: Option<Quantity>,
    /// The longest wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "10s")]
    pub max_backoff: Option<Quantity>,
    /// Where dead letters go; the function's name with `.dlq` by default. Those that wait in another topic are not seen while this
    /// one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_topic: Option<String>,
}

/// What is done with a record that cannot be processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnErrorAction {
    /// It goes to a topic, with the reason, and the function goes on.
    DeadLetter,
    /// It is consumed and forgotten, and the function goes on.
    Skip,
    /// The function stays before it until it is started anew or updated.
    Stop,
}

impl OnErrorAction {
    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            OnErrorAction::DeadLetter => "dead-letter",
            OnErrorAction::Skip => "skip",
            OnErrorAction::Stop => "stop",
        }
    }
}

impl From<&ErrorAction> for OnErrorAction {
    fn from(action: &ErrorAction) -> Self {
        match action {
            ErrorAction::DeadLetter { .. } => OnErrorAction::DeadLetter,
            ErrorAction::Skip => OnErrorAction::Skip,
            ErrorAction::Stop => OnErrorAction::Stop,
        }
    }
}

impl OnError {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == OnError::default()
    }

    /// A policy as it is told: with everything that was not given too.
    pub fn told(policy: &ErrorPolicy, dead_letter_topic: Option<&Topic>) -> Self {
        OnError {
            action: Some((&policy.action).into()),
            retries: Some(policy.retries),
            backoff: Some(Quantity::duration(policy.backoff)),
            max_backoff: Some(Quantity::duration(policy.max_backoff)),
            dead_letter_topic: dead_letter_topic.map(Topic::to_string),
        }
    }

    /// This policy, and that of `base` where nothing is given. What does not fit is added to the problems.
    pub fn over(&self, base: &ErrorPolicy, problems: &mut Vec<String>) -> ErrorPolicy {
        let mut time = |name: &str, given: &Option<Quantity>, base| match given.as_ref().map(Quantity::to_duration) {
            Some(Ok(time)) => time,
            Some(Err(why)) => {
                problems.push(format!("on-error {name}: {why}"));
                base
            }
            None => base,
        };
        let (backoff, max_backoff) =
            (time("backoff", &self.backoff, base.backoff), time("max-backoff", &self.max_backoff, base.max_backoff));
        let retries = self.retries.unwrap_or(base.retries);
        ErrorPolicy { action: self.action_over(&base.action, problems), retries, backoff, max_backoff }
    }

    fn action_over(&self, base: &ErrorAction, problems: &mut Vec<String>) -> ErrorAction {
        let word = self.action.unwrap_or(base.into());
        if let (OnErrorAction::Skip | OnErrorAction::Stop, Some(topic)) = (word, &self.dead_letter_topic) {
            let action = word.as_str();
            problems
                .push(format!("dead-letter-topic '{topic}' is given, but on-error is '{action}', not 'dead-letter'"));
        }
        match word {
            OnErrorAction::Skip => ErrorAction::Skip,
            OnErrorAction::Stop => ErrorAction::Stop,
            OnErrorAction::DeadLetter => {
                let before = match base {
                    ErrorAction::DeadLetter { topic } => topic.clone(),
                    ErrorAction::Skip | ErrorAction::Stop => None,
                };
                let read = |text: &String| match text.parse::<Topic>() {
                    Ok(topic) => Some(topic),
                    Err(Error { message, .. }) => {
                        problems.push(format!("dead-letter-topic: {message}"));
                        None
                    }
                };
                ErrorAction::DeadLetter { topic: self.dead_letter_topic.as_ref().and_then(read).or(before) }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn over(json: &str, base: &ErrorPolicy) -> (ErrorPolicy, Vec<String>) {
        let mut problems = Vec::new();
        let policy = serde_json::from_str::<OnError>(json).unwrap().over(base, &mut problems);
        (policy, problems)
    }

    #[test]
    fn what_is_given_goes_over_what_was_there() {
        let named =
            r#"{"action":"dead-letter","dead-letter-topic":"bad","retries":3,"backoff":"1s","max-backoff":60000}"#;
        let (policy, problems) = over(named, &ErrorPolicy::default());
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(policy.action, ErrorAction::DeadLetter { topic: Some("bad".into()) });
        assert_eq!((policy.retries, policy.backoff), (3, Duration::from_secs(1)));
        assert_eq!(policy.max_backoff, Duration::from_secs(60));
        assert_eq!(over("{}", &policy), (policy.clone(), vec![]));
        assert_eq!(over(r#"{"retries":0}"#, &policy).0.action, policy.action);
        let (skipping, _) = over(r#"{"action":"skip"}"#, &policy);
        assert_eq!((&skipping.action, skipping.retries), (&ErrorAction::Skip, 3));
        // The topic belonged to the policy that is no more.
        assert_eq!(over(r#"{"action":"dead-letter"}"#, &skipping).0.action, ErrorAction::DeadLetter { topic: None });
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (_, problems) =
            over(r#"{"action":"stop","dead-letter-topic":"bad","backoff":"soon"}"#, &ErrorPolicy::default());
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("on-error backoff: 'soon' is not a duration"), "{problems:?}");
        assert!(problems[1].starts_with("dead-letter-topic 'bad' is given, but on-error is 'stop'"), "{problems:?}");
        for (bad, what) in
            [(r#"{"action":"retry"}"#, "`dead-letter`, `skip`, `stop`"), (r#"{"retry":1}"#, "unknown field")]
        {
            let error = serde_json::from_str::<OnError>(bad).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn the_word_of_an_action_is_its_json() {
        for action in [OnErrorAction::DeadLetter, OnErrorAction::Skip, OnErrorAction::Stop] {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
    }
}
