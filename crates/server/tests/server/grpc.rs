// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The gRPC interface over a real socket.

mod groups;
mod lifecycle;
mod one_port;
mod races;
mod refusals;
mod sql;
mod transport;

use std::time::Instant;

use bytes::Bytes;
use fnstream_api::grpc::proto::function_stream_service_client::FunctionStreamServiceClient;
use fnstream_api::grpc::proto::{
    CreateFunctionRequest, DropFunctionRequest, FunctionInfo, Response, ShowFunctionsRequest, SqlRequest,
    StartFunctionRequest, StopFunctionRequest,
};
use fnstream_api::grpc::{GrpcClient, MAX_MESSAGE_BYTES};
use tonic::Status;
use tonic::transport::Channel;

use crate::support::{Fixture, LONG};

/// The generated client, as any user of the proto has one.
#[derive(Clone)]
pub(crate) struct Grpc(pub FunctionStreamServiceClient<Channel>);

pub(crate) fn url(fixture: &Fixture) -> String {
    format!("http://{}", fixture.server.grpc_addr().unwrap())
}

/// A description with these inputs and one output.
pub(crate) fn yaml(name: &str, inputs: &[&str], output: &str) -> String {
    let inputs: Vec<_> = inputs.iter().map(|topic| format!("{{input-type: log, topic: {topic}}}")).collect();
    format!(
        "name: {name}\ntype: processor\ninput-groups:\n  - inputs: [{}]\noutputs:\n  - {{output-type: log, topic: {output}}}\n",
        inputs.join(", ")
    )
}

impl Grpc {
    pub(crate) async fn of(fixture: &Fixture) -> Self {
        let client = FunctionStreamServiceClient::connect(url(fixture)).await.unwrap();
        Grpc(client.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(2 * MAX_MESSAGE_BYTES))
    }

    pub(crate) async fn try_create(&self, config: impl Into<Bytes>, artifact: Vec<u8>) -> Result<Response, Status> {
        let request = CreateFunctionRequest {
            config_bytes: config.into(),
            function_bytes: artifact.into(),
            ..CreateFunctionRequest::default()
        };
        self.create_as(request).await
    }

    pub(crate) async fn create_as(&self, request: CreateFunctionRequest) -> Result<Response, Status> {
        self.0.clone().create_function(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn create(&self, config: impl Into<Bytes>, artifact: Vec<u8>) -> Response {
        self.try_create(config, artifact).await.unwrap()
    }

    pub(crate) async fn start(&self, name: &str) -> Response {
        self.0.clone().start_function(StartFunctionRequest { function_name: name.into() }).await.unwrap().into_inner()
    }

    pub(crate) async fn stop(&self, name: &str) -> Response {
        self.0.clone().stop_function(StopFunctionRequest { function_name: name.into() }).await.unwrap().into_inner()
    }

    pub(crate) async fn drop_function(&self, name: &str) -> Response {
        self.0.clone().drop_function(DropFunctionRequest { function_name: name.into() }).await.unwrap().into_inner()
    }

    pub(crate) async fn sql(&self, sql: impl Into<String>) -> Response {
        self.0.clone().execute_sql(SqlRequest { sql: sql.into(), ..SqlRequest::default() }).await.unwrap().into_inner()
    }

    pub(crate) async fn show(&self, filter: Option<&str>) -> Vec<FunctionInfo> {
        let request = ShowFunctionsRequest { filter: filter.map(str::to_owned), ..ShowFunctionsRequest::default() };
        let shown = self.0.clone().show_functions(request).await.unwrap().into_inner();
        assert_eq!(shown.status_code, 200, "{shown:?}");
        shown.functions
    }

    /// Comes back when a function has that status.
    pub(crate) async fn becomes(&self, name: &str, status: &str) {
        let until = Instant::now() + LONG;
        loop {
            let shown = self.show(Some(name)).await;
            if shown.first().is_some_and(|function| function.status == status) {
                return;
            }
            assert!(Instant::now() < until, "it does not become {status}: {shown:?}");
        }
    }
}

/// Status and code of an answer, and that its message says all that there is to say.
pub(crate) fn refusal(response: &Response) -> (i32, &str) {
    assert!(response.message.contains(&format!("({}): {}", response.error_code, response.advice)), "{response:?}");
    assert!(!response.advice.is_empty() && response.data.is_none(), "{response:?}");
    (response.status_code, &response.error_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typed_client_speaks_the_errors_of_the_other_one() {
    let fixture = Fixture::new().await;
    let client = GrpcClient::connect(&url(&fixture)).await.unwrap();
    let config = Bytes::from(yaml("f", &["in"], "out"));
    let made = client.create_function(config.clone(), crate::support::echo().into(), Default::default()).await.unwrap();
    assert_eq!(made.status_code, 201);
    let error = client.create_function(config, crate::support::echo().into(), Default::default()).await.unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), ("FS-1101", "function 'f' exists (FS-1101)"));
    assert_eq!(client.show_functions(None).await.unwrap().len(), 1);
    let refused = client.execute_sql("stop function g").await.unwrap();
    assert_eq!(refused.failure().unwrap().code, "FS-1102");
    fixture.server.shutdown().await.unwrap();
    let error = client.execute_sql("show functions").await.unwrap_err();
    assert_eq!(error.code(), "FS-1704", "{error}");
    let error = GrpcClient::connect("http://127.0.0.1:1").await.unwrap_err();
    assert!(error.to_string().starts_with("cannot reach the server at http://127.0.0.1:1"), "{error}");
}
