// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream check`: whether a data folder is whole, and cutting a damaged log back.

use std::path::PathBuf;

use fnstream_store::{Area, Repaired, Report};
use rustix::fs::Mode;
use rustix::process::umask;

use crate::failure::{Failure, Result};
use crate::{output, settings};

/// Check a data folder that no server uses: reads all of it, and prints what is damaged or missing. The exit code is 0 only if
/// all is well.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data folder [default: that of the server's settings]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Configuration file of the server, or the folder it is in
    #[arg(long, env = "FUNCTION_STREAM_CONF", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take a log that is damaged, or that ends too early, back to the last write before the damage, and print what that costs
    #[arg(long)]
    repair: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result {
    let folder = settings::data_dir(args.config.clone(), args.data_dir.clone())?;
    // What a repair makes is nobody else's.
    umask(Mode::from_raw_mode(0o077));
    let repaired = if args.repair { fnstream_store::repair(&folder)? } else { None };
    let report = match &repaired {
        Some(repaired) => repaired.after.clone(),
        None => fnstream_store::check(&folder)?,
    };
    match &repaired {
        Some(repaired) if args.json => output::json(repaired)?,
        None if args.json => output::json(&report)?,
        repaired => {
            repaired.as_ref().map_or(Ok(()), print_cost)?;
            print(&report)?;
        }
    }
    if report.is_good() { Ok(()) } else { Err(Failure::Quiet) }
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
    if report.problems.iter().any(|problem| problem.area == Area::Log) {
        print_left("what can be read ends here:", report)?;
    }
    let repairable = report.problems.iter().all(|problem| problem.area != Area::Database);
    output::line(match (repairable, report.problems.iter().any(|problem| problem.area == Area::Log)) {
        (true, true) => "advice: copy the folder away; 'function-stream check --repair' takes it back to that point",
        (true, false) => "advice: upload the artifacts again, with 'function-stream client update' or 'create'",
        (false, _) => "advice: this cannot be repaired; restore the folder from a backup (FS-1506)",
    })
}

fn print_cost(repaired: &Repaired) -> Result {
    let before = &repaired.before;
    for problem in before.problems.iter().filter(|problem| problem.area == Area::Log) {
        output::line(format!("repaired: {}", problem.message))?;
    }
    match before.missing_writes {
        0 => output::line("lost: all writes after the last one that could be read; how many is not known")?,
        1 => output::line("lost: the last write")?,
        missing => output::line(format!("lost: the last {missing} writes, of all topics and functions together"))?,
    }
    print_left("what was acknowledged at or after these points is gone:", &repaired.after)?;
    output::line(format!("the logs as they were are in '{}'", repaired.kept.display()))
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
        let (name, epoch, records) = (&task.function, task.epoch, task.records_in);
        output::line(format!("  function '{name}', task {}: commit {epoch}, {records} records consumed", task.task))?;
    }
    Ok(())
}

fn name(area: Area) -> &'static str {
    match area {
        Area::Log => "log",
        Area::Database => "database",
        Area::Artifact => "artifact",
    }
}
