// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Calls about dead letters.

use reqwest::Method;

use super::{Client, ClientError};
use crate::dead_letter::{
    DeadLetter, DeadLetterDrop, DeadLetterResult, DeadLetterSelection, DeadLetterTrial, DeadLetters, TriedDeadLetter,
};

impl Client {
    /// The waiting dead letters of a function, at most so many.
    pub async fn list_dead_letters(&self, function: &str, max: usize) -> Result<DeadLetters, ClientError> {
        let request = self.dead_letters(Method::GET, function, &[])?.query(&[("max", max)]);
        self.json(request).await
    }

    /// One waiting dead letter.
    pub async fn show_dead_letter(&self, function: &str, id: &str) -> Result<DeadLetter, ClientError> {
        self.json(self.dead_letters(Method::GET, function, &[id])?).await
    }

    /// Gives a function its dead letters again, in their order.
    pub async fn replay_dead_letters(
        &self,
        function: &str,
        selection: &DeadLetterSelection,
    ) -> Result<DeadLetterResult, ClientError> {
        self.json(self.dead_letters(Method::POST, function, &["replay"])?.json(selection)).await
    }

    /// Drops dead letters.
    pub async fn drop_dead_letters(
        &self,
        function: &str,
        which: &DeadLetterDrop,
    ) -> Result<DeadLetterResult, ClientError> {
        self.json(self.dead_letters(Method::POST, function, &["drop"])?.json(which)).await
    }

    /// Tries another artifact on dead letters and reports; nothing is kept.
    pub async fn try_dead_letters(
        &self,
        function: &str,
        trial: &DeadLetterTrial,
    ) -> Result<Vec<TriedDeadLetter>, ClientError> {
        self.json(self.dead_letters(Method::POST, function, &["try"])?.json(trial)).await
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
