// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream check`: whether a data folder is whole, and cutting a damaged log back.

use std::path::PathBuf;

use fnstream_core::units::counted;
use fnstream_core::{Error, ErrorCode};
use fnstream_store::{Area, Repair, Repaired, Report};
use rustix::fs::Mode;
use rustix::process::umask;

use crate::failure::{Failure, Result};
use crate::{output, settings};

/// The exit code of a repair that would lose much and was not done.
const UNACCEPTED: u8 = 3;

/// What to do about damage that a repair does not mend.
const FROM_BACKUP: &str =
    "this cannot be repaired; restore the folder from a backup with 'function-stream restore --replace'";

/// Check a data folder that no server uses: reads all of it, and prints what is damaged or missing. Exit codes: 0 all is well, also
/// after a repair; 1 something is damaged, or the folder could not be checked; 2 wrong usage; 3 a repair was not done because it
/// loses too much.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data folder [default: that of the server's settings]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Configuration file of the server, or the folder it is in
    #[arg(long, env = "FUNCTION_STREAM_CONF", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take a log that is damaged, or that ends too early, back to the last write before the damage, and print what that costs. If
    /// functions or all that there is would go, nothing is changed without --accept-loss
    #[arg(long)]
    repair: bool,
    /// Repair also if functions, or all that there is, are lost
    #[arg(long, requires = "repair")]
    accept_loss: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result {
    let folder = settings::data_dir(args.config.clone(), args.data_dir.clone())?;
    // What a repair makes is nobody else's.
    umask(Mode::from_raw_mode(0o077));
    let done = match args.repair {
        true => fnstream_store::repair(&folder, args.accept_loss).map_err(unmendable)?,
        false => Repair::Unneeded(fnstream_store::check(&folder).map_err(unmendable)?),
    };
    match &done {
        Repair::Unneeded(report) if args.json => output::json(report)?,
        Repair::Unneeded(report) => print(report)?,
        Repair::Unaccepted(before) if args.json => {
            output::json(&serde_json::json!({ "before": before, "needs": "--accept-loss" }))?;
        }
        Repair::Unaccepted(before) => {
            print(before)?;
            output::line("nothing was changed: 'function-stream check --repair --accept-loss' does it all the same")?;
        }
        Repair::Done(repaired) if args.json => output::json(repaired)?,
        Repair::Done(repaired) => {
            print_cost(repaired)?;
            print(&repaired.after)?;
        }
    }
    match done {
        Repair::Unaccepted(_) => Err(Failure::Told(UNACCEPTED)),
        Repair::Unneeded(report) | Repair::Done(Repaired { after: report, .. }) => match report.is_good() {
            true => Ok(()),
            false => Err(Failure::Quiet),
        },
    }
}

/// The code's advice is to run this command.
fn unmendable(error: Error) -> Error {
    match error.code {
        ErrorCode::DataCorrupt => error.advising(FROM_BACKUP),
        _ => error,
    }
}

fn print(report: &Report) -> Result {
    for problem in &report.problems {
        output::line(format!("{}: {}", name(problem.area), problem.message))?;
    }
    if report.is_good() {
        let records: u64 = report.partitions.iter().map(|partition| partition.end - partition.earliest).sum();
        let (partitions, tasks) = (report.partitions.len(), report.tasks.len());
        let artifacts = report.artifacts;
        return output::line(format!(
            "all is well: partitions {partitions}, records {records}, tasks {tasks}, artifacts {artifacts}"
        ));
    }
    if report.is_damaged(Area::Log) {
        print_left("what can be read ends here:", report)?;
    }
    if report.loses_much() {
        print_much(report)?;
    }
    output::line(if report.is_damaged(Area::Database) {
        format!("advice: {FROM_BACKUP} (FS-1506)")
    } else if report.is_damaged(Area::Log) {
        "advice: copy the folder away; 'function-stream check --repair' takes it back to that point".to_owned()
    } else if report.is_damaged(Area::Mark) {
        "advice: 'function-stream check --repair' marks the folder again".to_owned()
    } else {
        "advice: upload the artifacts again, with 'function-stream client update' or 'create'".to_owned()
    })
}

/// Why a repair is not done without being accepted.
fn print_much(report: &Report) -> Result {
    if report.is_empty() {
        output::line("warning: a repair loses everything: no topic and no function is left")?;
    }
    let unused = &report.unused_artifacts;
    if !unused.is_empty() {
        output::line(format!(
            "warning: artifacts of which no function is left, so functions are lost: {}",
            unused.len()
        ))?;
    }
    unused.iter().try_for_each(|digest| output::line(format!("  {digest}")))
}

fn print_cost(repaired: &Repaired) -> Result {
    let before = &repaired.before;
    for problem in before.problems.iter().filter(|problem| matches!(problem.area, Area::Log | Area::Mark)) {
        output::line(format!("repaired: {}", problem.message))?;
    }
    let Some(kept) = &repaired.kept else { return Ok(()) };
    match before.missing_writes {
        0 => output::line("lost: all writes after the last one that could be read; how many is not known")?,
        1 => output::line("lost: the last write")?,
        missing => output::line(format!("lost: the last {missing} writes, of all topics and functions together"))?,
    }
    print_left("what was acknowledged at or after these points is gone:", &repaired.after)?;
    output::line(format!("the logs as they were are in '{}'", kept.display()))?;
    match before.unused_artifacts.len() {
        0 => Ok(()),
        count => output::line(format!("artifacts that no function has any more were moved there: {count}")),
    }
}

/// The ends of topics and tasks.
fn print_left(title: &str, report: &Report) -> Result {
    output::line(title)?;
    if report.partitions.is_empty() && report.tasks.is_empty() {
        return output::line("  no topic and no function is left");
    }
    for at in &report.partitions {
        output::line(format!("  topic '{}', partition {}: position {}", at.topic, at.partition, at.end))?;
    }
    for task in &report.tasks {
        let (name, epoch, records) = (&task.function, task.epoch, counted(task.records_in, "record"));
        output::line(format!("  function '{name}', task {}: commit {epoch}, {records} consumed", task.task))?;
    }
    Ok(())
}

fn name(area: Area) -> &'static str {
    match area {
        Area::Mark => "mark",
        Area::Log => "log",
        Area::Database => "database",
        Area::Artifact => "artifact",
    }
}
