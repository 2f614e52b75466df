// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Watermarks that functions emit: messages of one internal topic of the server, which are written when the records of their epochs were.
//!
//! What is said holds behind the writer's own records so far ([`fnstream_core::watermarks`]).

use std::sync::{Arc, Weak};
use std::time::Duration;

use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::waker::Waker;
use fnstream_core::watermarks::{Heard, Said};
use fnstream_core::{Error, Result};
use fnstream_pulsar_client::{Client, Error as Failure};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::{error, runtime};

/// How long after a failure the topic is followed anew.
const AGAIN: Duration = Duration::from_millis(500);

/// What was said so far of all topics.
pub(crate) struct Marks {
    heard: Arc<Mutex<State>>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    heard: Heard<Position>,
    /// Everything that was there when reading began was read.
    is_caught_up: bool,
    failed: Option<Error>,
    wakers: Vec<Weak<Waker>>,
}

impl Marks {
    /// Follows a topic from its beginning.
    pub(crate) fn follow(client: &Client, topic: &str) -> Marks {
        let heard = Arc::new(Mutex::new(State::default()));
        let thread = runtime::spawn(follow(heard.clone(), client.clone(), topic.to_owned()));
        Marks { heard, thread }
    }

    /// Has a waker called when something was said, for as long as it is held.
    pub(crate) fn register(&self, waker: &Arc<Waker>) {
        self.heard.lock().wakers.push(Arc::downgrade(waker));
    }

    /// Whether what was there at the beginning has been read.
    pub(crate) fn is_caught_up(&self) -> Result<bool> {
        let state = self.heard.lock();
        state.failed.clone().map_or(Ok(state.is_caught_up), Err)
    }

    /// The watermark that holds at a position.
    pub(crate) fn at(&self, of: &TopicPartition, position: Position) -> Option<u64> {
        self.heard.lock().heard.at(of, position)
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        self.thread.abort();
    }
}

async fn follow(state: Arc<Mutex<State>>, client: Client, topic: String) {
    loop {
        let failure = match hear(&state, &client, &topic).await {
            Ok(never) => match never {},
            Err(failure) => failure,
        };
        let error = error::of(format!("following '{topic}'"), &failure);
        if failure.is_retriable() {
            tracing::debug!(%error, "watermarks are followed anew");
        } else {
            tell(&state, |state| state.failed = Some(error));
        }
        runtime::pause(AGAIN).await;
    }
}

async fn hear(state: &Mutex<State>, client: &Client, topic: &str) -> Result<std::convert::Infallible, Failure> {
    let reader = client.reader(topic).force_topic_creation(false).open().await?;
    loop {
        if !reader.has_more().await? {
            tell(state, |state| (state.is_caught_up, state.failed) = (true, None));
        }
        let message = reader.next().await?;
        match Said::decode(message.payload.as_deref().unwrap_or_default()) {
            Ok(said) => tell(state, |state| state.heard.hear(said)),
            Err(error) => tell(state, |state| state.failed = Some(error)),
        }
    }
}

fn tell(state: &Mutex<State>, change: impl FnOnce(&mut State)) {
    let wakers = {
        let mut state = state.lock();
        change(&mut state);
        state.wakers.retain(|waker| waker.strong_count() > 0);
        state.wakers.clone()
    };
    wakers.iter().filter_map(Weak::upgrade).for_each(|waker| waker.wake());
}
