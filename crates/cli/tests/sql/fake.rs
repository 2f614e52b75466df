// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A gRPC server of a few lines.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow_ipc::writer::StreamWriter;
use fnstream_api::grpc::MAX_MESSAGE_BYTES;
use fnstream_api::grpc::proto::function_stream_service_server::{FunctionStreamService, FunctionStreamServiceServer};
use fnstream_api::grpc::proto::{
    CreateFunctionRequest, CreatePythonFunctionRequest, DropFunctionRequest, FunctionInfo, Response,
    ShowFunctionsRequest, ShowFunctionsResponse, SqlRequest, StartFunctionRequest, StatusCode, StopFunctionRequest,
};
use fnstream_core::{Error, ErrorCode};
use fnstream_sql::{Statement, parse};
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Status};

/// What was asked of it, and how it answers.
#[derive(Default)]
pub(crate) struct Told {
    pub sql: Mutex<Vec<String>>,
    pub asked: Condvar,
    pub created: Mutex<Vec<CreateFunctionRequest>>,
    /// Answers nothing any more.
    pub hangs: AtomicBool,
}

/// A server with the functions `word-count` and `enrich` and the topic `orders`. It dies when it is dropped.
pub(crate) struct Fake {
    pub told: Arc<Told>,
    pub port: u16,
    runtime: Option<Runtime>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        Self::start_at(0)
    }

    pub(crate) fn start_at(port: u16) -> Self {
        let runtime = Runtime::new().unwrap();
        let told = Arc::new(Told::default());
        let inside = runtime.enter();
        let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        let port = incoming.local_addr().unwrap().port();
        let service =
            FunctionStreamServiceServer::new(Service(Arc::clone(&told))).max_decoding_message_size(MAX_MESSAGE_BYTES);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        drop(inside);
        Fake { told, port, runtime: Some(runtime) }
    }

    /// Waits until it was sent a statement.
    pub(crate) fn is_asked(&self) {
        self.told.asked.wait_while(&mut self.told.sql.lock(), |sql| sql.is_empty());
    }

    /// The statements that it was sent.
    pub(crate) fn sql(&self) -> Vec<String> {
        self.told.sql.lock().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service(Arc<Told>);

type Answer<T = Response> = Result<tonic::Response<T>, Status>;

impl Service {
    async fn hang_if_told(&self) {
        if self.0.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[tonic::async_trait]
impl FunctionStreamService for Service {
    async fn execute_sql(&self, request: Request<SqlRequest>) -> Answer {
        let sql = request.into_inner().sql;
        self.0.sql.lock().push(sql.clone());
        self.0.asked.notify_all();
        self.hang_if_told().await;
        let text = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let ok = |message: &str, data: Option<Vec<u8>>| Response {
            status_code: StatusCode::Ok.into(),
            message: message.to_owned(),
            data: data.map(Into::into),
            ..Response::default()
        };
        let response = match parse(&sql).unwrap().remove(0).node {
            Statement::ShowFunctions { .. } => ok(
                "2 functions",
                Some(stream(vec![
                    ("name", text(["enrich", "word-count"])),
                    ("task_type", text(["processor", "processor"])),
                    ("status", text(["Running", "Stopped"])),
                ])),
            ),
            Statement::ShowTopics { .. } => ok(
                "2 topics",
                Some(stream(vec![
                    ("name", text(["orders", "a \"b\", c"])),
                    ("partitions", Arc::new(UInt32Array::from(vec![4, 1]))),
                ])),
            ),
            Statement::StopFunction { name } if name == "word-count" => ok("function 'word-count' is stopped", None),
            _ => Response::from(&Error::new(ErrorCode::FunctionNotFound, "there is no function of this name\u{1b}[2J")),
        };
        Ok(response.into())
    }

    async fn create_function(&self, request: Request<CreateFunctionRequest>) -> Answer {
        self.0.created.lock().push(request.into_inner());
        let message = "function 'made' is created".to_owned();
        Ok(Response { status_code: StatusCode::Created.into(), message, ..Response::default() }.into())
    }

    async fn show_functions(&self, _: Request<ShowFunctionsRequest>) -> Answer<ShowFunctionsResponse> {
        self.hang_if_told().await;
        let functions =
            ["enrich", "word-count"].map(|name| FunctionInfo { name: name.to_owned(), ..Default::default() });
        let status_code = StatusCode::Ok.into();
        Ok(ShowFunctionsResponse { status_code, functions: functions.to_vec(), ..Default::default() }.into())
    }

    async fn create_python_function(&self, _: Request<CreatePythonFunctionRequest>) -> Answer {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn drop_function(&self, _: Request<DropFunctionRequest>) -> Answer {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn start_function(&self, _: Request<StartFunctionRequest>) -> Answer {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn stop_function(&self, _: Request<StopFunctionRequest>) -> Answer {
        Err(Status::unimplemented("not asked for here"))
    }
}

fn stream(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut data = Vec::new();
    let mut writer = StreamWriter::try_new(&mut data, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    data
}
