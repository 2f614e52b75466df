// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client dlq ls`: page by page, printed as they come.

use fnstream_api::{Client, DeadLetter, DeadLetters, PageOptions};

use super::source;
use crate::failure::{Failure, Result};
use crate::output::{self, Listing, Rows, escape::one_line};
use fnstream_core::units::counted;

/// How many dead letters are asked for at once.
const PAGE: usize = 1_000;

pub(super) async fn run(client: &Client, name: &str, max: usize, after: Option<String>, json: bool) -> Result {
    let (mut shown, mut dropped, mut rows, is_whole) = (0, 0, Rows::indented(1), after.is_none());
    let mut page = page(client, name, max, after).await?;
    let DeadLetters { topic, waiting, estimated, .. } = page.clone();
    if json {
        begin_json(&topic, waiting, estimated)?;
    }
    loop {
        match json {
            true => page.dead_letters.iter().try_for_each(|dead_letter| rows.push(dead_letter))?,
            false => table(&page.dead_letters, shown == 0)?,
        }
        shown += page.dead_letters.len();
        dropped += page.dropped;
        match page.next.take_if(|_| shown < max) {
            Some(next) => page = self::page(client, name, max - shown, Some(next)).await?,
            None => break,
        }
    }
    match (json, page.next) {
        (true, next) => end_json(&rows, dropped, next.as_deref()),
        (false, next) => {
            if let Some(waiting) = waiting {
                let about = if estimated { "about " } else { "" };
                let part =
                    if !is_whole || (shown as u64) < waiting { format!(", {shown} shown") } else { String::new() };
                output::line(format!("{about}{waiting} waiting in {}{part}", one_line(&topic)))?;
            }
            if dropped > 0 {
                output::complain(&format!(
                    "note: retention dropped {} of {} before that could be shown",
                    counted(dropped, "record"),
                    one_line(&topic)
                ));
            }
            if let Some(next) = next.filter(|_| max > 0) {
                output::complain(&format!("note: there are more, behind '--after {}'", one_line(&next)));
            }
            Ok(())
        }
    }
}

async fn page(client: &Client, name: &str, max: usize, after: Option<String>) -> Result<DeadLetters> {
    Ok(client.dead_letters_page(name, &PageOptions { max: Some(max.min(PAGE)), after }).await?)
}

fn table(dead_letters: &[DeadLetter], with_header: bool) -> Result {
    if dead_letters.is_empty() {
        return Ok(());
    }
    let mut table = match with_header {
        true => Listing::new(["ID", "FROM", "REVISION", "ATTEMPTS", "CODE", "MESSAGE"]),
        false => Listing::without_header(),
    };
    for dead_letter in dead_letters {
        table.row([
            dead_letter.id.clone(),
            source(dead_letter),
            dead_letter.revision.to_string(),
            dead_letter.attempts.to_string(),
            dead_letter.code.clone(),
            dead_letter.message.lines().next().unwrap_or_default().to_owned(),
        ]);
    }
    output::line(table.to_string())
}

/// The form of [`DeadLetters`], whose array is written as it comes.
fn begin_json(topic: &str, waiting: Option<u64>, estimated: bool) -> Result {
    let mut begin = format!("{{\n  \"topic\": {},\n", text(topic)?);
    if let Some(waiting) = waiting {
        begin += &format!("  \"waiting\": {waiting},\n");
    }
    if estimated {
        begin += "  \"estimated\": true,\n";
    }
    output::json_text(&(begin + "  \"dead_letters\": "), "")
}

fn end_json(rows: &Rows, dropped: u64, next: Option<&str>) -> Result {
    let dropped = if dropped > 0 { format!(",\n  \"dropped\": {dropped}") } else { String::new() };
    let next = next.map(|next| Ok::<_, Failure>(format!(",\n  \"next\": {}", text(next)?))).transpose()?;
    output::json_text(&format!("{}{dropped}{}\n}}", rows.closing(), next.unwrap_or_default()), "\n")
}

fn text(text: &str) -> Result<String> {
    serde_json::to_string(text).map_err(|e| Failure::Plain(e.to_string()))
}
