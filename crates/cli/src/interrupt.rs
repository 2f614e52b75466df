// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A temporary folder goes with its command, also when a signal ends that.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use fnstream_core::error::internal;
use fnstream_core::leave::leave;
use fnstream_server::{Asked, Signals};
use parking_lot::Mutex;

use crate::failure::Result;

/// The exit code after a signal: 128 + SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// The folders that go.
static FOLDERS: Mutex<Option<Vec<PathBuf>>> = Mutex::new(None);

/// Has a folder removed when a signal ends this process.
pub(crate) fn remove_at_end(folder: PathBuf) -> Result {
    let mut folders = FOLDERS.lock();
    match &mut *folders {
        Some(folders) => folders.push(folder),
        None => {
            *folders = Some(vec![folder]);
            drop(folders);
            watch(None)?;
        }
    }
    Ok(())
}

/// Has `asked` called when a signal asks for an end; the next one ends this process at once. To be called before
/// [`remove_at_end`], if at all.
pub(crate) fn end_orderly(asked: impl FnOnce() + Send + 'static) -> Result {
    FOLDERS.lock().get_or_insert_default();
    watch(Some(Box::new(asked)))
}

/// Takes the signals over, and waits for one in a thread of its own.
fn watch(asked: Option<Box<dyn FnOnce() + Send>>) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (tell, registered) = mpsc::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            let signals = Signals::register();
            let failed = signals.as_ref().err().cloned();
            let _ = tell.send(failed);
            let Ok(mut signals) = signals else { return };
            if let Some(asked) = asked {
                while signals.next().await == Asked::Reopen {}
                asked();
            }
            while signals.next().await == Asked::Reopen {}
            // Nothing is added to them any more: the lock is kept.
            let mut folders = FOLDERS.lock();
            end(folders.take().unwrap_or_default());
        });
    })?;
    match registered.recv() {
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(error.into()),
        Err(_) => Err(internal("the thread for signals ended").into()),
    }
}

/// Ends this process, and the folders with it.
///
/// Other threads may be making files in them at this moment. Only when the process is another program's have they all stopped.
fn end(folders: Vec<PathBuf>) -> ! {
    let script = format!("rm -rf -- \"$@\"; exit {INTERRUPTED}");
    let error = Command::new("/bin/sh").args(["-c", &script, "sh"]).args(&folders).exec();
    tracing::debug!(%error, "no shell removes the temporary folders");
    for folder in folders {
        // What is made in it meanwhile stays.
        let _ = std::fs::remove_dir_all(folder);
    }
    leave(INTERRUPTED)
}
