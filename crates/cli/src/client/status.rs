// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client status`: a line for each function, and in plain words why what does not run does not.

use fnstream_api::units::format_size;
use fnstream_api::{Client, FunctionSummary, PageOptions};

use crate::failure::Result;
use crate::output::{self, Listing, Rows, escape};

/// Show how all functions fare, and why what does not run does not.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of a function; all are shown without it
    #[arg(short, long)]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    if let Some(name) = args.name {
        let functions = client.status(Some(&name)).await?;
        return if args.json { output::json(&functions) } else { output::line(text(&functions)) };
    }
    let (mut options, mut rows, mut shown) = (PageOptions::default(), Rows::indented(0), false);
    loop {
        let page = client.status_page(&options).await?;
        match args.json {
            true => page.rows.iter().try_for_each(|function| rows.push(function))?,
            // Some answer there must be.
            false if !page.rows.is_empty() || (page.next.is_none() && !shown) => output::line(text(&page.rows))?,
            false => {}
        }
        shown |= !page.rows.is_empty();
        if page.next.is_none() {
            return if args.json { rows.end() } else { Ok(()) };
        }
        options.after = page.next;
    }
}

fn text(functions: &[FunctionSummary]) -> String {
    if functions.is_empty() {
        return "there are no functions".to_owned();
    }
    let mut table = Listing::new([
        "NAME", "STATUS", "REVISION", "IN", "OUT", "FAILED", "DEAD", "SKIPPED", "LAG", "RESTARTS", "MEMORY",
    ]);
    for function in functions {
        table.row([
            function.name.clone(),
            function.status.as_str().to_owned(),
            function.revision.to_string(),
            function.records_in.to_string(),
            function.records_out.to_string(),
            function.failed.to_string(),
            function.dead_lettered.to_string(),
            function.skipped.to_string(),
            function.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            function.restarts.to_string(),
            format_size(function.memory_bytes),
        ]);
    }
    // Below the table: in a column of it they would be cut or folded.
    let reasons = functions.iter().filter_map(|function| Some((function, function.reason.as_ref()?)));
    let reason = |(function, reason): (&FunctionSummary, &String)| {
        format!("\n{}: {}", escape::one_line(&function.name), escape::field(reason, 2))
    };
    let reasons: String = reasons.map(reason).collect();
    let gap = if reasons.is_empty() { "" } else { "\n" };
    format!("{table}{gap}{reasons}")
}

#[cfg(test)]
mod tests {
    use fnstream_api::FunctionStatus;

    use super::*;

    #[test]
    fn what_does_not_run_has_its_reason_below() {
        let running = FunctionSummary {
            name: "a".into(),
            status: FunctionStatus::Running,
            revision: 1,
            records_in: 5,
            records_out: 4,
            failed: 0,
            dead_lettered: 0,
            skipped: 0,
            ahead: 0,
            restarts: 0,
            lag: Some(3),
            memory_bytes: 1 << 20,
            reason: None,
        };
        let stopped = FunctionSummary {
            name: "b".into(),
            status: FunctionStatus::Stopped,
            lag: None,
            reason: Some("it was told to stop".into()),
            ..running.clone()
        };
        let shown = text(&[running, stopped]);
        let lines: Vec<_> = shown.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 5, "{shown}");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(lines[1]), ["a", "running", "1", "5", "4", "0", "0", "0", "3", "0", "1.0", "MiB"]);
        assert_eq!(words(lines[2])[8], "-");
        assert_eq!(lines[4], "b: it was told to stop");
    }
}
