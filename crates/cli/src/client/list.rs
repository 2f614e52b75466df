// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client list`.

use fnstream_api::{Client, ClientError, Page, PageOptions};

use crate::failure::Result;
use crate::output::{self, Rows, escape::one_line};

/// List the functions.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print a JSON array instead of one name per line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(client: &Client, args: &Args) -> Result {
    names(args.json, async |page| client.functions_page(&page).await).await
}

/// Prints names as their pages come.
pub(super) async fn names(
    json: bool,
    mut page: impl AsyncFnMut(PageOptions) -> std::result::Result<Page<String>, ClientError>,
) -> Result {
    let (mut options, mut rows) = (PageOptions::default(), Rows::compact());
    loop {
        let Page { rows: names, next } = page(options).await?;
        match json {
            true => names.iter().try_for_each(|name| rows.push(name))?,
            false => names.iter().try_for_each(|name| output::line(one_line(name)))?,
        }
        if next.is_none() {
            return if json { rows.end() } else { Ok(()) };
        }
        options = PageOptions { after: next, ..PageOptions::default() };
    }
}
