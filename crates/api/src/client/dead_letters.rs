// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Calls about dead letters.

use reqwest::Method;

use super::{Client, ClientError, PageOptions};
use crate::dead_letter::{
    DeadLetter, DeadLetterDrop, DeadLetterResult, DeadLetterSelection, DeadLetterTrial, DeadLetters, TriedDeadLetter,
};
use crate::job::Job;

impl Client {
    /// The first of the waiting dead letters of a function, at most so many; see [`Client::dead_letters_page`] for the others.
    pub async fn list_dead_letters(&self, function: &str, max: usize) -> Result<DeadLetters, ClientError> {
        self.dead_letters_page(function, &PageOptions { max: Some(max), after: None }).await
    }

    /// A page of the waiting dead letters of a function. A letter that waits all the while is given exactly once.
    pub async fn dead_letters_page(&self, function: &str, options: &PageOptions) -> Result<DeadLetters, ClientError> {
        self.json(self.dead_letters(Method::GET, function, &[])?.query(&options.query())).await
    }

    /// One waiting dead letter.
    pub async fn show_dead_letter(&self, function: &str, id: &str) -> Result<DeadLetter, ClientError> {
        self.json(self.dead_letters(Method::GET, function, &[id])?).await
    }

    /// Begins to give a function its dead letters again, in their order.
    pub async fn start_replay(&self, function: &str, selection: &DeadLetterSelection) -> Result<Job, ClientError> {
        self.json(self.dead_letters(Method::POST, function, &["replay"])?.json(selection)).await
    }

    /// Begins to drop dead letters.
    pub async fn start_drop(&self, function: &str, which: &DeadLetterDrop) -> Result<Job, ClientError> {
        self.json(self.dead_letters(Method::POST, function, &["drop"])?.json(which)).await
    }

    /// Begins to try another artifact on dead letters; nothing is kept.
    pub async fn start_trial(&self, function: &str, trial: &DeadLetterTrial) -> Result<Job, ClientError> {
        self.json(self.dead_letters(Method::POST, function, &["try"])?.json(trial)).await
    }

    /// Gives a function its dead letters again, in their order, and waits for it.
    pub async fn replay_dead_letters(
        &self,
        function: &str,
        selection: &DeadLetterSelection,
    ) -> Result<DeadLetterResult, ClientError> {
        let job = self.start_replay(function, selection).await?;
        Ok(self.wait_for_job(job).await?.finished()?.result())
    }

    /// Drops dead letters, and waits for it.
    pub async fn drop_dead_letters(
        &self,
        function: &str,
        which: &DeadLetterDrop,
    ) -> Result<DeadLetterResult, ClientError> {
        let job = self.start_drop(function, which).await?;
        Ok(self.wait_for_job(job).await?.finished()?.result())
    }

    /// Tries another artifact on dead letters, waits and reports; nothing is kept.
    pub async fn try_dead_letters(
        &self,
        function: &str,
        trial: &DeadLetterTrial,
    ) -> Result<Vec<TriedDeadLetter>, ClientError> {
        let job = self.start_trial(function, trial).await?;
        let job = self.wait_for_job(job).await?.finished()?;
        self.tried(&job.id).await
    }

    fn dead_letters(
        &self,
        method: Method,
        function: &str,
        rest: &[&str],
    ) -> Result<reqwest::RequestBuilder, ClientError> {
        let mut segments = vec!["api", "v1", "function", function, "dead-letters"];
        segments.extend(rest);
        self.request(method, &segments)
    }
}
