// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What signals ask of a server. None of them ends it without a line.
//!
//! ```text
//! SIGHUP                      open the log files anew; an orderly end if the terminal that it was started from is closed
//! SIGPIPE, SIGXFSZ            nothing: whoever wrote is told by an error
//! those of a broken program   not taken over: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS. The next start goes on
//! all others that end         an orderly end; the second of them an end at once
//! ```

use std::fs::File;
use std::future::poll_fn;
use std::task::Poll;

use fnstream_core::Result;
use fnstream_core::error::internal;
use fnstream_core::leave::leave;
use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What an impatient user's shell sees: 128 + SIGINT.
const IMPATIENT: u8 = 130;

/// The controlling terminal of a process, if it has one.
const TERMINAL: &str = "/dev/tty";

/// The signals that end a process unless it says otherwise, and that do not tell of a fault in it.
const ENDING: &[(&str, Number)] = &[
    ("SIGTERM", Number::TERM),
    ("SIGINT", Number::INT),
    ("SIGQUIT", Number::QUIT),
    ("SIGUSR1", Number::USR1),
    ("SIGUSR2", Number::USR2),
    ("SIGALRM", Number::ALARM),
    ("SIGVTALRM", Number::VTALARM),
    ("SIGPROF", Number::PROF),
    ("SIGXCPU", Number::XCPU),
    #[cfg(target_os = "linux")]
    ("SIGIO", Number::IO),
    #[cfg(target_os = "linux")]
    ("SIGPWR", Number::POWER),
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    ("SIGSTKFLT", Number::STKFLT),
];

/// The signals without a meaning of their own. C libraries keep the first ones for themselves.
#[cfg(target_os = "linux")]
const REAL_TIME: std::ops::RangeInclusive<i32> = 35..=64;
#[cfg(not(target_os = "linux"))]
const REAL_TIME: std::ops::Range<i32> = 0..0;

/// What a signal asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// An orderly end. The name of the signal.
    End(String),
    /// To open log files anew.
    Reopen,
}

/// The signals of this process. Make it before the server starts, so that none is missed.
#[derive(Debug)]
pub struct Signals {
    ending: Vec<(String, Signal)>,
    hangup: Signal,
    /// A closed terminal ends the process.
    of_terminal: bool,
    /// Taken over so that they do nothing.
    _idle: [Signal; 2],
}

impl Signals {
    /// Takes the signals over from now on. Must be called within a tokio runtime.
    pub fn register() -> Result<Self> {
        let register = |number: i32| {
            signal(SignalKind::from_raw(number)).map_err(|e| internal(format!("cannot take signal {number} over: {e}")))
        };
        // Before it is taken over: whoever starts a program with nohup wants it to outlive the terminal.
        let of_terminal = has_terminal() && !is_ignored(Number::HUP);
        let named = ENDING.iter().map(|(name, number)| ((*name).to_owned(), number.as_raw()));
        let ending = named.chain(REAL_TIME.map(|number| (format!("signal {number}"), number)));
        Ok(Signals {
            ending: ending.map(|(name, number)| Ok((name, register(number)?))).collect::<Result<_>>()?,
            hangup: register(Number::HUP.as_raw())?,
            of_terminal,
            _idle: [register(Number::PIPE.as_raw())?, register(Number::XFSZ.as_raw())?],
        })
    }

    /// Waits for a signal that asks for something.
    pub async fn next(&mut self) -> Asked {
        poll_fn(|context| {
            for (name, signal) in &mut self.ending {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(Asked::End(name.clone()));
                }
            }
            self.hangup.poll_recv(context).map(|_| match self.of_terminal && !has_terminal() {
                true => Asked::End("SIGHUP".to_owned()),
                false => Asked::Reopen,
            })
        })
        .await
    }

    /// From now on a signal that asks for an end ends the process at once: everything acknowledged is durable already.
    pub fn exit_at_next(mut self) {
        tokio::spawn(async move {
            loop {
                if let Asked::End(name) = self.next().await {
                    tracing::warn!(signal = name, "second signal, ending at once");
                    leave(IMPATIENT);
                }
            }
        });
    }
}

fn has_terminal() -> bool {
    File::open(TERMINAL).is_ok()
}

/// Reports whether this process was started with that signal ignored, where the system tells.
fn is_ignored(signal: Number) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}
