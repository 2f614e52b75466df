// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The server that a function is developed on, and what is left of it at the end.
//!
//! | server | at the end |
//! | --- | --- |
//! | of its own, in a temporary folder | nothing is left |
//! | of its own, in a folder that was named | everything stays in the folder: the next time goes on there |
//! | that runs already | the function is deleted if this made it; one that was there stays, with the last revision. Topics stay |

use std::path::Path;

use fnstream_api::Client;
use fnstream_core::error::internal;
use fnstream_runtime::Compiling;
use fnstream_server::{Durability, SafeStart, Server, ServerConfig, descriptors};
use tempfile::TempDir;

use super::Args;
use crate::failure::Result;
use crate::{artifact, interrupt, local, output, service};

/// See the module.
pub(super) struct Place {
    pub(super) client: Client,
    own: Option<(Server, Option<TempDir>)>,
}

impl Place {
    /// A server; `files` are the folders that the function may be granted.
    pub(super) async fn open(args: &Args, files: Vec<std::path::PathBuf>) -> Result<Self> {
        if let Some(url) = args.server.clone().or_else(|| service::named().filter(|_| args.data_dir.is_none())) {
            let client = Client::new(&url)?;
            // Whether it is there at all.
            client.list_functions().await?;
            return Ok(Place { client, own: None });
        }
        let temporary = match &args.data_dir {
            Some(_) => None,
            None => {
                let folder = TempDir::with_prefix("function-stream-dev-")?;
                interrupt::remove_at_end(folder.path().to_owned())?;
                Some(folder)
            }
        };
        descriptors::raise_limit();
        let folder =
            args.data_dir.clone().or_else(|| Some(temporary.as_ref()?.path().join("data"))).unwrap_or_default();
        let server = Server::start(config(&folder, temporary.is_some(), files)).await?;
        let client = Client::new(&format!("http://{}", server.local_addr()))?;
        Ok(Place { client, own: Some((server, temporary)) })
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        let url = self.client.url();
        match &self.own {
            None => format!("the server {url}"),
            Some((_, Some(_))) => format!("a server of its own, {url}, with its state in a temporary folder"),
            Some((_, None)) => format!("a server of its own, {url}"),
        }
    }

    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    pub(super) async fn close(self) -> Result {
        let Some((server, temporary)) = self.own else { return Ok(()) };
        let ended = server.shutdown().await;
        if let Some(folder) = temporary
            && let Err(error) = folder.close()
        {
            output::complain(&format!("note: the temporary folder was not removed: {error}"));
        }
        Ok(ended.map_err(|error| internal(error.message))?)
    }
}

fn config(folder: &Path, is_temporary: bool, files: Vec<std::path::PathBuf>) -> ServerConfig {
    ServerConfig {
        listen: "127.0.0.1:0".to_owned(),
        grpc_listen: None,
        durability: if is_temporary { Durability::Os } else { Durability::Group },
        cache_dir: local::code_cache(None).or_else(|| Some(folder.join("cache"))),
        engines: artifact::engines(),
        compiling: Compiling::in_children(local::COMPILE_TIME),
        safe_start: SafeStart::Never,
        files_dirs: files,
        ..ServerConfig::new(folder)
    }
}
