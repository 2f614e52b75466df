// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream restore`: from a backup to a data folder.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fnstream_api::units::{format_size, format_time};
use fnstream_core::backups::{Progress, Watch};
use fnstream_store::{Manifest, Restored};
use parking_lot::Mutex;
use rustix::fs::Mode;
use rustix::process::umask;

use crate::failure::Result;
use crate::{output, settings};

/// How often the terminal is told how far it is.
const TELLING: Duration = Duration::from_millis(200);

/// Make a data folder of a backup that 'function-stream client backup' made. All of the backup is compared with its checksums before
/// anything is written, and the folder is checked at the end. No server may use the folder meanwhile
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The backup
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// The data folder to make, which is empty or not there [default: that of the server's settings]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Configuration file of the server, or the folder it is in
    #[arg(long, env = "FUNCTION_STREAM_CONF", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Restore to a folder that is not empty, too: what is in it moves to a folder 'replaced-N' in it
    #[arg(long)]
    replace: bool,
    /// Only compare the backup with its checksums, and write nothing
    #[arg(long, conflicts_with_all = ["data_dir", "replace"])]
    verify: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result {
    let watch = Terminal { watched: std::io::stderr().is_terminal() && !args.json, told: Mutex::default() };
    if args.verify {
        let verified = fnstream_store::verify(&args.from, &watch);
        watch.clear();
        return verified_line(args, &verified?);
    }
    let folder = settings::data_dir(args.config.clone(), args.data_dir.clone())?;
    // What is made is nobody else's.
    umask(Mode::from_raw_mode(0o077));
    let restored = fnstream_store::restore(&args.from, &folder, args.replace, &watch);
    watch.clear();
    restored_line(args, &folder, &restored?)
}

fn verified_line(args: &Args, manifest: &Manifest) -> Result {
    match args.json {
        true => output::json(&told(manifest)),
        false => output::line(format!("the backup is whole: {}", summary(manifest))),
    }
}

fn restored_line(args: &Args, folder: &Path, restored: &Restored) -> Result {
    let manifest = &restored.manifest;
    if args.json {
        let mut told = told(manifest);
        told["data_dir"] = folder.display().to_string().into();
        told["replaced"] = restored.replaced.as_ref().map(|path| path.display().to_string()).into();
        return output::json(&told);
    }
    output::line(format!("restored to '{}': {}", folder.display(), summary(manifest)))?;
    match &restored.replaced {
        Some(replaced) => output::line(format!("what was there before is in '{}'", replaced.display())),
        None => Ok(()),
    }
}

fn summary(manifest: &Manifest) -> String {
    let Manifest { version, at_unix_ms, topics, functions, files, .. } = manifest;
    let (files, size, at) = (files.len(), format_size(manifest.bytes()), format_time(*at_unix_ms));
    format!("topics {topics}, functions {functions}, files {files}, {size}; made at {at} by version {version}")
}

fn told(manifest: &Manifest) -> serde_json::Value {
    serde_json::json!({
        "version": manifest.version,
        "at_unix_ms": manifest.at_unix_ms,
        "topics": manifest.topics,
        "functions": manifest.functions,
        "files": manifest.files.len(),
        "bytes": manifest.bytes(),
    })
}

/// Somebody who looks on, if anybody does.
struct Terminal {
    watched: bool,
    told: Mutex<Option<Instant>>,
}

impl Terminal {
    fn clear(&self) {
        if self.told.lock().is_some() {
            output::progress("");
        }
    }
}

impl Watch for Terminal {
    fn rest(&self, _: Duration) -> fnstream_core::Result<()> {
        Ok(())
    }

    fn hear(&self, Progress { bytes, of }: Progress) {
        let (mut told, now) = (self.told.lock(), Instant::now());
        if self.watched && told.is_none_or(|at| now.saturating_duration_since(at) >= TELLING) {
            *told = Some(now);
            output::progress(&format!("{} of {}", format_size(bytes), format_size(of)));
        }
    }
}
