// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Carries SQL statements out, and makes their rows.
//!
//! A text is read as a whole before anything is done. Its statements run in order, each completely before the next begins,
//! and stop at the first that fails; what was done before it stays done. The grammar is `fnstream_sql`'s, what each
//! statement does is `app`'s, the rows are in `rows` and `show`.

mod rows;
mod show;

use std::sync::Arc;

use bytes::Bytes;
use fnstream_api::grpc::proto::{Response, StatementResult, StatusCode};
use fnstream_api::grpc::{error_message, status_of};
use fnstream_api::units::{parse_duration, parse_size};
use fnstream_api::{RollbackRequest, TopicChange};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_sql::{OnExisting, Statement};

use crate::answer::{create, drop_function, start, stop, up};
use crate::app::{App, CreateMode, Deadline, Wait};
use crate::failure;
use crate::gather::Asked;
use crate::most::Most;
use rows::Rows;

/// The largest description of a function.
const MAX_DESCRIPTION: usize = 1 << 20;

/// What a statement did.
struct Done {
    status: StatusCode,
    message: String,
    rows: Option<Rows>,
    /// The cursor of the next page of rows.
    next: Option<String>,
}

impl Done {
    fn new(message: impl Into<String>) -> Self {
        Done { status: StatusCode::Ok, message: message.into(), rows: None, next: None }
    }
}

/// Runs the statements of a text. Of several, one that is refused is part of the answer, with what was done before it; an
/// error is a text that cannot be read, a deadline that has passed, or why a single statement was refused.
pub(crate) async fn execute(app: &Arc<App>, sql: &str, asked: Asked) -> Result<Response> {
    asked.check()?;
    let statements = fnstream_sql::parse(sql).map_err(|errors| Error::new(errors.first().code, errors.render(sql)))?;
    let count = statements.len();
    if count == 0 {
        return Err(Error::new(ErrorCode::InvalidSql, "the text holds no statement"));
    }
    if count > 1 && asked != Asked::default() {
        return Err(Error::new(
            ErrorCode::InvalidRequest,
            format!("pages are of one statement, and there are {count}"),
        ));
    }
    let mut response = Response::default();
    let mut messages = Vec::new();
    for (number, statement) in (1..).zip(statements) {
        Deadline::of_caller().check()?;
        let what = statement.node.to_string();
        let done = match run(app, statement.node, &asked).await.map_err(spelt).and_then(encoded) {
            Ok((done, next)) => {
                response.next = next.unwrap_or_default();
                done
            }
            Err(error) if count == 1 || error.code == ErrorCode::DeadlinePassed => return Err(error),
            Err(error) => {
                failure::note(&error);
                let error = error.context(format_args!("statement {number} of {count}, {what}"));
                response.results.push(refused(&error));
                return Ok(Response { results: response.results, ..Response::from(&error) });
            }
        };
        messages.push(done.message.clone());
        response.status_code = done.status_code;
        if done.data.is_some() {
            response.data.clone_from(&done.data);
        }
        // Of one statement the answer itself says all: its rows are not to be sent twice.
        if count > 1 {
            response.results.push(done);
        }
    }
    response.message = messages.join("\n");
    Ok(response)
}

fn encoded(done: Done) -> Result<(StatementResult, Option<String>)> {
    let data = done.rows.map(|rows| rows.encode()).transpose()?.map(Bytes::from);
    let result =
        StatementResult { status_code: done.status.into(), message: done.message, data, error_code: String::new() };
    Ok((result, done.next))
}

fn refused(error: &Error) -> StatementResult {
    StatementResult {
        status_code: status_of(error.code).into(),
        message: error_message(error),
        data: None,
        error_code: error.code.as_str().to_owned(),
    }
}

async fn run(app: &Arc<App>, statement: Statement, asked: &Asked) -> Result<Done> {
    match statement {
        Statement::CreateFunction { on_existing, function_path, config_path } => {
            let mode = match on_existing {
                OnExisting::Fail => CreateMode::New,
                OnExisting::Keep => CreateMode::IfNotExists,
                OnExisting::Replace => CreateMode::OrReplace,
            };
            let config = app.shelf.read_allowed(config_path, Most::always(MAX_DESCRIPTION)).await?;
            let artifact = app.shelf.read_allowed(function_path, app.most_artifact()).await?;
            create(app, config, artifact, mode).await.map(|(status, message)| Done { status, ..Done::new(message) })
        }
        Statement::StartFunction { name } => start(app, name).await.map(Done::new),
        Statement::StopFunction { name } => stop(app, name).await.map(Done::new),
        Statement::RestartFunction { name } => {
            let came = app.functions.restart(name, Some(Wait::of_caller())).await;
            up(came, |function| format!("function '{}' restarted", function.name)).map(Done::new)
        }
        Statement::DropFunction { name, if_exists } => match drop_function(app, name).await {
            Err(error) if if_exists && error.code == ErrorCode::FunctionNotFound => Ok(Done::new(error.message)),
            done => done.map(Done::new),
        },
        Statement::RollbackFunction { name, revision } => {
            let request = RollbackRequest { to: revision, ..RollbackRequest::default() };
            let done = match app.functions.rollback(name, request, Some(Wait::of_caller())).await {
                Err(error) if error.code == ErrorCode::NotUpYet => return Ok(Done::new(error.message)),
                done => done?,
            };
            let what = format!(
                "function '{}' is back to revision {}, as revision {}",
                done.function.name, done.to, done.function.revision
            );
            Ok(Done::new([vec![what], done.notes].concat().join("\n")))
        }
        Statement::AlterTopic { name, settings } => {
            let altered = app.alter_topic(name.clone(), topic_change(&settings)?).await?;
            let restarted = altered.restarted.iter().map(|function| format!("function '{function}' restarted"));
            let told = [format!("topic '{name}' altered")].into_iter().chain(restarted).chain(altered.notes);
            Ok(Done::new(told.collect::<Vec<_>>().join("\n")))
        }
        Statement::DescribeFunction { name } => show::function(app, name).await,
        Statement::ShowFunctions { like } => show::functions(app, like.as_ref(), asked).await,
        Statement::ShowTopics { like } => show::topics(app, like.as_ref(), asked).await,
        Statement::ShowState { name, like, limit } => show::state(app, name, like, limit, asked).await,
        Statement::ShowDeadLetters { name, limit } => show::dead_letters(app, name, limit, asked).await,
    }
}

/// An error whose advice names a setting, in the spelling of SQL.
fn spelt(error: Error) -> Error {
    match error.code {
        ErrorCode::KeysMove => error.advising("see the page; repeat it with 'accept_moved_keys' = 'true' if that is fine"),
        ErrorCode::UnequalInputs => error.advising(
            "give them the same number with ALTER TOPIC; or say with 'no-join: true' in config.yaml that the function does not join \
             them",
        ),
        _ => error,
    }
}

/// The settings of `ALTER TOPIC`.
fn topic_change(settings: &[(&'static str, String)]) -> Result<TopicChange> {
    let mut change = TopicChange::default();
    for (setting, value) in settings {
        let limit = |read: fn(&str) -> std::result::Result<u64, String>| match value.as_str() {
            "default" => Ok(None),
            value => read(value).map(Some),
        };
        let set = match *setting {
            "partitions" => {
                value.parse().map(|count| change.partitions = Some(count)).map_err(|_| not("a number", value))
            }
            "retention" => limit(millis).map(|age| change.retention_ms = Some(age)),
            "retention_bytes" => limit(parse_size).map(|bytes| change.retention_bytes = Some(bytes)),
            "retention_by" => value.parse().map(|by| change.retention_by = Some(by)),
            "accept_moved_keys" => value
                .parse()
                .map(|accepted| change.accept_moved_keys = accepted)
                .map_err(|_| not("'true' or 'false'", value)),
            other => Err(format!("there is no setting '{other}'")),
        };
        set.map_err(|why| Error::new(ErrorCode::InvalidRequest, format!("setting '{setting}': {why}")))?;
    }
    Ok(change)
}

fn not(what: &str, value: &str) -> String {
    format!("'{}' is not {what}", value.escape_debug())
}

fn millis(text: &str) -> std::result::Result<u64, String> {
    parse_duration(text).map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
