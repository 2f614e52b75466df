// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where logs go and how they look: standard error or files that are kept within bounds; text, or JSON for programs.

mod file;
mod json;

use std::io::IsTerminal;

use fnstream_config::server::{LogFormat, LoggingSettings};
use fnstream_core::ErrorCode;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::failure::{Failure, Result};

pub(crate) use self::file::LogFile;
use self::json::Json;

/// Begins to log; answers the file, if it goes to one.
pub(crate) fn init(settings: &LoggingSettings) -> Result<Option<LogFile>> {
    match &settings.file {
        None => {
            let colours = std::io::stderr().is_terminal() && !is_set("NO_COLOR");
            begin(settings, std::io::stderr, colours).map(|()| None)
        }
        Some(path) => {
            let file = LogFile::open(path, settings.max_file_bytes, settings.max_files).map_err(|error| {
                let message = format!("the log file '{}' cannot be written: {error}", path.display());
                Failure::new(ErrorCode::InvalidConfig, message)
            })?;
            begin(settings, file.clone(), false).map(|()| Some(file))
        }
    }
}

/// Whether a variable of the environment has a value, which is what <https://no-color.org> asks.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn begin<W>(settings: &LoggingSettings, writer: W, colours: bool) -> Result
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = &settings.level;
    let filter = EnvFilter::try_new(level).map_err(|_| {
        let shown = level.escape_debug();
        let what =
            "is none of error, warn, info, debug, trace and off, and no list such as 'info,fnstream_store=debug'";
        Failure::new(ErrorCode::InvalidConfig, format!("log level '{shown}' {what}"))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colours);
    let started = match settings.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Pretty => builder.pretty().try_init(),
        LogFormat::Json => builder.event_format(Json).try_init(),
    };
    started.map_err(|e| Failure::Plain(e.to_string()))
}
