// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream test`: the tests of a folder's function.
//!
//! Two things are run: the language's own tests, by the language's own tool if it is there, and the scenarios, on the engine of the
//! product, for which Python and JavaScript need no tool.
//!
//! # Reading order
//!
//! `own` (the language's tool), `carry` (a scenario, step by step), `compare` (what differs), `host` (the engine, in time that stands
//! still), with `clock` and `waiting`; `process` (records from an empty state, for `dev`).

mod carry;
mod clock;
mod compare;
mod host;
mod own;
mod process;
mod waiting;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fnstream_config::parse_scenario;
use fnstream_core::Error;
use fnstream_core::ErrorCode;
use fnstream_core::artifacts::digest;
use fnstream_core::runtime::Runtime;
use fnstream_core::spec::FunctionSpec;
use fnstream_core::units::counted;

use self::carry::Subject;
use self::own::Ran;
use crate::failure::{Failure, Result};
use crate::project::{Code, How, Project};
use crate::{files, local, output};

pub(crate) use self::compare::changes;
pub(crate) use self::host::Emitted;
pub(crate) use self::process::process;

/// The folder of scenarios in a project.
const SCENARIOS: &str = "scenarios";

/// Test the function of a folder.
///
/// Runs the language's own tests if its tool is there (go test, cargo test, pytest or unittest, node --test), then the scenarios of the
/// folder scenarios, which need no tool in Python and JavaScript. The exit code is 1 if anything failed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the function
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Run the scenarios alone, not the language's own tests
    #[arg(long)]
    scenarios_only: bool,
    /// Scenario file to run, instead of all in the folder scenarios; may be repeated
    #[arg(long = "scenario", value_name = "FILE")]
    scenarios: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result {
    let project = Project::of(&args.dir)?;
    let mut good = true;
    if !args.scenarios_only && args.scenarios.is_empty() {
        match own::run(&project)? {
            Ran::Passed => output::line(format!("ok    the tests in {}", project.language()))?,
            Ran::Failed(what) => {
                good = false;
                output::line(format!("FAIL  the tests in {}: '{what}' failed", project.language()))?;
            }
            Ran::Not(why) => output::line(format!("-     the tests in {}: not run: {why}", project.language()))?,
        }
    }
    let found = if args.scenarios.is_empty() { found(&args.dir.join(SCENARIOS))? } else { args.scenarios.clone() };
    good &= scenarios(&project, &found)?;
    if good { Ok(()) } else { Err(Failure::Told(1)) }
}

/// The files of a folder with scenarios, in the order of their names.
fn found(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    found.retain(|path| path.extension().is_some_and(|end| end == "yaml" || end == "yml"));
    found.sort();
    Ok(found)
}

/// Carries scenarios out; reports whether all are as they should be.
fn scenarios(project: &Project, found: &[PathBuf]) -> Result<bool> {
    if found.is_empty() {
        output::line("-     no scenarios: there is no file .yaml in the folder 'scenarios'")?;
        return Ok(true);
    }
    let log = Arc::new(carry::Log::default());
    let artifact = artifact(project)?;
    let program = local::runtime(None, log.clone())?.load(&artifact)?;
    let spec = spec(project, &artifact)?;
    let subject = Subject { artifact, program, spec, log };
    let mut failed = 0;
    for path in found {
        let shown = path.display().to_string();
        let read = files::read(path, files::MOST_TEXT)
            .map_err(|e| Failure::Usage(format!("cannot read '{shown}': {e}")))
            .and_then(|bytes| {
                parse_scenario(&bytes).map_err(|problems| Error::from(problems.named(shown.clone())).into())
            });
        let (name, differs) = match read {
            Err(failure) => (shown.clone(), Some(failure.to_string())),
            Ok(scenario) => {
                let name = scenario.name.as_ref().map_or(shown.clone(), |name| format!("{shown}: {name}"));
                let told = match subject.carry_out(&scenario, &shown) {
                    Ok(differs) => differs,
                    Err(failure) => Some(failure.to_string()),
                };
                (name, told)
            }
        };
        match differs {
            None => output::line(format!("ok    {name}"))?,
            Some(why) => {
                failed += 1;
                output::line(format!("FAIL  {name}"))?;
                for line in why.lines() {
                    output::line(format!("      {line}"))?;
                }
            }
        }
    }
    output::line(match failed {
        0 => format!("{} passed", counted(found.len() as u64, "scenario")),
        _ => format!("{failed} of {} failed", counted(found.len() as u64, "scenario")),
    })?;
    Ok(failed == 0)
}

fn artifact(project: &Project) -> Result<Vec<u8>> {
    match &project.code {
        Code::Compiled(_) => Ok(project.build(&How::default())?.bytes),
        Code::Source(_, root) => project.source(root),
    }
}

/// The function as its config.yaml describes it; without one it reads the topic 'input' and writes 'output'.
pub(crate) fn spec(project: &Project, artifact: &[u8]) -> Result<FunctionSpec> {
    let digest = digest(artifact);
    let mut spec = match project.config()? {
        Some(config) => config.to_spec(&digest).map_err(|problems| Failure::from(Error::from(problems)))?,
        None => FunctionSpec {
            name: project.name(),
            artifact: digest,
            inputs: vec![vec!["input".into()]],
            outputs: vec!["output".into()],
            ..FunctionSpec::default()
        },
    };
    // One task keeps the order of what a scenario says.
    spec.replicas = 1;
    if let Some(problem) = spec.problems().into_iter().next() {
        return Err(Failure::new(ErrorCode::InvalidSpec, problem.message));
    }
    Ok(spec)
}
