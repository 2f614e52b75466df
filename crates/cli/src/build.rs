// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream build`: makes an artifact of the program in a folder, without a server.

use std::path::PathBuf;

use fnstream_build::{Kind, Options, build};

use crate::failure::Result;
use crate::output::{self, busy::busy};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder with the program; Go, by its go.mod
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where the artifact goes [default: build/NAME.wasm in the folder, by the folder's name]
    #[arg(short, long, value_name = "OUT")]
    out: Option<PathBuf>,
    /// Build with TinyGo instead of Go: smaller, without all of the language
    #[arg(long)]
    tinygo: bool,
    /// Only the per-record world functionstream:core, for other hosts of it
    #[arg(long)]
    per_record: bool,
}

pub(crate) fn run(args: Args) -> Result {
    let toolchain = std::env::var_os(if args.tinygo { "TINYGO" } else { "GO" }).map(PathBuf::from);
    let Args { dir, out, tinygo, per_record } = args;
    let options = Options { dir, out, tinygo, per_record, toolchain };
    let built = busy("building the artifact", || build(&options))?;
    let kinds: Vec<_> = built.artifact.kinds.iter().map(|kind| kind.as_str()).collect();
    let form = if built.artifact.kinds.contains(&Kind::Stdio) { "module" } else { "component" };
    output::line(format!(
        "Built {}: {} ({form}: {})",
        built.path.display(),
        size(&built.artifact.bytes),
        kinds.join(", ")
    ))?;
    for import in &built.artifact.imports {
        output::line(format!("imports {import}"))?;
    }
    Ok(())
}

fn size(bytes: &[u8]) -> String {
    format!("{:.1} MiB", bytes.len() as f64 / f64::from(1 << 20))
}
