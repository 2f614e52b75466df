// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client apply`: functions become what their descriptions say; what that changes is shown before it is done.
//!
//! ```text
//! files read, documents split, all of them checked here ──► artifacts uploaded ──► all of them checked by the server
//!      ──► what changes is shown ──► one after the other is applied, until one fails
//! ```
//!
//! Nothing is changed before the server has accepted every document. What it accepts can still fail, since it may not come up: then
//! those behind it are left as they are, and named.

mod documents;

use std::path::PathBuf;

use fnstream_api::{Applied, ApplyOutcome, ApplyRequest, Client, FieldChange};

use self::documents::{Document, documents};
use super::create::warn;
use super::waiting::{Waiting, is_done};
use crate::failure::{Failure, Result};
use crate::output::{self, escape};

/// Create functions as their descriptions say, or change them to that.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Description, which may hold several functions with '---' between them, or a folder of such files; may be repeated
    #[arg(short, long = "file", value_name = "CONFIG", required = true)]
    files: Vec<PathBuf>,
    /// WebAssembly file to run, or sha256:DIGEST of an artifact that the server has [default: what each description names as its
    /// 'archive']
    #[arg(short, long)]
    archive: Option<String>,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Leave a change in force although the function does not come up with it; else the server goes back to what was there
    /// before, if the function was up with that
    #[arg(long, conflicts_with = "no_wait")]
    keep_failed: bool,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let documents = documents(client, &args.files, args.archive.as_deref()).await?;
    let planned = plan(client, &documents).await?;
    for applied in &planned {
        show(applied, planned.len() > 1)?;
    }
    if args.dry_run {
        return planned.iter().try_for_each(|planned| {
            let what = match planned.outcome {
                ApplyOutcome::Created => "would be created",
                ApplyOutcome::Changed => "would be changed",
                ApplyOutcome::Unchanged => "is unchanged",
            };
            output::line(format!("Function {} {what}", planned.name))
        });
    }
    let client = args.waiting.of(client, args.keep_failed);
    for (at, (document, planned)) in documents.iter().zip(&planned).enumerate() {
        if let Err(failure) = apply(&client, &args.waiting, document, planned).await {
            let left: Vec<_> = documents[at + 1..].iter().map(|document| document.name.as_str()).collect();
            if !left.is_empty() {
                output::complain(&format!("not applied, since function {} failed: {}", document.name, left.join(", ")));
            }
            return Err(failure);
        }
    }
    Ok(())
}

/// What each document would change. All of them are looked at; the failure says what is wrong with which.
async fn plan(client: &Client, documents: &[Document]) -> Result<Vec<Applied>> {
    let (mut planned, mut refused) = (Vec::new(), Vec::new());
    for document in documents {
        match client.apply(document.request(true)).await {
            Ok(applied) => planned.push(applied),
            Err(error) => refused.push((document, Failure::from(error))),
        }
    }
    match refused.pop() {
        None => Ok(planned),
        Some((_, failure)) if documents.len() == 1 => Err(failure),
        Some((document, failure)) => {
            for (document, failure) in refused {
                output::complain(&format!("{}: {failure}", document.source));
            }
            output::complain(&format!(
                "{}: nothing was changed, since not every description is accepted",
                document.source
            ));
            Err(failure)
        }
    }
}

async fn apply(client: &Client, waiting: &Waiting, document: &Document, planned: &Applied) -> Result {
    let done = |applied: &Applied| match (applied.outcome, &applied.function) {
        (ApplyOutcome::Created, _) => output::line(format!("Function created: {}", applied.name)),
        (ApplyOutcome::Unchanged, _) => output::line(format!("Function {} is unchanged", applied.name)),
        (ApplyOutcome::Changed, Some(function)) => {
            output::line(format!("Function {} is at revision {}", function.name, function.revision))
        }
        (ApplyOutcome::Changed, None) => Ok(()),
    };
    match client.apply(document.request(false)).await {
        Ok(applied) => {
            applied.function.iter().for_each(warn);
            done(&applied)?;
            applied.function.iter().try_for_each(|function| waiting.tell(function))
        }
        Err(error) => {
            if is_done(&error) {
                done(planned)?;
            }
            Err(error.into())
        }
    }
}

/// Prints what changes, a line for each field; of several functions under the name of each.
fn show(planned: &Applied, several: bool) -> Result {
    for note in &planned.notes {
        output::complain(&format!("{}: {note}", planned.name));
    }
    if several && !planned.changes.is_empty() {
        output::line(format!("{}:", planned.name))?;
    }
    planned.changes.iter().try_for_each(|change| output::line(line(change)))
}

fn line(FieldChange { field, before, after }: &FieldChange) -> String {
    let field = escape::cell(field);
    let value = |text: &String| escape::field(text, 2);
    match (before.as_ref().map(value), after.as_ref().map(value)) {
        (None, Some(after)) => format!("+ {field}: {after}"),
        (Some(before), None) => format!("- {field}: {before}"),
        (Some(before), Some(after)) => format!("~ {field}: {before} -> {after}"),
        (None, None) => format!("  {field}"),
    }
}

impl Document {
    fn request(&self, dry_run: bool) -> ApplyRequest {
        ApplyRequest { config: self.text.clone(), archive: self.archive.clone(), dry_run }
    }
}
