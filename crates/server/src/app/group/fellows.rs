// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Asks the processes of the group, this one included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::epoch::FunctionId;
use fnstream_core::error::internal;
use fnstream_core::peers::{PeerId, Peers, Question};
use fnstream_core::record::Position;
use fnstream_core::spec::FunctionEntry;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{DeadLetterReport, DeadLettersOrdered};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ask::{Action, Ask, Payload, Report, decode, encode, known};
use super::coming_up::ComingUp;
use super::local::{Local, REQUEST_WAIT};
use super::part::Part;
use crate::app::caller;
use crate::app::ops::blocking;

/// How long a process has to say how its functions fare; one that takes longer is left out.
const STATUS_WAIT: Duration = Duration::from_secs(5);

/// How long a process has to pass a request of a user on to one of its tasks and to tell the answer.
const PEER_WAIT: Duration = REQUEST_WAIT.saturating_add(STATUS_WAIT);

/// See the module.
pub(in crate::app) struct Fellows {
    peers: Arc<dyn Peers>,
    local: Arc<Local>,
    /// Counts the changes of the reports.
    changed: Arc<watch::Sender<u64>>,
}

/// Who runs a task.
enum Owner {
    Here,
    There(PeerId),
}

impl Fellows {
    pub(in crate::app) fn new(peers: Arc<dyn Peers>, local: Arc<Local>) -> Arc<Self> {
        let changed = Arc::new(watch::Sender::new(0_u64));
        let note = Arc::downgrade(&changed);
        peers.watch(Waker::new(move || {
            if let Some(changed) = note.upgrade() {
                changed.send_modify(|changes| *changes = changes.wrapping_add(1));
            }
        }));
        Arc::new(Fellows { peers, local, changed })
    }

    /// The engine of this process.
    pub(in crate::app) fn local(&self) -> &Arc<Local> {
        &self.local
    }

    /// This process.
    pub(in crate::app) fn me(&self) -> PeerId {
        self.peers.me()
    }

    /// The other processes of the group.
    pub(in crate::app) fn others(&self) -> Result<Vec<PeerId>> {
        let me = self.peers.me();
        Ok(self.peers.reports()?.into_iter().map(|report| report.peer).filter(|peer| *peer != me).collect())
    }

    /// Asks one process.
    pub(in crate::app) async fn ask<T: DeserializeOwned>(&self, peer: &PeerId, ask: &Ask) -> Result<T> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let question = Question { caller: caller::current(), body: encode(ask)? };
        // A caller that went away is told nothing.
        self.peers.ask(peer, question, Box::new(move |answer| drop(send.send(answer))));
        decode(&receive.await.map_err(|_| internal("a question to a peer was forgotten"))??)
    }

    /// The same, of something that it has at hand: one that takes longer than a while counts as gone.
    pub(in crate::app) async fn ask_soon<T: DeserializeOwned>(&self, peer: &PeerId, ask: &Ask) -> Result<T> {
        tokio::time::timeout(STATUS_WAIT, self.ask(peer, ask)).await.unwrap_or_else(|_| Err(slow(peer)))
    }

    /// Asks all other processes at once; the answers come in no order.
    pub(in crate::app) async fn ask_others<T>(
        self: &Arc<Self>,
        ask: Ask,
        patience: Option<Duration>,
    ) -> Result<Vec<(PeerId, Result<T>)>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let mut asked = JoinSet::new();
        for peer in self.others()? {
            let (fellows, ask) = (self.clone(), ask.clone());
            // Another task, so that the caller has to be named to it.
            asked.spawn(caller::scope(caller::current(), async move {
                let answer = fellows.ask(&peer, &ask);
                let answer = match patience {
                    None => answer.await,
                    Some(patience) => tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| Err(slow(&peer))),
                };
                (peer, answer)
            }));
        }
        Ok(asked.join_all().await)
    }

    /// How functions fare in the other processes, by id.
    pub(in crate::app) async fn parts(
        self: &Arc<Self>,
        functions: BTreeMap<FunctionId, String>,
    ) -> Result<BTreeMap<FunctionId, Vec<Part>>> {
        let mut parts: BTreeMap<FunctionId, Vec<Part>> = BTreeMap::new();
        let answers = self.ask_others::<BTreeMap<FunctionId, Part>>(Ask::Status(functions), Some(STATUS_WAIT)).await?;
        for (peer, answer) in answers {
            match answer {
                Ok(answer) => answer.into_iter().for_each(|(id, part)| parts.entry(id).or_default().push(part)),
                Err(error) => {
                    tracing::warn!(peer = &*peer.0, code = %error.code, error = error.message, "a peer does not say how its functions fare")
                }
            }
        }
        Ok(parts)
    }

    /// How far a function is with coming up, in all processes.
    pub(in crate::app) async fn coming_up(self: &Arc<Self>, entry: &FunctionEntry) -> Result<ComingUp> {
        let (local, id) = (self.local.clone(), entry.id);
        let here = blocking(move || Ok(local.coming_up(id))).await?;
        let elsewhere = self.parts([(id, entry.spec.name.clone())].into()).await?.remove(&id).unwrap_or_default();
        let all = elsewhere.into_iter().filter_map(|part| part.coming_up).chain(here);
        Ok(all.max().unwrap_or_else(ComingUp::without_tasks))
    }

    /// Why functions do not run in another process although they should, by id.
    pub(in crate::app) fn failures_elsewhere(&self) -> BTreeMap<FunctionId, Error> {
        let (me, mut failures) = (self.peers.me(), BTreeMap::new());
        for report in self.peers.reports().unwrap_or_default().into_iter().filter(|report| report.peer != me) {
            for (function, observed) in report.functions {
                if let Some((code, message)) = observed.failure {
                    let error = Error::new(known(&code), message).context(format_args!("on '{}'", report.peer.0));
                    failures.entry(function).or_insert(error);
                }
            }
        }
        failures
    }

    /// Asks the instance of one task, wherever it runs.
    pub(in crate::app) async fn custom(
        self: &Arc<Self>,
        entry: &FunctionEntry,
        task: u32,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>> {
        let name = &entry.spec.name;
        let stopped = |what: String| Error::new(ErrorCode::FunctionStopped, what);
        let moves = || stopped(format!("task {task} of function '{name}' moves to another process: ask again"));
        if self.local.engine.tasks(entry.id).contains(&task) {
            return self.local.custom(entry.id, task, payload).await?.ok_or_else(moves);
        }
        let mut owners = self.owners(entry).await?;
        if owners.is_empty() {
            return Err(stopped(format!("function '{name}' does not run")));
        }
        let owner = owners.remove(&task).ok_or_else(|| {
            let running: Vec<_> = owners.keys().collect();
            stopped(format!("function '{name}' has no task {task} that runs, but {running:?}"))
        })?;
        let answer = match owner {
            Owner::Here => self.local.custom(entry.id, task, payload).await?,
            Owner::There(peer) => {
                let ask = Ask::Custom { function: entry.id, task, payload: Payload(payload) };
                let answer = tokio::time::timeout(PEER_WAIT, self.ask::<Option<Payload>>(&peer, &ask)).await;
                answer.unwrap_or_else(|_| Err(slow(&peer)))?.map(|payload| payload.0)
            }
        };
        answer.ok_or_else(moves)
    }

    /// Who runs which task.
    async fn owners(self: &Arc<Self>, entry: &FunctionEntry) -> Result<BTreeMap<u32, Owner>> {
        let here = self.local.engine.tasks(entry.id);
        let mut owners: BTreeMap<_, _> = here.into_iter().map(|task| (task, Owner::Here)).collect();
        let ask = Ask::Status([(entry.id, entry.spec.name.clone())].into());
        for (peer, answer) in self.ask_others::<BTreeMap<FunctionId, Part>>(ask, Some(STATUS_WAIT)).await? {
            for task in answer.unwrap_or_default().into_values().flat_map(|part| part.tasks) {
                owners.entry(task.index).or_insert_with(|| Owner::There(peer.clone()));
            }
        }
        Ok(owners)
    }

    /// Hands modules to the instances of all tasks; answers how many.
    pub(in crate::app) async fn exec(
        self: &Arc<Self>,
        function: FunctionId,
        class_name: String,
        modules: Vec<(String, Vec<u8>)>,
    ) -> Result<u32> {
        let mut tasks = self.local.exec(function, &class_name, &modules).await?;
        let modules = modules.into_iter().map(|(name, bytes)| (name, Payload(bytes))).collect();
        for (_, count) in self.ask_others::<u32>(Ask::Exec { function, class_name, modules }, Some(PEER_WAIT)).await? {
            tasks += count?;
        }
        Ok(tasks)
    }

    /// Has the tasks of a function, wherever they run, do something with its dead letters; answers what came of it when all have
    /// done their part, or nothing when none of them has any. `ordered` is called when tasks of this process have the order.
    pub(in crate::app) async fn dead_letters(
        self: &Arc<Self>,
        function: FunctionId,
        action: Action,
        until: BTreeMap<u32, Position>,
        ordered: &(dyn Fn(DeadLettersOrdered) + Send + Sync),
    ) -> Result<Option<DeadLetterReport>> {
        let here = self.local.dead_letters(function, &action, &until).await?.map(|(order, report)| {
            ordered(order);
            report
        });
        let answers = self.ask_others::<Option<Report>>(Ask::DeadLetters { function, action, until }, None).await?;
        let mut whole = None;
        if let Some(here) = here {
            whole = Some(here.await.map_err(|_| internal("the engine forgot an order about dead letters"))?);
        }
        for (peer, answer) in answers {
            match answer {
                Ok(None) => {}
                Ok(Some(report)) => report.add_to(whole.get_or_insert_default()),
                Err(error) => {
                    tracing::warn!(peer = &*peer.0, code = %error.code, error = error.message, "a peer did not finish with dead letters");
                    whole.get_or_insert_default().unfinished_tasks += 1;
                }
            }
        }
        Ok(whole)
    }

    /// Waits until the processes that know of a function have followed the register to this entry, at most so long.
    pub(in crate::app) async fn followed(&self, entry: &FunctionEntry, patience: Duration) {
        let mut changes = self.changed.subscribe();
        let all_there = || {
            self.peers.reports().unwrap_or_default().iter().all(|report| {
                report.functions.get(&entry.id).is_none_or(|observed| observed.revision >= entry.revision)
            })
        };
        let followed = async {
            while !all_there() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // Who takes longer is shown as it is.
        let _ = tokio::time::timeout(patience, followed).await;
    }
}

fn slow(peer: &PeerId) -> Error {
    Error::new(ErrorCode::PeerUnavailable, format!("the process '{}' did not answer in time", peer.0))
}
