// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Calls about functions and artifacts.

use bytes::Bytes;
use fnstream_core::units::write_duration;
use reqwest::Method;
use reqwest::header::CONTENT_LENGTH;

use super::page::all;
use super::{Client, ClientError, Page, PageOptions, UpWait};
use crate::function::{
    Function, FunctionDescription, FunctionUpdate, RevisionDescription, RollbackRequest, RolledBack, SeekRequest,
    Sought,
};
use crate::request::ExecRequest;
use crate::status::FunctionSummary;
use crate::topic::UploadedArtifact;
use crate::trigger::{Trigger, Triggered};

/// An artifact is handed over in pieces of this size, when its sender wants to know how far it is.
const UPLOADED_AT_ONCE: usize = 64 << 10;

/// The list of names has pages only for those who ask for them.
const PAGE: usize = 1_000;

impl Client {
    /// The names of all functions.
    pub async fn list_functions(&self) -> Result<Vec<String>, ClientError> {
        self.json(self.request(Method::GET, &["api", "v1", "functions"])?).await
    }

    /// The names of some functions, in order.
    pub async fn functions_page(&self, options: &PageOptions) -> Result<Page<String>, ClientError> {
        let options = PageOptions { max: options.max.or(Some(PAGE)), ..options.clone() };
        self.page(self.request(Method::GET, &["api", "v1", "functions"])?, &options).await
    }

    /// How all functions fare, or one of them.
    pub async fn status(&self, name: Option<&str>) -> Result<Vec<FunctionSummary>, ClientError> {
        match name {
            None => all(|options| async move { self.status_page(&options).await }).await,
            Some(name) => {
                self.json(self.request(Method::GET, &["api", "v1", "status"])?.query(&[("name", name)])).await
            }
        }
    }

    /// How some functions fare, in the order of their names.
    pub async fn status_page(&self, options: &PageOptions) -> Result<Page<FunctionSummary>, ClientError> {
        self.page(self.request(Method::GET, &["api", "v1", "status"])?, options).await
    }

    /// Registers and starts a function.
    pub async fn create_function(&self, name: &str, function: &Function) -> Result<FunctionDescription, ClientError> {
        self.json(self.until_up(self.function(Method::POST, name, &[])?).json(function)).await
    }

    /// Removes a function with its state; its topics stay.
    pub async fn delete_function(&self, name: &str) -> Result<(), ClientError> {
        self.done(self.function(Method::DELETE, name, &[])?).await
    }

    /// What a function is and how it fares.
    pub async fn describe_function(&self, name: &str) -> Result<FunctionDescription, ClientError> {
        self.json(self.function(Method::GET, name, &[])?).await
    }

    /// Lets a stopped function run, also after a restart of the server.
    pub async fn start_function(&self, name: &str) -> Result<FunctionDescription, ClientError> {
        self.json(self.until_up(self.function(Method::POST, name, &["start"])?)).await
    }

    /// Lets a function finish what it began and then rest, also after a restart of the server.
    pub async fn stop_function(&self, name: &str) -> Result<FunctionDescription, ClientError> {
        self.json(self.function(Method::POST, name, &["stop"])?).await
    }

    /// Changes what a function is; it goes on with its state from where it stands.
    pub async fn update_function(
        &self,
        name: &str,
        update: &FunctionUpdate,
    ) -> Result<FunctionDescription, ClientError> {
        self.json(self.until_up_or_back(self.function(Method::PATCH, name, &[])?).json(update)).await
    }

    /// Ends a function's tasks and starts them anew.
    pub async fn restart_function(&self, name: &str) -> Result<FunctionDescription, ClientError> {
        self.json(self.until_up(self.function(Method::POST, name, &["restart"])?)).await
    }

    /// The kept revisions of a function, the newest first.
    pub async fn function_revisions(&self, name: &str) -> Result<Vec<RevisionDescription>, ClientError> {
        self.json(self.function(Method::GET, name, &["revisions"])?).await
    }

    /// Puts the description of an earlier revision in force again, and its state, if that is asked for.
    pub async fn rollback_function(&self, name: &str, rollback: RollbackRequest) -> Result<RolledBack, ClientError> {
        self.json(self.until_up(self.function(Method::POST, name, &["rollback"])?).json(&rollback)).await
    }

    /// Has a function read on from another place of its inputs.
    pub async fn seek_function(&self, name: &str, seek: &SeekRequest) -> Result<Sought, ClientError> {
        self.json(self.until_up(self.function(Method::POST, name, &["seek"])?).json(seek)).await
    }

    /// Asks the instance of a task something of the function's own.
    pub async fn custom(
        &self,
        name: &str,
        task: u32,
        payload: impl Into<reqwest::Body>,
    ) -> Result<bytes::Bytes, ClientError> {
        let request = self.function(Method::POST, name, &["custom"])?.query(&[("task", task)]).body(payload);
        let response = self.send(request).await?;
        response.bytes().await.map_err(|e| ClientError::protocol(self.url(), &e))
    }

    /// Gives a function an event aside, and answers what it would do with it; nothing is kept.
    pub async fn trigger(&self, name: &str, trigger: &Trigger) -> Result<Triggered, ClientError> {
        self.json(self.function(Method::POST, name, &["trigger"])?.json(trigger)).await
    }

    /// Hands modules to the instances of a function.
    pub async fn exec(&self, name: &str, request: &ExecRequest) -> Result<(), ClientError> {
        self.done(self.function(Method::POST, name, &["exec"])?.json(request)).await
    }

    /// Uploads an artifact, which a function can then name as `sha256:<digest>`.
    pub async fn upload_artifact(&self, artifact: impl Into<reqwest::Body>) -> Result<UploadedArtifact, ClientError> {
        self.json(self.request(Method::POST, &["api", "v1", "artifacts"])?.body(artifact)).await
    }

    /// The request, which waits until the function is up, if this client does.
    fn until_up(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self.up {
            Some(wait) => request.query(&[("wait", write_duration(wait.time))]),
            None => request,
        }
    }

    /// The same of a request whose change may be taken back.
    pub(super) fn until_up_or_back(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let request = self.until_up(request);
        match self.up {
            Some(UpWait { keep_failed: true, .. }) => request.query(&[("keep_failed", true)]),
            _ => request,
        }
    }

    /// The same, telling how many of its bytes have been handed over so far.
    pub async fn upload_artifact_telling(
        &self,
        artifact: Bytes,
        sent: impl Fn(usize) + Send + Sync + 'static,
    ) -> Result<UploadedArtifact, ClientError> {
        let length = artifact.len();
        let ends = (1..=length.div_ceil(UPLOADED_AT_ONCE)).map(move |piece| length.min(piece * UPLOADED_AT_ONCE));
        let pieces = ends.map(move |end| {
            sent(end);
            Ok::<_, std::convert::Infallible>(artifact.slice((end - 1) / UPLOADED_AT_ONCE * UPLOADED_AT_ONCE..end))
        });
        let body = reqwest::Body::wrap_stream(tonic::codegen::tokio_stream::iter(pieces));
        let request = self.request(Method::POST, &["api", "v1", "artifacts"])?;
        // Of a body in pieces the server does not know otherwise how large it is.
        self.json(request.header(CONTENT_LENGTH, length).body(body)).await
    }

    pub(super) fn function(
        &self,
        method: Method,
        name: &str,
        rest: &[&str],
    ) -> Result<reqwest::RequestBuilder, ClientError> {
        let mut segments = vec!["api", "v1", "function", name];
        segments.extend(rest);
        self.request(method, &segments)
    }
}
