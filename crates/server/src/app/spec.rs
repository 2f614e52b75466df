// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From what a user asks for to the description that is registered. Everything that is wrong with it is told at once.

use fnstream_api::{FileGrant, Function};
use fnstream_core::spec::{self, ErrorPolicy, FunctionSpec, Limits};
use fnstream_core::{Error, ErrorCode, Result};

/// The description of a new function, which runs the artifact of that digest.
pub(super) fn new(name: &str, function: &Function, artifact: String) -> Result<FunctionSpec> {
    let mut problems = Vec::new();
    let spec = FunctionSpec {
        name: name.to_owned(),
        artifact,
        inputs: function.inputs.iter().map(|topic| vec![topic.clone()]).collect(),
        outputs: vec![function.output.clone()],
        replicas: function.replicas,
        config: function.config.clone(),
        limits: function.limits.over(Limits::default(), &mut problems),
        on_error: function.on_error.over(&ErrorPolicy::default(), &mut problems),
        env: function.env.clone(),
        files: function.files.iter().map(grant).collect(),
    };
    checked(spec, problems)
}

/// A grant as it is told.
pub(super) fn told(grant: &spec::FileGrant) -> FileGrant {
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
            "on-error":{"action":"skip","dead-letter-topic":"t"},"env":{"":"x"},"files":[{"host":"lists"}]}"#;
        let error = new("f", &serde_json::from_str(text).unwrap(), String::new()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidSpec);
        for problem in [
            "limit call-time: 'soon' is not a duration",
            "dead-letter-topic 't' is given, but on-error is 'skip'",
            "'i' is both input and output",
            "limit memory is 1024 bytes",
            "cannot be the name of an environment variable",
            "'lists' is not an absolute path",
        ] {
            assert!(error.message.contains(problem), "{problem}: {}", error.message);
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
