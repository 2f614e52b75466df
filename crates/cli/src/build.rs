// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream build`: makes an artifact of the program in a folder, without a server.

use std::path::PathBuf;

use crate::failure::Result;
use crate::output::{self, busy::busy};
use crate::project::{How, Project};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder with the program: Go by its go.mod, Rust by its Cargo.toml, Python and JavaScript by the files in src or at its top
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where the artifact goes [default: build/NAME.wasm in the folder, by the folder's name; of source build/NAME.zip]
    #[arg(short, long, value_name = "OUT")]
    out: Option<PathBuf>,
    /// Build Go with TinyGo: smaller, without all of the language
    #[arg(long)]
    tinygo: bool,
    /// Only the per-record world functionstream:core, for other hosts of it; Go
    #[arg(long)]
    per_record: bool,
    /// One component of the source and the engine that runs it, for servers without that engine; Python and JavaScript
    #[arg(long)]
    component: bool,
}

pub(crate) fn run(args: Args) -> Result {
    let Args { dir, out, tinygo, per_record, component } = args;
    let project = Project::of(&dir)?;
    let made = busy("building the artifact", || project.build(&How { out, tinygo, per_record, component }))?;
    output::line(format!("Built {}: {} ({})", made.path.display(), size(&made.bytes), made.form))?;
    for import in &made.imports {
        output::line(format!("imports {import}"))?;
    }
    Ok(())
}

fn size(bytes: &[u8]) -> String {
    match bytes.len() {
        few if few < 100 << 10 => format!("{:.1} KiB", few as f64 / f64::from(1 << 10)),
        many => format!("{:.1} MiB", many as f64 / f64::from(1 << 20)),
    }
}
