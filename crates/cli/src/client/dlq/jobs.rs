// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Jobs on dead letters: waited for with their progress, or asked for later.

use std::io::IsTerminal;
use std::time::Duration;

use fnstream_api::units::format_time;
use fnstream_api::{Client, DeadLetterResult, Job, JobKind, JobState, PageOptions, TriedDeadLetter};
use fnstream_core::ErrorCode;

use crate::failure::{Failure, Result};
use crate::output::{self, Fields, Listing, Rows, escape};

/// How often the progress is shown.
const PROGRESS: Duration = Duration::from_secs(1);

/// How long one request waits where nobody looks; then the next one does.
const WAIT: Duration = Duration::from_secs(30);

/// Waits for a job that was begun and prints what came of it; or only its id.
pub(super) async fn begun(client: &Client, job: Job, no_wait: bool, json: bool) -> Result {
    if no_wait {
        return if json { output::json(&job) } else { output::line(escape::one_line(&job.id)) };
    }
    let job = over(client, job).await?;
    tell(client, job, json).await
}

/// Shows a job, cancelled or waited for if that is asked for.
pub(super) async fn show(client: &Client, id: &str, wait: bool, cancel: bool, json: bool) -> Result {
    let mut job = if cancel { client.cancel_job(id).await? } else { client.job(id, None).await? };
    if wait {
        job = over(client, job).await?;
    }
    match json {
        true => output::json(&job)?,
        false => output::line(text(&job).trim_end())?,
    }
    // Who cancels it does not ask what came of it.
    if !wait || cancel {
        return Ok(());
    }
    let failed = match job.would_succeed {
        Some(good) => job.processed.saturating_sub(good),
        None => job.failed_again,
    };
    verdict(&job.finished()?, failed)
}

/// Lists jobs, the newest first.
pub(super) async fn list(client: &Client, function: Option<&str>, json: bool) -> Result {
    let jobs = client.jobs(function).await?;
    if json {
        return output::json(&jobs);
    }
    if jobs.is_empty() {
        return output::line("there are no jobs");
    }
    let mut table = Listing::new(["ID", "FUNCTION", "KIND", "STATE", "STARTED", "PROCESSED", "LETTERS"]);
    for job in &jobs {
        table.row([
            job.id.clone(),
            job.function.clone(),
            job.kind.as_str().to_owned(),
            job.state.as_str().to_owned(),
            format_time(job.started_ms),
            job.processed.to_string(),
            job.letters.map_or_else(|| "-".to_owned(), |letters| letters.to_string()),
        ]);
    }
    output::line(table.to_string())
}

/// Waits until a job is over. Who looks on is shown how far it is.
async fn over(client: &Client, mut job: Job) -> Result<Job> {
    let watched = std::io::stderr().is_terminal();
    let wait = if watched { PROGRESS } else { WAIT };
    let (id, mut shown) = (job.id.clone(), false);
    while !job.state.is_over() {
        job = match client.job(&id, Some(wait)).await {
            Ok(job) => job,
            Err(error) => {
                output::complain(&format!("note: the job may go on: 'client dlq job {id}' shows it"));
                return Err(error.into());
            }
        };
        if watched && (shown || !job.state.is_over()) {
            output::progress(&progress(&job));
            shown = true;
        }
    }
    if shown {
        output::progress("");
    }
    Ok(job)
}

fn progress(job: &Job) -> String {
    let of = job.letters.map(|letters| format!(" of {letters}")).unwrap_or_default();
    format!("{} {}: {}{of} processed", job.kind.as_str(), job.id, job.processed)
}

/// Prints what came of a job, in the form of its kind.
async fn tell(client: &Client, job: Job, json: bool) -> Result {
    let job = job.finished()?;
    let mut failed = job.failed_again;
    match job.kind {
        JobKind::Trial if job.state == JobState::Done => failed = tell_trial(client, &job.id, json).await?,
        JobKind::Trial => {}
        _ if json => output::json(&job.result())?,
        JobKind::Replay => {
            let DeadLetterResult { replayed, failed_again, waiting, .. } = job.result();
            output::line(format!("{replayed} replayed, {failed_again} failed again, {waiting} waiting"))?;
        }
        JobKind::Drop => {
            let DeadLetterResult { dropped, moved, waiting, .. } = job.result();
            let moved = if moved > 0 { format!(", {moved} moved to the end") } else { String::new() };
            output::line(format!("{dropped} dropped{moved}, {waiting} waiting"))?;
        }
    }
    verdict(&job, failed)
}

/// Scripts are told by the exit code what the text says: a job of which letters failed, or would fail, is no success.
fn verdict(job: &Job, failed: u64) -> Result {
    match job.state {
        JobState::Cancelled => Err(Failure::Plain(format!("job '{}' was cancelled", job.id))),
        _ if failed > 0 => Err(Failure::Told(1)),
        _ => Ok(()),
    }
}

/// Prints what a trial made of each letter; answers how many would fail.
async fn tell_trial(client: &Client, id: &str, json: bool) -> Result<u64> {
    let (mut options, mut rows, mut good, mut all) = (PageOptions::default(), Rows::indented(0), 0, 0);
    loop {
        let page = client.tried_page(id, &options).await?;
        for dead_letter in &page.rows {
            all += 1;
            good += u64::from(dead_letter.emitted.is_some());
            match json {
                true => rows.push(dead_letter)?,
                false => output::line(tried(dead_letter))?,
            }
        }
        match page.next {
            Some(next) => options.after = Some(next),
            None => break,
        }
    }
    match json {
        true => rows.end()?,
        false => output::line(format!("{good} of {all} would succeed; nothing was kept"))?,
    }
    Ok(all - good)
}

fn tried(dead_letter: &TriedDeadLetter) -> String {
    let outcome = match (&dead_letter.emitted, &dead_letter.code, &dead_letter.message) {
        (Some(emitted), ..) => format!("ok, {emitted} emitted"),
        (None, code, message) => {
            let message = escape::field(message.as_deref().unwrap_or_default(), 2);
            format!("{} {message}", escape::cell(code.as_deref().unwrap_or_default()))
        }
    };
    format!("{}  {outcome}", escape::cell(&dead_letter.id))
}

fn text(job: &Job) -> String {
    let mut out = Fields::new(11);
    out.push("id", &job.id);
    out.push("function", &job.function);
    out.push("kind", job.kind.as_str());
    out.push("state", job.state.as_str());
    out.push("started", format_time(job.started_ms));
    if let Some(ended) = job.ended_ms {
        out.push("ended", format_time(ended));
    }
    let of = job.letters.map(|letters| format!(" of {letters}")).unwrap_or_default();
    out.push("processed", format!("{}{of}", job.processed));
    match job.kind {
        JobKind::Replay if job.state != JobState::Interrupted => {
            out.push("replayed", job.replayed.to_string());
            out.push("failed", format!("{} again", job.failed_again));
        }
        JobKind::Trial => job.would_succeed.iter().for_each(|good| out.push("succeed", good.to_string())),
        JobKind::Drop if job.state != JobState::Interrupted => {
            out.push("dropped", job.dropped.to_string());
            if job.moved > 0 {
                out.push("moved", format!("{} to the end", job.moved));
            }
        }
        _ => {}
    }
    if let Some(waiting) = job.waiting {
        out.push("waiting", waiting.to_string());
    }
    if let Some(error) = &job.error {
        out.push("error", format!("{}: {}", error.code, error.message));
    }
    if job.state == JobState::Interrupted {
        out.push("note", ErrorCode::JobInterrupted.advice());
    }
    out.to_string()
}
