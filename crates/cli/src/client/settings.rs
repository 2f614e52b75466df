// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The options that a function is created and updated with alike.

use std::time::Duration;

use clap::ValueEnum;
use fnstream_api::units::{Quantity, parse_duration};
use fnstream_api::{FileGrant, Limits, OnError, OnErrorAction};

use super::pair;

#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Setting that the function is given at its start, as name=value; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) config: Vec<(String, String)>,
    /// What an instance may use, such as memory=64MiB; others are call-time, start-time, record, records-per-input and
    /// state; may be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit)]
    limits: Vec<(String, String)>,
    /// What becomes of a record that the function fails at [default: dead-letter]
    #[arg(long, value_enum, value_name = "ACTION")]
    on_error: Option<ActionArg>,
    /// How often a record is tried again before that [default: 1]
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Wait before the first retry, which doubles with each further one [default: 0ms]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    backoff: Option<Duration>,
    /// Longest wait before a retry [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    max_backoff: Option<Duration>,
    /// Topic of the dead letters [default: the function's name with .dlq]
    #[arg(long, value_name = "TOPIC")]
    dead_letter_topic: Option<String>,
    /// Environment variable that the function sees; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// Folder of the server that the function may read, and where it finds it if not at the same path; the server must
    /// allow it with --allow-files-dir; may be repeated
    #[arg(long, value_name = "HOST[:GUEST]", value_parser = grant)]
    pub(crate) files: Vec<FileGrant>,
}

/// What becomes of a record that the function fails at.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ActionArg {
    /// It goes to a topic, with the reason, and the function goes on
    DeadLetter,
    /// It is consumed and forgotten, and the function goes on
    Skip,
    /// The function stays before it until it is started anew or updated
    Stop,
}

impl Settings {
    /// The limits that are given.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        for (name, value) in &self.limits {
            // Checked when the option was read.
            let _ = limits.set(name, value);
        }
        limits
    }

    /// What is given of the error policy.
    pub(crate) fn on_error(&self) -> OnError {
        OnError {
            action: self.on_error.map(|action| match action {
                ActionArg::DeadLetter => OnErrorAction::DeadLetter,
                ActionArg::Skip => OnErrorAction::Skip,
                ActionArg::Stop => OnErrorAction::Stop,
            }),
            retries: self.retries,
            backoff: self.backoff.map(Quantity::duration),
            max_backoff: self.max_backoff.map(Quantity::duration),
            dead_letter_topic: self.dead_letter_topic.clone(),
        }
    }
}

/// Reads a limit's `name=value`.
fn limit(text: &str) -> Result<(String, String), String> {
    let (name, value) = pair(text)?;
    Limits::default().set(&name, &value)?;
    Ok((name, value))
}

/// Reads `host` or `host:guest`.
fn grant(text: &str) -> Result<FileGrant, String> {
    match text.split_once(':') {
        None if !text.is_empty() => Ok(FileGrant { host: text.to_owned(), guest: None }),
        Some((host, guest)) if !host.is_empty() && !guest.is_empty() => {
            Ok(FileGrant { host: host.to_owned(), guest: Some(guest.to_owned()) })
        }
        _ => Err(format!("'{}' is not of the form host or host:guest", text.escape_debug())),
    }
}
