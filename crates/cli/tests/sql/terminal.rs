// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A terminal of its own for a program, and somebody who types and reads.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, kill_process};

/// Long enough for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program on its terminal. It is killed when it is dropped.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    screen: Arc<Screen>,
    /// What was read is not looked at again.
    read: usize,
}

#[derive(Default)]
struct Screen {
    shown: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Terminal {
    pub(crate) fn run(mut command: Command) -> Self {
        let size = Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        let ends = openpty(Some(&size), None).unwrap();
        let slave = File::from(ends.slave);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = command.env("TERM", "xterm").spawn().unwrap();
        // Its copies of the terminal would keep it open after the program's end.
        drop(command);
        let keys = File::from(ends.master);
        let screen = Arc::new(Screen::default());
        let (mut output, shown) = (keys.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let (mut bytes, mut all) = ([0; 4096], Vec::new());
            // The end of a terminal is an error on some systems.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                all.extend_from_slice(&bytes[..count]);
                shown.shown.lock().0 = plain(&String::from_utf8_lossy(&all));
                shown.changed.notify_all();
            }
            shown.shown.lock().1 = true;
            shown.changed.notify_all();
        });
        Terminal { child, keys, screen, read: 0 }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// What the terminal does for Ctrl-C while the program does not read keys.
    pub(crate) fn interrupts(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits until a text is shown behind what was read before; answers what stands before it.
    #[track_caller]
    pub(crate) fn reads(&mut self, text: &str) -> String {
        let mut shown = self.screen.shown.lock();
        let is_there = |shown: &(String, bool)| shown.0.get(self.read..).is_some_and(|new| new.contains(text));
        self.screen.changed.wait_while_for(&mut shown, |shown| !is_there(shown) && !shown.1, PATIENCE);
        let new = shown.0.get(self.read..).unwrap_or_default();
        let Some(at) = new.find(text) else { panic!("{text:?} is not in {new:?}") };
        let before = new[..at].to_owned();
        self.read += at + text.len();
        before
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let mut shown = self.screen.shown.lock();
        let waited = self.screen.changed.wait_while_for(&mut shown, |shown| !shown.1, PATIENCE);
        assert!(!waited.timed_out(), "it does not end after {:?}", shown.0);
        self.child.wait().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text without what moves the cursor, in lines.
fn plain(shown: &str) -> String {
    let mut plain = String::new();
    let mut chars = shown.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.next() == Some('[') {
                    chars.find(|c| ('@'..='~').contains(c));
                }
            }
            '\r' | '\u{7}' => {}
            c => plain.push(c),
        }
    }
    plain
}
