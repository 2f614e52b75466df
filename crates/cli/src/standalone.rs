// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream standalone`: a server that needs no other service.

use std::time::Duration;

use fnstream_config::server::{LogFormat, LoggingSettings};
use fnstream_core::dir::Access;
use fnstream_server::{Group, Server, ServerConfig, Signals, descriptors};
use rustix::fs::Mode;
use rustix::process::umask;

use crate::failure::{Failure, Result};
use crate::logging::{self, LogFile};
use crate::settings::{self, Loaded};

/// Run a server with a log of its own: needs no other service.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: settings::Args,
}

pub(crate) fn run(args: &Args) -> Result {
    serve(settings::load(&args.settings)?, None)
}

/// Runs a server, as a process of that group or with a log of its own.
pub(crate) fn serve(loaded: Loaded, group: Option<Group>) -> Result {
    let log = logging::init(&loaded.settings.logging)?;
    fnstream_core::panics::tell_in_log();
    if let Some(file) = &loaded.file {
        tracing::info!(file = %file.display(), "configuration read");
    }
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    descriptors::raise_limit();
    let mut config = settings::server(&loaded.settings);
    config.group = group;
    keep_private(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ran = runtime.block_on(async {
        let signals = Signals::register()?;
        let reopen = || log.as_ref().map_or((), LogFile::reopen);
        Server::run(config, signals, reopen).await.map_err(Failure::from)
    });
    // A blocking call that hangs, on a disk that does not answer, must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(5));
    ran.map_err(|failure| told_in_log(failure, &loaded.settings.logging))
}

/// Has the log say why the server ended, where it is not the terminal's: a collector that reads JSON sees nothing else, and a
/// file would end without a reason.
fn told_in_log(failure: Failure, logging: &LoggingSettings) -> Failure {
    let Failure::Coded { code, message, advice } = &failure else { return failure };
    if logging.file.is_none() && logging.format != LogFormat::Json || !tracing::enabled!(tracing::Level::ERROR) {
        return failure;
    }
    tracing::error!(code, advice, "{message}");
    if logging.file.is_some() { failure } else { Failure::Told(1) }
}

/// Lets whatever this process makes from now on, also by libraries that know no rights, be made for those alone who may read
/// the data folder. The log is open already.
fn keep_private(config: &ServerConfig) {
    umask(Mode::from_raw_mode(match config.access {
        Access::Owner => 0o077,
        Access::Group => 0o027,
    }));
}
