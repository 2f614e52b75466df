// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream standalone`: a server that needs no other service.

use std::time::Duration;

use fnstream_server::{Server, Signals};

use crate::failure::{Failure, Result};
use crate::{logging, settings};

/// Run a server with a log of its own: needs no other service.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: settings::Args,
}

pub(crate) fn run(args: &Args) -> Result {
    let loaded = settings::load(&args.settings)?;
    logging::init(&loaded.settings.logging)?;
    if let Some(file) = &loaded.file {
        tracing::info!(file = %file.display(), "configuration read");
    }
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    let config = settings::server(&loaded.settings);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ran = runtime.block_on(async {
        let signals = Signals::register()?;
        let server = Server::start(config).await?;
        server.run_until_signal(signals).await.map_err(Failure::from)
    });
    // A blocking call that hangs, on a disk that does not answer, must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(5));
    ran
}
