// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server as a process of its own.
//!
//! ```text
//! spawned ── "listening" ──► serving ── SIGKILL, SIGTERM, an abort of its own ──► ended
//! ```
//!
//! Its log is read to the end by a thread; the end of the log is the end of the process. A server that a test forgets is
//! killed when it is dropped, and nobody else's process is ever touched.

mod log;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};

use self::log::Log;
use crate::within;

/// How a server is run.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The program.
    pub binary: PathBuf,
    /// The verb that runs a server, with what belongs to it.
    pub verb: Vec<String>,
    /// Further arguments.
    pub args: Vec<String>,
    /// Further variables of its environment.
    pub env: Vec<(String, String)>,
    /// A command of the shell that the process runs before it becomes the program, such as one that sets a limit.
    pub prelude: Option<String>,
}

impl ServerOptions {
    /// Runs that program on an own port.
    ///
    /// Durability is `os`: what dies here is the process, not the machine, so what the operating system has is safe. A start never
    /// holds functions back: tests kill servers soon after their start, as often as they like.
    pub fn new(binary: PathBuf) -> Self {
        ServerOptions::durable(binary).arg("--durability", "os")
    }

    /// The same with the durability that users have who choose none.
    pub fn durable(binary: PathBuf) -> Self {
        let verb = vec!["standalone".to_owned()];
        let options = ServerOptions { binary, verb, args: Vec::new(), env: Vec::new(), prelude: None };
        options.arg("--safe-start", "never")
    }

    /// A process of a group on Kafka. One that is not heard of for two seconds has lost its tasks.
    pub fn of_kafka_group(binary: PathBuf, bootstrap: &str, group: &str) -> Self {
        let mut options = ServerOptions::new(binary);
        let verb = ["server", "--backend", "kafka", "--bootstrap", bootstrap, "--group", group];
        options.verb = verb.map(str::to_owned).to_vec();
        options.env("FUNCTION_STREAM_KAFKA_SESSION_TIMEOUT", "2s")
    }

    /// A process of a group on Pulsar.
    pub fn of_pulsar_group(binary: PathBuf, url: &str, admin: &str, group: &str) -> Self {
        let mut options = ServerOptions::new(binary);
        options.verb = ["server", "--pulsar-url", url, "--group", group].map(str::to_owned).to_vec();
        let options = options.env("FUNCTION_STREAM_PULSAR_SESSION_TIMEOUT", "2s");
        options.env("FUNCTION_STREAM_PULSAR_PROPERTIES", format!("admin_url={admin}"))
    }

    /// With a further argument and its value.
    #[must_use]
    pub fn arg(mut self, name: &str, value: impl ToString) -> Self {
        self.args.extend([name.to_owned(), value.to_string()]);
        self
    }

    /// Run after that command of the shell, as the same process.
    #[must_use]
    pub fn after(mut self, prelude: String) -> Self {
        self.prelude = Some(prelude);
        self
    }

    /// With a further variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }
}

/// A process that runs a server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: Log,
    status: Option<ExitStatus>,
}

impl Server {
    /// Starts the process and returns at once.
    pub fn spawn(options: &ServerOptions, data_dir: &Path) -> Result<Server> {
        no_core_files();
        let mut command = match &options.prelude {
            None => Command::new(&options.binary),
            Some(prelude) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("{prelude} && exec \"$0\" \"$@\"")]).arg(&options.binary);
                shell
            }
        };
        command
            .args(&options.verb)
            .args(["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(&options.args);
        // What the caller's shell sets must not change what is tested.
        for variable in ["RUST_LOG", "LISTEN_ADDR", "FUNCTION_STREAM_HOME", "FUNCTION_STREAM_CONF", "FAILPOINTS"] {
            command.env_remove(variable);
        }
        command.envs(options.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run '{}'", options.binary.display()))?;
        let stderr = child.stderr.take().context("the server has no standard error")?;
        Ok(Server { child, log: Log::read(stderr), status: None })
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it serves; answers its URL, or `None` when it ended before.
    pub async fn listening(&self) -> Result<Option<String>> {
        let address = within("the server to listen", self.log.address()).await.with_context(|| self.last_words())?;
        Ok(address.map(|address| format!("http://{address}")))
    }

    /// Waits for a line of its log that has all of these words; fails when it ends without.
    pub async fn logged(&self, words: &[&str]) -> Result<String> {
        let has_all = |line: &str| words.iter().all(|word| line.contains(word));
        match within(&format!("the server to log {words:?}"), self.log.line(has_all)).await? {
            Some(line) => Ok(line),
            None => bail!("the server ended without logging {words:?}\n{}", self.last_words()),
        }
    }

    /// Lets it run until a moment that chance has chosen; fails when it ends by itself before.
    pub async fn runs_for(&self, moment: Duration) -> Result<()> {
        match tokio::time::timeout(moment, self.log.end()).await {
            Err(_) => Ok(()),
            Ok(()) => bail!("the server ended by itself\n{}", self.last_words()),
        }
    }

    /// The lines that it has logged so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        if self.status.is_none() {
            self.child.kill().context("cannot kill the server")?;
        }
        self.reap()
    }

    /// Asks it to end, as `kill` does.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Keeps it from running, until [`Server::resume`].
    pub fn suspend(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it run on.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("the server has no number")?;
        kill_process(pid, signal).context("cannot signal the server")
    }

    /// Waits until it has ended by itself or by a signal.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        within("the server to end", self.log.end()).await.with_context(|| self.last_words())?;
        self.reap()
    }

    /// The end of its log, for the report of a failure.
    pub fn last_words(&self) -> String {
        let lines = self.log.lines();
        let from = lines.len().saturating_sub(30);
        format!("the end of the log of server {}:\n{}", self.child.id(), lines[from..].join("\n"))
    }

    fn reap(&mut self) -> Result<ExitStatus> {
        let status = match self.status {
            Some(status) => status,
            None => self.child.wait().context("cannot wait for the server")?,
        };
        self.status = Some(status);
        Ok(status)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Servers abort on purpose here, many times: no files of their memory.
fn no_core_files() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Should it not work, the tests still do.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    });
}
