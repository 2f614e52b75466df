// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Statements over gRPC, and their rows.

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMillisecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::DataType;
use fnstream_api::grpc::proto::Response;

use super::{Grpc, refusal, yaml};
use crate::support::{Fixture, echo, poison, within_long};

fn rows(data: Option<&bytes::Bytes>) -> RecordBatch {
    let mut reader = StreamReader::try_new(data.unwrap().as_ref(), None).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    batch
}

fn batch(response: &Response) -> RecordBatch {
    assert_eq!(response.status_code, 200, "{response:?}");
    rows(response.data.as_ref())
}

fn column(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap_or_else(|| panic!("{name}"));
    let cell = |row: usize| match column.data_type() {
        _ if column.is_null(row) => "null".to_owned(),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => String::from_utf8(column.as_binary::<i32>().value(row).to_vec()).unwrap(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Timestamp(..) => column.as_primitive::<TimestampMillisecondType>().value(row).to_string(),
        other => panic!("{other}"),
    };
    (0..batch.num_rows()).map(cell).collect()
}

fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
}

/// A fixture with folders that statements may name files in.
async fn with_files(files: &[(&str, Vec<u8>)]) -> (Fixture, tempfile::TempDir) {
    let open = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(open.path().join(name), content).unwrap();
    }
    let folder = open.path().to_owned();
    (Fixture::with(|config| config.archive_dirs = vec![folder]).await, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_life_of_a_function_in_statements() {
    let files = [("f.yaml", yaml("word-count", &["in"], "out").into_bytes()), ("f.wasm", echo())];
    let (fixture, open) = with_files(&files).await;
    let grpc = Grpc::of(&fixture).await;
    let path = |name: &str| open.path().join(name).display().to_string();
    let with = format!("WITH ('function_path'='{}', 'config_path'='{}')", path("f.wasm"), path("f.yaml"));
    let made = grpc.sql(format!("create function {with};")).await;
    assert_eq!((made.status_code, made.message.as_str()), (201, "function 'word-count' created and started"));
    assert!(made.data.is_none());
    assert_eq!(refusal(&grpc.sql(format!("CREATE FUNCTION {with}")).await), (409, "FS-1101"));
    let kept = grpc.sql(format!("CREATE FUNCTION IF NOT EXISTS {with}")).await;
    assert_eq!((kept.status_code, kept.message.as_str()), (200, "function 'word-count' exists and stays as it is"));
    grpc.becomes("word-count", "Running").await;

    let shown = batch(&grpc.sql("SHOW FUNCTIONS").await);
    assert_eq!(names(&shown), ["name Utf8", "task_type Utf8", "status Utf8"]);
    assert_eq!(column(&shown, "name"), ["word-count"]);
    assert_eq!(column(&shown, "task_type"), ["processor"]);
    assert_eq!(column(&shown, "status"), ["Running"]);
    assert_eq!(batch(&grpc.sql("SHOW FUNCTIONS LIKE 'w%'").await).num_rows(), 1);
    assert_eq!(batch(&grpc.sql("SHOW FUNCTIONS LIKE 'x%'").await).num_rows(), 0);

    assert_eq!(grpc.sql("stop function word-count").await.message, "function 'word-count' stopped");
    assert_eq!(column(&batch(&grpc.sql("show functions").await), "status"), ["Stopped"]);
    assert_eq!(refusal(&grpc.sql("restart function word-count").await), (409, "FS-1105"));
    assert_eq!(grpc.sql("START FUNCTION \"word-count\"").await.message, "function 'word-count' started");
    assert_eq!(grpc.sql("RESTART FUNCTION word-count").await.message, "function 'word-count' restarted");

    std::fs::write(open.path().join("f.yaml"), yaml("word-count", &["in"], "out-2")).unwrap();
    let replaced = grpc.sql(format!("CREATE OR REPLACE FUNCTION {with}")).await;
    assert!(replaced.message.starts_with("function 'word-count' is at revision "), "{}", replaced.message);
    let described = batch(&grpc.sql("DESCRIBE FUNCTION word-count").await);
    assert_eq!(names(&described), ["property Utf8", "value Utf8"]);
    let property = |batch: &RecordBatch, name: &str| {
        let at = column(batch, "property").iter().position(|property| property == name).unwrap();
        column(batch, "value")[at].clone()
    };
    assert_eq!(property(&described, "outputs"), "out-2");
    assert_eq!(property(&described, "selector"), "round-robin");
    let back = grpc.sql("ROLLBACK FUNCTION word-count TO REVISION 1").await;
    assert!(back.message.starts_with("function 'word-count' is back to revision 1, as revision "), "{}", back.message);
    assert_eq!(property(&batch(&grpc.sql("DESCRIBE FUNCTION word-count").await), "outputs"), "out");
    assert_eq!(refusal(&grpc.sql("ROLLBACK FUNCTION word-count TO REVISION 99").await), (404, "FS-1106"));

    assert_eq!(grpc.sql("DROP FUNCTION word-count").await.message, "function 'word-count' dropped");
    assert_eq!(refusal(&grpc.sql("DROP FUNCTION word-count").await), (404, "FS-1102"));
    let gone = grpc.sql("DROP FUNCTION IF EXISTS word-count").await;
    assert_eq!((gone.status_code, gone.message.as_str()), (200, "there is no function 'word-count'"));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_run_in_order_and_stop_at_the_first_that_fails() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    assert_eq!(grpc.create(yaml("f", &["in"], "out"), echo()).await.status_code, 201);
    let all = grpc.sql("stop function f; show functions; start function f").await;
    assert_eq!((all.status_code, all.results.len()), (200, 3));
    assert_eq!(all.message, "function 'f' stopped\n1 function\nfunction 'f' started");
    assert_eq!(column(&batch(&all), "status"), ["Stopped"], "the rows of the last statement that has any");
    assert!(all.results[0].data.is_none() && all.results[1].data == all.data);

    let half = grpc.sql("stop function f; stop function g; drop function f").await;
    assert_eq!(refusal(&half), (404, "FS-1102"));
    assert!(
        half.message.starts_with("statement 2 of 3, STOP FUNCTION g: there is no function 'g'"),
        "{}",
        half.message
    );
    assert_eq!(half.results.iter().map(|result| result.status_code).collect::<Vec<_>>(), [200, 404]);
    assert_eq!(
        grpc.show(None).await[0].status,
        "Stopped",
        "what was done before stays done, what comes after is not done"
    );

    let unread = grpc.sql("start function f;\nstop functon f").await;
    assert_eq!(refusal(&unread), (400, "FS-1007"));
    assert!(unread.message.contains("2:6") && unread.message.contains("^^^^^^^"), "{}", unread.message);
    assert_eq!(grpc.show(None).await[0].status, "Stopped", "nothing of it was done");
    for empty in ["", " ; ;", "-- a comment"] {
        assert_eq!(refusal(&grpc.sql(empty).await), (400, "FS-1007"), "{empty:?}");
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_server_are_read_from_open_folders_only() {
    let files = [("f.yaml", yaml("f", &["in"], "out").into_bytes()), ("f.wasm", echo())];
    let (fixture, open) = with_files(&files).await;
    let grpc = Grpc::of(&fixture).await;
    let shut = tempfile::tempdir().unwrap();
    for (name, content) in &files {
        std::fs::write(shut.path().join(name), content).unwrap();
    }
    let create = |wasm: &std::path::Path, yaml: &std::path::Path| {
        format!(
            "create function with ('function_path'='{}/f.wasm', 'config_path'='{}/f.yaml')",
            wasm.display(),
            yaml.display()
        )
    };
    let none = open.path().join("none");
    for (wasm, yaml) in [(open.path(), shut.path()), (shut.path(), open.path()), (open.path(), none.as_path())] {
        let refused = grpc.sql(create(wasm, yaml)).await;
        assert_eq!(refusal(&refused), (400, "FS-1201"));
        assert!(refused.message.contains("'function-stream sql' reads the files where it runs"), "{}", refused.message);
    }
    assert_eq!(grpc.sql(create(open.path(), open.path())).await.status_code, 201);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_shown_with_what_is_in_them() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    assert_eq!(grpc.create(yaml("f", &["in"], "out"), echo()).await.status_code, 201);
    for event in ["1", "2", "3"] {
        fixture.client.produce("in", event, &Default::default()).await.unwrap();
    }
    let shown = batch(&grpc.sql("SHOW TOPICS LIKE 'in%'").await);
    let schema = names(&shown);
    assert_eq!(
        schema[..8],
        [
            "name Utf8",
            "partitions UInt32",
            "records UInt64",
            "bytes UInt64",
            "retention_ms UInt64",
            "retention_bytes UInt64",
            "read_by Utf8",
            "written_by Utf8"
        ]
    );
    assert_eq!((column(&shown, "name"), column(&shown, "records")), (vec!["in".into()], vec!["3".into()]));
    assert_eq!((column(&shown, "read_by"), column(&shown, "retention_ms")), (vec!["f".into()], vec!["null".into()]));
    assert_eq!(column(&batch(&grpc.sql("show topics").await), "name"), ["f.dlq", "in", "out"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_shown_with_their_reasons() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    let config = yaml("f", &["in"], "out") + "on-error: {retries: 0}\n";
    assert_eq!(grpc.create(config, poison()).await.status_code, 201);
    for event in ["x1", "x2", "good"] {
        fixture.client.produce("in", event, &Default::default()).await.unwrap();
    }
    assert_eq!(fixture.client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"good\"");
    let answer = grpc.sql("SHOW DEAD LETTERS OF f").await;
    assert_eq!(answer.message, "2 dead letters");
    let shown = batch(&answer);
    assert_eq!(column(&shown, "value"), ["x1", "x2"]);
    assert_eq!(column(&shown, "error_code"), ["FS-1402", "FS-1402"]);
    assert_eq!(
        (column(&shown, "topic"), column(&shown, "position")),
        (vec!["in".into(); 2], vec!["0".into(), "1".into()])
    );
    let one = grpc.sql("show dead letters of f limit 1").await;
    assert_eq!((one.message.as_str(), batch(&one).num_rows()), ("1 dead letter of 2 that wait", 1));
    let stops = yaml("s", &["in"], "out") + "on-error: {action: stop}\n";
    assert_eq!(grpc.create(stops, echo()).await.status_code, 201);
    assert_eq!(refusal(&grpc.sql("show dead letters of s").await), (409, "FS-1109"));
    fixture.server.shutdown().await.unwrap();
}
