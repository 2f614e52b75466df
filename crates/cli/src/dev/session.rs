// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The loop of a session: what happens, one thing after the other, and what is done about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fnstream_api::{Client, LogLine};
use fnstream_config::{FunctionConfig, parse_function_config};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

use super::place::Place;
use super::replay::{self, Records};
use super::tail::{self, Came, Places, Side};
use super::typed;
use super::update::{self, Updated, Version};
use super::{Args, Event, Events, watch};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::{self, escape};
use crate::project::Project;
use crate::test::Emitted;

pub(super) async fn run(args: Args, project: Project) -> Result {
    let (events, mut happened) = unbounded_channel();
    let asked = events.clone();
    interrupt::end_orderly(move || drop(asked.send(Event::Interrupted)))?;
    let project = Arc::new(project);
    let (config, _) = parse_function_config(&update::description(&project)?)
        .map_err(|problems| Failure::from(fnstream_core::Error::from(problems)))?;
    let place = Place::open(&args, config.files.iter().map(|grant| PathBuf::from(&grant.host)).collect()).await?;
    say(&format!("{} function '{}' on {}", project.language(), config.name, place.told()))?;
    let _watcher = watch::watch(&project.dir, events.clone())?;
    typed::read(events.clone())?;
    let mut session = Session::new(&args, project, place.client.clone(), &config, events).await;
    session.begin();
    let ended = loop {
        match happened.recv().await {
            None | Some(Event::Interrupted) => break Ok(()),
            Some(event) => {
                if let Err(failure) = session.on(event).await {
                    break Err(failure);
                }
            }
        }
    };
    let told = session.leave(!place.is_own()).await;
    place.close().await.and(ended).and(told)
}

/// See the module.
struct Session {
    project: Arc<Project>,
    client: Client,
    events: Events,
    name: String,
    input: String,
    topics: Vec<(Side, String, Places)>,
    is_json: bool,
    /// How many of the last records are kept to be processed again.
    most: usize,
    records: Records,
    /// What is in force.
    version: Option<Version>,
    artifact: Vec<u8>,
    revision: u64,
    /// The function was not there before.
    is_made: bool,
    /// A build is under way; and files have changed since it began.
    building: bool,
    again: bool,
    /// What was typed before the function was there.
    waiting: Vec<Vec<u8>>,
    /// Records that are processed again, which have folders of their own; and that they are to end.
    replays: Vec<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
    /// What the host last said of a failure.
    trouble: String,
}

impl Session {
    async fn new(args: &Args, project: Arc<Project>, client: Client, config: &FunctionConfig, events: Events) -> Self {
        let name = |topic: &fnstream_core::topic::TopicRef| topic.topic.to_string();
        let inputs: Vec<_> = config.inputs.iter().flatten().map(|input| name(&input.from)).collect();
        let outputs = config.outputs.iter().map(|output| (Side::Output, name(&output.to)));
        let kept = inputs.iter().filter(|_| args.replay > 0).map(|input| (Side::Input, input.clone()));
        let spec = config.to_spec(&"0".repeat(64)).ok();
        let failed = spec.and_then(|spec| spec.dead_letter_topic()).map(|topic| (Side::Failed, topic.to_string()));
        let mut topics = Vec::new();
        // Looked at before the function is there: what it writes is new then.
        for (side, topic) in outputs.chain(kept).chain(failed) {
            let back = if side == Side::Input { args.replay } else { 0 };
            let from = tail::places(&client, &topic, back).await;
            topics.push((side, topic, from));
        }
        Session {
            project,
            client,
            events,
            name: config.name.clone(),
            input: inputs.first().cloned().unwrap_or_default(),
            topics,
            is_json: args.json_lines,
            most: args.replay as usize,
            records: Records::new(),
            version: None,
            artifact: Vec::new(),
            revision: 0,
            is_made: false,
            building: false,
            again: false,
            waiting: Vec::new(),
            replays: Vec::new(),
            is_over: Arc::default(),
            trouble: String::new(),
        }
    }

    /// Begins to build, unless that is under way.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.building, true) {
            self.again = true;
            return;
        }
        let updating = update::update(self.project.clone(), self.client.clone(), self.version.clone());
        let events = self.events.clone();
        tokio::spawn(async move {
            let updated = updating.await;
            let _ = events.send(Event::Updated(Box::new(updated)));
        });
    }

    async fn on(&mut self, event: Event) -> Result {
        match event {
            Event::Changed(files) => {
                say(&format!("changed: {}", named(&self.project.dir, &files)))?;
                self.begin();
            }
            Event::Updated(updated) => {
                self.building = false;
                self.updated(*updated).await?;
                if std::mem::take(&mut self.again) {
                    self.begin();
                }
            }
            Event::Replayed(told) => match told {
                Ok(told) => say(&told)?,
                Err(failure) => complain("the last records could not be processed again", &failure),
            },
            Event::Typed(line) if self.version.is_none() => self.waiting.push(line),
            Event::Typed(line) => self.send(&line).await,
            Event::Came(came) => self.came(came)?,
            Event::Said(line) => self.said(line)?,
            Event::Lost(why) => output::complain(&format!("dev: {why}")),
            Event::Interrupted => {}
        }
        Ok(())
    }

    async fn updated(&mut self, updated: Result<Updated>) -> Result {
        let updated = match updated {
            Err(failure) => {
                let goes_on = match self.version {
                    None => "the function does not run yet; it is tried again with the next change".to_owned(),
                    Some(_) => format!("revision {} goes on", self.revision),
                };
                complain(&goes_on, &failure);
                return Ok(());
            }
            Ok(updated) => updated,
        };
        let Some(revision) = updated.revision else {
            return say(&format!("nothing else: revision {} goes on", self.revision));
        };
        let is_first = self.version.is_none();
        let what = if is_first { "runs" } else { "goes on with its state" };
        let (all, built) = (updated.all.as_secs_f64(), updated.built.as_secs_f64());
        say(&format!("revision {revision} {what}, after {all:.2} s, of which the build took {built:.2} s"))?;
        let before = std::mem::replace(&mut self.artifact, updated.artifact);
        (self.version, self.revision) = (Some(updated.version), revision);
        if is_first {
            self.is_made = updated.is_new;
            for (side, topic, from) in std::mem::take(&mut self.topics) {
                tail::follow(&self.client, side, topic, from, &self.events).await;
            }
            tail::log(&self.client, self.name.clone(), self.events.clone());
            say(&format!("each line of standard input goes to '{}'; Ctrl-C ends this", self.input))?;
            for line in std::mem::take(&mut self.waiting) {
                self.send(&line).await;
            }
        } else if !self.records.is_empty() {
            self.replay(before);
        }
        Ok(())
    }

    fn replay(&mut self, before: Vec<u8>) {
        let (project, now, records) = (self.project.clone(), self.artifact.clone(), self.records.clone());
        let (events, is_over) = (self.events.clone(), self.is_over.clone());
        self.replays.retain(|replay| !replay.is_finished());
        self.replays.push(tokio::task::spawn_blocking(move || {
            let _ = events.send(Event::Replayed(replay::replay(&project, &before, &now, &records, &is_over)));
        }));
    }

    async fn send(&self, line: &[u8]) {
        let sent = match typed::framed(line, self.is_json) {
            Err(why) => Err(format!("the line is no event: {why}")),
            Ok(frame) => self.client.produce_frame(&self.input, frame).await.map(drop).map_err(|e| e.to_string()),
        };
        if let Err(why) = sent {
            output::complain(&format!("dev: {why}"));
        }
    }

    /// A line of the function's log. Of what the host says failures are shown, once as long as they are the same: it tries again and again.
    fn said(&mut self, line: LogLine) -> Result {
        if line.speaker != "host" {
            return output::line(format!("log | {}", escape::one_line(&line.text)));
        }
        if line.text.contains("FS-") && self.trouble != line.text {
            output::complain(&format!("failed | {}", escape::field(&line.text, 2)));
            self.trouble = line.text;
        }
        Ok(())
    }

    fn came(&mut self, came: Came) -> Result {
        match came.side {
            Side::Input => {
                self.records.extend(came.records.into_iter().map(|record| (came.topic.clone(), record)));
                let more = self.records.len().saturating_sub(self.most);
                self.records.drain(..more);
                Ok(())
            }
            Side::Output => {
                came.records.iter().try_for_each(|record| output::line(format!("{} | {}", came.topic, record.shown())))
            }
            Side::Failed => {
                for record in &came.records {
                    output::complain(&format!("failed | {}", failure(record)));
                }
                Ok(())
            }
        }
    }

    /// Ends the session; on a server that goes on, the function goes if it came with the session.
    async fn leave(self, server_goes_on: bool) -> Result {
        self.is_over.store(true, Ordering::Relaxed);
        for replay in self.replays {
            let _ = replay.await;
        }
        if !server_goes_on || self.version.is_none() {
            return Ok(());
        }
        if !self.is_made {
            return say(&format!("'{}' was there before, and stays at revision {}", self.name, self.revision));
        }
        self.client.delete_function(&self.name).await?;
        say(&format!("'{}' is deleted; its topics stay", self.name))
    }
}

/// The names of changed files, without those that an editor made and took away, unless there are no others.
fn named(dir: &Path, files: &[PathBuf]) -> String {
    let there: Vec<_> = files.iter().filter(|file| dir.join(file).exists()).collect();
    let shown = if there.is_empty() { files.iter().collect() } else { there };
    shown.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn say(text: &str) -> Result {
    output::line(format!("dev: {text}"))
}

fn complain(what: &str, failure: &Failure) {
    output::complain(&format!("{failure}\ndev: {what}"));
}

/// A record that was given up, and why.
fn failure(record: &Emitted) -> String {
    let header = |name: &str| {
        let found = record.headers.iter().rev().find(|(of, _)| of == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    let (code, message) = (header("fs-dlq-code").unwrap_or_default(), header("fs-dlq-message").unwrap_or_default());
    let trace = header("fs-dlq-backtrace").map(|trace| format!("\n  {}", escape::field(&trace, 2))).unwrap_or_default();
    format!("{}: {code} {}{trace}", record.value_shown(), escape::field(&message, 2))
}
