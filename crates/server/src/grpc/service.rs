// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The service of functions: calls to operations, results to messages.

use std::sync::Arc;

use fnstream_api::grpc::proto::function_stream_service_server::FunctionStreamService;
use fnstream_api::grpc::proto::{
    CreateFunctionRequest, CreatePythonFunctionRequest, DropFunctionRequest, FunctionInfo, Response,
    ShowFunctionsRequest, ShowFunctionsResponse, SqlRequest, StartFunctionRequest, StatusCode, StopFunctionRequest,
};
use fnstream_api::grpc::{error_message, status_of};
use fnstream_core::units::counted;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_sql::Pattern;
use tonic::{Request, Status};

use super::answer::{call, done};
use super::python;
use crate::answer::{self, TASK_TYPE, status_word};
use crate::app::{App, CreateMode};
use crate::gather::Asked;
use crate::sql;

/// See the module.
pub(super) struct Functions {
    app: Arc<App>,
}

impl Functions {
    pub(super) fn new(app: Arc<App>) -> Self {
        Functions { app }
    }
}

type Answer<T> = std::result::Result<tonic::Response<T>, Status>;

fn refused(error: &Error) -> Response {
    Response::from(error)
}

#[tonic::async_trait]
impl FunctionStreamService for Functions {
    async fn execute_sql(&self, request: Request<SqlRequest>) -> Answer<Response> {
        let (_, extensions, request) = request.into_parts();
        let asked = Asked { max: request.max, after: request.after };
        call(&self.app.net.budget, &extensions, sql::execute(&self.app, &request.sql, asked), refused).await
    }

    async fn create_function(&self, request: Request<CreateFunctionRequest>) -> Answer<Response> {
        let (_, extensions, request) = request.into_parts();
        let create = async {
            let mode = mode(&request)?;
            if request.function_bytes.is_empty() {
                return Err(Error::new(ErrorCode::ArtifactInvalid, "function_bytes is empty"));
            }
            let (status, message) =
                answer::create(&self.app, request.config_bytes, request.function_bytes, mode).await?;
            Ok(done(status, message))
        };
        call(&self.app.net.budget, &extensions, create, refused).await
    }

    async fn create_python_function(&self, request: Request<CreatePythonFunctionRequest>) -> Answer<Response> {
        let (_, extensions, request) = request.into_parts();
        let create = async {
            let modules = request.modules.into_iter().map(|module| (module.module_name, module.module_bytes.into()));
            let artifact = python::artifact(&request.class_name, modules.collect())?;
            let config = request.config_content.into_bytes().into();
            let (status, message) = answer::create(&self.app, config, artifact.into(), CreateMode::New).await?;
            Ok(done(status, message))
        };
        call(&self.app.net.budget, &extensions, create, refused).await
    }

    async fn drop_function(&self, request: Request<DropFunctionRequest>) -> Answer<Response> {
        let (_, extensions, request) = request.into_parts();
        let dropped = async { ok(answer::drop_function(&self.app, request.function_name).await?) };
        call(&self.app.net.budget, &extensions, dropped, refused).await
    }

    async fn show_functions(&self, request: Request<ShowFunctionsRequest>) -> Answer<ShowFunctionsResponse> {
        let (_, extensions, request) = request.into_parts();
        let asked = Asked { max: request.max, after: request.after };
        call(&self.app.net.budget, &extensions, self.show(request.filter, asked), |error| ShowFunctionsResponse {
            status_code: status_of(error.code).into(),
            message: error_message(error),
            functions: Vec::new(),
            next: String::new(),
            error_code: error.code.as_str().to_owned(),
            advice: error.advice().to_owned(),
        })
        .await
    }

    async fn start_function(&self, request: Request<StartFunctionRequest>) -> Answer<Response> {
        let (_, extensions, request) = request.into_parts();
        let started = async { ok(answer::start(&self.app, request.function_name).await?) };
        call(&self.app.net.budget, &extensions, started, refused).await
    }

    async fn stop_function(&self, request: Request<StopFunctionRequest>) -> Answer<Response> {
        let (_, extensions, request) = request.into_parts();
        let stopped = async { ok(answer::stop(&self.app, request.function_name).await?) };
        call(&self.app.net.budget, &extensions, stopped, refused).await
    }
}

impl Functions {
    async fn show(&self, filter: Option<String>, asked: Asked) -> Result<ShowFunctionsResponse> {
        asked.check()?;
        let broken = |text: &str| {
            let message = format!("the filter '{}' ends within an escape", text.escape_debug());
            Error::new(ErrorCode::InvalidRequest, message)
        };
        let like = filter.map(|text| Pattern::new(&text).ok_or_else(|| broken(&text))).transpose()?;
        let page = answer::summaries(&self.app, like.as_ref(), &asked).await?;
        let functions: Vec<_> = page
            .rows
            .into_iter()
            .map(|function| FunctionInfo {
                name: function.name,
                task_type: TASK_TYPE.to_owned(),
                status: status_word(function.status).to_owned(),
                revision: function.revision,
                reason: function.reason.unwrap_or_default(),
            })
            .collect();
        Ok(ShowFunctionsResponse {
            status_code: StatusCode::Ok.into(),
            message: counted(functions.len(), "function"),
            functions,
            next: page.next.unwrap_or_default(),
            ..ShowFunctionsResponse::default()
        })
    }
}

fn ok(message: String) -> Result<Response> {
    Ok(done(StatusCode::Ok, message))
}

fn mode(request: &CreateFunctionRequest) -> Result<CreateMode> {
    match (request.if_not_exists, request.or_replace) {
        (false, false) => Ok(CreateMode::New),
        (true, false) => Ok(CreateMode::IfNotExists),
        (false, true) => Ok(CreateMode::OrReplace),
        (true, true) => {
            let message = "if_not_exists and or_replace are both set: a function that is there stays, or is changed";
            Err(Error::new(ErrorCode::InvalidRequest, message))
        }
    }
}
