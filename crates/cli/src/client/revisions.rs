// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client revisions`: what a function was, and whether one can go back to it.

use comfy_table::Table;
use fnstream_api::{Client, RevisionDescription};

use crate::failure::{Failure, Result};
use crate::output;

/// Characters of a digest that tell artifacts apart for people.
const SHORT_DIGEST: usize = "sha256:".len() + 12;

/// List the kept revisions of a function.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(client: &Client, args: &Args) -> Result {
    let revisions = client.function_revisions(&args.name).await?;
    if args.json {
        return output::line(serde_json::to_vec_pretty(&revisions).map_err(|e| Failure::Plain(e.to_string()))?);
    }
    output::line(table(&revisions).to_string())
}

fn table(revisions: &[RevisionDescription]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["REVISION", "SINCE", "ARTIFACT", "CHANGED", "STATE"]);
    for of in revisions {
        let changed = if of.changed.is_empty() { "-".to_owned() } else { of.changed.join(", ") };
        let state = match (of.current, of.state) {
            (true, _) => "in use",
            (false, true) => "kept",
            (false, false) => "not kept",
        };
        let archive = of.archive.chars().take(SHORT_DIGEST).collect();
        table.add_row([of.revision.to_string(), utc(of.created_ms), archive, changed, state.to_owned()]);
    }
    table
}

/// A moment as UTC, to the second.
fn utc(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since the 1st of March of year 0: leap days then come last in each cycle of 4, 100 and 400 years.
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z", 400 * cycle + year + carry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_utc() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (-1, "1969-12-31 23:59:59Z"),
            (951_782_400_000, "2000-02-29 00:00:00Z"),
            (1_709_251_199_999, "2024-02-29 23:59:59Z"),
            (1_709_251_200_000, "2024-03-01 00:00:00Z"),
            (4_102_444_800_000, "2100-01-01 00:00:00Z"),
        ] {
            assert_eq!(utc(ms), text);
        }
    }
}
