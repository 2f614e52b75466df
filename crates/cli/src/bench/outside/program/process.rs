// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A process that is watched from outside: what it writes, and what it uses as the kernel counts it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::target::PATIENCE;
use crate::failure::{Failure, Result};

/// The unit of /proc/PID/stat, which Linux fixes for programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a program may take until it begins: a virtual machine that joins a group takes long on a busy machine.
const BEGINNING: Duration = Duration::from_secs(300);

/// So many of its last lines are kept for the report of a failure.
const KEPT: usize = 30;

/// The process of a program, once it is started. It is killed with the last of these.
#[derive(Clone, Default)]
pub(in crate::bench::outside) struct Running(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    process: Option<Process>,
    /// It is not to be started any more.
    ended: bool,
}

struct Process {
    child: Child,
    lines: Receiver<String>,
    last: VecDeque<String>,
}

impl Running {
    pub(super) fn start(&self, command: &mut Command) -> Result {
        let mut state = self.0.lock();
        state.check_asked()?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|e| Failure::Plain(format!("cannot run '{program}': {e}")))?;
        let (tell, lines) = channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] =
            [child.stdout.take().map(|out| Box::new(out) as _), child.stderr.take().map(|err| Box::new(err) as _)];
        for output in outputs.into_iter().flatten() {
            let tell = tell.clone();
            thread::Builder::new().name("program-output".into()).spawn(move || read_lines(output, &tell))?;
        }
        state.process = Some(Process { child, lines, last: VecDeque::new() });
        Ok(())
    }

    /// What the first line says that says something.
    pub(super) fn line(&self, mut says: impl FnMut(&str) -> Option<String>) -> Result<String> {
        let until = Instant::now() + BEGINNING;
        loop {
            match self.next_line(until)? {
                Some(line) => {
                    if let Some(found) = says(&line) {
                        return Ok(found);
                    }
                }
                None => {
                    let why = self.last_words();
                    return Err(Failure::Plain(format!("the program did not begin within {BEGINNING:?}\n{why}")));
                }
            }
        }
    }

    /// In short steps, so that a signal is not kept waiting.
    fn next_line(&self, until: Instant) -> Result<Option<String>> {
        while Instant::now() < until {
            let mut state = self.0.lock();
            let process = state.process()?;
            match process.lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    process.keep(line.clone());
                    return Ok(Some(line));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(process.ended()),
            }
        }
        Ok(None)
    }

    /// Fails when it has ended, or is not to be started any more.
    pub(in crate::bench::outside) fn check(&self) -> Result {
        let mut state = self.0.lock();
        state.check_asked()?;
        let Some(process) = &mut state.process else { return Ok(()) };
        match process.child.try_wait()? {
            Some(_) => Err(process.ended()),
            None => Ok(()),
        }
    }

    /// The end of what it has written.
    pub(in crate::bench::outside) fn last_words(&self) -> String {
        self.0.lock().process.as_mut().map(Process::last_words).unwrap_or_default()
    }

    /// Its user and system time so far, of all its threads. It is counted in ticks of 10 ms.
    pub(in crate::bench::outside) fn cpu(&self) -> Result<Duration> {
        let stat = self.file("stat")?;
        let ticks = ticks_in(&stat).ok_or_else(|| odd("stat"))?;
        Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
    }

    /// The most bytes of memory that it ever had.
    pub(in crate::bench::outside) fn peak_memory(&self) -> Result<u64> {
        let status = self.file("status")?;
        peak_in(&status).ok_or_else(|| odd("status"))
    }

    fn file(&self, name: &str) -> Result<String> {
        let id = self.0.lock().process()?.child.id();
        Ok(std::fs::read_to_string(format!("/proc/{id}/{name}"))?)
    }

    /// Kills it, and waits until it has ended.
    pub(in crate::bench::outside) fn kill(&self) -> Result {
        let process = self.0.lock().process.take();
        // Dropping kills.
        process.map(drop).ok_or_else(|| Failure::Plain("the program does not run".into()))
    }

    /// Asks it to end, and waits until it has.
    pub(in crate::bench::outside) fn end(&self) -> Result {
        let mut state = self.0.lock();
        state.ended = true;
        let Some(mut process) = state.process.take() else { return Ok(()) };
        process.signal(Signal::TERM);
        // Its output ends with it.
        let until = Instant::now() + PATIENCE;
        loop {
            match process.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => process.keep(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failure::Plain(format!("the program did not end\n{}", process.last_words())));
                }
            }
        }
        process.child.wait()?;
        Ok(())
    }

    /// Kills it, without waiting.
    pub(in crate::bench::outside) fn end_at_once(&self) {
        let mut state = self.0.lock();
        state.ended = true;
        if let Some(process) = &state.process {
            process.signal(Signal::KILL);
        }
    }
}

impl State {
    fn check_asked(&self) -> Result {
        if self.ended { Err(Failure::Plain("ended by a signal".into())) } else { Ok(()) }
    }

    fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().ok_or_else(|| Failure::Plain("the program does not run".into()))
    }
}

impl Process {
    fn keep(&mut self, line: String) {
        self.last.push_back(line);
        while self.last.len() > KEPT {
            self.last.pop_front();
        }
    }

    fn last_words(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.keep(line);
        }
        let lines: Vec<_> = self.last.iter().map(String::as_str).collect();
        format!("the end of its output:\n{}", lines.join("\n"))
    }

    fn ended(&mut self) -> Failure {
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        Failure::Plain(format!("the program ended by itself: {status}\n{}", self.last_words()))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It is gone already, or it gets it.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After a failure: nothing of it is to be left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(output: impl Read, tell: &Sender<String>) {
    for line in BufReader::new(output).split(b'\n').map_while(std::result::Result::ok) {
        if tell.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return;
        }
    }
}

fn odd(file: &str) -> Failure {
    Failure::Plain(format!("the kernel does not say what the program uses: /proc/PID/{file} is unknown"))
}

/// User and system time. The second field, the name, may hold blanks and brackets: what counts is behind the last one.
fn ticks_in(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_says_and_uses_is_seen_from_outside() {
        let running = Running::default();
        let mut shell = Command::new("/bin/sh");
        // It stays one program: the kernel forgets the peak when a process becomes another.
        let busy = "x=$(head -c 4194304 /dev/zero | tr '\\0' x); \
                    i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo ready; while :; do :; done";
        running.start(shell.args(["-c", busy])).unwrap();
        running.line(|line| (line == "ready").then(String::new)).unwrap();
        running.check().unwrap();
        assert!(running.cpu().unwrap() > Duration::ZERO);
        assert!(running.peak_memory().unwrap() > 4 << 20);
        running.end().unwrap();
        assert!(running.cpu().is_err());
        assert!(running.start(&mut Command::new("/bin/true")).is_err());
    }

    #[test]
    fn a_program_that_ends_is_told_with_what_it_said() {
        let running = Running::default();
        running.start(Command::new("/bin/sh").args(["-c", "echo broken >&2; exit 7"])).unwrap();
        let Err(Failure::Plain(why)) = running.line(|_| None) else { panic!("it has ended") };
        assert!(why.contains("exit status: 7") && why.contains("broken"), "{why}");
    }

    #[test]
    fn the_name_of_a_process_does_not_confuse_its_times() {
        assert_eq!(ticks_in("1 (a) b) S 1 1 1 0 -1 4 0 0 0 0 30 12 0 0 20"), Some(42));
        assert_eq!(peak_in("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
    }
}
