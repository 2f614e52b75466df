// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is run: the description of the function, from a config.yaml and the options.

use std::path::{Path, PathBuf};

use fnstream_core::artifacts::digest;
use fnstream_core::spec::{ErrorAction, FileGrant, FunctionSpec};
use fnstream_core::{Error, ErrorCode};

use super::Args;
use crate::artifact;
use crate::failure::{Failure, Result};
use crate::project::read_config;

/// The name of a function that has no config.yaml, and of its topics.
const NAME: &str = "run";
const INPUT: &str = "input";
const OUTPUT: &str = "output";

/// A function that is to be run.
pub(crate) struct Described {
    pub(crate) artifact: Vec<u8>,
    pub(crate) spec: FunctionSpec,
    /// The user wants none of them: they are how failures are told.
    pub(crate) hides_dead_letters: bool,
    /// The folders that it may be granted.
    pub(crate) allowed: Vec<PathBuf>,
}

pub(super) fn describe(args: &Args) -> Result<Described> {
    let artifact = read(&args.artifact)?;
    let mut spec = match &args.file {
        Some(path) => configured(path, &digest(&artifact))?,
        None => FunctionSpec {
            name: NAME.to_owned(),
            artifact: digest(&artifact),
            inputs: vec![vec![INPUT.into()]],
            outputs: vec![OUTPUT.into()],
            replicas: 1,
            ..FunctionSpec::default()
        },
    };
    let (settings, mut problems) = (&args.settings, Vec::new());
    spec.limits = settings.limits().over(spec.limits, &mut problems);
    spec.on_error = settings.on_error().over(&spec.on_error, &mut problems);
    spec.config.extend(settings.config.iter().cloned());
    spec.env.extend(settings.env.iter().cloned());
    let mut allowed = args.allow_files_dir.clone();
    for grant in &settings.files {
        let guest = grant.guest.as_ref().unwrap_or(&grant.host).clone();
        allowed.push(grant.host.clone().into());
        spec.files.push(FileGrant { host: grant.host.clone(), guest });
    }
    // One partition keeps the order of the input.
    spec.replicas = 1;
    problems.extend(spec.problems().into_iter().map(|problem| problem.message));
    if !problems.is_empty() {
        return Err(Error::new(ErrorCode::InvalidSpec, problems.join("; ")).into());
    }
    let hides_dead_letters = hides_dead_letters(&mut spec)?;
    Ok(Described { artifact, spec, hides_dead_letters, allowed })
}

/// The user wants no dead letters: they become how failures are told.
pub(crate) fn hides_dead_letters(spec: &mut FunctionSpec) -> Result<bool> {
    let hides = spec.on_error.action == ErrorAction::Skip;
    if hides {
        spec.on_error.action = ErrorAction::DeadLetter { topic: None };
        spec.validate()?;
    }
    Ok(hides)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    artifact::read(path).map_err(|e| Failure::Coded {
        code: ErrorCode::ArtifactNotFound.as_str().to_owned(),
        message: format!("cannot read '{}': {e}", path.display()),
        advice: "give the path of a WebAssembly file, of a .py or .js file, or of a folder or a zip of these"
            .to_owned(),
    })
}

fn configured(path: &Path, artifact: &str) -> Result<FunctionSpec> {
    let named = |problems: fnstream_config::Problems| Error::from(problems.named(path.display().to_string()));
    Ok(read_config(path)?.to_spec(artifact).map_err(named)?)
}
