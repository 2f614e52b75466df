// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Calls about topics.

use reqwest::Method;

use super::page::all;
use super::{Client, ClientError, Page, PageOptions};
use crate::topic::{TopicAltered, TopicChange, TopicDescription, TopicRequest};

impl Client {
    /// The names of all topics.
    pub async fn list_topics(&self) -> Result<Vec<String>, ClientError> {
        all(|options| async move { self.topics_page(&options).await }).await
    }

    /// The names of some topics, in order.
    pub async fn topics_page(&self, options: &PageOptions) -> Result<Page<String>, ClientError> {
        self.page(self.request(Method::GET, &["api", "v1", "topics"])?, options).await
    }

    /// Makes a topic.
    pub async fn create_topic(&self, name: &str, topic: &TopicRequest) -> Result<TopicDescription, ClientError> {
        self.json(self.topic(Method::POST, name)?.json(topic)).await
    }

    /// What a topic is and how full it is.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicDescription, ClientError> {
        self.json(self.topic(Method::GET, name)?).await
    }

    /// Changes a topic.
    pub async fn alter_topic(&self, name: &str, change: &TopicChange) -> Result<TopicAltered, ClientError> {
        self.json(self.topic(Method::PATCH, name)?.json(change)).await
    }

    /// Removes a topic with its events; refused while a function uses it.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        self.done(self.topic(Method::DELETE, name)?).await
    }

    fn topic(&self, method: Method, name: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        self.request(method, &["api", "v1", "topic", name])
    }
}
